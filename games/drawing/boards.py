"""Boards of square cells: tic-tac-toe, connect four, breakthrough, othello, go. `native` is a state of OpenSpiel's."""

import re
from typing import Any

from games.drawing.board import Board, downwards, last, legal, letters, upwards
from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, line, path, rectangle, text

CROSS, NOUGHT = "x", "o"  # of player 0, and of player 1


def tic_tac_toe(native: Any, player: int | None) -> Drawing:
    rows = str(native).split("\n")
    board = Board(len(rows), len(rows[0]), cell=84)
    shapes = [rectangle(board.outline, "board", radius=8)]
    if (moved := last(native)) is not None:
        shapes.append(rectangle(_cell(board, moved[1]).inset(6), "last", radius=6, opacity=0.35))
    outline = board.outline
    for k in range(1, board.columns):
        x = outline.x + k * board.cell
        shapes.append(line(x, outline.y + 8, x, outline.y + outline.height - 8, "line", 2.5))
    for k in range(1, board.rows):
        y = outline.y + k * board.cell
        shapes.append(line(outline.x + 8, y, outline.x + outline.width - 8, y, "line", 2.5))
    for place, mark in enumerate("".join(rows)):
        shapes += _mark(_cell(board, place), mark)
    shapes += board.names([str(k) for k in range(board.rows)], [str(k) for k in range(board.columns)])
    targets = {action: _cell(board, action) for action in legal(native, player)}
    return drawing(board.width, board.height, shapes, targets, "tic-tac-toe")


def _cell(board: Board, place: int) -> Area:
    return board.area(*divmod(place, board.columns))


def _mark(area: Area, mark: str) -> list[str]:
    x, y = area.centre
    reach = area.width * 0.27
    if mark == CROSS:
        d = f"M{-reach:.2f} {-reach:.2f} L{reach:.2f} {reach:.2f} M{reach:.2f} {-reach:.2f} L{-reach:.2f} {reach:.2f}"
        return [path(d, "", of_player(0), 10, x=x, y=y)]
    return [circle(x, y, reach * 1.05, "", of_player(1), 10)] if mark == NOUGHT else []


def connect_four(native: Any, player: int | None) -> Drawing:
    rows = str(native).strip().split("\n")
    board = Board(len(rows), len(rows[0]), cell=64)
    shapes = [rectangle(board.outline.inset(-5), "frame", radius=16)]
    for place, mark in enumerate("".join(rows)):
        x, y = _cell(board, place).centre
        fill = {CROSS: of_player(0), NOUGHT: of_player(1)}.get(mark, "empty")
        shapes.append(circle(x, y, board.cell * 0.41, fill))
        if fill != "empty":
            shapes.append(circle(x, y, board.cell * 0.3, "", "shine", 1.5))
    if (moved := last(native)) is not None:
        column = moved[1]
        highest = next(row for row in range(board.rows) if rows[row][column] in (CROSS, NOUGHT))
        shapes.append(circle(*board.area(highest, column).centre, board.cell * 0.12, "white"))
    for cells in _lines(rows, native.get_game().get_parameters().get("x_in_row", 4)):
        (x1, y1), (x2, y2) = (board.area(*cell).centre for cell in (cells[0], cells[-1]))
        shapes.append(line(x1, y1, x2, y2, "white", 6))
    shapes += board.names([], [str(k) for k in range(board.columns)])
    outline = board.outline
    targets = {
        action: Area(outline.x + action * board.cell, outline.y, board.cell, outline.height)
        for action in legal(native, player)
    }
    return drawing(board.width, board.height, shapes, targets, "connect four")


def _lines(rows: list[str], length: int) -> list[list[tuple[int, int]]]:
    """Return the complete lines of one player's discs, each as its cells."""
    found = []
    for row in range(len(rows)):
        for column in range(len(rows[0])):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(row + k * down, column + k * right) for k in range(length)]
                if all(0 <= r < len(rows) and 0 <= c < len(rows[0]) for r, c in cells):
                    marks = {rows[r][c] for r, c in cells}
                    if len(marks) == 1 and marks <= {CROSS, NOUGHT}:
                        found.append(cells)
    return found


def breakthrough(native: Any, player: int | None) -> Drawing:
    parameters = native.get_game().get_parameters()
    count, columns = parameters["rows"], parameters["columns"]
    rows = [row[-columns:] for row in str(native).split("\n")[:count]]
    board = Board(count, columns, turned=player == 0)  # player 0, black, begins above
    shapes = chequered(board)
    if (moved := last(native)) is not None:
        shapes += [board.marked(*cell) for cell in _from_to(moved[1], columns)]
    for place, mark in enumerate("".join(rows)):
        if mark in "bw":
            shapes += _man(_cell(board, place), "black" if mark == "b" else "white")
    shapes += board.names(downwards(count), letters(columns))
    origins, targets = {}, {}
    for action in legal(native, player):
        origins[action], targets[action] = (board.area(*cell) for cell in _from_to(action, columns))
    return drawing(board.width, board.height, shapes, targets, "breakthrough", origins=origins)


def chequered(board: Board) -> list[str]:
    """Return the light and dark squares of a board."""
    dark = [
        rectangle(board.area(row, column), "square")
        for row in range(board.rows)
        for column in range(board.columns)
        if (row + column) % 2
    ]
    return [rectangle(board.outline.inset(-3), "frame", radius=4), rectangle(board.outline, "board"), *dark]


def _man(area: Area, fill: str) -> list[str]:
    """Return a man of breakthrough: a pawn of chess."""
    return [path(PAWN, fill, "edge" if fill == "white" else "white", 3.5, x=area.x, y=area.y, scale=area.width / 100)]


def _from_to(action: int, columns: int) -> list[tuple[int, int]]:
    """Return the cells of an action of breakthrough: (cell * 6 + way) * 2, and 1 more for a capture.

    The ways are to the left, straight and to the right, first downwards, then upwards.
    """
    cell, way = divmod(action // 2, 6)
    row, column = divmod(cell, columns)
    return [(row, column), (row + (1 if way < 3 else -1), column + way % 3 - 1)]


def othello(native: Any, player: int | None) -> Drawing:
    rows = [re.findall(r"[-xo]", row) for row in str(native).split("\n") if re.match(r"\s*\d", row)]
    board = Board(len(rows), len(rows[0]))
    outline = board.outline
    shapes = [rectangle(outline.inset(-4), "weave", radius=6), rectangle(outline, "felt")]
    for k in range(1, board.rows):
        at = outline.y + k * board.cell
        shapes.append(line(outline.x, at, outline.x + outline.width, at, "weave", 1.5))
        at = outline.x + k * board.cell
        shapes.append(line(at, outline.y, at, outline.y + outline.height, "weave", 1.5))
    actions = [action for action in legal(native, player) if action < board.rows * board.columns]
    shapes += [circle(*_cell(board, action).centre, 5, "weave") for action in actions]
    for place, mark in enumerate(mark for row in rows for mark in row):
        if mark != "-":
            shapes.append(stone(_cell(board, place), "black" if mark == CROSS else "white"))
    moved = last(native)
    if moved is not None and moved[1] < board.rows * board.columns:
        shapes.append(circle(*_cell(board, moved[1]).centre, 6, "last"))
    shapes += board.names(upwards(board.rows), letters(board.columns))
    return drawing(board.width, board.height, shapes, {action: _cell(board, action) for action in actions}, "othello")


def stone(area: Area, fill: str) -> str:
    """Return a stone of go or othello."""
    return circle(*area.centre, area.width * 0.43, fill, "edge", 1.2)


def go(native: Any, player: int | None) -> Drawing:
    rows = re.findall(r"^ *\d+ ([+XO]+)$", str(native), re.MULTILINE)
    size = len(rows)
    board = Board(size, size, cell=float(max(26, min(44, 560 // size))))
    points = size * size
    outline = board.outline
    shapes = [rectangle(outline, "wood", radius=4)]
    first, end = board.area(0, 0).centre, board.area(size - 1, size - 1).centre
    for k in range(size):
        x, y = board.area(k, k).centre
        shapes += [line(first[0], y, end[0], y, "grain"), line(x, first[1], x, end[1], "grain")]
    shapes += [circle(*board.area(row, column).centre, 3.2, "grain") for row, column in _star_points(size)]
    for place, mark in enumerate("".join(rows)):
        if mark != "+":
            shapes.append(stone(_cell(board, place), "black" if mark == "X" else "white"))
    moved = last(native)
    if moved is not None and moved[1] < points:
        shapes.append(circle(*_point(board, moved[1]).centre, board.cell * 0.16, "last"))
    if moved is not None and moved[1] == points and not native.is_terminal():
        shapes.append(text(outline.x + outline.width, outline.y - 5, "passed", 12, "faint", anchor="end"))
    shapes += board.names(downwards(size), [letter for letter in "ABCDEFGHJKLMNOPQRSTUVWXYZ"[:size]])
    targets = {action: _point(board, action) for action in legal(native, player) if action < points}
    return drawing(board.width, board.height, shapes, targets, "go")


def _point(board: Board, action: int) -> Area:
    """Return the place of an action of go, which counts rows from below."""
    row, column = divmod(action, board.columns)
    return board.area(board.rows - 1 - row, column)


def _star_points(size: int) -> list[tuple[int, int]]:
    if size < 7:
        return []
    edge, middle = (3 if size >= 13 else 2), size // 2
    corners = [(row, column) for row in (edge, size - 1 - edge) for column in (edge, size - 1 - edge)]
    if size % 2 == 0:
        return corners
    sides = [(edge, middle), (size - 1 - edge, middle), (middle, edge), (middle, size - 1 - edge)]
    return [*corners, (middle, middle), *(sides if size >= 13 else [])]


PAWN = (
    "M50 17 a13 13 0 0 1 8 23 h4 q3 0 3 3.5 t-3 3.5 h-4 c1 14 6 22 14 29 c3 3 4 6 4 10 H24 c0 -4 1 -7 4 -10 "
    "c8 -7 13 -15 14 -29 h-4 q-3 0 -3 -3.5 t3 -3.5 h4 a13 13 0 0 1 8 -23 z"
)
