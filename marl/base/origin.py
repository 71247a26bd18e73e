"""Where the values of a config come from: a file, and behind it the changes that a user typed.

A message names what is to be mended: `--set steps` for a value that was typed, else the file and its line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from games.errors import RunFailed, UserError, written
from marl.base import yaml
from marl.base.faults import KeyPath, dotted, holds

NOTHING_DECIDED: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Change:
    """A value for one key of a config, and what a message calls it."""

    path: tuple[str, ...]
    value: Any
    name: str  # such as `--set algorithm.clip`

    @property
    def key(self) -> str:
        return dotted(self.path)


def typed(texts: Sequence[str], option: str = "--set", decided: Mapping[str, str] = NOTHING_DECIDED) -> list[Change]:
    """Read `a.b=c`, as a user types it behind an option.

    `decided` are the sections that the command sets itself, and to what, in words. Raises UserError where a text is no
    setting, and for one that is decided.
    """
    changes = []
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"expected {option} a.b=c, got '{text}'")
        if (to := decided.get(key.split(".")[0])) is not None:
            raise UserError(f"{option} {key}: '{key.split('.')[0]}' is {to}; leave it out")
        try:
            changes.append(Change(tuple(key.split(".")), yaml.read(value), f"{option} {key}"))
        except yaml.YamlError as error:
            raise UserError(f"the value of {option} {key} is not YAML: {written(value)} ({error})") from error
    return changes


def by_key(values: Mapping[str, Any], name: str) -> list[Change]:
    """Return changes by key; `{}` in `name` stands for the key. Raises UserError for a value that is not plain data."""
    try:
        plain = {key: json.loads(json.dumps(value)) for key, value in values.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"expected numbers, words, lists and keys, got {written(dict(values))}") from error
    return [Change(tuple(key.strip().split(".")), value, name.format(key)) for key, value in plain.items()]


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the values of a config come from. Any two are equal: a config is what its values are."""

    source: str = ""  # what a message calls it, such as a file's path in quotes; empty: not known
    data: Any = None  # what stands there, before the changes
    text: str = ""  # its YAML, for the numbers of lines
    changes: tuple[Change, ...] = ()
    above: KeyPath = ()  # where the section is of which this is the origin
    section: str = ""  # what a message calls that section

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return hash(Origin)

    def of_section(self, above: KeyPath, section: str) -> "Origin":
        """Return the origin of the values in one section."""
        return replace(self, above=above, section=section)

    def where(self, path: KeyPath) -> str:
        """Return where the value at a path, or what is around it, was written."""
        place = self._place((*self.above, *path))
        return (f"{self.section} ({place})" if place else self.section) if self.section else place

    def subject(self, path: KeyPath, *, all_below: bool = False) -> str:
        """Return how a sentence about a value begins: `--set steps`, or `'steps' in 'x.yaml', line 3`.

        With `all_below` the changes of what lies below the path are named, too.
        """
        change, whole = self._change((*self.above, *path)), (*self.above, *path)
        if change is not None and change.path == whole and not self.section:
            return change.name
        where = self.where(path)
        below = [c.name for c in self.changes if len(c.path) > len(whole) and c.path[: len(whole)] == whole]
        if all_below and change is None and below:
            where = f"{where} with {', '.join(dict.fromkeys(below))}"
        return f"'{dotted(path)}' in {where}" if path else where

    @contextmanager
    def blame(self, *paths: KeyPath) -> Iterator[None]:
        """Say of a UserError where the values that it concerns were written, of those that were."""
        try:
            yield
        except RunFailed:
            raise
        except UserError as error:
            concerned = [self.subject(path) for path in paths if self.source and self._is_written(path)]
            if not concerned:
                raise
            raise UserError(f"{' and '.join(concerned)}: {error}") from error

    def _place(self, path: KeyPath) -> str:
        change = self._change(path)
        if change is not None:
            return change.name
        line = yaml.line_of(self.text, path) if self.text and path else 0
        return f"{self.source}, line {line}" if line else self.source

    def _change(self, path: KeyPath) -> Change | None:
        """Return the change by which the value at a path stands where it does; None where the source has it."""
        for change in reversed(self.changes):
            if path[: len(change.path)] == change.path:
                return change
        absent = path[: self._depth(path) + 1]
        if absent == path[: self._depth(path)]:
            return None
        return next((change for change in reversed(self.changes) if change.path[: len(absent)] == absent), None)

    def _is_written(self, path: KeyPath) -> bool:
        return self._depth(path) == len(path) or self._change(path) is not None

    def _depth(self, path: KeyPath) -> int:
        """Return how many keys of a path stand in the source."""
        data = self.data
        for depth, part in enumerate(path):
            if not holds(data, part):
                return depth
            data = data[part]
        return len(path)


NOWHERE = Origin()
