"""Chess: the board, seen by Black from Black's side, and pieces of our own. `native` is a state of OpenSpiel's."""

from typing import Any

import pyspiel

from games.drawing.board import Board, downwards, legal, letters
from games.drawing.boards import PAWN, chequered
from games.drawing.svg import Area, Drawing, circle, drawing, path

BLACK = 0  # the player; White is player 1, and begins
# The pieces in a square of 100 x 100: an outline, and lines within it.
PIECES = {
    "p": (PAWN, ""),
    "r": (
        "M23 86 v-9 h7 l4 -32 h-8 V19 h12 v8 h7 v-8 h10 v8 h7 v-8 h12 v26 h-8 l4 32 h7 v9 z",
        "M33 45 h34 M31 77 h38",
    ),
    "n": (
        "M34 86 c0 -20 15 -26 17 -40 c-6 6 -13 6 -18 10 c-4 3 -7 9 -12 8 c-5 -1 -6 -7 -4 -11 c4 -8 8 -16 13 -23 "
        "c1 -4 1 -8 1 -13 l9 8 l5 -9 l4 9 c20 4 29 20 30 42 c0 7 0 13 0 19 z",
        "M37 36 l3 -1.5",
    ),
    "b": (
        "M50 10 a6 6 0 0 1 4 10.5 c11 8 17 17 17 27 c0 7 -3 12 -8 16 l2 9 h7 c4 2 6 6 6 13 H22 c0 -7 2 -11 6 -13 h7 "
        "l2 -9 c-5 -4 -8 -9 -8 -16 c0 -10 6 -19 17 -27 a6 6 0 0 1 4 -10.5 z",
        "M50 33 v15 M42.5 40.5 h15 M37 63.5 h26 M35 72.5 h30",
    ),
    "q": (
        "M26 86 v-9 l3 -5 l-14 -40 l17 19 l5 -31 l13 28 l13 -28 l5 31 l17 -19 l-14 40 l3 5 v9 z",
        "M29 72 h42 M26 77 h48",
    ),
    "k": (
        "M46 8 h8 v7 h7 v8 h-7 v9 c2 2 3 4 4 6 c8 -8 21 -7 26 2 c5 9 1 19 -11 28 l1 9 v9 H26 v-9 l1 -9 "
        "c-12 -9 -16 -19 -11 -28 c5 -9 18 -10 26 -2 c1 -2 2 -4 4 -6 v-9 h-7 v-8 h7 z",
        "M27 68 h46 M26 77 h48 M50 42 v22",
    ),
}
TIPS = {"q": ((15, 30), (37, 19), (63, 19), (85, 30))}  # balls on the points of a crown


def chess(native: Any, player: int | None) -> Drawing:
    board = Board(8, 8, turned=player == BLACK)
    shapes = chequered(board)
    for moved in native.moves_history()[-1:]:
        shapes += [board.marked(*_cell(square)) for square in (moved.from_square, moved.to_square)]
    for row, rank in enumerate(str(native).split(" ")[0].split("/")):
        column = 0
        for letter in rank:
            if letter.isdigit():
                column += int(letter)
            else:
                shapes += _piece(board.area(row, column), letter)
                column += 1
    shapes += board.names(downwards(8), letters(8))
    origins, targets = {}, {}
    position = native.board()
    for action in legal(native, player):
        move = pyspiel.chess.action_to_move(action, position)
        origins[action], targets[action] = (board.area(*_cell(at)) for at in (move.from_square, move.to_square))
    return drawing(board.width, board.height, shapes, targets, "chess", origins=origins)


def _cell(square: Any) -> tuple[int, int]:
    """Return (row, column) of a square, whose y counts from below."""
    return 7 - square.y, square.x


def _piece(area: Area, letter: str) -> list[str]:
    kind, white = letter.lower(), letter.isupper()
    fill, stroke = ("white", "edge") if white else ("black", "white")
    outline, within = PIECES[kind]
    scale = area.width / 100
    balls = [
        circle(area.x + x * scale, area.y + y * scale, 5 * scale, fill, stroke, 3.5 * scale)
        for x, y in TIPS.get(kind, ())
    ]
    lines = [path(within, "", stroke, 3.5, x=area.x, y=area.y, scale=scale)] if within else []
    return [*balls, path(outline, fill, stroke, 3.5, x=area.x, y=area.y, scale=scale), *lines]
