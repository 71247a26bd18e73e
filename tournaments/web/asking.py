"""Agents are asked in one worker process: what waits is asked together, and only so much waits.

    a handler        puts a question into the queue and gets a Future, or Busy where the queue is full (503)
    one thread       takes all that waits, up to MOST_TOGETHER, and sends it to the worker as one request
    the worker       deciding.Decider: an agent decides for many games in one call

A worker that ends, or answers too late, is replaced, and what it was asked is asked again, one by one, so that only the
question that ends it gets no answer. The worker starts with the first question, and ends with this process.
"""

import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Any

from games.errors import RunFailed, UserError, WorkerDied
from games.processes import Worker, stop_all
from marl.agents.entrants import Identity
from tournaments.web.deciding import Answer, Question

MOST_WAITING = 128  # requests in the queue
MOST_TOGETHER = 64  # questions that are asked together
LONGEST = 60.0  # seconds for one request
NAME = "the process in which agents think"


class Busy(UserError):
    """Report that too many questions wait already."""


@dataclass(frozen=True)
class _Request:
    """A call of a method of the Decider, and where its result goes. Questions are joined to one call."""

    method: str
    arguments: tuple[Any, ...]
    result: Future[Any] = field(default_factory=Future)


class Asker:
    """The queue and its worker. Its methods may be called from any thread."""

    def __init__(self, most_waiting: int = MOST_WAITING, longest: float = LONGEST) -> None:
        self._queue: Queue[_Request | None] = Queue(most_waiting)
        self._longest = longest
        self._worker: Worker | None = None
        self._thread: Thread | None = None
        self._lock, self._closed = Lock(), False

    def ask(self, question: Question) -> Future[Answer]:
        """Return the answer to a question; raises Busy where too many wait."""
        return self._put(_Request("answer", (question,)))

    def identify(self, game: str, references: list[str]) -> Future[list[Identity | str]]:
        """Return who the agents are, or in one sentence why they cannot play; raises Busy where too many wait."""
        return self._put(_Request("identify", (game, references)))

    def close(self) -> None:
        """End the worker, also one that is busy; what waits gets no answer."""
        with self._lock:
            thread, self._closed = self._thread, True
        with suppress(Full):
            self._queue.put_nowait(None)
        if (worker := self._worker) is not None:
            worker.stop(time.monotonic())
        if thread is not None:
            thread.join()

    def _put(self, request: _Request) -> Future[Any]:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._serve, name=NAME, daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(request)
        except Full:
            raise Busy("too many people are waiting for their agents right now; try again in a few seconds") from None
        return request.result

    def _serve(self) -> None:
        """Answer what waits until `close`."""
        while not self._closed and (request := self._queue.get()) is not None:
            waiting = [request]
            with suppress(Empty):
                while len(waiting) < MOST_TOGETHER:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._queue.put(None)  # to end after these
                        break
                    waiting.append(more)
            live = [each for each in waiting if each.result.set_running_or_notify_cancel()]
            for each in live:
                if each.method == "identify":
                    self._settle([each], each.method, *each.arguments)
            if questions := [each for each in live if each.method == "answer"]:
                self._settle(questions, "answer", [each.arguments[0] for each in questions])
        if self._worker is not None:
            stop_all([self._worker])
            self._worker = None

    def _settle(self, requests: list[_Request], method: str, *arguments: Any) -> None:
        """Ask the worker, and hand each request its result, or the error."""
        try:
            found = self._asked(method, *arguments)
        except WorkerDied as error:
            self._worker = None
            if len(requests) > 1:
                for each in requests:
                    self._settle([each], method, list(each.arguments))
                return
            _fail(requests, RunFailed(f"{error}"))
        except (UserError, RunFailed) as error:
            _fail(requests, error)
        except Exception as error:  # such as an answer that cannot be read
            self._worker = None
            _fail(requests, RunFailed(f"{NAME} answered with {type(error).__name__}: {error}; ask again"))
        else:
            for each, result in zip(requests, [found] if method == "identify" else found, strict=True):
                each.result.set_result(result)

    def _asked(self, method: str, *arguments: Any) -> Any:
        if self._closed:
            raise RunFailed(f"{NAME} has ended with the page; start `marl web` again")
        if self._worker is None:
            self._worker = Worker(NAME, "tournaments.web.deciding:Decider", ())
        self._worker.ask(method, *arguments)
        return self._worker.answer(self._longest)


def _fail(requests: list[_Request], error: Exception) -> None:
    for each in requests:
        each.result.set_exception(error)
