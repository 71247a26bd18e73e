"""Worker processes: new interpreters, each of which does what its parent asks over a connection, and ends with it.

Not forks: the parent may hold threads. However the parent ends, the connection ends too, and so does the worker.
A process that runs code which may do anything stands behind a shield: it can end neither its parent nor its limits.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from games import working_folder
from games.errors import RunFailed, UserError, WorkerDied, in_words

PATIENCE = 2.0  # seconds that workers have to end by themselves


@dataclass(frozen=True)
class Failure:
    """What a worker answers where its work raised: the error that the parent raises."""

    error: type[UserError]
    arguments: tuple[Any, ...]


class Worker:
    """A process, seen from its parent. It makes an object, `target` ("module:class") called with `arguments`, and then
    calls the methods that it is asked for. `files` are the numbers of open files that it shares.
    """

    def __init__(self, name: str, target: str, arguments: Sequence[Any], files: Sequence[int] = ()) -> None:
        self._name = name
        self._process, self.connection = launch(name, "games.processes:serve", files)
        self.ask(name, target, *arguments)

    def ask(self, *request: Any) -> None:
        """Ask for a method, by its name and arguments; its answer is to be fetched before the next request."""
        with suppress(OSError):  # it is dead, and so its answer will say
            self.connection.send(request)

    def answer(self) -> Any:
        """Return what the method returned; raises what it raised, and WorkerDied where the worker is gone."""
        while not self.connection.poll(1.0):
            self.check_alive()
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):  # it died before its answer, or in the middle of it
            raise self._died() from None
        if isinstance(answer, Failure):
            raise answer.error(*answer.arguments)
        return answer

    def check_alive(self) -> None:
        # The connection of a dead worker stays open in processes that it started.
        if self._process.poll() is not None and not self.connection.poll():
            raise self._died()

    def stop(self, deadline: float) -> None:
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self) -> WorkerDied:
        self.stop(time.monotonic() + PATIENCE)
        code = self._process.returncode
        why = ", often for lack of memory" if code == -9 else ""
        return WorkerDied(f"{self._name} died with exit code {code}{why}; run again to go on from what is saved")


def launch(
    name: str, target: str, files: Sequence[int] = (), *, shielded: bool = False
) -> tuple["subprocess.Popen[bytes]", Connection]:
    """Start a new interpreter that calls `target` ("module:function") with its end of a connection, given as the number
    of an open file. Return the process, and our end.

    It is the first of a session and process group of its own: Ctrl-C is for the parent alone. With `shielded`, what is
    returned is the process of `shield`, and what the target prints goes to the standard error: our output stays ours.
    """
    ours, theirs = Pipe()
    module, function = target.split(":")
    channel = theirs.fileno()
    program = [
        beginning(),
        f"from games.processes import shield; shield({channel})" if shielded else "",
        f"from {module} import {function}; del sys.path[0]; {function}({channel})",
    ]
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", "\n".join(program)],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=2 if shielded else None,
                pass_fds=(channel, *files),
                start_new_session=True,
            )
        except OSError as error:
            raise RunFailed(f"{name} could not be started: {error}; use fewer workers") from error
    return process, ours


def beginning() -> str:
    """Return the first line of the program of another process of ours, which then finds the same modules as this one.

    Until it deletes the first entry of `sys.path`, it finds this project's packages before a user's of the same names.
    """
    path = [str(Path(__file__).parents[1]), *(str(folder) for folder in sys.path)]
    allowed = working_folder.allowed()
    return f"import sys; sys.path[:] = {path}; from games import working_folder; working_folder.install({allowed})"


def shield(channel: int) -> None:
    """Go on in a child process, and stay behind as its parent, which passes on how it ended.

    So the parent whom the child can ask for is not the process that started it; signals to it have no effect. When the
    other end of the connection `channel` closes, it kills its process group: the child, and what the child started.
    """
    deaf = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in deaf]
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in zip(deaf, handlers, strict=True):
            signal.signal(number, handler)
        os.close(wake)
        os.close(woken)
        return
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(channel, select.POLLHUP)  # only that the other end has closed; macOS tells who asks for it
    while True:
        if any(number == channel for number, _ in poll.poll()):
            os.killpg(0, signal.SIGKILL)
        os.read(wake, 1)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def how_it_ended(code: int) -> str:
    """Return the exit code of a shielded process in words: 128 and the number of a signal is how a shell says it."""
    number = -code if code < 0 else code - 128
    known = {int(s): s.name for s in signal.Signals}
    return f"was ended by {known[number]}" if number in known else f"ended with exit code {code}"


def shares(rows: int, workers: int) -> list[tuple[int, int]]:
    """Return which rows each worker holds, from the first to before the second, as even as can be."""
    return list(pairwise(rows * index // workers for index in range(workers + 1)))


def stop_all(workers: Sequence[Worker]) -> None:
    """End workers: at once those that are waiting, after PATIENCE those that are not."""
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.stop(deadline)


def serve(channel: int) -> None:
    """Be a worker: do what is asked until nobody is there to ask; `channel` is the number of an open file."""
    connection = Connection(channel)
    with suppress(EOFError, OSError):
        name, target, *arguments = connection.recv()
        module, made = target.split(":")
        work = getattr(import_module(module), made)(*arguments)
        while True:
            method, *arguments = connection.recv()
            try:
                answer: Any = getattr(work, method)(*arguments)
            except Exception as error:  # a plug-in may raise anything
                answer = _told(error, name)
            connection.send(answer)


def _told(error: Exception, name: str) -> Failure:
    if isinstance(error, UserError):
        return Failure(*error.__reduce__()[:2])
    what = f"{name} raised {in_words(error)}; `marl games check` plays it apart from learning"
    return Failure(RunFailed, (what,))
