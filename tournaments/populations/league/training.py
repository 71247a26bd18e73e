"""A round of a league's learner, as a unit of work; its outcomes are part of what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from games.keys import fold_one, stream
from marl.agents import checkpoint
from marl.base.digests import Json
from marl.base.parcels import Writes
from marl.base.units import Unit
from marl.training.config import TrainConfig
from tournaments.populations.files import Member
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.league.evidence import Learner
from tournaments.populations.training import (
    DIGEST,
    MEMBERS,
    against,
    outcomes_of,
    train_unit,
    training_in_rounds,
    unit_of,
)

BEFORE = -1  # the round in which a learner gets its first weights, and no training


def run_of(learner: str, round: int) -> str:
    """Return the folder of a learner's run in a round, relative to the population's."""
    return f"{MEMBERS}/{learner}/{'start' if round == BEFORE else f'{round:04d}'}"


def name_of(learner: str, round: int) -> str:
    """Return the id of a learner's checkpoint with which a round begins, and of the member that it becomes then."""
    return f"{learner}.{round:04d}"


def until_of(trained: int, round: int, config: LeagueConfig) -> int:
    """Return the step at which a learner's round ends that has trained so many rounds since its start."""
    return (trained + 1) * config.round - max(0, (round + 1) * config.round - config.steps)


@dataclass(frozen=True)
class Line:
    """A learner, with its newest checkpoint and those before it, back to its start."""

    learner: Learner
    newest: Member
    start: Member  # its checkpoint of step 0
    parent: str | None = None  # the member that it was when it froze last, since its start

    @classmethod
    def begun(cls, learner: Learner, start: Member) -> "Line":
        """Return a learner that has not trained."""
        return cls(replace(learner, line=(start.digest,), rounds=0), start, start)

    @property
    def trained(self) -> int:
        """How many rounds it has trained since its start."""
        return len(self.learner.line) - 1

    def frozen(self) -> "Line":
        """Return the learner as it goes on when it has frozen."""
        return replace(self, learner=replace(self.learner, rounds=0), parent=self.newest.id)

    def restarted(self) -> "Line":
        """Return the learner at its start."""
        return self.begun(self.learner, self.start)

    def trained_to(self, newest: Member) -> "Line":
        """Return the learner after a round that has left it a newest checkpoint."""
        learner = self.learner
        after = replace(learner, line=(newest.digest, *learner.line), rounds=learner.rounds + 1)
        return replace(self, learner=after, newest=newest)


@dataclass(frozen=True)
class Task:
    """What a learner does in a round: a unit of work."""

    learner: Learner
    round: int
    training: TrainConfig
    until: int
    agents: Mapping[str, str]  # references by digest: of its opponents, and of its parent

    @classmethod
    def first(cls, learner: Learner, config: LeagueConfig) -> "Task":
        """Return the task that makes a learner's checkpoint of step 0."""
        return cls(learner, BEFORE, training_of(learner, BEFORE, config), 0, {})

    @classmethod
    def of(
        cls,
        line: Line,
        round: int,
        meets: Mapping[str, float],
        share: float,
        config: LeagueConfig,
        folder: Path,
        named: Mapping[str, str],
    ) -> "Task":
        """Return what a learner does in a round against whom it meets; `named` are their references by digest."""
        lies = line.newest.named(folder)
        digest = checkpoint.read(Path(lies))["integrity"]
        opponents = against(dict(sorted(meets.items())), share)
        training = training_of(line.learner, round, config, f"{DIGEST}{digest}", opponents)
        until = until_of(line.trained, round, config)
        return cls(line.learner, round, training, until, {each: named[each] for each in meets} | {digest: lies})

    @property
    def unit(self) -> Unit:
        """The unit of work."""
        return unit_of(self.learner.id, self.training, self.until)

    def arguments(self, folder: Path, device: str) -> tuple[Any, ...]:
        """Return the arguments of `train_round`."""
        run = run_of(self.learner.id, self.round)
        met = [entry.agent.removeprefix(DIGEST) for entry in self.training.opponents.agents]
        config = self.training.model_dump(mode="json")
        return config, Writes(folder, run), run, dict(self.agents), device, self.until, met


def training_of(
    learner: Learner,
    round: int,
    config: LeagueConfig,
    parent: str | None = None,
    opponents: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """Return the training run of a learner's round. It names its opponents by their digests, and no path."""
    key = stream(stream(config.seed, "train"), learner.id)
    return training_in_rounds(
        config,
        config.algorithm(learner.role),
        seed=fold_one(key, round + 1) >> 1,
        steps=config.steps,
        parent=parent,
        opponents=opponents or {},
    )


def train_round(
    config: dict[str, Any],
    folder: str,
    run: str,
    agents: Mapping[str, str],
    device: str,
    until: int,
    met: list[str],
) -> dict[str, Json]:
    """Train a learner's round as `train_unit` does; return what it does, and the outcomes against whom it has met."""
    made = train_unit(config, folder, run, agents, device, until)
    return made | {"outcomes": outcomes_of(Path(folder) / run, met)}
