"""A knockout: a seeded bracket in which the loser of a match is out."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from games.errors import UserError
from marl.base.schema import Count, Frozen
from tournaments.schedules.points import Points
from tournaments.schedules.rounds import Decisions, Entry, Matches, Outcome, Read, Round, Seeds

Pair = tuple[str, str]


class KnockoutConfig(Frozen):
    """A bracket seeded by the order of `agents`: `seeds` for each match, and as many again where it is tied."""

    kind: Literal["knockout"] = "knockout"
    replays: Count = 2  # of a tied match; if it is tied still, the agent that is listed first goes on

    def schedule(self, entry: Entry) -> "Knockout":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_two(self.kind)
        if len(entry.agents) < 2:
            raise UserError(f"expected at least 2 agents, got {len(entry.agents)}; list more agents")
        return Knockout(entry, self.replays)


def bracket(places: int) -> list[int]:
    """Return the places of a seeded bracket in their order, a power of two: the first two meet in the final.

    Neighbours meet: 0 and 7, 3 and 4, 1 and 6, 2 and 5. Numbers of `places` or more are byes.
    """
    order = [0]
    while len(order) < places:
        order = [place for upper in order for place in (upper, 2 * len(order) - 1 - upper)]
    return order


@dataclass(frozen=True)
class _Played:
    """A match of the bracket, by the agents' names; the score is the first one's mean."""

    agents: Pair
    score: float
    games: int
    winner: str
    tied: bool  # after all replays: the agent that is listed first goes on

    def row(self, number: int) -> list[str]:
        """Return the line of a table."""
        winner = f"{self.winner} (tied, listed first)" if self.tied else self.winner
        return [str(number), *self.agents, f"{100 * self.score:.1f} %", str(self.games), winner]


class Knockout:
    """The rounds of a knockout. The first agents of the list have byes where agents are no power of two."""

    exact = False

    def __init__(self, entry: Entry, replays: int) -> None:
        self._entry, self._replays = entry, replays
        self.most = (len(entry.agents) - 1) * 2 * entry.seeds * (1 + replays)

    def rounds(self) -> Decisions:
        agents, names = self._entry.agents, self._entry.names
        left: list[str | None] = [agents[k] if k < len(agents) else None for k in bracket(len(agents))]
        bracketed: list[list[_Played]] = []
        while len(left) > 1:
            sides = list(zip(left[::2], left[1::2], strict=True))
            points = yield from self._play(
                [(one, other) for one, other in sides if one is not None and other is not None]
            )
            bracketed.append([self._played(one, other, points) for one, other in sides if one and other])
            left = [self._winner(one, other, points) if one and other else one or other for one, other in sides]
        winner = names[left[0] or ""]
        return Outcome(
            f"Knockout: {winner} wins",
            titles=("round", "agent", "other", "score", "games", "goes on"),
            rows=[match.row(number) for number, matches in enumerate(bracketed, start=1) for match in matches],
            facts={"winner": winner, "rounds": [[asdict(match) for match in matches] for matches in bracketed]},
        )

    def _play(self, pairs: Sequence[Pair]) -> Generator[Round, Read, Points]:
        """Play matches, and those again that are tied; return their points."""
        seeds, points, tied = Seeds(), Points(), list(pairs)
        for _ in range(1 + self._replays):
            if tied:
                read = yield Matches(self._entry.rules, [seeds.next(pair, self._entry.seeds) for pair in tied])
                points.add(read())
                tied = [pair for pair in tied if points.score(*pair) == 0.5]
        return points

    def _winner(self, one: str, other: str, points: Points) -> str:
        """Return who goes on: the better one; of equal ones the one that is listed first."""
        score = points.score(one, other)
        if score == 0.5:
            return min(one, other, key=self._entry.agents.index)
        return one if score > 0.5 else other

    def _played(self, one: str, other: str, points: Points) -> _Played:
        names, score = self._entry.names, points.score(one, other)
        winner = names[self._winner(one, other, points)]
        return _Played((names[one], names[other]), round(score, 6), points.games(one, other), winner, score == 0.5)
