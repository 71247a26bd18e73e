"""What is wrong with a drawing: the promises of `Drawing`, checked for games that draw themselves."""

import xml.etree.ElementTree as xml
from collections.abc import Collection

from games.drawing.svg import Area, Drawing, number
from games.errors import written

_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = (
    *("svg", "g", "title", "desc", "rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text", "tspan"),
    "image",
)
_PIXELS = "data:image/png;base64,"
_SLACK = 0.01  # coordinates are written with two decimals


def fault(drawing: object, legal: Collection[int]) -> str:
    """Return the first promise that a drawing breaks, as a verb and more; "" where it keeps them all.

    `legal` are the actions that may have places.
    """
    if not isinstance(drawing, Drawing):
        return f"is {written(drawing)}, expected a Drawing"
    return _of_svg(drawing) or _of_places(drawing, legal)


def _of_svg(drawing: Drawing) -> str:
    if "<!" in drawing.svg or "<?" in drawing.svg:
        return "has a declaration or a comment, expected elements alone"
    try:
        root = xml.fromstring(drawing.svg)
    except xml.ParseError as error:
        return f"is not well-formed: {error}"
    box = f"0 0 {number(drawing.width)} {number(drawing.height)}"
    if root.tag != f"{_SVG}svg" or root.get("viewBox") != box:
        return f"begins with {root.tag} and the viewBox {root.get('viewBox')!r}, expected svg and {box!r}"
    for element in root.iter():
        tag = element.tag.removeprefix(_SVG)
        if not element.tag.startswith(_SVG) or tag not in _SHAPES:
            return f"has the element <{tag}>, expected shapes and text"
        for name, value in element.attrib.items():
            plain = name.rpartition("}")[2].lower()
            if plain == "href" and not (tag == "image" and value.startswith(_PIXELS)):
                return f"refers to {written(value)}, expected pictures in the drawing itself"
            if plain in ("style", "id") or plain.startswith("on") or "url(" in value.lower():
                return f'has the attribute {plain}="{value[:40]}", expected attributes that only draw'
    return ""


def _of_places(drawing: Drawing, legal: Collection[int]) -> str:
    for name, places in (("targets", drawing.targets), ("origins", drawing.origins)):
        for action, area in places.items():
            if action not in legal:
                return f"has the action {action} among its {name}, which is not legal"
            if not _inside(area, drawing):
                return f"has {area} among its {name}, which is not inside {drawing.width:g} x {drawing.height:g}"
    if missing := drawing.origins.keys() - drawing.targets.keys():
        return f"has an origin and no target of the actions {sorted(missing)}"
    return ""


def _inside(area: Area, drawing: Drawing) -> bool:
    right, lower = area.x + area.width, area.y + area.height
    fits = -_SLACK <= area.x < right <= drawing.width + _SLACK and -_SLACK <= area.y < lower <= drawing.height + _SLACK
    return fits  # False for numbers that are not finite, too
