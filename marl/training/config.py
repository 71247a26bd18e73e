"""The configurations of training runs and of populations."""

from typing import Any, ClassVar

from pydantic import (
    Field,
    PositiveInt,
    field_validator,
)

from marl.base.engine import Engine
from marl.base.schema import Count, FolderName, Frozen, OfGame, References, Section, Size, WholeConfig


class OpponentsConfig(Frozen):
    """The opponents in training: frozen agents, in a share of the environments, in each seat in turn."""

    agents: References = ()
    share: float = Field(default=0.5, ge=0, le=1)


class EvaluationConfig(Frozen):
    """The fixed panel against which a run is evaluated at its start and at every checkpoint; `self` is self-play."""

    panel: References | None = None  # random; in a team game self, then random
    seeds: Size = 100  # each is played from every seat
    max_steps: Size | None = None  # after these an episode is cut; `marl.rollout.loop.most_steps` by default


class TrainConfig(OfGame):
    """One training run."""

    kind: ClassVar[str] = "train"

    algorithm: Section
    seed: int = Field(default=0, ge=0, lt=2**63)
    steps: PositiveInt = 1_000_000
    stretch: PositiveInt = 100_000  # steps between two checkpoints
    num_envs: Size = 64
    env_workers: Count = 0  # processes that step the environments; 0: the run's own process
    rollout_workers: Count = 0  # processes that play while the learner learns; 0: play and learn alternately
    rollout_length: Size | None = None  # steps of each environment in one rollout
    threads: int = Field(default=1, ge=1, le=1024)
    keep: PositiveInt | None = None  # checkpoints to keep, the newest ones; all by default
    writers: References = ("tensorboard",)  # where metrics are shown besides the run's own logs
    opponents: OpponentsConfig = OpponentsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


class MemberConfig(Frozen):
    """One member of a population: a training config, and changes to it."""

    train: str  # the path of a config, or a shipped one's name
    set: dict[str, Any] = Field(default_factory=dict)


class PopulationConfig(WholeConfig):
    """Several training runs, side by side."""

    kind: ClassVar[str] = "population"

    members: dict[FolderName, MemberConfig] = Field(min_length=1)
    engine: Engine = "processes"
    workers: Size = 2

    @field_validator("members")
    @classmethod
    def _one_folder_each(cls, members: dict[str, MemberConfig]) -> dict[str, MemberConfig]:
        """Refuse names that differ only in case: they are one folder on drives of macOS and Windows."""
        folders: dict[str, str] = {}
        for name in members:
            twin = folders.setdefault(name.casefold(), name)
            if twin != name:
                raise ValueError(f"expected names that differ in more than case, got '{twin}' and '{name}'")
        return members
