"""The logs of a run that is training: read once, then what was added, and kept in a cache file where they are large."""

import json
import os
import time
import zipfile
from array import array
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from marl.agents.cost import METRICS
from marl.training.logs import Column, Log, RunLogs, by_opponent, parse_lines
from marl.training.runlog import EVALUATIONS

PART = 1 << 20  # bytes that are read at a time
WORTH_KEEPING = 4 << 20  # bytes
MOST_LINE = 64 << 20  # bytes of a line
TAIL = 64  # bytes before the place that was reached, by which a file is known again


class GrowingFile:
    """A log's whole lines, as far as they are written."""

    def __init__(self, path: Path) -> None:
        self.path, self.inode, self.reached, self.size, self.tail = path, 0, 0, 0, b""
        self.fault = ""

    @property
    def whole(self) -> bool:
        """Whether all lines that were there at the last look are read, or no more can be."""
        return bool(self.fault) or self.reached >= self.size

    def look(self) -> bool:
        """Look how long the file is; return whether it still begins with what was read."""
        try:
            found = self.path.stat()
            if self.reached:
                with self.path.open("rb") as file:
                    file.seek(self.reached - len(self.tail))
                    same = found.st_ino == self.inode and file.read(len(self.tail)) == self.tail
            else:
                same = not self.fault
        except OSError:
            self.size = 0
            return self.reached == 0
        self.inode, self.size = found.st_ino, found.st_size
        return same

    def lines(self) -> list[dict[str, Any]]:
        """Return the next lines; none where there is no whole one. A damaged one ends the log."""
        wanted = PART
        while True:
            with self.path.open("rb") as file:
                file.seek(self.reached)
                text = file.read(wanted)
            end = text.rfind(b"\n") + 1
            if end or len(text) < wanted or wanted > MOST_LINE:
                break
            wanted *= 4
        if not end:
            self.size = self.reached  # the last line is being written
            return []
        try:
            found = parse_lines(text[:end].decode().splitlines())
        except ValueError as error:
            self.fault = f"'{self.path.name}' is damaged after {self.reached:,} bytes: {error}"
            return []
        self.reached += end
        self.tail = (self.tail + text[:end])[-TAIL:]
        return found


class GrowingLogs:
    """The logs of a run as far as they are read."""

    def __init__(self, run: Path, kept: Path) -> None:
        """`kept` is the cache file, which is read if it is of this run."""
        self._run, self._kept_at = run, kept
        self.stopped = False  # whether nothing more is to be read: the server ends
        self._lock, self._reading, self._saved = Lock(), Lock(), 0
        self._begin()
        if self._size(METRICS) >= WORTH_KEEPING:
            with suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
                self._load()

    def _begin(self) -> None:
        self._metrics, self._evaluations = GrowingFile(self._run / METRICS), GrowingFile(self._run / EVALUATIONS)
        self.logs = RunLogs(Log(), {})

    @property
    def whole(self) -> bool:
        """Whether all of them is read."""
        return self._metrics.whole and self._evaluations.whole

    @property
    def share(self) -> float:
        """How much of the log of training is read, from 0 to 1."""
        return self._metrics.reached / self._metrics.size if self._metrics.size else 1.0

    @property
    def fault(self) -> str:
        """Why no more of them can be read."""
        return self._metrics.fault or self._evaluations.fault

    def claim(self) -> bool:
        """Return whether the caller is to read on; it calls `release` in the end."""
        return self._reading.acquire(blocking=False)

    def release(self) -> None:
        self._reading.release()

    def read(self, seconds: float | None) -> None:
        """Read what was added, for so many seconds at most; None: all of it. Files that were replaced are read anew."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._lock, suppress(OSError):
            if not (self._metrics.look() and self._evaluations.look()):
                self._begin()
                self._metrics.look(), self._evaluations.look()
        with suppress(OSError):  # a file that is gone is found missing by the next look
            while not self.whole and not self.stopped and (end is None or time.monotonic() < end):
                with self._lock:
                    self._step()

    def _step(self) -> None:
        if not self._evaluations.whole:
            for opponent, lines in by_opponent(self._evaluations.lines()).items():
                self.logs.evaluations.setdefault(opponent, Log()).add(lines)
        elif not self._metrics.whole:
            self.logs.metrics.add(self._metrics.lines())

    def _size(self, name: str) -> int:
        try:
            return (self._run / name).stat().st_size
        except OSError:
            return 0

    def keep(self) -> None:
        """Write the columns of the log of training to the cache file, if that was worth the time."""
        file = self._metrics
        if file.reached < WORTH_KEEPING or file.reached < 1.25 * self._saved:
            return
        with self._lock:
            log = self.logs.metrics
            arrays: dict[str, Any] = {"steps": np.array(log.steps)}
            faults = {}
            for place, (name, column) in enumerate(log.columns.items()):
                faults[name] = column.fault
                arrays[f"values{place}"] = np.array(column.values)
                if len(column.rows) != len(log):
                    arrays[f"rows{place}"] = np.array(column.rows)
            about = {"path": str(file.path), "inode": file.inode, "reached": file.reached, "tail": file.tail.hex()}
            arrays["about"] = np.frombuffer(json.dumps(about | {"faults": faults}).encode(), np.uint8)
        with suppress(OSError):  # without a cache folder each server reads the log
            self._kept_at.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._kept_at.with_name(f"{self._kept_at.stem}.{os.getpid()}.partial.npz")
            np.savez(partial, **arrays)
            partial.replace(self._kept_at)
            self._saved = file.reached

    def _load(self) -> None:
        with np.load(self._kept_at, allow_pickle=False) as kept:
            about = json.loads(kept["about"].tobytes())
            if about["path"] != str(self._metrics.path):
                return
            log = Log()
            log.steps = array("d", kept["steps"].tobytes())
            everywhere = array("q", range(len(log)))
            for place, (name, fault) in enumerate(about["faults"].items()):
                values = array("d", kept[f"values{place}"].tobytes())
                rows = array("q", kept[f"rows{place}"].tobytes()) if f"rows{place}" in kept else everywhere[:]
                log.columns[name] = Column(rows, values, fault)
        file = self._metrics
        file.inode, file.reached, file.tail = about["inode"], about["reached"], bytes.fromhex(about["tail"])
        self.logs, self._saved = RunLogs(log, {}), file.reached
