"""A plane on which bodies lie: discs, boxes and lines, in the units of the game, whose y counts upwards."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from games.drawing.colours import COLOURS, PLAYERS
from games.drawing.svg import Area, Drawing, circle, drawing, line, polygon, rectangle, text

SIZE, MARGIN = 480.0, 16.0


@dataclass(frozen=True)
class Body:
    """A body at (x, y): a disc of a radius; a box of a length and a width, or a line of a length, turned by an angle.

    One that is `hollow` is drawn as its outline; `framed` is the player who looks.
    """

    x: float
    y: float
    colour: str
    radius: float = 0.0
    length: float = 0.0
    width: float = 0.0
    angle: float = 0.0
    hollow: bool = False
    word: str = ""
    framed: bool = False


def plane(bodies: Iterable[Body], half_width: float, half_height: float, label: str) -> Drawing:
    """Return the plane up to so far from the origin; of what is further away, the part at the edge is seen."""
    scale = SIZE / (2 * max(half_width, half_height))
    wide, high = 2 * half_width * scale, 2 * half_height * scale
    shapes = [rectangle(Area(MARGIN, MARGIN, wide, high), "board", radius=4)]
    for body in bodies:
        x = MARGIN + (min(max(body.x, -half_width), half_width) + half_width) * scale
        y = MARGIN + (half_height - min(max(body.y, -half_height), half_height)) * scale
        shapes += _body(body, x, y, scale)
    return drawing(round(wide + 2 * MARGIN, 2), round(high + 2 * MARGIN, 2), shapes, label=label)


def _body(body: Body, x: float, y: float, scale: float) -> list[str]:
    fill, stroke = ("", body.colour) if body.hollow else (body.colour, "")
    if body.radius:
        shapes = [circle(x, y, max(2.0, body.radius * scale), fill, stroke or "ground", 1.5 if fill else 2.5)]
    else:
        along = body.length / 2 * scale * math.cos(body.angle), -body.length / 2 * scale * math.sin(body.angle)
        if body.width:
            across = body.width / 2 * scale * math.sin(body.angle), body.width / 2 * scale * math.cos(body.angle)
            corners = [
                (x + a * along[0] + b * across[0], y + a * along[1] + b * across[1])
                for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
            ]
            shapes = [polygon(corners, fill, stroke, 2)]
        else:
            shapes = [line(x - along[0], y - along[1], x + along[0], y + along[1], body.colour, 3)]
    if body.framed:
        shapes.append(circle(x, y, body.radius * scale + 4, "", "last", 3))
    if body.word:
        size = min(18.0, max(9.0, body.radius * scale))
        shapes.append(text(x, y + size * 0.36, body.word, size, body.colour if body.hollow else "white", bold=True))
    return shapes


def nearest_colour(red: float, green: float, blue: float) -> str:
    """Return the name of the colour, of a player or grey, that is nearest to one whose parts are from 0 to 1."""

    def distance(name: str) -> float:
        parts = [int(COLOURS[name][0][k : k + 2], 16) / 255 for k in (1, 3, 5)]
        return sum((a - b) ** 2 for a, b in zip(parts, (red, green, blue), strict=True))

    return min((*PLAYERS, "ink", "line", "square"), key=distance)
