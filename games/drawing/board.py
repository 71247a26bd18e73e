"""What drawings of boards share: where the cells lie, their names at the edge, and what moved last.

Cells are counted by (row, column) from the upper left corner. A board that is `turned` is seen from the other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from games.drawing.svg import Area, rectangle, text

BEFORE, AFTER = 34.0, 18.0  # margins: left and below, with the names of cells; right and above


@dataclass(frozen=True)
class Board:
    """A board of square cells."""

    rows: int
    columns: int
    cell: float = 56.0
    turned: bool = False

    @property
    def width(self) -> float:
        """Of the drawing."""
        return self.columns * self.cell + BEFORE + AFTER

    @property
    def height(self) -> float:
        """Of the drawing."""
        return self.rows * self.cell + BEFORE + AFTER

    @property
    def outline(self) -> Area:
        """All cells."""
        return Area(BEFORE, AFTER, self.columns * self.cell, self.rows * self.cell)

    def area(self, row: int, column: int) -> Area:
        """Return one cell."""
        if self.turned:
            row, column = self.rows - 1 - row, self.columns - 1 - column
        return Area(BEFORE + column * self.cell, AFTER + row * self.cell, self.cell, self.cell)

    def names(self, rows: Sequence[str], columns: Sequence[str]) -> list[str]:
        """Return the names of rows, if they have any, and of columns, written left of the board and below it."""
        bottom, left = (0, self.columns - 1) if self.turned else (self.rows - 1, 0)
        below = [self.area(bottom, column).centre[0] for column in range(self.columns)]
        beside = [self.area(row, left).centre[1] for row in range(self.rows)]
        y = AFTER + self.rows * self.cell + 20
        return [
            *(text(x, y, name, 13, "faint") for x, name in zip(below, columns, strict=True)),
            *(
                text(BEFORE - 12, y + 4.5, name, 13, "faint", anchor="end")
                for y, name in zip(beside, rows, strict=bool(rows))
            ),
        ]

    def marked(self, row: int, column: int) -> str:
        """Return the tint of a cell that the last move touched."""
        return rectangle(self.area(row, column), "last", opacity=0.45)


def letters(count: int) -> list[str]:
    """Return the names of columns as in chess."""
    return [ascii_lowercase[k % 26] for k in range(count)]


def downwards(count: int) -> list[str]:
    """Return the names of rows that are counted from below, as in chess."""
    return [str(count - k) for k in range(count)]


def upwards(count: int) -> list[str]:
    """Return the names of rows that are counted from above."""
    return [str(k + 1) for k in range(count)]


def legal(native: Any, player: int | None) -> list[int]:
    """Return the actions among which who looks may choose: `player`, or whoever is on turn."""
    mover = native.current_player()
    if mover < 0 or player not in (None, mover):
        return []
    actions: list[int] = native.legal_actions()
    return actions


def last(native: Any) -> tuple[int, int] | None:
    """Return (player, action) of the last move; None before the first. Only for games that hide nothing."""
    moves = ((event.player, event.action) for event in reversed(native.full_history()))
    return next((move for move in moves if move[0] >= 0), None)
