"""A solver of connect four on 7 columns and 6 rows: the value of every move under perfect play.

A position is two bitboards of 49 bits, bit 7 c + r for row r of column c. Row 6 holds no stone, so that no line runs
from one column into the next.

The search answers one question with yes or no: can the attacker force a line of four? The other player, the defender,
only has to prevent it. A position is won if the mover's attack succeeds, lost if the opponent's succeeds, and drawn if
neither does. This is a null-window search over win, draw and loss.

    forced replies    against one threat of a four only its square is searched; two threats lose
    blunders          moves to the square under a four of the opponent's are not searched
    dead attacks      an attack fails if no line of four is left to the attacker
    order             moves that make most threats first, then from the centre outwards
    transpositions    answers are kept in a table, the newest one in each entry

No number here has more than 57 bits, so Python's integers and compiled 64-bit integers agree. With numba installed
(`pip install 'marl[solve]'`) the search is compiled: all moves of a position at ply 16 then take 6 ms, not 0.3 s.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from games.contract import State
from games.errors import UserError

Function = TypeVar("Function", bound=Callable[..., object])


def _compiled(function: Function) -> Function:
    """Compile a function where numba is installed; leave it to Python otherwise."""
    try:
        from numba import njit
    except ModuleNotFoundError:
        return function
    compiled: Function = njit(function)
    return compiled


class Cells(Protocol):
    """A list of integers, or an array of 64-bit ones."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, value: int, /) -> None: ...


COLUMNS, ROWS = 7, 6
CELLS = COLUMNS * ROWS
BOTTOM = sum(1 << 7 * column for column in range(COLUMNS))
BOARD = BOTTOM * ((1 << ROWS) - 1)
ENTRIES = (1 << 20) + 7  # a prime; a larger table falls out of the processor's caches and is slower

_COLUMN = tuple(((1 << ROWS) - 1) << 7 * column for column in range(COLUMNS))
_CENTRE_FIRST = tuple(_COLUMN[column] for column in (3, 2, 4, 1, 5, 0, 6))
_SCORES = CELLS * COLUMNS  # the stack holds the moves of each ply; from this index on their scores; and
_THREATS = 2 * _SCORES  # from this index on the squares that would make a four after each move
_RULES = {"columns": COLUMNS, "rows": ROWS, "x_in_row": 4}.items()

Position = str | Sequence[int] | State  # the columns played, as digits or numbers, or a state of OpenSpiel
Values = tuple[int | None, ...]  # [7] 1 a win of the player to move, 0 a draw, -1 a loss; None where the column is full


class Board(NamedTuple):
    """A position: the stones of the player to move, those of the other player, and the number of stones."""

    own: int
    other: int
    ply: int = 0

    @property
    def playable(self) -> int:
        """The squares that a stone can fall to, as a bitboard."""
        return ((self.own | self.other) + BOTTOM) & BOARD

    @property
    def quiet(self) -> bool:
        """Whether neither player can make a line of four with its next stone."""
        return not self.playable & (fours(self.own) | fours(self.other))

    def landing(self, column: int) -> int:
        """Return the square that a stone falls to in a column, as a bitboard; 0 if the column is full."""
        return self.playable & _COLUMN[column]

    def play(self, column: int) -> "Board":
        """Return the position after a stone into a column with room."""
        return Board(self.other, self.own | self.landing(column), self.ply + 1)

    def mirrored(self) -> "Board":
        """Return the position reflected left to right."""
        own, other = (
            sum((stones >> 7 * column & 127) << 7 * (COLUMNS - 1 - column) for column in range(COLUMNS))
            for stones in (self.own, self.other)
        )
        return Board(own, other, self.ply)


class Solver:
    """Compute the values of moves. A table of earlier answers saves time; no answer depends on it."""

    def __init__(self) -> None:
        # Compiled code reads arrays; Python reads lists faster, and keeps its own integers in them.
        native = hasattr(_attack, "py_func")
        self._table, self._stack = (np.zeros(n, np.int64) if native else [0] * n for n in (ENTRIES, 3 * _SCORES))

    def values(self, position: Position, depth: int | None = None) -> Values:
        """Return the value of each column for the player to move.

        With `depth` the search looks that many plies ahead, and counts what is not decided by then as a draw.
        Raises UserError for moves that cannot be played, another game's state, and a game that is over.
        """
        board = read(position)
        horizon = CELLS if depth is None else min(board.ply + depth, CELLS)
        return tuple(
            self._value(board, column, horizon) if board.landing(column) else None for column in range(COLUMNS)
        )

    def depth(self, position: Position) -> int:
        """Return the least depth at which every move that a search of that depth finds best keeps the true value.

        That is the length of the shortest win, or else of the longest loss by a wrong move. 0: no move is wrong.
        """
        right = keeping(self.values(position))
        plies = range(CELLS)  # deeper searches decide more moves and revise none, so bisection is valid
        return bisect_left(plies, True, key=lambda depth: keeping(self.values(position, depth)) <= right)

    def choose(self, states: Sequence[State]) -> list[int]:
        """Play perfectly: return the first column of each state that keeps its value."""
        return [min(keeping(self.values(state))) for state in states]

    def _value(self, board: Board, column: int, horizon: int) -> int:
        after = board.play(column)
        if board.landing(column) & fours(board.own):
            return int(after.ply <= horizon)
        if after.playable & fours(after.own):
            return -int(after.ply + 1 <= horizon)
        search = after.own, after.other, fours(after.other)
        if _attack(*search, 1, after.ply, horizon, self._table, self._stack):
            return -1
        return int(_attack(*search, 0, after.ply, horizon, self._table, self._stack))


def keeping(values: Values) -> set[int]:
    """Return the columns that keep the position's value: the best ones."""
    best = max(value for value in values if value is not None)
    return {column for column, value in enumerate(values) if value == best}


def read(position: Position) -> Board:
    """Return the position as bitboards; raises UserError as `Solver.values` does."""
    board, over, moves = Board(0, 0), False, _moves(position)
    for column in moves:
        if column not in range(COLUMNS):
            raise UserError(f"expected columns from 0 to 6, got {column} in {moves}")
        stone = board.landing(column)
        if over or not stone:
            why = "the game is over by then" if over else "the column is full"
            raise UserError(f"expected moves of connect four, got {column} as move {board.ply + 1} of {moves}: {why}")
        over = bool(stone & fours(board.own))
        board = board.play(column)
    if over or board.ply == CELLS:
        raise UserError(f"expected a position with a player to move, got one in which the game is over: {moves}")
    return board


def _moves(position: Position) -> list[int]:
    if isinstance(position, str):
        if position.strip("0123456789"):
            raise UserError(f"expected the columns played as digits, such as '3342', got '{position}'")
        return [int(column) for column in position]
    if isinstance(position, Iterable):
        return [int(column) for column in position]
    native: Any = getattr(position, "native", position)
    game: Any = native.get_game() if hasattr(native, "get_game") else type(position).__name__
    if str(game).partition("(")[0] != "connect_four" or not game.get_parameters().items() >= _RULES:
        raise UserError(f"expected a state of 'openspiel:connect_four' as it is by default, got one of '{game}'")
    return [int(column) for column in native.history()]


@_compiled
def fours(stones: int) -> int:
    """Return the squares that would complete a line of four with `stones`, including taken squares."""
    squares = stones << 1 & stones << 2 & stones << 3
    for step in (6, 7, 8):
        pair = stones & stones >> step
        three = pair & stones >> 2 * step
        squares |= three << 3 * step | three >> step
        squares |= (pair & stones >> 3 * step) << 2 * step | (stones & pair >> 2 * step) << step
    return squares & BOARD


@_compiled
def _has_line(squares: int) -> bool:
    """Return whether four of the squares are in line."""
    lines = 0
    for step in (1, 6, 7, 8):
        pair = squares & squares >> step
        lines |= pair & pair >> 2 * step
    return lines != 0


@_compiled
def _attack(
    own: int, other: int, threats: int, attacking: int, ply: int, horizon: int, table: Cells, stack: Cells
) -> int:
    """Return 1 if the attacker can force a four with at most `horizon` stones on the board, else 0.

    The attacker is the player to move if `attacking` is 1, else the other player. `threats` is `fours(other)`. The
    player to move must not be able to make a four at once; moves that allow the opponent one are left out.
    """
    mask = own | other
    free = BOARD ^ mask
    moves = mask + BOTTOM & BOARD
    forced = moves & threats
    if forced:
        moves = forced
    moves &= ~((threats & free) >> 1)
    if moves == 0 or forced & forced - 1:  # after every move the opponent makes a four
        return 1 if not attacking and ply + 2 <= horizon else 0
    if ply + 2 >= horizon or not _has_line(free | (own if attacking else other)):
        return 0

    position = own + mask  # unique: the seven bits of a column of h stones hold 2^h - 1 + own, which tells h and own
    question = (position << 1 | attacking) << 6 | horizon  # never 0, which marks an empty entry
    place = position % ENTRIES
    if table[place] >> 1 == question:
        return table[place] & 1
    start = COLUMNS * ply
    answer = 1 - attacking
    for i in range(start, _order(own, moves, free, stack, start)):
        after, own_threats = own | stack[i], stack[_THREATS + i]
        if _attack(other, after, own_threats, 1 - attacking, ply + 1, horizon, table, stack) == attacking:
            answer = attacking
            break
    table[place] = question << 1 | answer
    return answer


@_compiled
def _order(own: int, moves: int, free: int, stack: Cells, start: int) -> int:
    """Write the moves on the stack from `start` on, the most promising first; return the index after the last."""
    end = start
    for column in _CENTRE_FIRST:
        move = moves & column
        if move == 0:
            continue
        threats = fours(own | move)
        score, squares = 0, threats & free & ~move
        while squares:
            score, squares = score + 1, squares & squares - 1
        i = end
        while i > start and stack[_SCORES + i - 1] < score:
            for part in (0, _SCORES, _THREATS):  # insertion sort
                stack[part + i] = stack[part + i - 1]
            i -= 1
        stack[i], stack[_SCORES + i], stack[_THREATS + i] = move, score, threats
        end += 1
    return end
