"""Solved positions of connect four, to measure how often an agent's move keeps what a position is worth.

    set         file                       covers
    thousand    connect_four.csv           a thousand, plies 13 to 24 in equal parts, reached by random play; a third of
                                           a ply's positions is easy, a third medium, a third hard
    phases      connect_four_phases.csv    1,640, plies 8 to 39, reached by players of mixed strength; as hard as they
                                           come
    openings    connect_four_openings.csv  404, plies 0 to 7: all 24 of plies 0 to 2, 60 of ply 3 and 80 of each later
                                           one, reached by players of mixed strength

No two positions of a set are the same or mirror images. At each one at least one move keeps the value and at least one
does not, and neither player can make a line of four with its next stone: a search of one or two plies does not decide
them. `generate.py` says how they were drawn, and draws them again.

    moves     the columns played, 0 to 6
    values    the value of each column for the player to move: w, d or l, '.' if the column is full
    depth     the least search depth at which every move found best keeps the value (`Solver.depth`)

Easy positions have a depth up to 4, medium ones up to 12, hard ones more.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from games.contract import State
from games.errors import UserError
from games.registry import load as load_game
from games.solvers.connect_four import Values, keeping
from games.solvers.exhaustive import Choose

FILES = {
    "thousand": Path(__file__).with_name("connect_four.csv"),
    "phases": Path(__file__).with_name("connect_four_phases.csv"),
    "openings": Path(__file__).with_name("connect_four_openings.csv"),
}
HEADER = "moves,values,depth"
PHASES = {  # plies
    "0-3": range(4),
    "4-7": range(4, 8),
    "8": range(8, 9),
    "9-12": range(9, 13),
    "13-16": range(13, 17),
    "17-20": range(17, 21),
    "21-24": range(21, 25),
    "25-39": range(25, 40),
}
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
    """The share of positions at which the chosen move keeps the value: of all, and of each kind that occurs.

    By kind, of which "all" is one: how many positions there are, Wilson's 95 % interval of the share (each position is
    an independent draw, kept or not), and the share that uniform random moves keep.
    """

    positions: int
    overall: float
    by_phase: dict[str, float]
    by_difficulty: dict[str, float]
    counts: dict[str, int]
    intervals: dict[str, tuple[float, float]]
    random: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)


def load(name: str = "thousand") -> list[Labelled]:
    """Return the positions of a set; raises UserError for a name that no set has."""
    if name not in FILES:
        raise UserError(f"expected a set of positions, one of {', '.join(FILES)}, got '{name}'")
    header, *rows = FILES[name].read_text(encoding="utf-8").splitlines()
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
    kinds = _kinds(positions)
    right = {kind: sum(kept[i] for i in of_kind) for kind, of_kind in kinds.items()}
    shares = {kind: right[kind] / len(of_kind) for kind, of_kind in kinds.items()}
    return Accuracy(
        positions=len(positions),
        overall=shares["all"],
        by_phase={kind: share for kind, share in shares.items() if kind in PHASES},
        by_difficulty={kind: share for kind, share in shares.items() if kind in DIFFICULTIES},
        counts={kind: len(of_kind) for kind, of_kind in kinds.items()},
        intervals={kind: wilson(right[kind], len(of_kind)) for kind, of_kind in kinds.items()},
        random={kind: chance([positions[i] for i in of_kind]) for kind, of_kind in kinds.items()},
    )


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `right` among `count` (Wilson 1927, https://doi.org/10.2307/2276774)."""
    from scipy.stats import binomtest  # here: it takes a while to import

    found = binomtest(right, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


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


def _kinds(positions: Sequence[Labelled]) -> dict[str, list[int]]:
    """Return the indices of the positions of each kind that occurs: all, then by phase, then by difficulty."""
    found: dict[str, list[int]] = {kind: [] for kind in ("all", *PHASES, *DIFFICULTIES)}
    for index, position in enumerate(positions):
        for kind in ("all", position.phase, position.difficulty):
            found[kind].append(index)
    return {kind: indices for kind, indices in found.items() if indices}
