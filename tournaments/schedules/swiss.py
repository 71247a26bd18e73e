"""A Swiss tournament: in every round agents with as many points meet that have not met before."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from games.errors import UserError
from marl.base.schema import Frozen, Size
from tournaments.schedules.pairings import pair_neighbours
from tournaments.schedules.points import Points
from tournaments.schedules.rounds import Decisions, Entry, Matches, Outcome, Seeds


class SwissConfig(Frozen):
    """`rounds` of matches between neighbours in the standings: `seeds` for each match."""

    kind: Literal["swiss"] = "swiss"
    rounds: Size | None = None  # the binary logarithm of the number of agents, rounded up, by default

    def schedule(self, entry: Entry) -> "Swiss":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_two(self.kind)
        if len(entry.agents) < 2:
            raise UserError(f"expected at least 2 agents, got {len(entry.agents)}; list more agents")
        return Swiss(entry, self.rounds or math.ceil(math.log2(len(entry.agents))))


@dataclass
class _Standing:
    """An agent's points (1 for a match won, ½ for one drawn, 1 for a bye), its score in games, and whom it met."""

    points: float = 0.0
    score: float = 0.0  # the sum of its mean scores in matches
    met: list[str] = field(default_factory=list)
    byes: int = 0


class Swiss:
    """The rounds of a Swiss tournament. Agents stand in the order of points, then scores, then the config."""

    exact = True

    def __init__(self, entry: Entry, rounds: int) -> None:
        self._entry, self._rounds = entry, rounds
        self.most = rounds * (len(entry.agents) // 2) * 2 * entry.seeds

    def rounds(self) -> Decisions:
        standings = {agent: _Standing() for agent in self._entry.agents}
        seeds = Seeds()
        for _ in range(self._rounds):
            pairs, alone = self._pairs(standings)
            read = yield Matches(self._entry.rules, [seeds.next(pair, self._entry.seeds) for pair in pairs])
            points = Points.of(read())
            for pair in pairs:
                for agent, other in (pair, pair[::-1]):
                    score, standing = points.score(agent, other), standings[agent]
                    standing.points += 1.0 if score > 0.5 else 0.5 if score == 0.5 else 0.0
                    standing.score += score
                    standing.met.append(other)
            if alone is not None:
                standings[alone].points += 1.0
                standings[alone].byes += 1
        return self._outcome(standings)

    def _pairs(self, standings: dict[str, _Standing]) -> tuple[list[tuple[str, str]], str | None]:
        """Return the matches of a round, and who has a bye: the last of those with the fewest byes."""
        order = sorted(standings, key=_best_first(standings))
        places: list[str | None] = [*order, *([None] if len(order) % 2 else [])]

        def met(i: int, j: int) -> int:
            one, other = places[i], places[j]
            if one is None or other is None:
                return standings[one or other or ""].byes
            return standings[one].met.count(other)

        pairs = [(places[i], places[j]) for i, j in pair_neighbours(len(places), met)]
        alone = next((one or other for one, other in pairs if one is None or other is None), None)
        return [(one, other) for one, other in pairs if one is not None and other is not None], alone

    def _outcome(self, standings: dict[str, _Standing]) -> Outcome:
        names = self._entry.names
        order = sorted(standings, key=_best_first(standings))
        found = [
            {
                "agent": names[agent],
                "points": standings[agent].points,
                "opponents_points": sum(standings[other].points for other in standings[agent].met),
                "score": round(standings[agent].score, 6),
                "byes": standings[agent].byes,
            }
            for agent in order
        ]
        rows = [
            [
                str(rank),
                str(line["agent"]),
                f"{line['points']:g}",
                f"{line['opponents_points']:g}",
                f"{line['score']:.3f}",
            ]
            for rank, line in enumerate(found, start=1)
        ]
        return Outcome(
            f"Swiss, {self._rounds} rounds: {names[order[0]]} is first",
            titles=("rank", "agent", "points", "opponents' points", "sum of scores"),
            rows=rows,
            facts={"standings": found},
        )


def _best_first(standings: dict[str, _Standing]) -> Callable[[str], tuple[float, float]]:
    return lambda agent: (-standings[agent].points, -round(standings[agent].score, 9))
