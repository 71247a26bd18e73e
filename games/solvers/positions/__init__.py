"""A thousand solved positions of connect four, to measure how often an agent's move keeps the position's value.

`connect_four.csv` holds them: plies 13 to 24 in equal parts, no two the same or mirror images, drawn by random play
(`generate.py`). At each position at least one move keeps the value and at least one does not, and neither player can
make a line of four with its next stone.

    moves     the columns played, 0 to 6
    values    the value of each column for the player to move: w, d or l, '.' if the column is full
    depth     the least search depth at which every move found best keeps the value (`Solver.depth`)

Easy positions have a depth up to 4, medium ones up to 12, hard ones more; each is a third of a ply's positions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from games.contract import State
from games.errors import UserError
from games.registry import load as load_game
from games.solvers.connect_four import Values, keeping
from games.solvers.exhaustive import Choose

FILE = Path(__file__).with_name("connect_four.csv")
HEADER = "moves,values,depth"
PHASES = {"13-16": range(13, 17), "17-20": range(17, 21), "21-24": range(21, 25)}  # plies
DIFFICULTIES = {"easy": range(5), "medium": range(5, 13), "hard": range(13, 43)}  # depths

_LETTERS = {1: "w", 0: "d", -1: "l", None: "."}
_VALUES = {letter: value for value, letter in _LETTERS.items()}


@dataclass(frozen=True)
class Labelled:
    """A solved position."""

    moves: str
    values: Values
    depth: int

    @property
    def phase(self) -> str:
        return next(name for name, plies in PHASES.items() if len(self.moves) in plies)

    @property
    def difficulty(self) -> str:
        return next(name for name, depths in DIFFICULTIES.items() if self.depth in depths)

    @classmethod
    def parse(cls, row: str) -> "Labelled":
        """Read a row of the file."""
        moves, values, depth = row.split(",")
        return cls(moves, tuple(_VALUES[letter] for letter in values), int(depth))

    def __str__(self) -> str:
        """Return the row of the file."""
        return f"{self.moves},{''.join(_LETTERS[value] for value in self.values)},{self.depth}"


@dataclass(frozen=True)
class Accuracy:
    """The share of positions at which the chosen move keeps the value: of all, and of each kind that occurs."""

    positions: int
    overall: float
    by_phase: dict[str, float]
    by_difficulty: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)


def load() -> list[Labelled]:
    """Return the thousand positions."""
    header, *rows = FILE.read_text(encoding="utf-8").splitlines()
    assert header == HEADER, header
    return [Labelled.parse(row) for row in rows]


def accuracy(positions: Sequence[Labelled], choose: Choose, batch: int = 256) -> Accuracy:
    """Ask for a move at each position, `batch` positions in a call; raises UserError for a move that is illegal."""
    if not positions:
        raise UserError("expected positions to choose at, got none; `games.solvers.positions.load()` has a thousand")
    kept = []
    for start in range(0, len(positions), batch):
        asked = positions[start : start + batch]
        actions = choose(list(states(asked)))
        if len(actions) != len(asked):
            raise UserError(f"expected an action for each of {len(asked)} positions, got {len(actions)}")
        kept += [_keeps(position, int(action)) for position, action in zip(asked, actions, strict=True)]
    return Accuracy(
        positions=len(positions),
        overall=sum(kept) / len(kept),
        by_phase=_shares(PHASES, (position.phase for position in positions), kept),
        by_difficulty=_shares(DIFFICULTIES, (position.difficulty for position in positions), kept),
    )


def chance(positions: Sequence[Labelled]) -> float:
    """Return the expected accuracy of uniform random moves."""
    return sum(len(keeping(p.values)) / sum(v is not None for v in p.values) for p in positions) / len(positions)


def states(positions: Iterable[Labelled]) -> Iterator[State]:
    """Yield the positions as states of OpenSpiel's game."""
    game = load_game("openspiel:connect_four")
    for position in positions:
        state = game.initial_state()
        for column in position.moves:
            state.apply([int(column)] * 2)  # only the mover's entry is read
        yield state


def _keeps(position: Labelled, action: int) -> bool:
    if action not in range(7) or position.values[action] is None:
        raise UserError(f"expected a column with room, got {action} at '{position.moves}'")
    return action in keeping(position.values)


def _shares(order: Iterable[str], kinds: Iterable[str], kept: Sequence[bool]) -> dict[str, float]:
    by_kind = defaultdict(list)
    for kind, right in zip(kinds, kept, strict=True):
        by_kind[kind].append(right)
    return {kind: sum(by_kind[kind]) / len(by_kind[kind]) for kind in order if kind in by_kind}
