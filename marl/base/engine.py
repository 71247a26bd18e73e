"""Engines run tasks: in this process, in worker processes, or on a Ray cluster.

The results are the same: tasks share nothing, take their randomness from keys, and save their work in files.
"""

import importlib.util
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection
from typing import Literal, TypeVar, TypeVarTuple

from games.errors import RunFailed, UserError

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
Engine = Literal["processes", "ray"]

WAITING = 2  # tasks for each worker that are taken before they are needed
WAITING_ON_RAY = 1000  # tasks, since the machines of a cluster may come and go

_DIED = "a worker process died (killed, or out of memory); run again to go on from what is saved"


def require(engine: Engine) -> None:
    """Raise UserError where an engine's package is not installed; ask before anything is written."""
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("engine 'ray' needs a package that is not installed; pip install 'marl[ray]'")


def run(
    function: Callable[[*Arguments], Result],
    tasks: Iterable[tuple[*Arguments]],
    workers: int,
    engine: Engine = "processes",
) -> Iterator[Result]:
    """Yield `function(*task)` for every task as each ends. Tasks are taken as they are needed, a few at a time.

    With "processes", `workers` run side by side; one worker is this process, in order. With "ray", the cluster that
    RAY_ADDRESS names decides, or a local one; its machines must see the same files. Raises what a task raised, and
    RunFailed where a worker died.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, workers))
    tasks = chain(first, tasks)
    if engine == "ray":
        yield from _on_ray(function, tasks)
    elif len(first) <= 1:
        for task in tasks:
            yield function(*task)
    else:
        yield from _in_processes(function, tasks, len(first))


def _in_processes(
    function: Callable[[*Arguments], Result], tasks: Iterator[tuple[*Arguments]], workers: int
) -> Iterator[Result]:
    # Spawned, not forked: a fork copies torch's thread pools in whatever state they are.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_with_parent)
    waiting: set[Future[Result]] = set()
    try:
        while True:
            waiting |= {pool.submit(function, *task) for task in islice(tasks, WAITING * workers - len(waiting))}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise RunFailed(_DIED) from error
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():  # what they have saved is whole: do not wait for more
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_with_parent() -> None:
    """End this worker when its parent process is gone, since a killed parent cannot stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in worker processes only"

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _on_ray(function: Callable[[*Arguments], Result], tasks: Iterator[tuple[*Arguments]]) -> Iterator[Result]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # two tasks may print the same line
    import ray

    # What a task prints appears here, as with "processes".
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=True, logging_level=logging.ERROR)
    remote = ray.remote(num_cpus=1)(function)
    waiting = [remote.remote(*task) for task in islice(tasks, WAITING_ON_RAY)]
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            yield ray.get(done[0])
            waiting += [remote.remote(*task) for task in islice(tasks, 1)]
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.WorkerCrashedError as error:
        raise RunFailed(_DIED) from error
    finally:
        ray.shutdown()
