"""A population whose members are runs of one training config.

    train.yaml                  that config, as the population was begun with it: the file that it came from may change
    members/<id>/<round:04d>/   what a member trains in a round: a run whose parent is the newest checkpoint of another

Each run is a folder of its own, so the checkpoint with which it ends stays, whoever goes on from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from marl.agents import checkpoint
from marl.base.files import refuse_links
from marl.base.origin import Change
from marl.base.parcels import Reads, Writes
from marl.base.schema import change, dump, load
from marl.base.terminal import Terminal
from marl.base.units import Journal, Unit, work
from marl.training.config import TrainConfig
from marl.training.population import stands
from marl.training.train import Checked
from marl.training.units import training_unit
from tournaments.populations.population import Population, refuse_changes
from tournaments.populations.settings import OfTraining
from tournaments.populations.training import DIGEST, MEMBERS, train_unit

TRAINING = "train.yaml"

Config = TypeVar("Config", bound=OfTraining)
Output = Mapping[str, Any]  # where a member's newest checkpoint lies, its agent's digest, its step, and if it diverged


@dataclass(frozen=True)
class Run:
    """What a member trains in one round: a unit of work.

    All that decides what it becomes is in the unit by value or by digest: `base` has the config that way.
    """

    member: str
    round: int
    base: Checked  # the population's training config
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)  # by their keys: algorithm.learning_rate
    parent: str | None = None  # the digest of a checkpoint
    until: int | None = None  # the step at which the round ends; None: that at which training does
    opponents: Mapping[str, Any] | None = None  # by digest, in place of the config's
    reward_terms: Sequence[Mapping[str, Any]] = ()  # whose agents are named by digest; none: the config's
    steps: int | None = None  # in place of the config's
    agents: Mapping[str, str] = field(default_factory=dict)  # references by digest: of all that are named so

    @property
    def folder(self) -> str:
        """The run's folder, relative to the population's."""
        return f"{MEMBERS}/{self.member}/{self.round:04d}"

    @property
    def config(self) -> TrainConfig:
        """The run's config."""
        return TrainConfig.model_validate(self._changed(self.base.config.model_dump(mode="json")))

    @property
    def unit(self) -> Unit:
        """The unit of work."""
        return training_unit(self.member, self._changed(self.base.inputs), self.seed, self.until)

    def task(self, folder: Path, device: str) -> tuple[Any, ...]:
        """Return the arguments of `train_unit`."""
        config, agents = self.config.model_dump(mode="json"), {key: Reads(lies) for key, lies in self.agents.items()}
        return config, Writes(folder, self.folder), self.folder, agents, device, self.until

    def _changed(self, data: dict[str, Any]) -> dict[str, Any]:
        data = change(data, [Change(tuple(name.split(".")), value, name) for name, value in self.settings.items()])
        changes: dict[str, Any] = {"seed": self.seed}
        if self.steps is not None:
            changes["steps"] = self.steps
        if self.opponents is not None:
            changes["opponents"] = dict(self.opponents)
        if self.reward_terms:
            changes["reward_terms"] = [dict(term) for term in self.reward_terms]
        if self.parent is not None:
            changes["parent"] = f"{DIGEST}{self.parent}"
        return data | changes


class Trained(Population[Config]):
    """A population whose members are trained by one config, which has been checked."""

    def __init__(self, config: Config, folder: Path, device: str, console: Terminal, base: Checked) -> None:
        super().__init__(config, folder, device, console)
        self._base = base

    def _open_folder(self, *, resume: bool, accept_changes: bool) -> None:
        refuse_links(self.folder / TRAINING)
        super()._open_folder(resume=resume, accept_changes=accept_changes)
        self._write(TRAINING, dump(self._base.config))

    def _refuse_other(self, begun: Any, *, accept_changes: bool) -> None:
        """Refuse another training config, too, as it was read when the population was begun."""
        super()._refuse_other(begun, accept_changes=accept_changes)
        if (self.folder / TRAINING).exists():
            now, before = (
                {f"train.{key}": value for key, value in whole.model_dump(mode="json").items() if key != "writers"}
                for whole in (self._base.config, trained_by(self.folder))
            )
            refuse_changes(
                [key for key in now | before if now.get(key) != before.get(key)], before, now, (), accept_changes
            )

    def _train(self, journal: Journal, runs: Iterable[Run]) -> dict[str, Output]:
        """Train what members train in a round, but for what is there; return what it made, by member."""
        units = {run.member: run.unit for run in runs}
        tasks = {run.unit: run.task(self.folder, self._device) for run in runs}
        journal.drop(unit for unit in tasks if unit in journal and not stands(self.folder, journal.output(unit)))
        made = work(journal, tasks, train_unit, self.config.workers, self.config.engine, self._tell)
        return {member: made[unit.id] for member, unit in units.items()}

    def _stand(self, outputs: Iterable[Output]) -> bool:
        """Return whether the checkpoints that a round made are all there."""
        return all(stands(self.folder, dict(output)) for output in outputs)


def trained_by(folder: Path) -> TrainConfig:
    """Return the training config with which a population was begun."""
    return load(TrainConfig, folder / TRAINING, record=True)


def integrity_of(folder: Path, output: Output) -> str:
    """Return the digest of all that a member's checkpoint holds, its learner's state included."""
    return str(checkpoint.read(folder / output["checkpoint"])["integrity"])
