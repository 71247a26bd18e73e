"""Recorded games of Go, hex and Othello as SGF, version 4."""

import math

from games.contract import Box, Spec
from games.errors import UserError
from games.references import layers
from games.text import shown
from tournaments.playback.moves import Move, Playback
from tournaments.playback.recorded import Record, ending

GAMES = {"go": 1, "othello": 2, "hex": 11}  # SGF's numbers of games
HEX = 11  # cells along a side of OpenSpiel's board
_RESULTS = {1: "B+", 0: "0", -1: "W+", None: "?"}
_COLOURS = "BW"  # of player 0, who begins, and player 1


def refuse(game: str) -> None:
    """Raise UserError for a game that SGF has no form for; `game` is its reference."""
    reference = layers(game)[0]
    if reference.source != "openspiel" or reference.name not in GAMES or dict(reference.arguments).get("handicap"):
        raise UserError(
            f"expected OpenSpiel's {', '.join(GAMES)} without handicap for SGF, got '{game}'; --format json exports "
            "the games of every game"
        )


def sgf(record: Record, again: Playback, spec: Spec) -> str:
    """Return a game as SGF: a game tree on one line for its properties and one for its moves."""
    game, (black, white) = record.game, record.agents
    kind = layers(game.fixture.game)[0].name
    columns, rows = _size(game.fixture.game, spec)
    properties = {
        "FF": "4",
        "CA": "UTF-8",
        "AP": "marl",
        "GM": str(GAMES[kind]),
        "SZ": str(columns) if columns == rows else f"{columns}:{rows}",
        "PB": black,
        "PW": white,
        "RE": _RESULTS[record.outcome],
        "GN": record.id,
        "GC": f"{game.fixture.game}, seed {game.fixture.seed}, {ending(record)}",
    }
    root = "".join(f"{name}[{_escaped(value)}]" for name, value in properties.items())
    moves = (move for step in again.steps for move in step.moves)
    played = "".join(f";{_COLOURS[move.player]}[{_point(kind, move, columns)}]" for move in moves)
    return f"(;{root}\n{played})\n"


def _size(game: str, spec: Spec) -> tuple[int, int]:
    """Return the columns and rows of the board."""
    reference = layers(game)[0]
    if reference.name == "hex":
        given = dict(reference.arguments)
        square = given.get("board_size", HEX)
        return given.get("num_cols", square), given.get("num_rows", square)
    assert not isinstance(spec.action, Box)
    side = math.isqrt(spec.action.n - 1)  # an action is a cell, or the last one: to pass
    return side, side


def _point(kind: str, move: Move, size: int) -> str:
    """Return where a move was made: in hex by the cell's name (a1), else by letters from the top left; "" to pass."""
    assert isinstance(move.action, int)
    if kind == "hex":
        return _escaped(move.name)
    row, column = divmod(move.action, size)
    if row == size:
        return ""
    row = size - 1 - row if kind == "go" else row  # Go counts its rows from below
    return f"{chr(ord('a') + column)}{chr(ord('a') + row)}"


def _escaped(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace("]", "\\]")
