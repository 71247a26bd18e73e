"""Worker processes: new interpreters that answer their parent's requests over a connection, and end when it closes.

They are not forked, because the parent may have threads. When the parent ends, for whatever reason, the connection
closes and the worker ends. A process that runs arbitrary code runs behind a `shield`, so that it can neither end its
parent nor escape its limits.
"""

import math
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

PATIENCE = 2.0  # seconds that workers have to end by themselves before they are killed


@dataclass(frozen=True)
class Failure:
    """A worker's answer when its method raised: the error for the parent to raise."""

    error: type[UserError]
    arguments: tuple[Any, ...]


class Worker:
    """A worker process, as its parent sees it. The process makes one object, by calling `target` ("module:class") with
    `arguments`, and then calls the methods that it is asked for. `files` are descriptors of open files that it shares.
    """

    def __init__(self, name: str, target: str, arguments: Sequence[Any], files: Sequence[int] = ()) -> None:
        self._name = name
        self._process, self.connection = launch(name, "games.processes:serve", files)
        self.ask(name, target, *arguments)

    def ask(self, *request: Any) -> None:
        """Ask for a method by name, with arguments. Call `answer` before the next request."""
        with suppress(OSError):  # the worker is dead: `answer` raises WorkerDied
            self.connection.send(request)

    def answer(self, seconds: float = math.inf) -> Any:
        """Return what the method returned; raises the error of its Failure, and WorkerDied if the worker is dead.

        A worker that has not answered after `seconds` is killed.
        """
        deadline = time.monotonic() + seconds
        while not self.connection.poll(min(1.0, seconds)):
            self.check_alive()
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise WorkerDied(f"{self._name} took longer than {seconds:g} seconds, and was ended; ask for less")
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):  # it died before it had answered, or while it answered
            raise self._died() from None
        if isinstance(answer, Failure):
            raise answer.error(*answer.arguments)
        return answer

    def check_alive(self) -> None:
        """Raise WorkerDied if the process has ended without an answer."""
        # Its connection does not tell: processes that it started may hold it open.
        if self._process.poll() is not None and not self.connection.poll():
            raise self._died()

    def stop(self, deadline: float) -> None:
        """Wait until the process ends; kill it at `deadline` (`time.monotonic`)."""
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
    """Start a new interpreter that calls `target` ("module:function") with the descriptor of its end of a connection.

    Return the process and the other end. The process leads a session and process group of its own, so that Ctrl-C
    reaches the parent alone. With `shielded`, the process returned is that of `shield`, and what the target prints goes
    to standard error, not into this process's output. Raises RunFailed if no process can be started.
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
    """Return the first line of a child's program, by which the child finds the same modules as this process.

    Until the program deletes `sys.path[0]`, this project's packages come before a user's of the same names.
    """
    path = [str(Path(__file__).parents[1]), *(str(folder) for folder in sys.path)]
    allowed = working_folder.allowed()
    return f"import sys; sys.path[:] = {path}; from games import working_folder; working_folder.install({allowed})"


def shield(channel: int) -> None:
    """Fork: return in the child, and stay in the parent, the shield, until the child ends; exit with its exit code.

    `os.getppid()` in the child is the shield, not the process that started it, and the shield ignores signals. When
    the other end of the connection `channel` closes, the shield kills its process group: the child, and what the child
    started.
    """
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    wakes, wakeup = os.pipe()  # the end to read, and the end that a signal writes to
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in zip(ignored, handlers, strict=True):
            signal.signal(number, handler)
        os.close(wakes)
        os.close(wakeup)
        return
    poll = select.poll()
    poll.register(wakes, select.POLLIN)
    poll.register(channel, select.POLLHUP)  # the other end has closed; macOS reports it only if asked
    while True:
        if any(number == channel for number, _ in poll.poll()):
            os.killpg(0, signal.SIGKILL)
        os.read(wakes, 1)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def how_it_ended(code: int) -> str:
    """Return the exit code of a shielded process in words; as in a shell, 128 + n stands for signal n."""
    number = -code if code < 0 else code - 128
    known = {int(s): s.name for s in signal.Signals}
    return f"was ended by {known[number]}" if number in known else f"ended with exit code {code}"


def shares(rows: int, workers: int) -> list[tuple[int, int]]:
    """Return each worker's rows as (start, stop), `stop` excluded; their numbers differ by at most one."""
    return list(pairwise(rows * index // workers for index in range(workers + 1)))


def stop_all(workers: Sequence[Worker]) -> None:
    """End workers: idle ones at once; busy ones are killed after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.stop(deadline)


def serve(channel: int) -> None:
    """Run a worker: answer requests until the connection closes; `channel` is its descriptor."""
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
                answer = _failure(error, name)
            connection.send(answer)


def _failure(error: Exception, name: str) -> Failure:
    if isinstance(error, UserError):
        return Failure(*error.__reduce__()[:2])
    what = f"{name} raised {in_words(error)}; `marl games check` tests the game by itself"
    return Failure(RunFailed, (what,))
