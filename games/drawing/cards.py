"""Playing cards. Of a card that who looks may not see, the back is drawn."""

from dataclasses import dataclass

from games.drawing.svg import Area, path, rectangle, text

WIDTH, HEIGHT = 62.0, 88.0  # of a card
SUITS = {  # in a square of 80 x 80 around the origin
    "S": (
        "M0 -38 C12 -20 36 -8 36 12 C36 26 16 30 5 18 C6 28 10 34 16 38 L-16 38 C-10 34 -6 28 -5 18 "
        "C-16 30 -36 26 -36 12 C-36 -8 -12 -20 0 -38 Z"
    ),
    "H": "M0 37 C-50 2 -40 -34 -19 -34 C-7 -34 0 -25 0 -18 C0 -25 7 -34 19 -34 C40 -34 50 2 0 37 Z",
    "D": "M0 -40 L29 0 L0 40 L-29 0 Z",
    "C": (
        "M0 -37 a17 17 0 0 1 11 30 a17 17 0 1 1 -6 26 C6 28 10 34 16 38 L-16 38 C-10 34 -6 28 -5 19 "
        "a17 17 0 1 1 -6 -26 a17 17 0 0 1 11 -30 z"
    ),
}
RED = ("H", "D")
HIDDEN = ""  # the rank of a card of which the back is seen


@dataclass(frozen=True)
class Card:
    """A card: its rank as it is written, and the letter of its suit; HIDDEN of one that who looks may not see."""

    rank: str
    suit: str = "S"


def card(x: float, y: float, face: Card, scale: float = 1) -> list[str]:
    """Return a card whose upper left corner is at (x, y)."""
    area = Area(x, y, WIDTH * scale, HEIGHT * scale)
    if face.rank == HIDDEN:
        return [
            rectangle(area, "back", "edge", 1, radius=6 * scale),
            rectangle(area.inset(6 * scale), "", "card", 1.5 * scale, radius=3 * scale),
        ]
    ink = "red" if face.suit in RED else "pip"
    return [
        rectangle(area, "card", "edge", 1, radius=6 * scale),
        text(x + 12 * scale, y + 21 * scale, face.rank, 19 * scale, ink, bold=True),
        path(SUITS[face.suit], ink, x=x + 12 * scale, y=y + 32 * scale, scale=0.17 * scale),
        path(SUITS[face.suit], ink, x=x + 35 * scale, y=y + 56 * scale, scale=0.5 * scale),
    ]
