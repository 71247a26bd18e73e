"""Worker processes: each has one task at a time, and one that dies is replaced."""

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import Any

from games.errors import RunFailed, in_words
from games.processes import PATIENCE, how_it_ended, launch
from marl.base.tasks import Deaths, Ended, Result, Task, attempt_elsewhere

_serves = False  # whether this process is a worker
_kept: "list[_Worker] | None" = None  # workers without a task, while they are `kept`


@contextmanager
def kept() -> Iterator[None]:
    """Keep workers that have no task from one call of `in_processes` to the next: they need not start again."""
    global _kept
    if _kept is not None:  # by a caller
        yield
        return
    _kept = []
    try:
        yield
    finally:
        idle, _kept = _kept, None
        _dismiss(idle)


def in_processes(
    function: Callable[..., Result], tasks: Iterator[Task], workers: int, deaths: Deaths
) -> Iterator[tuple[int, Ended[Result]]]:
    crew = _Crew(function, tasks, workers, deaths)
    try:
        crew.begin()
        while crew.busy:
            ended = crew.ended()
            crew.begin()  # before the results are looked at: no worker waits for that
            yield from ended
        for place, _ in crew.waiting:
            yield place, deaths.not_begun(place)
    finally:
        crew.close()


class _Crew:
    """Worker processes, each with one task at a time."""

    def __init__(self, function: Callable[..., Any], tasks: Iterator[Task], workers: int, deaths: Deaths) -> None:
        self._function, self._workers, self._deaths = function, workers, deaths
        self.waiting = tasks
        self._idle: list[_Worker] = [] if _kept is None else _kept
        self.busy: dict[_Worker, Task] = {}  # and the task that each has

    def begin(self) -> None:
        """Give tasks that wait to workers that have none, new ones if need be."""
        while len(self.busy) < self._workers and not self._deaths.hopeless:
            task = next(self.waiting, None)
            if task is None:
                return
            worker = self._idle_one() or _Worker()
            self.busy[worker] = task
            worker.begin(self._function, task[1])

    def _idle_one(self) -> "_Worker | None":
        """Return a worker that has no task and lives; None if there is none."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.is_dead():
                return worker
            worker.kill()
        return None

    def ended(self) -> list[tuple[int, Ended[Any]]]:
        """Wait for workers that have ended their tasks or died; return what ended, each with its place."""
        found = []
        ready = wait([worker.connection for worker in self.busy], timeout=1.0)
        for worker in [each for each in self.busy if each.connection in ready or each.is_dead()]:
            task, ended = self.busy.pop(worker), worker.ended()
            place = task[0]
            if ended is not None:
                self._idle.append(worker)
                found.append((place, self._deaths.noted(place, ended)))
            elif (given_up := self._deaths.count(place, worker.how_it_ended())) is not None:
                found.append((place, given_up))
            else:
                self.waiting = chain([task], self.waiting)
        return found

    def close(self) -> None:
        """End all workers: what the busy ones have saved is whole."""
        for worker in self.busy:
            worker.kill()
        if _kept is None:
            _dismiss(self._idle)


def _dismiss(workers: Sequence["_Worker"]) -> None:
    """Let workers end that have no task."""
    for worker in workers:
        worker.dismiss()
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.how_it_ended(deadline)


class _Worker:
    """A worker process, as its parent sees it. It leads a session of its own: Ctrl-C reaches the parent alone."""

    def __init__(self) -> None:
        self._process, self.connection = launch("a worker process", f"{__name__}:serve")

    def begin(self, function: Callable[..., Any], task: tuple[Any, ...]) -> None:
        """Give it a task."""
        with suppress(OSError):  # it is dead, as `ended` will find
            self.connection.send((function, task))

    def ended(self) -> Ended[Any] | None:
        """Return how its task ended; None where it died first. Call it when the connection is ready, or it is dead."""
        try:
            # A process that the dead one started may hold the connection open.
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            return None

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def dismiss(self) -> None:
        """Let it end, which has no task."""
        with suppress(OSError):
            self.connection.send(None)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def how_it_ended(self, deadline: float | None = None) -> str:
        """Wait for its end, kill it at `deadline` (`time.monotonic`), and say how it ended."""
        deadline = time.monotonic() + PATIENCE if deadline is None else deadline
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        return how_it_ended(self._process.returncode)


def serve(channel: int) -> None:
    """Be a worker process: run the tasks that come through a connection, `channel` its descriptor, until None comes."""
    global _serves
    _serves = True
    threading.Thread(target=_leave_with_parent, args=(channel,), daemon=True).start()
    connection = Connection(channel)
    with suppress(EOFError, OSError):  # the parent is gone
        while (ended := _answer(connection)) is not None:
            try:
                connection.send(ended)
            except OSError:
                raise
            except Exception as error:  # a result that cannot be pickled
                connection.send(Ended(error=RunFailed(f"the result of a task cannot be sent: {in_words(error)}")))


def _answer(connection: Connection) -> Ended[Any] | None:
    """Wait for a task and run it; None where none is to come."""
    try:
        request = connection.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:  # such as a function in a module that is not found
        return Ended(error=RunFailed(f"a worker process cannot read its task: {in_words(error)}"))
    return None if request is None else attempt_elsewhere(*request)


def in_worker() -> bool:
    """Return whether this is one of several worker processes: what all of them would say, the parent says."""
    return _serves


def _leave_with_parent(channel: int) -> None:
    """End this worker when the other end of its connection closes, since a killed parent cannot stop it."""
    poll = select.poll()
    poll.register(channel, select.POLLHUP)  # macOS reports it only if asked
    poll.poll()
    os._exit(1)
