"""Step slow environments in several processes: each holds its share of them, and writes its rows of shared arrays.

    parent      writes actions [E, N], asks                                     waits, returns the TimeStep [E, ...]
    worker 0                                steps and writes rows  0 to 31, answers
    worker 1                                steps and writes rows 32 to 63, answers

The arrays lie in a file without a name, so that no file is left when a process is killed.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from multiprocessing.connection import wait
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.contract import Box, Spec, TimeStep
from games.errors import UserError, numbered_from
from games.processes import Worker, shares, stop_all
from games.registry import make

_LINE = 64  # bytes of a cache line; each array begins on one


class Workers:
    """Step `num_envs` environments of a game in `workers` processes, as one VecEnv.

    Episodes are the same as in one process, since each comes from its own seed. An error in one worker ends all of them
    and is raised here: a UserError unchanged, anything else as RunFailed, a worker's death as WorkerDied.
    Raises UserError for fewer than one worker, and for more workers than environments.
    """

    def __init__(self, reference: str, num_envs: int, workers: int) -> None:
        if not 1 <= workers <= num_envs:
            raise UserError(f"expected 1 to {num_envs} workers, no more than environments, got {workers}")
        self.num_envs = num_envs
        self._workers: list[Worker] = []
        self._stop = weakref.finalize(self, stop_all, self._workers)
        with _nameless_file() as memory:
            for index, (start, stop) in enumerate(shares(num_envs, workers)):
                share = Share(reference, num_envs, index, start, stop)
                files = [memory.fileno()]
                self._workers.append(Worker(str(share), "games.workers:Environments", [share, *files], files))
            self.spec: Spec = replace(self._ask("build")[0], searchable=False)  # positions stay in their processes
            arrays = _shared_arrays(self.spec, num_envs, memory.fileno())
        self._actions, self._seeds, self._where = (arrays.pop(name) for name in ("actions", "seeds", "where"))
        self._timestep = TimeStep(**arrays)

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        self._seeds[:] = seeds
        self._where[:] = True if where is None else where
        self._ask("reset")
        return self._timestep

    def step(self, actions: Actions) -> TimeStep:
        self._actions[:] = actions
        self._ask("step")
        return self._timestep

    def close(self) -> None:
        """Stop the processes; the environments cannot be used afterwards."""
        self._stop()

    def _ask(self, request: str) -> list[Any]:
        """Return every worker's answer; stop all workers if one fails or the wait is interrupted."""
        try:
            for worker in self._workers:
                worker.ask(request)
            answers, waiting = [], {worker.connection: worker for worker in self._workers}
            while waiting:
                for connection in wait(list(waiting), timeout=1.0):
                    answers.append(waiting.pop(connection).answer())  # type: ignore[call-overload]
                for worker in waiting.values():
                    worker.check_alive()
            return answers
        except BaseException:
            self.close()
            raise


@dataclass(frozen=True)
class Share:
    """The environments `start` to `stop` (excluded) of `num_envs`, which one worker holds."""

    reference: str
    num_envs: int
    worker: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"worker {self.worker} of '{self.reference}' (environments {self.start} to {self.stop - 1})"


class Environments:
    """A worker's environments and their rows, in the worker's process."""

    def __init__(self, share: Share, memory: int) -> None:
        self._share, self._memory = share, memory

    def build(self) -> Spec:
        share = self._share
        self._venv = make(share.reference, share.stop - share.start)
        arrays = _shared_arrays(self._venv.spec, share.num_envs, self._memory)
        self._rows = {name: array[share.start : share.stop] for name, array in arrays.items()}
        return self._venv.spec

    def reset(self) -> None:
        where = self._rows["where"].copy()
        if where.any():
            self._write(lambda: self._venv.reset(self._rows["seeds"].copy(), where))

    def step(self) -> None:
        self._write(lambda: self._venv.step(self._rows["actions"].copy()))

    def _write(self, move: Callable[[], TimeStep]) -> None:
        with numbered_from(self._share.start):
            timestep = move()
        for field in fields(timestep):
            self._rows[field.name][:] = getattr(timestep, field.name)


def _nameless_file() -> IO[bytes]:
    """Open an empty file that exists until the last process closes it, in memory if the system supports that."""
    return os.fdopen(os.memfd_create("workers"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def _shared_arrays(spec: Spec, num_envs: int, memory: int) -> dict[str, NDArray[Any]]:
    """Map a file as the arrays of a batch, the same in every process: a TimeStep's, and the arguments of its calls."""
    action = np.empty(spec.action.size, np.float32) if isinstance(spec.action, Box) else np.empty((), np.int64)
    arrays = vars(TimeStep.empty(spec, num_envs)) | {
        "actions": np.empty((num_envs, spec.num_players, *action.shape), action.dtype),
        "seeds": np.empty(num_envs, np.uint64),
        "where": np.empty(num_envs, bool),
    }
    starts = np.cumsum([0] + [-(-array.nbytes // _LINE) * _LINE for array in arrays.values()]).tolist()
    size = starts.pop()
    os.ftruncate(memory, size)
    block = mmap.mmap(memory, size)
    return {
        name: np.ndarray(array.shape, array.dtype, block, start)
        for (name, array), start in zip(arrays.items(), starts, strict=True)
    }
