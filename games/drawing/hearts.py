"""Hearts: four hands, the trick on the table, and points. A named player sees its own hand, and the backs of others."""

import re
from dataclasses import replace
from typing import Any

from games.drawing.board import legal
from games.drawing.cards import HEIGHT, HIDDEN, WIDTH, Card, card
from games.drawing.colours import of_player
from games.drawing.svg import Area, Drawing, circle, drawing, polygon, rectangle, text

NAMES = ("North", "East", "South", "West")  # by player
SOUTH = 2
SUITS = "SHDC"
SIZE = 0.86  # of the cards
STEP = 33.0  # from a card of a hand to the next, which covers the rest of it
HIGH, WIDE = 660.0, 800.0  # of the table
HAND = 13


def hearts(native: Any, player: int | None) -> Drawing:
    told = str(native) if player is None else str(native.information_state_string(player))
    tricks, points = _tricks(told), _points(told)
    hands = _all_hands(told) if player is None or native.is_terminal() else _own_hand(told, player, tricks)
    below = SOUTH if player is None else player
    moves = {native.action_to_string(native.current_player(), action): action for action in legal(native, player)}
    shapes = [rectangle(Area(WIDE / 2 - 160, HIGH / 2 - 128, 320, 256), "board", radius=18)]
    targets: dict[int, Area] = {}
    for seat in range(4):
        place = (seat - below) % 4  # 0: below, 1: left, 2: above, 3: right
        areas = _places(place, len(hands[seat]))
        for number, (face, area) in enumerate(zip(hands[seat], areas, strict=True)):
            shapes += card(area.x, area.y, face, SIZE)
            if (action := moves.get(face.rank + face.suit)) is not None:
                targets[action] = area if number == len(areas) - 1 else _seen(area, place)
                x, y = (area.x + 11, area.y - 6) if place in (0, 2) else (area.x - 6, area.y + 14)
                shapes.append(circle(x, y, 3, "last"))
        shapes += _name(place, seat, points[seat], native.current_player() == seat)
    if tricks:
        for seat, face in tricks[-1].items():
            x, y = _before((seat - below) % 4)
            shapes += card(x - WIDTH * SIZE / 2, y - HEIGHT * SIZE / 2, face, SIZE)
    else:
        shapes.append(text(WIDE / 2, HIGH / 2, told.strip().split("\n")[0].lower(), 16, "faint"))
    return drawing(WIDE, HIGH, shapes, targets, "hearts")


def _places(place: int, count: int) -> list[Area]:
    """Return where the cards of a hand lie; each but the last is partly covered by the next."""
    wide, high = WIDTH * SIZE, HEIGHT * SIZE
    if place in (0, 2):
        start = (WIDE - (count - 1) * STEP - wide) / 2
        y = HIGH - high - 36 if place == 0 else 36
        return [Area(start + k * STEP, y, wide, high) for k in range(count)]
    start = (HIGH - (count - 1) * STEP - high) / 2
    x = 24 if place == 1 else WIDE - wide - 24
    return [Area(x, start + k * STEP, wide, high) for k in range(count)]


def _seen(area: Area, place: int) -> Area:
    """Return the part of a card that the next one of its hand does not cover."""
    return replace(area, width=STEP) if place in (0, 2) else replace(area, height=STEP)


def _before(place: int) -> tuple[float, float]:
    """Return where the card that a player adds to a trick lies: its centre."""
    return WIDE / 2 + (0, -78, 0, 78)[place], HIGH / 2 + (56, 0, -56, 0)[place]


def _name(place: int, seat: int, points: str, acting: bool) -> list[str]:
    x, y = ((WIDE / 2, HIGH - 12), (110, HIGH / 2), (WIDE / 2, 24), (WIDE - 110, HIGH / 2))[place]
    anchor = ("middle", "start", "middle", "end")[place]
    words = NAMES[seat] + (f": {points}" if points else "")
    shapes = [text(x, y, words, 15, of_player(seat), anchor=anchor, bold=True)]
    if acting:
        left = x - {"middle": 60, "start": 12, "end": 90}[anchor]
        shapes.append(polygon([(left, y - 11), (left, y + 1), (left + 9, y - 5)], "last"))
    return shapes


def _faces(words: str) -> list[Card]:
    return [Card(letters[0], letters[1]) for letters in words.split()]


def _all_hands(told: str) -> list[list[Card]]:
    """Return the hands in the text of a whole position: four lines of North, of West and East, and of South."""
    rows = [line for line in told.split("\n") if re.match(r"\s*[SHDC] ", line + " ")][:12]
    north, sides, south = rows[:4], rows[4:8], rows[8:12]
    east, west = [row[16:] for row in sides], [row[:16] for row in sides]
    return [_hand(lines) for lines in (north, east, south, west)]


def _own_hand(told: str, player: int, tricks: list[dict[int, Card]]) -> list[list[Card]]:
    """Return the player's hand from its own text, and as many backs for the others as they have cards left."""
    rows = told.partition("Hand:")[2].strip().split("\n")[:4]
    hands = [[Card(HIDDEN)] * (HAND - sum(seat in trick for trick in tricks)) for seat in range(4)]
    hands[player] = _hand([row.replace("none", "") for row in rows])
    return hands


def _hand(rows: list[str]) -> list[Card]:
    """Return the cards of lines such as `H AQJ7`."""
    return [Card(rank, row.strip()[0]) for row in rows for rank in row.strip()[1:].strip()]


def _tricks(told: str) -> list[dict[int, Card]]:
    """Return the cards of each trick by player; columns of the text say whose a card is."""
    rows = told.partition("Tricks:\n")[2].partition("\n\n")[0].split("\n")[1:]
    return [
        {found.start() // 3 % 4: Card(found[0][0], found[0][1]) for found in re.finditer(r"\S\S", row)}
        for row in rows
        if row.strip()
    ]


def _points(told: str) -> list[str]:
    found = re.findall(r"^[NESW]: (-?\d+)$", told.partition("Points:")[2], re.MULTILINE)
    return found or [""] * 4
