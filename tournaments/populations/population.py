"""A population that advances in rounds: its folder, and what all methods do alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrants
from marl.agents.populations import FILE
from marl.base import engine as engines
from marl.base import lock
from marl.base.digests import Json
from marl.base.files import refuse_links, write_text
from marl.base.occupied import holds
from marl.base.schema import dump, load
from marl.base.terminal import Terminal
from marl.base.units import JOURNAL, Unit
from marl.training.writers import Writer, load_writers
from tournaments.populations.files import ROUNDS, Member
from tournaments.populations.settings import AdvancingConfig
from tournaments.populations.training import DIVERGED, MEMBERS
from tournaments.records import provenance
from tournaments.records.store import STORE, Store

Config = TypeVar("Config", bound=AdvancingConfig)


class Population(ABC, Generic[Config]):
    """A population whose config has been checked. Raises UserError if something does not fit; nothing is written."""

    stays: ClassVar[tuple[str, ...]] = ("method", "game")  # when a run goes on, even with accept_changes

    def __init__(self, config: Config, folder: Path, device: str, console: Terminal) -> None:
        engines.require(config.engine)
        self.config, self.folder, self._device, self._console = config, folder, device, console
        with config.blame_game():
            self._spec = make(config.game, 1).spec
        with config.origin.blame(("writers",)):
            self._writers = load_writers(config.writers)

    def run(self, *, resume: bool, accept_changes: bool) -> Path:
        """Advance to the last round; return the path of population.json.

        Raises UserError, with nothing written, if the folder does not fit, or if another process runs a population
        there; RunFailed where a unit of work fails. What is done is kept.
        """
        with lock.held(self.folder, "a population"), engines.kept(self.config.engine, self.folder):
            self._open_folder(resume=resume, accept_changes=accept_changes)
            self._advance()
        return self.folder / FILE

    @abstractmethod
    def _advance(self) -> None:
        """Advance to the last round."""

    @property
    def may_change(self) -> tuple[str, ...]:
        """The keys of the config that may differ when a run goes on."""
        return "engine", "workers", "writers"

    @contextmanager
    def _store(self) -> Iterator[Store]:
        """Open the games of the members."""
        with Store(self.folder / STORE, create=True) as store:
            store.set("spec", self._spec.to_json())
            store.set("game", self.config.game)  # last: a store that names its game has all other facts
            provenance.record(store, self.config.game)
            yield store

    @contextmanager
    def _shown(self, over: int) -> Iterator[Sequence[Writer]]:
        """Open the writers, which go on after so many rounds that are over."""
        config = self.config.model_dump(mode="json")
        with ExitStack() as stack:
            for writer in self._writers.values():
                writer.open(self.folder, config, over - 1)
                stack.callback(writer.close)
            yield list(self._writers.values())

    def _tell(self, unit: Unit, ended: engines.Ended[Json]) -> None:
        """Say of a training that has ended if it diverged: the population goes on with its last checkpoint."""
        if isinstance(ended.result, Mapping) and (why := ended.result.get(DIVERGED)):
            self._say(f"{unit.inputs['member']} diverged: {why}")

    def _say(self, text: str) -> None:
        self._console.print(f"{self.folder}: {text}")

    def _open_folder(self, *, resume: bool, accept_changes: bool) -> None:
        """Make the folder, or go on in it; raises UserError if it holds another population."""
        folder, path = self.folder, self.folder / "config.yaml"
        refuse_links(path, *(folder / name for name in (FILE, JOURNAL, STORE, ROUNDS, MEMBERS)))
        if not path.exists() and holds(folder):
            raise UserError(
                f"'{folder}' holds members side by side, and a population in rounds needs a folder of its own; "
                f"{lock.ELSEWHERE}"
            )
        if path.exists():
            if not resume:
                raise UserError(f"'{folder}' already holds a run; go on with it (--resume), or name another --run-dir")
            self._refuse_other(load(type(self.config), path, record=True), accept_changes=accept_changes)
        self._write("config.yaml", dump(self.config))

    def _write(self, name: str, text: str) -> None:
        """Write a file of the folder; raises UserError where it cannot be written."""
        try:
            write_text(self.folder / name, text)
        except OSError as error:
            raise UserError(f"the folder '{self.folder}' cannot be written: {error}; name another --run-dir") from error

    def _refuse_other(self, begun: AdvancingConfig, *, accept_changes: bool) -> None:
        """Raise UserError if the config differs in what may not change from the one that the run was begun with."""
        now, before = (_values(whole) for whole in (self.config, begun))
        changed = [key for key in now if key not in self.may_change and now[key] != before[key]]
        refuse_changes(changed, before, now, self.stays, accept_changes)


def refuse_changes(
    changed: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any], stays: Sequence[str], accept: bool
) -> None:
    """Raise UserError for keys whose values have changed: with `accept`, for those that must stay."""
    kept = [key for key in changed if key in stays]
    refused = kept if accept else kept + [key for key in changed if key not in stays]
    if refused:
        first, more = refused[0], f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        instead = "name another --run-dir" if kept else "add --accept-changes: its later rounds are then another run's"
        raise UserError(
            f"the population was begun with {_difference(first, before.get(first), now.get(first))}{more}; "
            f"resume with the same, or {instead}"
        )


def named_agents(texts: Sequence[str], role: str, spec: Spec) -> list[Member]:
    """Return the agents that a config names; raises UserError for one that does not fit or is named twice."""
    members: dict[str, Member] = {}
    for text in texts:
        for entrant in load_entrants(text, spec).values():
            entrant.rest()
            entrant.refuse_beside_others()
            if entrant.digest in members:
                raise UserError(f"'{text}' and '{members[entrant.digest].reference}' are the same agent; leave one out")
            name = f"{role}-{len(members):04d}"
            members[entrant.digest] = Member(name, entrant.digest, role, 0, reference=entrant.reference)
    return list(members.values())


def _values(config: AdvancingConfig) -> Mapping[str, Any]:
    """Return every value of a config as JSON data, those that its YAML leaves out included."""
    return {key: getattr(config, key) for key in type(config).model_fields} | config.model_dump(mode="json")


def _difference(key: str, before: Any, now: Any) -> str:
    """Return what a value was and what the config now says, of a section the first setting that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        inner = next(name for name in [*before, *now] if before.get(name) != now.get(name))
        return _difference(f"{key}.{inner}", before.get(inner), now.get(inner))
    return f"{key}: {before!r}, the config now says {now!r}"
