"""Points of two-player games: 1 for a win, ½ for a draw, 0 for a loss."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from games.arrays import Floats
from tournaments.records.results import Results


@dataclass
class Points:
    """What each agent scored against each: a list of points for each seed, in the order of seeds and seats.

    A game without a result is not there.
    """

    _found: dict[tuple[str, str], dict[int, list[float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results) -> "Points":
        """Count some results."""
        points = cls()
        points.add(results)
        return points

    def add(self, results: Results) -> None:
        """Count more results."""
        earned = (1 - results.outcome / 2).tolist()
        for (i, j), seed, won in zip(results.seats.tolist(), results.seeds.tolist(), earned, strict=True):
            a, b = results.agents[i], results.agents[j]
            self._found.setdefault((a, b), {}).setdefault(seed, []).append(won)
            if a != b:
                self._found.setdefault((b, a), {}).setdefault(seed, []).append(1 - won)

    def games(self, agent: str, other: str) -> int:
        """Return the number of games."""
        return sum(map(len, self._found.get((agent, other), {}).values()))

    def score(self, agent: str, other: str) -> float:
        """Return an agent's mean score against another; ½ without a game."""
        found = [won for games in self._found.get((agent, other), {}).values() for won in games]
        return sum(found) / len(found) if found else 0.5

    def pairs(self, agent: str, other: str) -> Floats:
        """Return an agent's mean scores on the seeds whose two games have results."""
        return np.array([sum(games) / 2 for games in self._pairs(agent, other)], np.float64)

    def counts(self, agent: str, other: str) -> tuple[int, ...]:
        """Return the numbers of pairs of games in which an agent scored 0, ¼, ½, ¾ and 1."""
        quarters = [round(2 * sum(games)) for games in self._pairs(agent, other)]
        return tuple(quarters.count(quarter) for quarter in range(5))

    def _pairs(self, agent: str, other: str) -> Iterator[list[float]]:
        return (games for games in self._found.get((agent, other), {}).values() if len(games) == 2)
