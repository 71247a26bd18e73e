"""Engines run tasks: in this process, in worker processes, or on a Ray cluster.

The results are the same: tasks share nothing, take their randomness from keys, and save their work in files.

A worker that dies is replaced, and its task is run again: a task goes on from what an earlier try of it has left, or
does it again. Each worker has one task at a time, so only the task whose worker died has used up a try.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypeVarTuple

from games.errors import UserError
from marl.base import cluster, crew
from marl.base.crew import in_worker
from marl.base.tasks import Deaths, Ended, Result, attempt, note

__all__ = ["Ended", "Engine", "in_worker", "kept", "note", "outcomes", "require", "run"]

Arguments = TypeVarTuple("Arguments")
Engine = Literal["processes", "ray"]


def require(engine: Engine) -> None:
    """Raise UserError where an engine's package is not installed; ask before anything is written."""
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("engine 'ray' needs a package that is not installed; pip install 'marl[ray]'")


@contextmanager
def kept(engine: Engine, folder: Path) -> Iterator[None]:
    """Keep worker processes, or the connection to a cluster, from one call of `outcomes` to the next.

    The machines of a cluster are asked first whether they have the same versions as this one, and whether they see
    `folder`: if not, files travel with tasks (parcels.py). Raises UserError for other versions, and where Ray does not
    start.
    """
    with ExitStack() as stack:
        stack.enter_context(cluster.connected(folder) if engine == "ray" else crew.kept())
        yield


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
    "ray", the cluster that RAY_ADDRESS names decides, or a local one. A task whose workers died TRIES times ends with
    WorkerDied, which calls it by its name among `names`; after HOPELESS of them in a row the others end so too, without
    a try. Raises UserError where Ray does not start.
    """
    deaths, places = Deaths(names), enumerate(tasks)
    first = list(islice(places, workers))
    waiting = chain(first, places)
    if engine == "ray":
        yield from cluster.on_ray(function, waiting, deaths)
    elif len(first) <= 1:
        for place, task in waiting:
            yield place, attempt(function, task)
    else:
        yield from crew.in_processes(function, waiting, workers, deaths)
