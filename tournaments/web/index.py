"""Aggregates of logs and stores, kept outside the folder that a page shows, so that large ones open at once.

A log is read into columns (marl/training/logs.py), and when it grows, what is new. A store is summarised into the facts
of its report, and again, in a process of its own where it is large, when games are added. What took long to make is
kept in a cache folder, under a hash of the file's path, with the file's identity: what does not fit the file as it is
now is made anew. The folder may be deleted at any time.
"""

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Any

from games.errors import RunFailed, WorkerDied
from games.processes import Worker
from marl.base.files import write_text
from tournaments.web.facts import facts_of_store
from tournaments.web.growing import GrowingLogs
from tournaments.web.places import Mark, Place
from tournaments.web.stores import store_mark

VERSION = 1  # of what is kept; others are left alone, and are safe to delete
MOST_RUNS, MOST_STORES = 64, 1024  # whose aggregates are in memory; a list shows all stores
LARGE_STORE = 8 << 20  # bytes; it is summarised in a process of its own
SOON = 1.0  # seconds in which a page waits for facts that are being made
SHARE = 5  # a summary is followed by at least so many times the CPU time that it took
MOST_KEPT = 2 << 30  # bytes in the cache folder


def cache_folder() -> Path:
    """Return the folder in which a user's programs keep what can be made anew."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "marl" / "web"


@dataclass
class Summarised:
    """What is known of a store: the facts of its report when it had a mark, and what is being made."""

    mark: Mark = ()
    facts: dict[str, Any] | None = None
    making: "Future[tuple[Mark, dict[str, Any]]] | None" = None
    due: float = 0.0  # when it may be made again
    error: str = ""
    stale: bool = False  # whether games were added since
    lock: Any = field(default_factory=RLock)


class Index:
    """The aggregates of what a page shows."""

    def __init__(self, cache: Path | None, told: Callable[[str], None]) -> None:
        """`told` is called with a name, in any thread, when there is news of it."""
        self._folder = (cache or cache_folder()) / f"v{VERSION}"
        self._told = told
        self._runs: OrderedDict[Path, GrowingLogs] = OrderedDict()
        self._stores: OrderedDict[Path, Summarised] = OrderedDict()
        self._lock = Lock()
        self._threads, self._apart = ThreadPoolExecutor(2, "aggregates"), ThreadPoolExecutor(1, "large stores")
        self._worker: Worker | None = None  # which the thread of large stores asks
        self._closed = False
        self._threads.submit(self._prune)

    def close(self) -> None:
        """End what is being made."""
        for threads in (self._threads, self._apart):
            threads.shutdown(wait=False, cancel_futures=True)
        for logs in self._runs.values():
            logs.stopped = True
        with self._lock:
            self._closed, worker = True, self._worker
        if worker is not None:
            worker.stop(time.monotonic())

    def growing(self, place: Place, seconds: float | None = None) -> GrowingLogs:
        """Return the logs of a run with what was added, as far as they are read in so many seconds.

        By default in SOON / 2. A large one is read on behind the page, and told of then.
        """
        with self._lock:
            found = self._runs.pop(place.path, None) or GrowingLogs(place.path, self._kept(place.path, "npz"))
            self._runs[place.path] = found
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        found.read(SOON / 2 if seconds is None else seconds)
        if not found.whole and found.claim():
            self._threads.submit(self._read_on, found, place.name)
        return found

    def all_growing(self, places: Iterable[Place]) -> dict[Path, GrowingLogs]:
        """Return the logs of several runs, by folder, in the time of one."""
        end = time.monotonic() + SOON / 2
        return {place.path: self.growing(place, max(0.0, end - time.monotonic())) for place in places}

    def _read_on(self, logs: GrowingLogs, name: str) -> None:
        try:
            logs.read(None)
            logs.keep()
        finally:
            logs.release()
            self._told(name)

    def store(self, place: Place, seconds: float | None = None) -> Summarised:
        """Return what is known of a tournament; first facts are waited for so long, and told of if they come later.

        They are waited for SOON seconds by default.
        """
        with self._lock:
            known = self._stores.pop(place.path, None) or Summarised()
            self._stores[place.path] = known
            while len(self._stores) > MOST_STORES:
                self._stores.popitem(last=False)
        mark, kept = store_mark(place.path), self._kept(place.path, "json")
        with known.lock:
            if known.facts is None and not known.making:
                known.mark, known.facts = _read_kept(kept, place.path)
            if known.mark != mark and not known.making and time.monotonic() >= known.due:
                known.making = self._make(place, mark)
                known.making.add_done_callback(lambda done: self._made(known, done, place, kept))
            making = known.making
        if making and known.facts is None:
            with suppress(Exception):  # `_made` keeps the error
                making.result(SOON if seconds is None else seconds)
        known.stale = known.mark != mark or known.facts is None
        return known

    def stores(self, places: Iterable[Place]) -> list[Summarised]:
        """Return what is known of several tournaments, in the time of one."""
        end = time.monotonic() + SOON
        return [self.store(place, max(0.0, end - time.monotonic())) for place in places]

    def _make(self, place: Place, mark: Mark) -> "Future[tuple[Mark, dict[str, Any]]]":
        if sum(size for _, _, size, _ in mark) < LARGE_STORE:
            return self._threads.submit(facts_of_store, place.path, place.name)
        return self._apart.submit(self._asked, place)

    def _asked(self, place: Place) -> tuple[Mark, dict[str, Any]]:
        """Return the mark and the facts of a large store, which a process of its own reads; it is started when needed.

        One that was killed since it was asked last is followed by another.
        """
        with suppress(WorkerDied):
            return self._ask(place)
        return self._ask(place)

    def _ask(self, place: Place) -> tuple[Mark, dict[str, Any]]:
        with self._lock:
            if self._closed:
                raise RunFailed("the page has ended; start `marl web` again")
            if self._worker is None:
                self._worker = Worker("the process that reads large stores", "tournaments.web.facts:Reader", ())
            worker = self._worker
        try:
            worker.ask("facts", place.path, place.name)
            found: tuple[Mark, dict[str, Any]] = worker.answer()
            return found
        except WorkerDied:
            self._worker = None
            raise

    def _made(self, known: Summarised, done: "Future[Any]", place: Place, kept: Path) -> None:
        with known.lock:
            known.making = None
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                known.error, known.mark, known.due = str(error), store_mark(place.path), time.monotonic() + SHARE
            else:
                known.mark, known.facts = done.result()
                known.error, known.due = "", time.monotonic() + SHARE * known.facts["seconds"]
                if known.facts["seconds"] > SOON / 2:
                    _write_kept(kept, known.mark, known.facts)
        self._told(place.name)

    def _kept(self, path: Path, kind: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.{kind}"

    def _prune(self) -> None:
        """Remove the aggregates that were used least recently where there are too many."""
        with suppress(OSError):
            files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            total = 0
            for file in files:
                total += file.stat().st_size
                if total > MOST_KEPT:
                    file.unlink(missing_ok=True)


def _read_kept(path: Path, store: Path) -> tuple[Mark, dict[str, Any] | None]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["path"] != str(store):
            return (), None
        return tuple(tuple(each) for each in kept["mark"]), dict(kept["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        return (), None


def _write_kept(path: Path, mark: Mark, facts: dict[str, Any]) -> None:
    with suppress(OSError):  # without a cache folder each server makes its own
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(path, json.dumps({"path": facts["path"], "mark": mark, "facts": facts}))
