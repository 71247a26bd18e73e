"""The board of hex: cells with six sides, and four edges that belong to the players."""

import math
from collections.abc import Callable
from typing import Any

from games.drawing.board import last, legal, letters, upwards
from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, number, path, polygon, text

SIDE = 24.0  # of a cell, and the distance of its corners from its centre
HALF = SIDE * math.sqrt(3) / 2  # the distance of its left and right sides from its centre
MARGIN = 44.0
OWNERS = dict.fromkeys("xyzX", 0) | dict.fromkeys("opqO", 1)  # other letters say which edge a stone is connected to


def hex(native: Any, player: int | None) -> Drawing:
    rows = [row.split() for row in str(native).split("\n") if row.strip()]
    height, width = len(rows), len(rows[0])

    def centre(row: int, column: int) -> tuple[float, float]:
        return MARGIN + HALF * (1 + 2 * column + row), MARGIN + SIDE * (1 + 1.5 * row)

    def place(action: int) -> Area:
        x, y = centre(*divmod(action, width))
        return Area(x - HALF, y - 0.75 * SIDE, 2 * HALF, 1.5 * SIDE)  # so that neighbours' places do not overlap

    shapes = _edges(centre, height, width)
    shapes += [_cell(*centre(row, column)) for row in range(height) for column in range(width)]
    for row, marks in enumerate(rows):
        for column, mark in enumerate(marks):
            if mark in OWNERS:
                shapes.append(circle(*centre(row, column), SIDE * 0.66, of_player(OWNERS[mark])))
    cells = height * width
    moved = last(native)
    if moved is not None and moved[1] < cells:
        shapes.append(circle(*centre(*divmod(moved[1], width)), SIDE * 0.22, "white"))
    for column, name in enumerate(letters(width)):
        x, y = centre(0, column)
        shapes.append(text(x, y - SIDE * 1.5, name, 13, "faint"))
    for row, name in enumerate(upwards(height)):
        x, y = centre(row, 0)
        shapes.append(text(x - HALF - 14, y + 4.5, name, 13, "faint", anchor="end"))
    x, y = centre(height - 1, width - 1)
    targets = {action: place(action) for action in legal(native, player) if action < cells}
    return drawing(round(x + HALF + MARGIN, 2), round(y + SIDE + MARGIN, 2), shapes, targets, "hex")


def _cell(x: float, y: float) -> str:
    return polygon(_corners(x, y), "board", "line", 1.5)


def _corners(x: float, y: float) -> list[tuple[float, float]]:
    """Return the corners of a cell, from the uppermost on, clockwise."""
    turns = [math.radians(60 * k - 90) for k in range(6)]
    return [(x + SIDE * math.cos(turn), y + SIDE * math.sin(turn)) for turn in turns]


def _edges(centre: Callable[[int, int], tuple[float, float]], height: int, width: int) -> list[str]:
    """Return the coloured edges: player 0 connects the upper to the lower one, player 1 the left to the right one."""
    corners = {
        (row, column): _corners(*centre(row, column))
        for row in range(height)
        for column in range(width)
        if row in (0, height - 1) or column in (0, width - 1)
    }
    upper = [corners[0, column][k] for column in range(width) for k in (5, 0, 1)]
    lower = [corners[height - 1, column][k] for column in range(width) for k in (4, 3, 2)]
    left = [corners[row, 0][k] for row in range(height) for k in ((5, 4, 3) if row < height - 1 else (5, 4))]
    right = [corners[row, width - 1][k] for row in range(height) for k in ((0, 1, 2) if row else (1, 2))]
    return [_strip(points, of_player(owner)) for points, owner in ((left, 1), (right, 1), (upper, 0), (lower, 0))]


def _strip(points: list[tuple[float, float]], stroke: str) -> str:
    return path("M" + " L".join(f"{number(x)} {number(y)}" for x, y in points), "", stroke, 14)
