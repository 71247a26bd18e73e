"""What a store keeps, as objects: agents, played games, and who forfeited them."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from tournaments.records.fixture import Fixture
from tournaments.records.results import FORFEITS

NO_RESULT = ("no_contest", "cut")  # terminations of games that are not rated
_BY = "player "  # begins the kind of a note of the agent in a seat
TERMINATIONS = ("finished", "truncated", *FORFEITS, "resigned", *NO_RESULT)


@dataclass(frozen=True)
class StoredAgent:
    """An agent in the store: its id (its digest), the name to show, and the reference that loads it."""

    id: str
    name: str
    reference: str


@dataclass(frozen=True)
class Failure:
    """A player that forfeited a game: one of `FORFEITS`, what the player did, and at which of the game's steps."""

    player: int
    how: str
    detail: str
    ply: int


class Note(NamedTuple):
    """A remark on a game at one of its steps: its kind, and a value of JSON.

    assisted    how a person was helped before the step
    player N    what the agent in that seat noted of its decision, such as the transcript of a language model
    """

    ply: int
    kind: str
    value: Any

    @classmethod
    def by(cls, player: int, ply: int, value: Any) -> "Note":
        """Return what the agent in a seat noted."""
        return cls(ply, f"{_BY}{player}", value)

    @property
    def player(self) -> int | None:
        """The seat of the agent that noted it; None for a note of another kind."""
        number = self.kind.removeprefix(_BY)
        return int(number) if self.kind.startswith(_BY) and number.isdecimal() else None


@dataclass(frozen=True)
class AgentFailures:
    """The number of games that an agent forfeited, and the first of them in the order of the games' ids."""

    agent: str  # its label
    games: int
    first: Failure
    game: str  # the id of that game's fixture
    seed: int


@dataclass(frozen=True)
class PlayedGame:
    """A fixture and its result: payoffs by seat [N], one of `TERMINATIONS`, the number of steps, and the moves.

    A payoff is NaN for a player whose result another player's forfeit left open. `rounding` bounds the rounding error
    of the payoffs. `moves` and `rounding` are None where they are not known. A game that a
    store yields has no `notes`; `Store.notes` reads them. Raises ValueError for other terminations,
    for payoffs that are not one per seat, and for NaN without a forfeit.
    """

    fixture: Fixture
    payoffs: tuple[float, ...]
    termination: str
    length: int
    moves: bytes | None = None
    rounding: float | None = None
    failures: tuple[Failure, ...] = ()
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if self.termination not in TERMINATIONS:
            raise ValueError(f"expected a termination of {', '.join(TERMINATIONS)}, got '{self.termination}'")
        if len(self.payoffs) != len(self.fixture.agents):
            raise ValueError(f"expected {len(self.fixture.agents)} payoffs, one for each seat, got {len(self.payoffs)}")
        if self.termination not in FORFEITS and any(map(math.isnan, self.payoffs)):
            raise ValueError(f"expected numbers as payoffs of a game that nobody forfeited, got {self.payoffs}")


class Game(NamedTuple):
    """A game as it is listed: its agents' labels and their payoffs by seat; a payoff is None where it was left open."""

    id: str
    seed: int
    agents: tuple[str, ...]
    payoffs: tuple[float | None, ...]
    termination: str
    length: int
