"""A table at which players sit side by side: Kuhn and Leduc poker. `native` is a state of OpenSpiel's.

What a named player sees is read from the text of its own information state, which has nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from games.drawing.cards import HIDDEN, WIDTH, Card, card
from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, polygon, rectangle, text


@dataclass(frozen=True)
class Seat:
    """A player at the table: its cards, how many chips it has put in, and what to say of it."""

    cards: Sequence[Card]
    chips: int
    said: str = ""
    acting: bool = False


COLUMN, MARGIN = 150.0, 20.0
MOST_CHIPS = 10  # that are drawn one by one


def table(
    seats: Sequence[Seat], player: int | None, label: str, *, middle: Sequence[Card] = (), lines: Sequence[str] = ()
) -> Drawing:
    """Return players side by side, from player 0 on, with cards in their middle and lines of text below.

    The player who looks is framed.
    """
    lines = [line for line in lines if line]
    width = max(len(seats), 2) * COLUMN + 2 * MARGIN + (COLUMN if middle else 0)
    height = 2 * MARGIN + 212 + (10 + 22 * len(lines) if lines else 0)
    left = MARGIN
    shapes = []
    for number, seat in enumerate(seats):
        if number == (len(seats) + 1) // 2 and middle:
            shapes += _middle(left, middle)
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


KUHN = {("p", False): "pass", ("b", False): "bet", ("p", True): "fold", ("b", True): "call"}  # (move, after a bet)


def kuhn(native: Any, player: int | None) -> Drawing:
    """Draw Kuhn poker: everybody pays a chip and gets a card; a bet, and each call of it, is one more chip."""
    players = native.get_game().num_players()
    dealt, moves = _dealt(native, player, players)
    said = [""] * players
    for place, move in enumerate(moves):  # players move in turn
        said[place % players] = KUHN[move, "b" in moves[:place]]
    seats = [
        Seat(
            cards=[_face(dealt[seat], players + 1)] if seat in dealt else [],
            chips=1 + moves[seat::players].count("b"),
            said=said[seat],
            acting=native.current_player() == seat,
        )
        for seat in range(players)
    ]
    return table(seats, player, "Kuhn poker", lines=[_paid(native)])


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


def _paid(native: Any) -> str:
    """Say what the players are paid at the end, which all of them know."""
    if not native.is_terminal():
        return ""
    return ", ".join(f"player {seat}: {paid:+g}" for seat, paid in enumerate(native.returns()))


LEDUC = ("fold", "call", "raise")


@dataclass(frozen=True)
class _Leduc:
    """What is seen of Leduc poker: the cards by seat (None: hidden), the money, the public card, the moves by round."""

    dealt: dict[int, int | None]
    money: Sequence[int]
    public: int | None
    rounds: Sequence[Sequence[str]]


def leduc(native: Any, player: int | None) -> Drawing:
    """Draw Leduc poker: a card for each player, a public one in the second round, and bets in both."""
    game = native.get_game()
    players = game.num_players()
    suits = 1 if game.get_parameters()["suit_isomorphism"] else 2
    seen = _all_of_leduc(native) if player is None else _own_of_leduc(native, player, players)

    def face(number: int | None) -> Card:
        return _face(number if number is None else number // suits, players + 1, "SH"[(number or 0) % suits])

    seats = [
        Seat(
            cards=[face(seen.dealt[seat])] if seat in seen.dealt else [],
            chips=max(0, 100 - money),
            said=f"{money} left",
            acting=native.current_player() == seat,
        )
        for seat, money in enumerate(seen.money)
    ]
    lines = [f"round {k + 1}: {', '.join(moves)}" for k, moves in enumerate(seen.rounds) if moves]
    middle = [face(seen.public)] if seen.public is not None else []
    return table(seats, player, "Leduc poker", middle=middle, lines=[*lines, _paid(native)])


def _own_of_leduc(native: Any, player: int, players: int) -> _Leduc:
    """Read what a player knows, such as `[Private: 3][Money: 99 99][Public: 5][Round1: 1 2]`; -10000 is no card yet."""
    parts = dict(re.findall(r"\[(\w+): ([-\d ]*)\]", native.information_state_string(player)))
    told = {name: [int(number) for number in numbers.split()] for name, numbers in parts.items()}
    (own,), public = told["Private"], told.get("Public")
    hidden: dict[int, int | None] = dict.fromkeys(range(players))
    rounds = [[LEDUC[move] for move in told[name]] for name in ("Round1", "Round2")]
    return _Leduc(hidden | {player: own} if own >= 0 else {}, told["Money"], public[0] if public else None, rounds)


def _all_of_leduc(native: Any) -> _Leduc:
    """Read the whole position, line by line."""
    lines = dict(line.split(":", 1) for line in str(native).split("\n") if ":" in line)
    money, cards = ([int(n) for n in _starting(lines, word).split()] for word in ("Money", "Cards"))
    public, *own = cards
    rounds = [lines[f"Round {k} sequence"].lower().replace(",", " ").split() for k in (1, 2)]
    dealt: dict[int, int | None] = {seat: face for seat, face in enumerate(own) if face >= 0}
    return _Leduc(dealt, money, public if public >= 0 else None, rounds)


def _starting(lines: dict[str, str], word: str) -> str:
    return next(text for name, text in lines.items() if name.startswith(word))
