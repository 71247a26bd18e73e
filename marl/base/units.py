"""Units of work: each is done once, however often it is asked for, and whatever was killed on the way.

    unit        a kind of work, its inputs and its seed; its id is the digest of these and of the code's fingerprint.
                Of a config the id knows what differs from the defaults, so a setting that is added changes no id
    function    does the work: writes its files atomically, goes on from what an earlier try left, and returns JSON
    journal     one line for each unit that has ended, with its output; a unit that it has is not run again

Units run in any order, in any number of processes, and their outputs are the same: `work` returns them in the order of
their ids. A kill loses at most the units that were running, and these go on from what they had saved.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from games.errors import RunFailed, UserError, unforeseen
from marl.base import engine as engines
from marl.base.digests import Json, digest, fingerprint
from marl.base.files import MOST_LOG, parse_json, read_bytes, refuse_links, write_text

JOURNAL = "journal.jsonl"
_SEAL = "integrity"  # of a line: the digest of the rest of it
_LONGEST = 40  # characters of an input in a unit's name


@dataclass(frozen=True, eq=False)
class Unit:
    """A unit of work: its kind, its inputs by value or by digest (no paths of this machine), and its seed.

    `distinct` are the inputs without what is at its default; None: all of them tell units apart.
    """

    kind: str
    inputs: Mapping[str, Json]
    seed: int
    distinct: Mapping[str, Json] | None = None

    @cached_property
    def id(self) -> str:
        """The digest of its kind, its distinct inputs and its seed, and of the fingerprint of the code that works."""
        return digest(self._identity(self.inputs if self.distinct is None else self.distinct))

    @cached_property
    def ids(self) -> tuple[str, str]:
        """Its id, and that of all its inputs, which journals of earlier versions have."""
        return self.id, digest(self._identity(self.inputs))

    def _identity(self, inputs: Mapping[str, Json]) -> dict[str, Json]:
        return {"kind": self.kind, "fingerprint": fingerprint(), "inputs": dict(inputs), "seed": self.seed}

    def entry(self, output: Json) -> dict[str, Json]:
        """Return the unit's line in a journal, with all its inputs."""
        line = {"id": self.id} | self._identity(self.inputs) | {"output": output, "ended": round(time.time(), 3)}
        return line | {_SEAL: digest(line)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        """Its kind, and those of its inputs that are short."""
        short = [f"{key}={value}" for key, value in self.inputs.items() if isinstance(value, str | int)]
        return f"{self.kind}({', '.join(text for text in short if len(text) <= _LONGEST)})"


class Journal:
    """The units that have ended: a file of one JSON object a line, each on the disk before the next is written.

    A last line that a kill or a full disk has cut short does not count, and the next one takes its place. Opening a
    journal writes nothing; who adds to it holds its folder (marl/base/lock.py). Raises UserError for a line that is not
    as it was written, and where the file is a symbolic link or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Json]] = {}  # by unit id
        self._size = 0  # bytes of the lines that count
        refuse_links(path)
        try:
            lines = read_bytes(path, MOST_LOG).splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise UserError(f"the journal '{path}' cannot be read ({error.strerror}); mend that") from error
        for number, line in enumerate(lines, 1):
            entry = _entry(line)
            if entry is None and number < len(lines):
                raise UserError(
                    f"line {number} of '{path}' is not what was written; delete the line, and its work is done again"
                )
            if entry is not None:
                self._keep(entry, line)

    def __contains__(self, unit: Unit) -> bool:
        return any(id in self.entries for id in unit.ids)

    @property
    def outputs(self) -> dict[str, Json]:
        """The outputs by unit id."""
        return {key: entry["output"] for key, entry in self.entries.items()}

    def output(self, unit: Unit) -> Json:
        """Return the output of a unit; raises KeyError for one that has not ended."""
        return self.entries[next((id for id in unit.ids if id in self.entries), unit.id)]["output"]

    def add(self, unit: Unit, output: Json) -> None:
        """Add a unit that has ended; one that is there stays as it is. Raises RunFailed where it cannot be written."""
        if unit in self:
            return
        line = _line(unit.entry(output))
        with self._saying():
            _put(self.path, self._size, line)
        self._keep(parse_json(line.decode()), line)

    def drop(self, units: Iterable[Unit]) -> None:
        """Take out units whose files are gone, so that they are done again; raises RunFailed as `add` does."""
        gone = {id for unit in units for id in unit.ids}.intersection(self.entries)
        if not gone:
            return
        kept = {key: entry for key, entry in self.entries.items() if key not in gone}
        text = b"".join(map(_line, kept.values())).decode()
        with self._saying():
            write_text(self.path, text)
        self.entries, self._size = kept, len(text)

    def _keep(self, entry: dict[str, Json], line: bytes) -> None:
        self.entries.setdefault(entry["id"], entry)
        self._size += len(line)

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailed(
                f"the journal '{self.path}' could not be written ({error.strerror}); what has ended is kept: "
                "mend that, such as by freeing space, and run again to go on"
            ) from error


def _line(entry: dict[str, Json]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entry(line: bytes) -> dict[str, Json] | None:
    """Return what a line of a journal says; None if it is not as it was written."""
    try:
        entry = parse_json(line.decode())
        seal = entry.pop(_SEAL)
        as_written = line.endswith(b"\n") and isinstance(entry["id"], str) and digest(entry) == seal
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry | {_SEAL: seal} if as_written else None


def _put(path: Path, size: int, line: bytes) -> None:
    """Put a line behind the first `size` bytes of a file, in place of whatever follows them, and on the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666), "wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def as_ended(
    journal: Journal,
    units: Mapping[Unit, tuple[Any, ...]],
    function: Callable[..., Json],
    workers: int,
    engine: engines.Engine = "processes",
) -> Iterator[tuple[Unit, engines.Ended[Json]]]:
    """Run the units that the journal lacks, `function(*arguments)` of each; yield each as it ends, in the journal then.

    They begin in their order: give the longest first. One that fails stops no other (`engine.outcomes`). Raises
    RunFailed where the journal cannot be written.
    """
    missing = [unit for unit in units if unit not in journal]
    names = [str(unit) for unit in missing]
    for place, ended in engines.outcomes(function, [units[unit] for unit in missing], workers, engine, names):
        unit = missing[place]
        if unit in journal:  # it was delivered twice
            continue
        if ended.error is None:
            journal.add(unit, ended.result)
            ended = replace(ended, result=journal.output(unit))
        yield unit, ended


def work(
    journal: Journal,
    units: Mapping[Unit, tuple[Any, ...]],
    function: Callable[..., Json],
    workers: int,
    engine: engines.Engine = "processes",
    tell: Callable[[Unit, engines.Ended[Json]], None] = lambda unit, ended: None,
) -> dict[str, Json]:
    """Run the units that the journal lacks, as `as_ended` does; return all outputs by unit id, in the order of the ids.

    `tell` is called as each ends. Raises RunFailed at the end, naming the first in the order of `units` that failed.
    """
    failed: dict[Unit, Exception] = {}
    for unit, ended in as_ended(journal, units, function, workers, engine):
        tell(unit, ended)
        if ended.error is not None:
            failed[unit] = ended.error
    if failed:
        first = next(unit for unit in units if unit in failed)
        error = failed[first]
        several = f"{len(failed)} of {len(units)} units of work failed, {first} first"
        raise RunFailed(f"{several if len(units) > 1 else f'{first} failed'}: {reason(error)}") from error
    return {unit.id: journal.output(unit) for unit in sorted(units, key=lambda unit: unit.id)}


def reason(error: Exception) -> str:
    """Return why a unit failed, in words."""
    return str(error) if isinstance(error, UserError) else unforeseen(error)
