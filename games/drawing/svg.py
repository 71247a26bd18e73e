"""Pictures as text: shapes of SVG, and a Drawing made of them.

A drawing has no script, no style, no reference to anything outside, and no ids, so that many of them stand in one page.
Text is escaped here and nowhere else.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from xml.sax.saxutils import escape

from games.drawing.colours import COLOURS
from games.text import shown

MONOSPACED = 0.602  # the width of a letter, as a share of the font's size, in the widest of the usual fonts


@dataclass(frozen=True)
class Area:
    """A rectangle in the units of a drawing's viewBox."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle point."""
        return self.x + self.width / 2, self.y + self.height / 2

    def inset(self, by: float) -> "Area":
        """Return the rectangle that is smaller by so much on each side."""
        return Area(self.x + by, self.y + by, self.width - 2 * by, self.height - 2 * by)


@dataclass(frozen=True)
class Drawing:
    """A position as a picture, and where a click on it means an action.

    `svg` is one <svg> element with the viewBox 0 0 width height. `targets` gives the place of each legal action that
    has one; an action without a place, such as a pass, needs a button. Where a move goes from a place to another, as in
    chess, `origins` has the first place and `targets` the second: a person clicks on an origin, and then on one of the
    targets of the actions that begin there. Actions that still share a place, such as promotions, need a choice.
    """

    svg: str
    width: float
    height: float
    targets: Mapping[int, Area] = field(default_factory=dict)
    origins: Mapping[int, Area] = field(default_factory=dict)


def drawing(
    width: float,
    height: float,
    shapes: Iterable[str],
    targets: Mapping[int, Area] | None = None,
    label: str = "",
    *,
    origins: Mapping[int, Area] | None = None,
) -> Drawing:
    """Return shapes on the page's ground as a Drawing; `label` says to screen readers what it is."""
    ground = rectangle(Area(0, 0, width, height), "ground")
    named = f' aria-label="{_escaped(label)}"' if label else ""
    box = f"0 0 {number(width)} {number(height)}"
    opened = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img"{named}>'
    return Drawing("\n".join([opened, ground, *shapes, "</svg>"]), width, height, targets or {}, origins or {})


def on_top(picture: Drawing, shapes: Iterable[str]) -> Drawing:
    """Return a drawing with more shapes over those that it has."""
    opened = picture.svg.removesuffix("</svg>").rstrip("\n")
    return replace(picture, svg="\n".join([opened, *shapes, "</svg>"]))


def in_dark(picture: Drawing) -> Drawing:
    """Return a drawing in the colours of a dark page, for a picture that stands alone.

    Shapes that were not made by the functions below may stay as they are.
    """

    def painted(found: re.Match[str]) -> str:
        name = {what: colour for what, _, colour in (part.partition("-") for part in found[1].split())}
        if not set(name.values()) <= COLOURS.keys():
            return found[0]
        fill, stroke = (COLOURS[name[what]][1] if what in name else "" for what in ("fill", "stroke"))
        return f'class="{found[1]}" fill="{fill or "none"}"' + (f' stroke="{stroke}"' if stroke else "")

    return replace(picture, svg=re.sub(r'class="([^"]*)" fill="[^"]*"(?: stroke="[^"]*")?', painted, picture.svg))


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")  # + 0.0 turns -0.0 into 0.0


def rectangle(area: Area, fill: str, stroke: str = "", width: float = 1, radius: float = 0, opacity: float = 1) -> str:
    """Return a rectangle; `width` is that of its outline."""
    place = _numbers(x=area.x, y=area.y, width=area.width, height=area.height)
    rounded = _numbers(rx=radius) if radius else ""
    return f"<rect{place}{rounded}{_paint(fill, stroke, width, opacity)}/>"


def circle(x: float, y: float, radius: float, fill: str, stroke: str = "", width: float = 1, opacity: float = 1) -> str:
    return f"<circle{_numbers(cx=x, cy=y, r=radius)}{_paint(fill, stroke, width, opacity)}/>"


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1) -> str:
    return f'<line{_numbers(x1=x1, y1=y1, x2=x2, y2=y2)}{_paint("", stroke, width)} stroke-linecap="round"/>'


def polygon(points: Iterable[tuple[float, float]], fill: str, stroke: str = "", width: float = 1) -> str:
    """Return a closed polygon through points (x, y)."""
    corners = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polygon points="{corners}"{_paint(fill, stroke, width)} stroke-linejoin="round"/>'


def path(d: str, fill: str, stroke: str = "", width: float = 1, *, x: float = 0, y: float = 0, scale: float = 1) -> str:
    """Return a path, moved to (x, y) and scaled around its origin; `d` is SVG's path data."""
    moved = (
        f' transform="translate({number(x)} {number(y)}) scale({number(scale)})"' if (x, y, scale) != (0, 0, 1) else ""
    )
    return f'<path d="{d}"{moved}{_paint(fill, stroke, width)} stroke-linejoin="round" stroke-linecap="round"/>'


def text(
    x: float,
    y: float,
    words: str,
    size: float,
    fill: str = "ink",
    *,
    anchor: str = "middle",
    bold: bool = False,
    monospaced: bool = False,
    halo: bool = False,
) -> str:
    """Return one line of text whose baseline begins, ends or is centred at (x, y), by `anchor`.

    With a halo it can be read on whatever lies below it.
    """
    family = "monospace" if monospaced else "sans-serif"
    weight = ' font-weight="bold"' if bold else ""
    start = "" if anchor == "start" else f' text-anchor="{anchor}"'
    spaced = _escaped(words).replace(" ", "\u00a0")  # SVG would fold several spaces into one
    place = f'{_numbers(x=x, y=y)} font-family="{family}"{_numbers(**{"font-size": size})}'
    paint = f'{_paint(fill, "ground", size / 4)} paint-order="stroke" stroke-linejoin="round"' if halo else _paint(fill)
    return f"<text{place}{weight}{start}{paint}>{spaced}</text>"


def image(area: Area, png: bytes) -> str:
    """Return a picture of pixels, which stands in the drawing itself."""
    place = _numbers(x=area.x, y=area.y, width=area.width, height=area.height)
    return f'<image{place} href="data:image/png;base64,{b64encode(png).decode()}"/>'


def _escaped(words: str) -> str:
    """Return words for the content of an element, or for an attribute."""
    return escape(shown(words), {'"': "&quot;"})


def _numbers(**values: float) -> str:
    return "".join(f' {name}="{number(value)}"' for name, value in values.items())


def _paint(fill: str, stroke: str = "", width: float = 1, opacity: float = 1) -> str:
    """Return classes and colours of a shape; "" is no fill, or no outline."""
    classes = [f"{what}-{name}" for what, name in (("fill", fill), ("stroke", stroke)) if name]
    colour = COLOURS[fill][0] if fill else "none"
    outline = f' stroke="{COLOURS[stroke][0]}" stroke-width="{number(width)}"' if stroke else ""
    seen = f' opacity="{number(opacity)}"' if opacity < 1 else ""
    return f' class="{" ".join(classes)}" fill="{colour}"{outline}{seen}'
