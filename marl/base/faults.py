"""What pydantic finds wrong, as this project says it: `expected a number above 0, got -1`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from games.errors import nearest, written

KeyPath = tuple[str | int, ...]  # the keys of mappings, and the positions in lists, that lead to a value

_KEYS_AND_VALUES, _LIST = "keys and values", "a list"
# What was expected, by the type of pydantic's error; in braces what its context says.
_EXPECTED = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a word",
    "string_too_short": "a word of at least {min_length} letters",
    "string_too_long": "a word of at most {max_length} letters",
    "string_pattern_mismatch": "a word that matches {pattern}",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _KEYS_AND_VALUES,
    "mapping_type": _KEYS_AND_VALUES,
    "model_type": _KEYS_AND_VALUES,
    "model_attributes_type": _KEYS_AND_VALUES,
    "dataclass_type": _KEYS_AND_VALUES,
}
UNKNOWN, MISSING = "extra_forbidden", "missing"
_KIND = "kind"  # the key by which a section says which branch of a union it is
_VALIDATOR = ("value_error", "assertion_error")  # raised by a validator, which says what came


@dataclass(frozen=True)
class Fault:
    """The first thing that does not fit."""

    kind: str  # pydantic's type of the error
    path: KeyPath  # where it is, in the data
    text: str  # what was expected, and what came

    @property
    def key(self) -> str:
        return dotted(self.path)

    @property
    def by_validator(self) -> bool:
        """Say whether a validator raised it: it may concern all values below its path."""
        return self.kind in _VALIDATOR


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as it is typed: `evaluation.seeds`."""
    return ".".join(map(str, path))


def holds(data: Any, part: str | int) -> bool:
    """Say whether data has a value at a key or a position."""
    if isinstance(data, list | tuple):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, Mapping) and part in data


def first_fault(error: ValidationError, data: Any) -> Fault:
    """Return the first fault that pydantic found in `data`; the branches of a union are one fault."""
    found = [(_path(details, data), details) for details in error.errors()]
    begin = found[0][0]
    path = max((path for path, _ in found if path[: len(begin)] == begin), key=len)  # within a branch of a union
    same = [details for at, details in found if at == path]
    if same[0]["type"] == MISSING:  # a key that is unknown beside it is probably the one that was meant
        beside = ((at, details) for at, details in found if details["type"] == UNKNOWN and at[:-1] == path[:-1])
        path, same = next(((at, [details]) for at, details in beside), (path, same))
    first = same[0]
    if first["type"] == MISSING and isinstance(path[-1], int):  # of a list whose length is fixed
        return Fault("too_short", path[:-1], f"expected more entries, got {written(first['input'])}")
    if first["type"] in (UNKNOWN, MISSING, *_VALIDATOR) or len(same) == 1:
        return Fault(first["type"], path, _text(first))
    expected = " or ".join(dict.fromkeys(map(_expected, same)))
    return Fault(first["type"], path, f"expected {expected}, got {written(first['input'])}")


def _path(details: ErrorDetails, data: Any) -> KeyPath:
    """Return where an error is: pydantic's path also names the branches of unions, which the data does not have.

    The kind of a section is such a branch. It comes before the section's keys, one of which may have the same name.
    """
    path: list[str | int] = []
    *above, last = details["loc"] or ("",)
    branch = False  # whether the part before named one
    for part in above if details["type"] == MISSING else details["loc"]:
        branch = not branch and isinstance(data, Mapping) and data.get(_KIND) == part
        if not branch and holds(data, part):
            data = data[part]
            path.append(part)
    return (*path, last) if details["type"] == MISSING else tuple(path)


def _text(details: ErrorDetails) -> str:
    kind, came = details["type"], details["input"]
    if kind in _VALIDATOR:
        return str(details["ctx"]["error"])
    if kind not in _EXPECTED:
        return f"{details['msg'].replace('Input', 'it', 1)}, got {written(came)}"
    if kind in ("too_short", "too_long"):
        came = len(came) if isinstance(came, Mapping | Sequence) else came
        return f"expected {_expected(details)}, got {written(came)}"
    hint = nearest(came, re.findall("'([^']*)'", _expected(details))) if isinstance(came, str) else ""
    return f"expected {_expected(details)}, got {written(came)}{hint}"


def _expected(details: ErrorDetails) -> str:
    """Return what was expected; for kinds of errors that have no words here, from pydantic's own."""
    if details["type"] in _EXPECTED:
        bounds = {
            key: f"{bound:g}" if isinstance(bound, float) else bound for key, bound in details.get("ctx", {}).items()
        }
        return re.sub(r"\bFalse\b", "false", _EXPECTED[details["type"]].format_map(bounds))
    return details["msg"].removeprefix("Input should be ")
