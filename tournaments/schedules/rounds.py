"""Schedules decide by rounds: what all of them have in common.

The fixtures of a round are a pure function of the results of the rounds before it, which are read in the order of seeds
and seats. So neither the order in which games end, nor workers and batches, nor a kill, nor other games in the store
change what is played: a schedule that is started again goes through the rounds that are stored and continues.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from games.contract import Payoff, Teams
from games.errors import UserError
from tournaments.ratings.elo import refusal
from tournaments.records.fixture import Block, Fixture, by_seat, rotations, seeds_of
from tournaments.records.results import Results
from tournaments.records.store import Store

GROWTH = 10  # a schedule that goes on until it knows plays a tenth more in each round
SEEDS_AT_A_TIME = 8  # seeds that all matches of a round play before the next ones
Pairing = tuple[str, ...]  # the ids of the agents of a match; one that sits twice is there twice


@dataclass(frozen=True)
class Rules:
    """What all games of a tournament have in common. `seed` names the seeds of its games.

    The agents of a table hold a seat each or, in a game of team against team, all seats of a team.
    """

    game: str
    num_players: int
    seed: int = 0
    opening_moves: int = 0
    max_steps: int | None = None
    teams: Teams = ()

    @property
    def sides(self) -> int:
        """The number of agents at a table."""
        return len(self.teams) or self.num_players

    @property
    def opponents(self) -> str:
        """What they are, in a word."""
        return "teams" if self.teams else "players"

    @property
    def places(self) -> str:
        """What they hold, in a word."""
        return "teams" if self.teams else "seats"

    def fixture(self, table: Sequence[str], key: int) -> Fixture:
        """Return the game of a table on a seed."""
        return Fixture(self.game, by_seat(table, self.teams), key, self.opening_moves, self.max_steps)


@dataclass(frozen=True)
class Match:
    """Agents that play each of some seeds, given by their numbers, in every rotation of the seats or teams."""

    pairing: Pairing
    seeds: range

    def __len__(self) -> int:
        """Return the number of its games."""
        return len(self.seeds) * len(rotations(self.pairing))

    def parts(self) -> Iterator["Match"]:
        """Yield the match in parts of SEEDS_AT_A_TIME seeds."""
        for start in range(0, len(self.seeds), SEEDS_AT_A_TIME):
            yield Match(self.pairing, self.seeds[start : start + SEEDS_AT_A_TIME])


class Round(Protocol):
    """Fixtures of which none depends on the result of another."""

    def __len__(self) -> int: ...

    def blocks(self, size: int, apart: Collection[str] = ()) -> Iterator[Block]:
        """Yield all fixtures in the order in which they are played, in blocks for pieces of `size` (`batches`).

        Those with agents of `apart` come last.
        """

    def stored(self, store: Store, retry_timeouts: bool = False) -> int:
        """Return how many of the games are stored; with `retry_timeouts`, without those of timeouts."""


class Matches:
    """A round of some matches, each pairing of which is sorted: its fixtures are those of a round robin."""

    def __init__(self, rules: Rules, matches: Iterable[Match]) -> None:
        self.rules, self.matches = rules, tuple(matches)

    def __len__(self) -> int:
        return sum(map(len, self.matches))

    def blocks(self, size: int, apart: Collection[str] = ()) -> Iterator[Block]:
        """Yield all fixtures, SEEDS_AT_A_TIME seeds of all matches before the next ones."""
        parts = [(number, part) for match in self.matches for number, part in enumerate(match.parts())]

        def place(numbered: tuple[int, Match]) -> tuple[list[str], int]:
            number, part = numbered
            return [agent for agent in part.pairing if agent in apart], number

        return (self._fixtures(part) for _, part in sorted(parts, key=place))

    def stored(self, store: Store, retry_timeouts: bool = False) -> int:
        return sum(len(block) - len(store.missing(block, retry_timeouts)) for block in self.blocks(1))

    def _fixtures(self, match: Match) -> Block:
        tables, keys = rotations(match.pairing), seeds_of(self.rules.seed, match.seeds)
        return [self.rules.fixture(table, key) for key in keys for table in tables]


@dataclass(frozen=True)
class Outcome:
    """What a schedule found: a sentence, a table, and whether it reached its target (None: it has none)."""

    text: str = ""
    reached: bool | None = None
    titles: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON data; agents by their names


Read = Callable[[], Results]  # the results of a round that is played, payoffs settled; its agents are ids
Decisions = Generator[Round, Read, Outcome]


class Schedule(Protocol):
    """What is played, round by round."""

    @property
    def most(self) -> int:
        """The number of games that it plays at most."""

    @property
    def exact(self) -> bool:
        """Whether it always plays so many."""

    def rounds(self) -> Decisions:
        """Yield rounds; each is sent what reads its results before the next one is decided."""


@dataclass(frozen=True)
class OneRound:
    """A schedule whose games are known before any is played; `outcome` says what they show."""

    round: Round
    outcome: Callable[[Read], Outcome] = lambda read: Outcome()
    exact: bool = True

    @property
    def most(self) -> int:
        return len(self.round)

    def rounds(self) -> Decisions:
        return self.outcome((yield self.round))


@dataclass(frozen=True)
class Entry:
    """What a schedule is made of: the rules of its games, who plays, and how many seeds."""

    rules: Rules
    agents: tuple[str, ...]  # their ids, in the order of the config
    names: Mapping[str, str]  # to show, by id
    seeds: int
    payoff: Payoff
    find: Callable[[str, Sequence[str]], list[str]]  # the ids of listed agents, by a key of the config and references

    @property
    def repeats(self) -> bool:
        """Say whether an agent is paired with itself, too."""
        return self.rules.sides == 2 and self.payoff != "zero_sum"

    def require_two(self, kind: str) -> None:
        """Raise UserError where a schedule needs games of two players, or two teams, that get Elo."""
        if self.rules.sides != 2:
            raise UserError(
                f"expected a game of two {self.rules.opponents} for the schedule '{kind}', got {self.rules.sides}; "
                "take round_robin, gauntlet, focal or active"
            )
        self.require_elo(kind)

    def require_elo(self, kind: str) -> None:
        """Raise UserError where a schedule needs games that get Elo."""
        if refusal(self.rules.sides, self.payoff) is not None:
            raise UserError(
                f"expected a game that gets Elo for the schedule '{kind}', which asks who is stronger, got one of "
                f"{self.rules.sides} {self.rules.opponents} whose payoffs are '{self.payoff}'; take round_robin, "
                "gauntlet or focal"
            )


class Seeds:
    """The next seeds of each pairing: a pairing that meets again plays new ones."""

    def __init__(self) -> None:
        self._played: dict[Pairing, int] = {}

    def met(self, pairing: Iterable[str]) -> int:
        """Return how many seeds a pairing has played."""
        return self._played.get(tuple(sorted(pairing)), 0)

    def next(self, pairing: Iterable[str], seeds: int) -> Match:
        """Return a match of a pairing on its next seeds."""
        agents = tuple(sorted(pairing))
        first = self._played.get(agents, 0)
        self._played[agents] = first + seeds
        return Match(agents, range(first, first + seeds))
