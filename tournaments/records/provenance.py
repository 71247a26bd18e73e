"""Where a store's games come from: who its agents are, and the software and machines that played.

It is recorded when a tournament begins, in the table `meta`, so that a report is a function of the store alone:

    agents      by id: what it is, and of a checkpoint its algorithm, steps, parent, and what its training cost
    machines    each kind of machine and each set of versions that has played games, in the order of their first games
"""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError

from games import plugins
from games.errors import UserError
from games.references import layers
from marl.agents.cost import cost
from marl.agents.entrants import Identity
from marl.agents.references import PERSON
from marl.base.digests import versions
from tournaments.records.store import Store

AGENTS, MACHINES = "agents", "machines"  # keys of the table meta


class _Fact(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Origin(_Fact):
    """What an agent is, and of a checkpoint what made it; None where that is not known."""

    kind: Literal["checkpoint", "class", "built-in", "person"]
    algorithm: str | None = None
    steps: NonNegativeInt | None = None
    parent: str | None = None  # the digest of the checkpoint before
    wall_seconds: NonNegativeFloat | None = None  # of the training of its run, up to it
    cpu_seconds: NonNegativeFloat | None = None

    @classmethod
    def of(cls, agent: Identity) -> "Origin":
        """Return what is known of an agent; the cost of its training is read from the log of its run."""
        training = agent.training
        if agent.reference.startswith(PERSON):
            return cls(kind="person")
        if training is None:
            return cls(kind="class" if agent.foreign else "built-in")
        spent = cost(training.folder.absolute().parent.parent, training.step)
        return cls(
            kind="checkpoint", algorithm=training.algorithm, steps=training.step, parent=training.parent, **spent
        )


class Machine(_Fact):
    """A kind of machine and the versions of the software on it: what may decide a game's last digits."""

    versions: dict[str, str]  # of Python, of our packages, and of those that the game comes from
    processor: str
    system: str

    @classmethod
    def this(cls, game: str) -> "Machine":
        """Return what this process runs on, to play a game by its reference."""
        software = {"python": platform.python_version()} | versions() | _versions_of(game)
        system = f"{platform.system()} {platform.machine()}".strip()
        return cls(versions=software, processor=f"{processor()}, {os.cpu_count()} cores", system=system)


Recorded = TypeVar("Recorded")
_ORIGINS, _MACHINES = TypeAdapter(dict[str, Origin]), TypeAdapter(list[Machine])


def record(store: Store, game: str, agents: Iterable[Identity] = ()) -> None:
    """Record who the agents are that the store does not know yet, and what this process runs on."""
    known = origins(store)
    new = {agent.digest: Origin.of(agent) for agent in agents if agent.digest not in known}
    if new:
        store.set(AGENTS, _ORIGINS.dump_python(known | new, exclude_none=True))
    before, this = machines(store), Machine.this(game)
    if this not in before:
        store.set(MACHINES, _MACHINES.dump_python([*before, this]))


def origins(store: Store) -> dict[str, Origin]:
    """Return what the store says of its agents, by id; raises UserError where no release wrote that."""
    return _read(store, AGENTS, _ORIGINS, {})


def machines(store: Store) -> list[Machine]:
    """Return the machines that played the games of a store; raises UserError where no release wrote that."""
    return _read(store, MACHINES, _MACHINES, [])


def _read(store: Store, key: str, kind: TypeAdapter[Recorded], default: Recorded) -> Recorded:
    try:
        return kind.validate_python(store.get(key, default))
    except ValidationError as error:
        raise UserError(
            f"expected a store that says where its games come from, got '{store.path}' with other '{key}'; run its "
            "tournament again"
        ) from error


def _versions_of(game: str) -> dict[str, str]:
    """Return the versions of the packages that a game may come from: of its source, and of the module that it names."""
    reference = layers(game)[0]
    names = {reference.source.partition(".")[0], reference.name.partition(".")[0]}
    names |= {point.dist.name for point in plugins.points(plugins.GAMES) if point.name == reference.name and point.dist}
    found = {}
    for name in sorted(names - {""}):
        try:
            found[name] = version(name)
        except (PackageNotFoundError, ValueError):
            continue
    return found


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
