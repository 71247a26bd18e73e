"""What stands in a drawing, for tests to count."""

import xml.etree.ElementTree as xml
from collections import Counter


def shapes(drawing, tag):
    """Return the attributes of all shapes of a kind."""
    return [element.attrib for element in xml.fromstring(drawing.svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


def colours(drawing, tag):
    """Return how many shapes of a kind have each class."""
    return Counter(shape.get("class", "") for shape in shapes(drawing, tag))


def words(drawing):
    """Return the texts, in order, with plain spaces."""
    root = xml.fromstring(drawing.svg)
    return [(element.text or "").replace("\u00a0", " ") for element in root.iter("{http://www.w3.org/2000/svg}text")]
