"""Which of OpenSpiel's games have drawings, by their short names; all others are drawn as text."""

from collections.abc import Callable, Mapping
from typing import Any

from games.drawing.boards import breakthrough, connect_four, go, othello, tic_tac_toe
from games.drawing.chess import chess
from games.drawing.hearts import hearts
from games.drawing.hex import hex
from games.drawing.poker import kuhn, leduc
from games.drawing.svg import Drawing

# A drawer gets a state of OpenSpiel's, and the player who looks; None sees everything.
DRAWERS: Mapping[str, Callable[[Any, int | None], Drawing]] = {
    "breakthrough": breakthrough,
    "chess": chess,
    "connect_four": connect_four,
    "go": go,
    "hearts": hearts,
    "hex": hex,
    "kuhn_poker": kuhn,
    "leduc_poker": leduc,
    "othello": othello,
    "tic_tac_toe": tic_tac_toe,
}
