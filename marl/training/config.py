"""The configurations of training runs and of populations."""

from collections.abc import Iterable
from itertools import groupby
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    field_validator,
    model_serializer,
    model_validator,
)

from games.errors import written
from games.references import rejoin
from marl.base.engine import Engine
from marl.base.schema import (
    Count,
    FolderName,
    Frozen,
    InOldRecords,
    OfGame,
    References,
    Section,
    Size,
    WholeConfig,
)

Weight = Annotated[float, Field(gt=0)]
WeightInSeat = Annotated[float, Field(ge=0)]


def _as_tuple(listed: Any) -> Any:
    return tuple(listed) if isinstance(listed, list) else listed


WeightBySeat = Annotated[tuple[WeightInSeat, ...], BeforeValidator(_as_tuple)]  # [N]


class OpponentConfig(Frozen):
    """An agent that plays in training, and its weight; its reference alone stands for one of weight 1.

    A list of weights [N] is by the seat that the learner keeps.
    """

    agent: str
    weight: Weight | WeightBySeat = 1.0

    @model_serializer
    def _written(self) -> str | dict[str, Any]:
        return self.agent if self.weight == 1 else {"agent": self.agent, "weight": self.weight}


def _entries(listed: Any) -> Any:
    """Return a list of opponents in full; references that YAML has split at their commas are put together again."""
    if not isinstance(listed, list | tuple):
        return listed
    entries: list[Any] = []
    for is_text, group in groupby(listed, key=lambda entry: isinstance(entry, str)):
        entries += [{"agent": text} for text in rejoin(list(group))] if is_text else group
    wrong = [entry for entry in entries if not isinstance(entry, dict | OpponentConfig)]
    if wrong:
        raise ValueError(
            f"expected agents, or agents with weights: {{agent: random, weight: 2}}, got {written(wrong[0])}"
        )
    return tuple(entries)


class PastConfig(Frozen):
    """The run's own past among its opponents: the agents of its checkpoints."""

    window: Size | Literal["all"] = 10  # the newest checkpoints, that of the stretch's start included
    draw: Literal["uniform", "latest", "prioritised"] = "uniform"
    weight: Weight = 1.0  # of all of them together

    @property
    def checkpoints(self) -> int | None:
        """How many of the newest checkpoints play; None: all."""
        newest = 1 if self.draw == "latest" else self.window
        return None if newest == "all" else newest


class OpponentsConfig(Frozen):
    """The opponents in training: frozen agents and the run's own past, one in each of a share of the episodes."""

    agents: Annotated[tuple[OpponentConfig, ...], BeforeValidator(_entries)] = ()
    past: PastConfig | None = None
    share: float = Field(default=0.5, ge=0, le=1)
    dealt: Annotated[Literal["by_episode", "by_turns"], InOldRecords("by_turns")] = "by_episode"

    @property
    def references(self) -> tuple[str, ...]:
        """The agents that are listed, without their weights."""
        return tuple(entry.agent for entry in self.agents)

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.dealt == "by_turns" and (self.past or any(entry.weight != 1 for entry in self.agents)):
            raise ValueError(
                "expected dealt: by_episode for opponents with weights or a past, got 'by_turns', which is the rule of "
                "runs begun before there were any; leave them out, or begin another run"
            )
        return self


class RewardTermConfig(Frozen):
    """What a learner is paid in training beside the game's reward: a term by name, its weight, and whom it asks."""

    name: str  # marl/training/reward_terms.py has them
    weight: float = Field(ge=0, allow_inf_nan=False)
    agents: Annotated[References, Field(exclude_if=lambda agents: not agents)] = ()


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
    parent: Annotated[str | None, Field(exclude_if=lambda parent: parent is None)] = (
        None  # whose learner it begins with
    )
    opponents: OpponentsConfig = OpponentsConfig()
    reward_terms: Annotated[
        tuple[RewardTermConfig, ...], BeforeValidator(_as_tuple), Field(exclude_if=lambda terms: not terms)
    ] = ()
    evaluation: EvaluationConfig = EvaluationConfig()


def one_folder_each(names: Iterable[str]) -> None:
    """Raise ValueError for names that are equal, or differ only in case: one folder on drives of macOS and Windows."""
    folders: dict[str, str] = {}
    for name in names:
        if (twin := folders.get(name.casefold())) is not None:
            if twin == name:
                raise ValueError(f"two members are called '{name}'; rename one")
            raise ValueError(f"expected names that differ in more than case, got '{twin}' and '{name}'")
        folders[name.casefold()] = name


class MemberConfig(Frozen):
    """One member of a population: a training config, and changes to it."""

    train: str  # the path of a config, or a shipped one's name
    set: dict[str, Any] = Field(default_factory=dict)


class PopulationConfig(WholeConfig):
    """Several training runs, side by side."""

    kind: ClassVar[str] = "population"

    method: Literal["independent"] = "independent"  # tournaments/populations has others
    members: dict[FolderName, MemberConfig] = Field(min_length=1)
    engine: Engine = "processes"
    workers: Size = 2

    @field_validator("members")
    @classmethod
    def _one_folder_each(cls, members: dict[str, MemberConfig]) -> dict[str, MemberConfig]:
        one_folder_each(members)
        return members
