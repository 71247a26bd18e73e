"""The best of a population by successive elimination: who is surely beaten plays no more.

All agents that are left meet each other. A pair is decided when the bound on its score, which holds for all numbers of
games and all pairs at once (ratings/bounds.py), is on one side of ½; it is practically equal when the bound lies within
the score of ± `delta` Elo. Two equal agents never separate, so without such a region the schedule would not end.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from games.errors import UserError
from marl.base.schema import Frozen, Size
from tournaments.ratings.bounds import radius
from tournaments.ratings.sprt import score_of
from tournaments.schedules.points import Points
from tournaments.schedules.rounds import GROWTH, Decisions, Entry, Matches, Outcome, Seeds

Pair = tuple[str, str]


class BestConfig(Frozen):
    """All agents that are not surely beaten against each other, on at most `seeds` seeds for each pairing."""

    kind: Literal["best"] = "best"
    delta: PositiveFloat = 20.0  # Elo: agents that differ by less are practically equal
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05  # the chance that any verdict is wrong
    round: Size = 16  # seeds of each pairing between the first decisions, later a tenth of those so far

    def schedule(self, entry: Entry) -> "Best":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_two(self.kind)
        if len(entry.agents) < 2:
            raise UserError(f"expected at least 2 agents, got {len(entry.agents)}; list more agents")
        return Best(self, entry)


class Best:
    """The rounds of a successive elimination."""

    exact = False

    def __init__(self, config: BestConfig, entry: Entry) -> None:
        self._config, self._entry = config, entry
        pairs = len(entry.agents) * (len(entry.agents) - 1) // 2
        self.most, self._alpha = 2 * entry.seeds * pairs, config.alpha / pairs
        self._margin = score_of(config.delta) - 0.5

    def rounds(self) -> Decisions:
        entry, points, seeds = self._entry, Points(), Seeds()
        left, beaten = list(entry.agents), dict[str, str]()
        while True:
            pairs = [pair for pair in combinations(left, 2) if self._open(points, pair)]
            known = [pair for pair in pairs if seeds.met(pair) < entry.seeds]
            if not known:
                break
            matches = [seeds.next(pair, self._more(seeds.met(pair))) for pair in known]
            read = yield Matches(entry.rules, matches)
            points.add(read())
            lost = {loser: winner for winner, loser in self._decided(points, left)}
            if len(lost) < len(left):  # else each is beaten by another: none is the best
                beaten |= lost
            left = [agent for agent in left if agent not in beaten]
        return self._outcome(points, left, beaten, reached=not pairs)

    def _more(self, met: int) -> int:
        """Return how many seeds a pair plays next: `round`, and later a tenth of those so far."""
        return min(max(self._config.round, met // GROWTH), self._entry.seeds - met)

    def _bound(self, points: Points, pair: Pair) -> tuple[float, float]:
        """Return the mean score of a pair's first agent, and the radius around it."""
        scores = points.pairs(*pair)
        return float(scores.mean()) if len(scores) else 0.5, float(radius(len(scores), self._alpha))

    def _open(self, points: Points, pair: Pair) -> bool:
        """Return whether a pair is neither decided nor practically equal."""
        mean, within = self._bound(points, pair)
        return abs(mean - 0.5) <= within and abs(mean - 0.5) + within > self._margin

    def _decided(self, points: Points, left: Sequence[str]) -> list[Pair]:
        """Return the winners and losers of all pairs that are decided."""
        found = []
        for pair in combinations(left, 2):
            mean, within = self._bound(points, pair)
            if abs(mean - 0.5) > within:
                found.append(pair if mean > 0.5 else pair[::-1])
        return found

    def _outcome(self, points: Points, left: Sequence[str], beaten: dict[str, str], reached: bool) -> Outcome:
        names, delta = self._entry.names, f"{self._config.delta:g} Elo"
        best = ", ".join(names[agent] for agent in left)
        losers = {loser for _, loser in self._decided(points, left)}
        if not reached:
            text = f"Not decided after {self._entry.seeds} seeds for a pairing, allow more of them; left are {best}"
        elif len(left) == 1:
            text = f"{best} is the best"
        elif losers.issuperset(left):
            text = f"None is the best: each of {best} is beaten by another of them"
        else:
            text = f"{best} are the best, practically equal (within {delta})"
        rows = [
            [names[agent], names[beaten[agent]], f"{100 * points.score(agent, beaten[agent]):.1f} %"]
            for agent in self._entry.agents
            if agent in beaten
        ]
        facts = {
            "best": [names[agent] for agent in left],
            "beaten": {names[loser]: names[winner] for loser, winner in beaten.items()},
            "delta": self._config.delta,
        }
        return Outcome(text, reached, ("agent", "surely beaten by", "score"), rows, facts)
