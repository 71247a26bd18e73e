"""Engines run tasks: in this process, in worker processes, or on a Ray cluster.

The results are the same: tasks share nothing, take their randomness from keys, and save their work in files.

A worker that dies is replaced, and its task is run again: a task goes on from what an earlier try of it has left, or
does it again. Each worker has one task at a time, so only the task whose worker died has used up a try.
"""

import copy
import importlib.util
import logging
import os
import select
import socket
import subprocess
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar, TypeVarTuple

from games.errors import RunFailed, UserError, WorkerDied, in_words, unforeseen
from games.processes import PATIENCE, how_it_ended, launch

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
Engine = Literal["processes", "ray"]
Task = tuple[int, tuple[Any, ...]]  # its place among the tasks, and its arguments

TRIES = 3  # of a task whose worker dies
EVICTIONS = 10  # tries that Ray's memory monitor may end, which judges the whole machine and not the task
RAY_PATIENCE = 60.0  # seconds in which a cluster has to answer
ON_RAY = 1000  # tasks that are given to Ray before they are needed, since the machines of a cluster may come and go
HOPELESS = 3  # tasks given up with none ended in between, after which no other is begun

_notes: ContextVar[list[str]] = ContextVar("notes")  # of the task that runs
_serves = False  # whether this process is a worker


@dataclass(frozen=True)
class Ended(Generic[Result]):
    """A task that has ended: its result or its error, and the notes that it leaves for the user."""

    result: Result | None = None
    error: Exception | None = None
    notes: tuple[str, ...] = ()
    trace: str = ""  # the traceback of an error that was raised in another process
    given_up: bool = False  # because its workers died
    not_begun: bool = False  # because those of others did

    def value(self) -> Result:
        """Return the result, or raise the error."""
        if self.error is None:
            return self.result  # type: ignore[return-value]
        if self.trace:
            raise self.error from _Elsewhere(self.trace)
        raise self.error


class _Elsewhere(Exception):
    """Show the traceback of an error that was raised in another process."""

    def __str__(self) -> str:
        return f"in a worker\n{self.args[0]}"


def require(engine: Engine) -> None:
    """Raise UserError where an engine's package is not installed; ask before anything is written."""
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("engine 'ray' needs a package that is not installed; pip install 'marl[ray]'")


def note(text: str) -> None:
    """Leave a note for the user, from within a task."""
    _notes.get().append(text)


def run(
    function: Callable[[*Arguments], Result],
    tasks: Iterable[tuple[*Arguments]],
    workers: int,
    engine: Engine = "processes",
) -> Iterator[Result]:
    """Yield `function(*task)` for every task as each ends; engines are those of `outcomes`.

    Raises at once what a task raised; at the end, WorkerDied where a task was given up because its workers died.
    """
    given_up: Ended[Result] | None = None
    for _, ended in outcomes(function, tasks, workers, engine):
        if ended.not_begun:
            break
        if ended.given_up:
            given_up = given_up or ended
        else:
            yield ended.value()
    if given_up:
        given_up.value()


def outcomes(
    function: Callable[[*Arguments], Result],
    tasks: Iterable[tuple[*Arguments]],
    workers: int,
    engine: Engine = "processes",
    names: Sequence[str] = (),
) -> Iterator[tuple[int, Ended[Result]]]:
    """Yield the place of every task among `tasks`, and what came of `function(*task)`, as each ends.

    Tasks begin in their order: give the longest first. They are taken as they are needed, so that there may be more of
    them than fit into memory. With "processes", `workers` run side by side; one worker is this process, in order. With
    "ray", the cluster that RAY_ADDRESS names decides, or a local one; its machines must see the same files. A task
    whose workers died TRIES times ends with WorkerDied, which calls it by its name among `names`; after HOPELESS of
    them in a row the others end so too, without a try. Raises UserError where Ray does not start.
    """
    deaths, places = _Deaths(names), enumerate(tasks)
    first = list(islice(places, workers))
    waiting = chain(first, places)
    if engine == "ray":
        yield from _on_ray(function, waiting, deaths)
    elif len(first) <= 1:
        for place, task in waiting:
            yield place, _attempt(function, task)
    else:
        yield from _in_processes(function, waiting, workers, deaths)


def _attempt(function: Callable[..., Result], task: tuple[Any, ...]) -> Ended[Result]:
    """Run a task in this process."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        return Ended(function(*task), None, tuple(notes))
    except Exception as error:  # a task may raise anything
        return Ended(None, error, tuple(notes))
    finally:
        _notes.reset(token)


def _attempt_elsewhere(function: Callable[..., Result], task: tuple[Any, ...]) -> Ended[Result]:
    """Run a task in a worker: its error comes back with its traceback, and in words where it cannot travel itself."""
    ended = _attempt(function, task)
    if ended.error is None:
        return ended
    trace = "".join(traceback.format_exception(ended.error))
    return replace(ended, error=_portable(ended.error), trace=trace)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process: the same, if it can be taken apart and put together."""
    try:
        copy.copy(error)
        ForkingPickler.dumps(error)
    except Exception:
        return RunFailed(unforeseen(error))
    return error


class _Deaths:
    """The workers that died with each task."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._how: dict[int, list[str]] = defaultdict(list)  # by task
        self._evictions: Counter[int] = Counter()  # by task: of those, by Ray's memory monitor
        self._given_up = 0  # since a task ended

    @property
    def hopeless(self) -> bool:
        """Whether the last HOPELESS tasks were all given up."""
        return self._given_up >= HOPELESS

    def count(self, task: int, how: str, *, eviction: bool = False) -> Ended[Any] | None:
        """Count a death; return how the task ended if it is given up, and None if it is to be run again."""
        died = self._how[task]
        died.append(how)
        self._evictions[task] += eviction
        if len(died) - self._evictions[task] < TRIES and self._evictions[task] < EVICTIONS:
            return None
        self._given_up += 1
        what = f"its worker process died {len(died)} times, and the last one {how} (often for lack of memory)"
        return self._gave_up(task, what)

    def not_begun(self, task: int) -> Ended[Any]:
        """Return how a task ended that was given up without a try."""
        begun = "begun again" if self._how[task] else "begun"
        what = f"it was not {begun}, since the worker processes of {HOPELESS} others died"
        return replace(self._gave_up(task, what), not_begun=True)

    def _gave_up(self, task: int, what: str) -> Ended[Any]:
        remedy = "what is saved is kept: use fewer workers, or run again to go on from it"
        name = self._names[task] if self._names else f"task {task + 1}"
        return Ended(error=WorkerDied(f"{name}: {what}; {remedy}"), given_up=True)

    def noted(self, task: int, ended: Ended[Result]) -> Ended[Result]:
        """Return a task that has ended by itself, with a note of the deaths before."""
        self._given_up = 0
        if not (died := self._how[task]):
            return ended
        again = f"its worker process {died[-1]}, and another one took up the work again"
        return replace(ended, notes=(again, *ended.notes))


def _in_processes(
    function: Callable[..., Result], tasks: Iterator[Task], workers: int, deaths: _Deaths
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

    def __init__(self, function: Callable[..., Any], tasks: Iterator[Task], workers: int, deaths: _Deaths) -> None:
        self._function, self._workers, self._deaths = function, workers, deaths
        self.waiting = tasks
        self._idle: list[_Worker] = []
        self.busy: dict[_Worker, Task] = {}  # and the task that each has

    def begin(self) -> None:
        """Give tasks that wait to workers that have none, new ones if need be."""
        while len(self.busy) < self._workers and not self._deaths.hopeless:
            task = next(self.waiting, None)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else _Worker()
            self.busy[worker] = task
            worker.begin(self._function, task[1])

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
        for worker in self._idle:
            worker.dismiss()
        deadline = time.monotonic() + PATIENCE
        for worker in self._idle:
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
    return None if request is None else _attempt_elsewhere(*request)


def in_worker() -> bool:
    """Return whether this is one of several worker processes: what all of them would say, the parent says."""
    return _serves


def _leave_with_parent(channel: int) -> None:
    """End this worker when the other end of its connection closes, since a killed parent cannot stop it."""
    poll = select.poll()
    poll.register(channel, select.POLLHUP)  # macOS reports it only if asked
    poll.poll()
    os._exit(1)


def _on_ray(
    function: Callable[..., Result], tasks: Iterator[Task], deaths: _Deaths
) -> Iterator[tuple[int, Ended[Result]]]:
    ray = _started_ray()
    dead = ray.exceptions
    died = (dead.WorkerCrashedError, dead.NodeDiedError, dead.OutOfMemoryError, dead.ObjectLostError)
    try:
        # Ray's own retries know nothing of which deaths are a task's fault, and are not counted.
        remote = ray.remote(num_cpus=1, max_retries=0, retry_exceptions=False)(_attempt_elsewhere)
        waiting = {remote.remote(function, task): (place, task) for place, task in islice(tasks, ON_RAY)}
        while waiting and not deaths.hopeless:
            first = ray.wait(list(waiting))[0][0]
            place, task = waiting.pop(first)
            try:
                ended = deaths.noted(place, ray.get(first))
            except died as error:
                eviction = isinstance(error, dead.OutOfMemoryError)
                given_up = deaths.count(place, f"ended with {type(error).__name__}", eviction=eviction)
                if given_up is None:
                    waiting[remote.remote(function, task)] = place, task
                    continue
                ended = given_up
            except dead.RayError as error:
                ended = Ended(error=RunFailed(f"Ray could not run a task: {in_words(error)}"))
            waiting |= {remote.remote(function, task): (later, task) for later, task in islice(tasks, 1)}
            yield place, ended
        for place, _ in chain(waiting.values(), tasks):
            yield place, deaths.not_begun(place)
    finally:
        ray.shutdown()


def _started_ray() -> ModuleType:
    """Return Ray, connected to the cluster that RAY_ADDRESS names, or else to a local one that is started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # two tasks may print the same line
    import ray

    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _ask_whether_it_answers(address)
        # What a task prints appears here, as with "processes".
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=True, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many kinds
        ray.shutdown()
        what, remedy = "a local Ray did not start", "use --engine processes, or try again when the machine is idle"
        if address:
            what, remedy = (
                f"no Ray cluster answers at '{address}'",
                "start one with 'ray start --head', or unset RAY_ADDRESS",
            )
        raise UserError(f"{what} ({in_words(error)}); {remedy}") from error
    return ray  # type: ignore[no-any-return]


def _ask_whether_it_answers(address: str) -> None:
    """Raise OSError where nothing answers at `host:port` or `ray://host:port`: Ray would try for many minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), RAY_PATIENCE).close()
