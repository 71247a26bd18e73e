"""Where work runs: here, or in worker processes. The results are the same: tasks share nothing and draw by key."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from games.errors import RunFailed

Result = TypeVar("Result")


def run(function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Yield `function(*task)` for every task as each ends; with one worker, here and in order.

    Raises what a task raised, and RunFailed where a worker process died.
    """
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield function(*task)
        return
    # Spawned, not forked: a fork copies torch's thread pools in whatever state they are.
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(function, *task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RunFailed(
            "a worker process died (killed, or out of memory); run again to go on from what is saved"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
