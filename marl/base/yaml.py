"""YAML 1.2 as configs use it: plain data of bounded size, and one meaning for each text.

    null, ~, true, false            nothing, and truth values; yes, no, on and off are words
    010, -7, 0x1F, 0o17, 60_000     whole numbers: 10, -7, 31, 15, 60000 (the underscore is ours)
    1e-4, .5, 1_000.5, .inf, .nan   numbers
    2026-01-02, 1:30                words, as is everything in quotes

Keys are words as they are written, and each is given once. ruamel.yaml reads a text into events; their meaning is
defined here, so that no resolver, tag or version of YAML can change it.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import ruamel.yaml
from ruamel.yaml import events

MOST = 1_000_000  # characters of a text, and of all that its aliases unfold to
WEIGHT = 50  # characters that each value counts in addition to its own, so that MOST allows 20,000 values
DEEPEST = 50  # levels of nested lists and mappings

_WORDS = {"": None, "~": None} | {
    case(word): value
    for word, value in (("null", None), ("true", True), ("false", False))
    for case in (str.lower, str.capitalize, str.upper)
}
_DIGITS = "[0-9]+(_[0-9]+)*"
_INT = re.compile(f"[-+]?{_DIGITS}")
_BASED = re.compile("0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(rf"[-+]?(\.{_DIGITS}|{_DIGITS}(\.({_DIGITS})?)?)([eE][-+]?[0-9]+)?")
_SAFE = re.compile(r"[\w/]([\w/.,:|()'=+*# -]*[\w/.,|()'=+*#-])?")  # a word that needs no quotes
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YamlError(ValueError):
    """Report a text that is not YAML, or more than a config needs; one line."""


def read(text: str) -> Any:
    """Parse one document; raises YamlError."""
    if len(text) > MOST:
        raise YamlError(f"{len(text):,} characters are more than {MOST:,}")
    try:
        return _Reader(text).document()
    except ruamel.yaml.error.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{where}{', '.join(filter(None, (error.context, error.problem)))}") from error
    except ruamel.yaml.error.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line on which the value at a path is written, or what is around it, in a text that `read` reads."""
    node, line = ruamel.yaml.YAML(typ="safe", pure=True).compose(text), 0
    for part in path:
        if isinstance(node, ruamel.yaml.MappingNode):
            entries = {key.value: (key, value) for key, value in node.value}
            key, node = entries.get(part, (None, None))
        elif isinstance(node, ruamel.yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            key = node = node.value[part]
        else:
            key = node = None
        if key is None:
            break
        line = key.start_mark.line + 1
    return line


def write(data: Any) -> str:
    """Return lists, mappings, numbers and words as YAML that `read`, and any reader of YAML 1.2, reads back."""
    return "\n".join(_lines(data)) + "\n"


class _Reader:
    """Build the data of a text from its events."""

    def __init__(self, text: str) -> None:
        self._events = ruamel.yaml.YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, tuple[Any, int]] = {}  # by name: a value, and its size when it is unfolded
        self._size, self._depth = 0, 0

    def document(self) -> Any:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), events.StreamEndEvent):
            return None
        value = self._value(next(self._events))
        next(self._events)  # the document's end
        if not isinstance(next(self._events), events.StreamEndEvent):
            raise YamlError("a second document begins; write one")
        return value

    def _value(self, event: Any) -> Any:
        line, before = event.start_mark.line + 1, self._size
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self._anchors:
                raise YamlError(f"line {line}: the alias *{event.anchor} is used before the end of its anchor")
            value, size = self._anchors[event.anchor]
            self._count(size, line)
            return value
        tag = str(event.tag) if event.tag else ""
        if tag not in ("", "!", "tag:yaml.org,2002:str"):
            raise YamlError(f"line {line}: the tag {tag} is not read; leave it out")
        self._depth += 1
        if self._depth > DEEPEST:
            raise YamlError(f"line {line}: nested more than {DEEPEST} deep")
        self._count(WEIGHT, line)
        if isinstance(event, events.MappingStartEvent):
            value = self._mapping()
        elif isinstance(event, events.SequenceStartEvent):
            value = [self._value(inner) for inner in iter(self._inner, None)]
        else:
            self._count(len(event.value), line)
            value = _scalar(event, line, plain=event.style is None and not tag)
        self._depth -= 1
        if event.anchor:
            self._anchors[event.anchor] = value, self._size - before
        return value

    def _mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in iter(self._inner, None):
            line = event.start_mark.line + 1
            if not isinstance(event, events.ScalarEvent):
                raise YamlError(f"line {line}: a key is a word, and this one is not")
            self._count(len(event.value), line)
            key = _scalar(event, line, plain=False)
            if key in found:
                raise YamlError(f"line {line}: the key '{key}' is given twice")
            found[key] = self._value(next(self._events))
        return found

    def _inner(self) -> Any:
        """Return the next event within a list or a mapping; None at its end."""
        event = next(self._events)
        return None if isinstance(event, events.CollectionEndEvent) else event

    def _count(self, size: int, line: int) -> None:
        self._size += size
        if self._size > MOST:
            raise YamlError(f"line {line}: too many values, or aliases that unfold to too many")


def _scalar(event: Any, line: int, *, plain: bool) -> Any:
    """Return the value of a scalar: a text in quotes is a word."""
    text: str = event.value
    try:
        text.encode()
        return _plain(text) if plain else text
    except UnicodeEncodeError:
        raise YamlError(f"line {line}: a lone surrogate, which is only half a character") from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise YamlError(f"line {line}: a number of {len(text):,} digits") from None


def _plain(text: str) -> Any:
    """Return the value of a text without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _lines(value: Any) -> list[str]:
    """Return the lines of a value as YAML, one for each entry of a list or a mapping."""
    if value and isinstance(value, dict):
        return [line for key, entry in value.items() for line in _under(f"{_word(key)}:", entry)]
    if value and isinstance(value, list | tuple):
        return [f"{'  ' if at else '- '}{line}" for entry in value for at, line in enumerate(_lines(entry))]
    return [_short(value)]


def _under(key: str, value: Any) -> list[str]:
    if value and isinstance(value, dict | list | tuple):
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_short(value)}"]


def _short(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, str):
        return _word(value) if isinstance(_plain(value), str) else _quoted(value)
    if isinstance(value, dict | list | tuple):
        return "{}" if isinstance(value, dict) else "[]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def _word(text: str) -> str:
    """Return a word, without quotes if every YAML reader reads it as a word."""
    return text if _SAFE.fullmatch(text) and ": " not in text and " #" not in text else _quoted(text)


def _quoted(text: str) -> str:
    escaped = re.sub(r'["\\]', r"\\\g<0>", text)
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
