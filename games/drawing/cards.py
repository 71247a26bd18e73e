"""Playing cards, and a table at which players sit side by side: Kuhn and Leduc poker.

Of a card that who looks may not see, the back is drawn. What a named player sees is read from the text of its own
information state, which has nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, path, polygon, rectangle, text

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


@dataclass
class Seat:
    """A player at the table: its cards, how many chips it has put in, and what to say of it."""

    cards: Sequence[Card]
    chips: int
    said: str = ""
    acting: bool = False


@dataclass
class Table:
    """What is on a table: the seats, the cards in the middle, and lines of text below."""

    seats: Sequence[Seat]
    middle: Sequence[Card] = ()
    lines: Sequence[str] = field(default_factory=list)


COLUMN, MARGIN = 150.0, 20.0
MOST_CHIPS = 10  # that are drawn one by one


def table(seen: Table, player: int | None, label: str) -> Drawing:
    """Return players side by side, from player 0 on; the one who looks is framed."""
    lines = [line for line in seen.lines if line]
    width = max(len(seen.seats), 2) * COLUMN + 2 * MARGIN + (COLUMN if seen.middle else 0)
    height = 2 * MARGIN + 212 + (10 + 22 * len(lines) if lines else 0)
    left = MARGIN
    shapes = []
    for number, seat in enumerate(seen.seats):
        if number == (len(seen.seats) + 1) // 2 and seen.middle:
            shapes += _middle(left, seen.middle)
            left += COLUMN
        shapes += _seat(Area(left, MARGIN, COLUMN, 212), seat, number, looks=number == player)
        left += COLUMN
    for row, words in enumerate(lines):
        shapes.append(text(width / 2, MARGIN + 244 + 22 * row, words, 14, "faint"))
    return drawing(width, height, shapes, label=label)


def _seat(area: Area, seat: Seat, number: int, looks: bool) -> list[str]:
    x, _ = area.centre
    shapes = [rectangle(area.inset(5), "board", of_player(number) if looks else "", 2, radius=12)]
    shapes.append(text(x, area.y + 30, f"player {number}", 15, of_player(number), bold=True))
    if seat.acting:
        shapes.append(polygon([(x - 52, area.y + 19), (x - 52, area.y + 31), (x - 43, area.y + 25)], "last"))
    start = x - WIDTH / 2 * len(seat.cards)
    for place, face in enumerate(seat.cards):
        shapes += card(start + place * WIDTH, area.y + 44, face)
    shapes += _chips(x, area.y + 156, seat.chips, number)
    return [*shapes, text(x, area.y + 192, seat.said, 14)] if seat.said else shapes


def _chips(x: float, y: float, count: int, player: int) -> list[str]:
    drawn = min(count, MOST_CHIPS)
    start = x - 9 * (drawn - 1) / 2
    chips = [circle(start + 9 * k, y, 7, of_player(player), "card", 1.5) for k in range(drawn)]
    return chips if count <= MOST_CHIPS else [*chips, text(x + 64, y + 5, str(count), 13, "ink", anchor="end")]


def _middle(left: float, cards: Sequence[Card]) -> list[str]:
    start = left + (COLUMN - WIDTH * len(cards)) / 2
    return [shape for place, face in enumerate(cards) for shape in card(start + place * WIDTH, MARGIN + 44, face)]


def rank(number: int, ranks: int) -> str:
    """Return the name of a rank, the lowest of which is 0: J, Q, K, or numbers where there are more than four."""
    return "JQKA"[number] if ranks <= 4 else str(number + 1)


def kuhn(native: Any, player: int | None) -> Drawing:
    """Draw Kuhn poker: everybody pays a chip and gets a card; a bet, and each call of it, is one more chip."""
    players = native.get_game().num_players()
    dealt, moves = _dealt(native, player, players)
    seats = []
    for seat in range(players):
        own = moves[seat::players]
        cards = [_face(dealt[seat], players + 1)] if seat in dealt else []
        said = {"p": "pass", "b": "bet"}.get(own[-1:], "")
        if own.endswith("b") and "b" in moves[: _last_of(seat, moves, players)]:
            said = "call"
        seats.append(Seat(cards, 1 + own.count("b"), said, native.current_player() == seat))
    return table(Table(seats, lines=[_paid(native)]), player, "Kuhn poker")


def _face(number: int | None, ranks: int, suit: str = "S") -> Card:
    """Return the card of a rank, and its back for None."""
    return Card(HIDDEN) if number is None else Card(rank(number, ranks), suit)


def _dealt(native: Any, player: int | None, players: int) -> tuple[dict[int, int | None], str]:
    """Return the cards by seat, None for one that is hidden, and the moves as letters, b and p."""
    told = str(native) if player is None else str(native.information_state_string(player))
    moves = told.lstrip("0123456789 ")
    known = [int(number) for number in told.removesuffix(moves).split()]
    if player is None or not known:
        return dict(enumerate(known)), moves
    return dict.fromkeys(range(players)) | {player: known[0]}, moves


def _last_of(seat: int, moves: str, players: int) -> int:
    """Return the place of a seat's last move."""
    return seat + (len(moves[seat::players]) - 1) * players


def _paid(native: Any) -> str:
    """Say what the players are paid at the end, which all of them know."""
    if not native.is_terminal():
        return ""
    return ", ".join(f"player {seat}: {paid:+g}" for seat, paid in enumerate(native.returns()))


LEDUC = ("fold", "call", "raise")


def leduc(native: Any, player: int | None) -> Drawing:
    """Draw Leduc poker: a card for each player, a public one in the second round, and bets in both."""
    game = native.get_game()
    players, parameters = game.num_players(), game.get_parameters()
    cards, money, public, rounds = _leduc_of(native, player, players)
    suits = 1 if parameters["suit_isomorphism"] else 2

    def face(number: int | None) -> Card:
        return _face(number if number is None else number // suits, players + 1, "SH"[(number or 0) % suits])

    seats = [
        Seat(
            [face(cards[seat])] if seat in cards else [],
            max(0, 100 - money[seat]),
            f"{money[seat]} left",
            native.current_player() == seat,
        )
        for seat in range(players)
    ]
    lines = [f"round {k + 1}: {', '.join(moves)}" for k, moves in enumerate(rounds) if moves]
    middle = [face(public)] if public is not None else []
    return table(Table(seats, middle, [*lines, _paid(native)]), player, "Leduc poker")


Leduc = tuple[dict[int, int | None], list[int], int | None, list[list[str]]]


def _leduc_of(native: Any, player: int | None, players: int) -> Leduc:
    """Return the cards by seat (None: hidden), the money, the public card, and the moves of both rounds, in words."""
    if player is not None:
        told = native.information_state_string(player)
        own, public = _numbers(told, "Private"), _numbers(told, "Public")
        cards: dict[int, int | None] = dict.fromkeys(range(players)) if own else {}
        cards |= {player: own[0]} if own else {}
        rounds = [[LEDUC[move] for move in _numbers(told, f"Round{k}")] for k in (1, 2)]
        return cards, _numbers(told, "Money"), public[0] if public else None, rounds
    lines = dict(line.split(":", 1) for line in str(native).split("\n") if ":" in line)
    money, faces = ([int(n) for n in lines[_key(lines, word)].split()] for word in ("Money", "Cards"))
    rounds = [lines[f"Round {k} sequence"].lower().replace(",", " ").split() for k in (1, 2)]
    dealt: dict[int, int | None] = {seat: face for seat, face in enumerate(faces[1:]) if face >= 0}
    return dealt, money, faces[0] if faces[0] >= 0 else None, rounds


def _numbers(told: str, name: str) -> list[int]:
    """Return the numbers of a part such as [Money: 99 99]; none where there is no such part."""
    found = re.search(rf"\[{name}: ([-\d ]*)\]", told)
    return [int(number) for number in found[1].split()] if found else []


def _key(lines: dict[str, str], word: str) -> str:
    return next(name for name in lines if name.startswith(word))
