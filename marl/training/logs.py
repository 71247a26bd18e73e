"""The numbers in a run's logs by name, kept in columns: a log of a hundred thousand lines is read in seconds.

Axis letters: L lines of a log, P lines that have a name's number.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from games.arrays import Floats
from games.errors import UserError
from marl.agents.cost import METRICS, seconds
from marl.base.files import MOST_LOG, parse_json, read_text
from marl.training.runlog import EVALUATIONS

STEP, AGAINST = "step", "against"
_NUMBERS = (float, int)

Line = dict[str, Any]  # an object of a log


@dataclass
class Column:
    """The numbers of a name; a list of numbers counts as its mean."""

    rows: "array[int]" = field(default_factory=lambda: array("q"))  # [P] lines of the log
    values: "array[float]" = field(default_factory=lambda: array("d"))  # [P]
    fault: str = ""  # why a value is no number


class Log:
    """The numbers of a log's lines by name. One thread may add lines while others read."""

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        self._lock = Lock()  # an array that is being read cannot grow
        self.steps: array[float] = array("d")  # [L]
        self.columns: dict[str, Column] = {}
        self.add(lines)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def names(self) -> list[str]:
        """The names in it, in the order in which they first came."""
        return list(self.columns)

    def add(self, lines: Sequence[Line]) -> None:
        """Add lines, each an object with a step; neighbours that have the same names are added at once."""
        for names, group in groupby(lines, tuple):
            found = dict(zip(names, zip(*(line.values() for line in group), strict=True), strict=True))
            with self._lock:
                first = len(self.steps)
                self.steps.extend(map(float, found.pop(STEP)))
                rows = array("q", range(first, len(self.steps)))
                for name, values in found.items():
                    self._extend(self.columns.setdefault(name, Column()), rows, values)

    @staticmethod
    def _extend(column: Column, rows: "array[int]", values: Iterable[Any]) -> None:
        try:
            numbers = array("d", [value if type(value) in _NUMBERS else float(np.mean(value)) for value in values])
        except (TypeError, ValueError, OverflowError) as error:
            column.fault = column.fault or str(error)
            return
        column.rows.extend(rows)
        column.values.extend(numbers)

    def points(self, name: str) -> tuple[Floats, Floats]:
        """Return the steps [P] and the numbers [P] of a name; raises ValueError where one is no number."""
        column = self.columns[name]
        if column.fault:
            raise ValueError(column.fault)
        with self._lock:
            return np.array(self.steps)[np.array(column.rows)], np.array(column.values)

    def seconds(self, speed: str) -> float | None:
        """Return the seconds that all updates took by their steps and their speed (`marl.agents.cost.seconds`)."""
        column = self.columns.get(speed, Column())
        if column.fault:
            raise ValueError(column.fault)
        with self._lock:
            steps, speeds = list(self.steps), dict(zip(column.rows, column.values, strict=True))
        return seconds([{STEP: step, speed: speeds.get(row, 0.0)} for row, step in enumerate(steps)], speed)


@dataclass(frozen=True)
class RunLogs:
    """The logs of a run: of training, and of its evaluations by opponent, in the order of its panel."""

    metrics: Log
    evaluations: dict[str, Log]


def read_logs(folder: Path) -> RunLogs:
    """Read a run's logs as far as they are written; raises UserError where they cannot be read, or are damaged."""
    evaluations = by_opponent(_lines(folder / EVALUATIONS))
    return RunLogs(Log(_lines(folder / METRICS)), {opponent: Log(lines) for opponent, lines in evaluations.items()})


def by_opponent(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return the lines of evaluations by the opponent that they name."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(str(line.get(AGAINST)), []).append({k: v for k, v in line.items() if k != AGAINST})
    return found


def parse_lines(lines: Sequence[str]) -> list[Line]:
    """Return the objects in whole lines of a log; raises ValueError where one is none, or has no step."""
    found: list[Line] = parse_json(f"[{','.join(lines)}]") if _one_each(lines) else [parse_json(each) for each in lines]
    if len(found) != len(lines) or not all(isinstance(line, dict) and type(line.get(STEP)) is int for line in found):
        raise ValueError("not every line is an object with a step")
    return found


def _one_each(lines: Sequence[str]) -> bool:
    """Return whether lines look like one object each, so that they may be parsed as one list."""
    return all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)


def _lines(path: Path) -> list[Line]:
    """Return a log's objects, without an incomplete last line."""
    try:
        whole = [line for line in read_text(path, MOST_LOG).splitlines(keepends=True) if line.endswith("\n")]
        return parse_lines(whole)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"the log '{path}' cannot be read: {error}; leave the run out") from error
