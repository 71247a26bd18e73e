"""Tasks: what came of one, the notes that it leaves, and how often its workers may die."""

import copy
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from games.errors import RunFailed, WorkerDied, unforeseen

Result = TypeVar("Result")
Task = tuple[int, tuple[Any, ...]]  # its place among the tasks, and its arguments

TRIES = 3  # of a task whose worker dies
EVICTIONS = 10  # tries that Ray's memory monitor may end, which judges the whole machine and not the task
HOPELESS = 3  # tasks given up with none ended in between, after which no other is begun

_notes: ContextVar[list[str]] = ContextVar("notes")  # of the task that runs


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


def note(text: str) -> None:
    """Leave a note for the user, from within a task."""
    _notes.get().append(text)


def attempt(function: Callable[..., Result], task: tuple[Any, ...]) -> Ended[Result]:
    """Run a task in this process."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        return Ended(function(*task), None, tuple(notes))
    except Exception as error:  # a task may raise anything
        return Ended(None, error, tuple(notes))
    finally:
        _notes.reset(token)


def attempt_elsewhere(function: Callable[..., Result], task: tuple[Any, ...]) -> Ended[Result]:
    """Run a task in a worker: its error comes back with its traceback, and in words where it cannot travel itself."""
    ended = attempt(function, task)
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


class Deaths:
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
