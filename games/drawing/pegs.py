"""Mastermind: each guess as a row of coloured pegs, and its answer as small pegs beside it."""

from collections.abc import Sequence

from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, line, rectangle, text

MARGIN, HOLE, SMALL = 20.0, 44.0, 17.0
Guess = tuple[str, int, int]  # the pegs as letters from A on, and how many are black and white in the answer


def pegs(code: str | None, guesses: Sequence[Guess], holes: int, rows: int, label: str) -> Drawing:
    """Return a board with room for so many rows of `holes` pegs; `code` is None where it is hidden."""
    answer = SMALL * -(-holes // 2)  # in two lines
    width, height = 2 * MARGIN + holes * HOLE + 28 + answer, 2 * MARGIN + (rows + 1) * HOLE + 12
    shapes = [rectangle(Area(6, 6, width - 12, height - 12), "board", radius=10)]
    for hole in range(holes):
        x, y = _place(0, hole)
        shapes += _peg(x, y, code[hole]) if code else [circle(x, y, 15, "frame"), text(x, y + 5, "?", 15, "white")]
    y = MARGIN + HOLE + 4
    shapes.append(line(MARGIN, y, width - MARGIN, y, "square", 2))
    for row in range(rows):
        told = guesses[row] if row < len(guesses) else None
        for hole in range(holes):
            x, y = _place(row + 1, hole)
            shapes += _peg(x, y, told[0][hole]) if told else [circle(x, y, 5, "square")]
            ahead = MARGIN + holes * HOLE + 28 + SMALL * (hole // 2), y + SMALL * (hole % 2 - 0.5)
            if told and hole < told[1] + told[2]:
                shapes.append(circle(*ahead, 6, "black" if hole < told[1] else "white", "edge", 1.5))
            else:
                shapes.append(circle(*ahead, 2.5, "square"))
    return drawing(width, height, shapes, label=label)


def _place(row: int, hole: int) -> tuple[float, float]:
    return MARGIN + (hole + 0.5) * HOLE, MARGIN + (row + 0.5) * HOLE + (12 if row else 0)


def _peg(x: float, y: float, letter: str) -> list[str]:
    return [circle(x, y, 17, of_player(ord(letter) - ord("A"))), text(x, y + 5.5, letter, 16, "white", bold=True)]
