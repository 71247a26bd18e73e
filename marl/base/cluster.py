"""A Ray cluster: its machines are asked who they are, and tasks run on those that are like this one.

A task's bytes depend on the versions of packages, plug-ins included, and in its last digits on the kind of processor
(docs/explanation/reproducibility.md). A machine whose versions differ does no work; another kind of processor is noted.
Tasks are stateless. Ray's own retries are off: they know nothing of which deaths are a task's fault, and are not
counted.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from games.errors import RunFailed, UserError, in_words
from games.plugins import installed
from marl.base import parcels
from marl.base.digests import digest, fingerprint, versions
from marl.base.tasks import Deaths, Ended, Result, Task, attempt_elsewhere

PATIENCE = 60.0  # seconds in which a cluster has to answer
AHEAD = 1000  # tasks that are given to Ray before they are needed, since the machines of a cluster may come and go
PROBE = ".seen-by-all-machines"  # a file in the folder whose name says what it is for

_log = logging.getLogger(__name__)
_ray: ModuleType | None = None  # while `connected`
_carries = False  # whether files travel with tasks, since some machine does not see them


@dataclass(frozen=True)
class Machine:
    """What decides the bytes of a task on a machine."""

    host: str
    versions: dict[str, str]
    code: str  # the fingerprint of our packages and of plug-ins
    processor: str
    sees: bool = True  # the folder


def this_machine(sees: str = "") -> Machine:
    """Return who this machine is; `sees` is a file that it ought to see."""
    import torch

    kind = torch.backends.cpu.get_cpu_capability()
    return Machine(socket.gethostname(), versions(), code_here(), kind, not sees or os.path.exists(sees))


@cache
def code_here() -> str:
    """Return the fingerprint of our packages and of plug-ins on this machine; torch is not imported for it."""
    return digest([fingerprint(), installed()])


@contextmanager
def connected(folder: Path) -> Iterator[None]:
    """Stay connected to the cluster that RAY_ADDRESS names, or to a local one, for several calls of `on_ray`.

    The files of tasks travel with them if some machine does not see the folder. Raises UserError where Ray does not
    start, and for a machine that has other versions.
    """
    global _ray, _carries
    _ray = _started()
    try:
        _carries = not _all_see(_ray, folder)
        yield
    finally:
        _ray.shutdown()
        _ray, _carries = None, False


def on_ray(
    function: Callable[..., Result], tasks: Iterator[Task], deaths: Deaths
) -> Iterator[tuple[int, Ended[Result]]]:
    """Run tasks on a cluster, as `engine.outcomes` does."""
    ray = _ray or _started()
    dead = ray.exceptions
    died = (dead.WorkerCrashedError, dead.NodeDiedError, dead.OutOfMemoryError, dead.ObjectLostError)
    try:
        remote = ray.remote(num_cpus=1, max_retries=0, retry_exceptions=False)(_attempt_there)
        begin = _sender(ray, remote, function)
        waiting = {begin(task): (place, task) for place, task in islice(tasks, AHEAD)}
        while waiting and not deaths.hopeless:
            first = ray.wait(list(waiting))[0][0]
            place, task = waiting.pop(first)
            try:
                ended, code, host, content = ray.get(first)
                ended = deaths.noted(place, ended)
                if code != code_here():  # a machine that came late: what it did is done again
                    what = "was of another version" if code else "did not see the run's folder"
                    ended = deaths.count(place, f"{what}, on {host}")
                elif content is not None:
                    parcels.delivered(task, content)
            except died as error:
                eviction = isinstance(error, dead.OutOfMemoryError)
                ended = deaths.count(place, f"ended with {type(error).__name__}", eviction=eviction)
            except dead.RayError as error:
                ended = Ended(error=RunFailed(f"Ray could not run a task: {in_words(error)}"))
            if ended is None:
                waiting[begin(task)] = place, task
                continue
            waiting |= {begin(task): (later, task) for later, task in islice(tasks, 1)}
            yield place, ended
        for place, _ in chain(waiting.values(), tasks):
            yield place, deaths.not_begun(place)
    finally:
        if _ray is None:
            ray.shutdown()


def _sender(ray: ModuleType, remote: Any, function: Callable[..., Any]) -> Callable[[tuple[Any, ...]], Any]:
    """Return how a task is given to the cluster: with its files where these travel, each folder's content once."""
    if not _carries:
        return lambda task: remote.remote(function, parcels.placed(task))
    contents: dict[str, Any] = {}  # references by digest

    def put(content: bytes, digest: str) -> Any:
        if digest not in contents:
            contents[digest] = ray.put(content)
        return contents[digest]

    return lambda task: remote.remote(function, parcels.packed(task, put))


def _attempt_there(function: Callable[..., Any], task: tuple[Any, ...]) -> tuple[Ended[Any], str, str, bytes | None]:
    """Run a task on a machine of the cluster.

    Return how it ended, who the machine is, and what it has written if files travel with tasks. A machine that does not
    see the folder in which the task is to write does nothing, and is nobody.
    """
    if parcels.out_of_sight(task):
        return Ended(), "", socket.gethostname(), None
    with parcels.opened(task, _fetched) as (laid, written):
        ended = attempt_elsewhere(function, laid)
        return ended, code_here(), socket.gethostname(), written()


def _fetched(content: Any) -> bytes:
    """Return the bytes of a parcel."""
    import ray

    return bytes(ray.get(content))


def _all_see(ray: ModuleType, folder: Path) -> bool:
    """Return whether all machines of the cluster see a folder; raises UserError for one that has other versions."""
    ours, probe = this_machine(), folder.absolute() / PROBE
    folder.mkdir(parents=True, exist_ok=True)
    probe.touch()
    try:
        machines = _machines(ray, str(probe))
    finally:
        probe.unlink(missing_ok=True)
    for machine in machines:
        if machine.code != ours.code:
            raise UserError(
                f"the machine {machine.host} has {_differing(machine, ours)}; install the same, or take the machine "
                "out of the cluster"
            )
        if not machine.sees:
            _log.warning(
                "note: the machine %s does not see the folder '%s': the files of each task travel with it",
                machine.host,
                folder.absolute(),
            )
        if machine.processor != ours.processor:
            _log.warning(
                "note: the machine %s has another kind of processor (%s, here %s): results that it computes may "
                "differ in their last digits",
                machine.host,
                machine.processor,
                ours.processor,
            )
    return all(machine.sees for machine in machines)


def _machines(ray: ModuleType, probe: str) -> list[Machine]:
    """Return who the machines of the cluster are, each asked itself; raises UserError where one does not answer."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asks = ray.remote(num_cpus=0, max_retries=0)(this_machine)
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = [
        asks.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(probe)
        for node in alive
    ]
    try:
        found: list[Machine] = ray.get(asked, timeout=PATIENCE)
    except ray.exceptions.RayError as error:
        raise UserError(
            f"a machine of the cluster does not answer ({in_words(error)}); take it out, or install there what is "
            "installed here"
        ) from error
    return found


def _differing(machine: Machine, ours: Machine) -> str:
    """Return the first version that differs, in words."""
    for package, version in ours.versions.items():
        if machine.versions.get(package) != version:
            return f"{package} {machine.versions.get(package)}, this one {version}"
    return "other plug-ins, or another source of marl, than this one"


def _started() -> ModuleType:
    """Return Ray, connected to the cluster that RAY_ADDRESS names, or else to a local one that is started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # two tasks may print the same line
    import ray

    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _ask_whether_it_answers(address)
        # What a task prints appears here, as with "processes".
        ray.init(
            address
            or "local",  # by itself Ray would look for the last cluster of this machine, for minutes if it is gone
            ignore_reinit_error=True,
            include_dashboard=None if address else False,
            log_to_driver=True,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises many kinds
        ray.shutdown()
        what, remedy = "a local Ray did not start", "use --engine processes, or try again when the machine is idle"
        if address:
            what, remedy = (
                f"no Ray cluster answers at '{address}'",
                "start one with 'ray start --head', or unset RAY_ADDRESS",
            )
        raise UserError(f"{what} ({in_words(error)}); {remedy}") from error
    started: ModuleType = ray
    return started


def _ask_whether_it_answers(address: str) -> None:
    """Raise OSError where nothing answers at `host:port` or `ray://host:port`: Ray would try for many minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), PATIENCE).close()
