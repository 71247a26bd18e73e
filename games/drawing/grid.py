"""A grid on which things stand: players, food, prey, coins. Things of one cell stand side by side in it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from games.drawing.svg import Area, Drawing, circle, drawing, line, path, polygon, rectangle, text

MARGIN = 18.0
Shape = Literal["player", "food", "prey", "coin"]


@dataclass(frozen=True)
class Thing:
    """What stands in a cell (row, column): its shape, the name of its colour, and a word on it.

    One that is `framed` is the player who looks.
    """

    cell: tuple[int, int]
    shape: Shape
    colour: str
    word: str = ""
    framed: bool = False


def grid(rows: int, columns: int, things: Iterable[Thing], label: str, note: str = "") -> Drawing:
    """Return a grid of `rows` and `columns` cells with things; a note is written below."""
    cell = max(24.0, min(64.0, 480 / max(rows, columns)))
    outline = Area(MARGIN, MARGIN, columns * cell, rows * cell)
    shapes = [rectangle(outline, "board", radius=4)]
    for k in range(1, rows):
        shapes.append(line(outline.x, MARGIN + k * cell, outline.x + outline.width, MARGIN + k * cell, "square"))
    for k in range(1, columns):
        shapes.append(line(MARGIN + k * cell, outline.y, MARGIN + k * cell, outline.y + outline.height, "square"))
    cells = defaultdict(list)
    for thing in things:
        cells[thing.cell].append(thing)
    for (row, column), here in cells.items():
        share = cell / len(here)
        for place, thing in enumerate(here):
            x = MARGIN + column * cell + (place + 0.5) * share
            shapes += _thing(thing, x, MARGIN + (row + 0.5) * cell, share * 0.38)
    below = 22 if note else 0
    if note:
        shapes.append(text(MARGIN, outline.y + outline.height + 24, note, 13, "faint", anchor="start"))
    width = max(outline.width + 2 * MARGIN, len(note) * 8.0 + 2 * MARGIN)
    return drawing(width, outline.height + 2 * MARGIN + below, shapes, label=label)


def _thing(thing: Thing, x: float, y: float, reach: float) -> list[str]:
    """Return a thing around (x, y), which reaches so far from there."""
    if thing.shape == "food":
        leaf = path(
            "M0 0 c0 -9 7 -13 14 -13 c0 8 -6 13 -14 13 z", thing.colour, x=x, y=y - reach * 0.8, scale=reach / 26
        )
        shapes = [leaf, circle(x, y + reach * 0.1, reach * 0.9, thing.colour)]
    elif thing.shape == "prey":
        ears = [(x - reach * 0.75, y - reach), (x, y - reach * 0.35), (x + reach * 0.75, y - reach)]
        shapes = [
            polygon(ears, thing.colour, thing.colour, 2),
            circle(x, y + reach * 0.2, reach * 0.78, thing.colour),
            *(circle(x + side * reach * 0.28, y + reach * 0.1, reach * 0.12, "white") for side in (-1, 1)),
        ]
    elif thing.shape == "coin":
        shapes = [circle(x, y, reach * 0.7, "card", thing.colour, max(2.0, reach * 0.22))]
    else:
        shapes = [circle(x, y, reach, thing.colour)]
    if thing.framed:
        shapes.append(circle(x, y, reach * 1.18, "", "last", max(2.0, reach * 0.14)))
    if thing.word:
        size = reach * (1.05 if len(thing.word) < 3 else 0.8)
        shapes.append(
            text(
                x,
                y + size * 0.36 + (reach * 0.1 if thing.shape == "food" else 0),
                thing.word,
                size,
                thing.colour if thing.shape == "coin" else "white",
                bold=True,
            )
        )
    return shapes
