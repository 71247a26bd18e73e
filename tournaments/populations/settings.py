"""What the configs of all populations that advance in rounds have in common."""

from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from marl.base.engine import Engine
from marl.base.origin import Change, by_key
from marl.base.schema import Frozen, OfGame, References, Size, WholeConfig, load
from marl.training.config import TrainConfig


class CellsConfig(Frozen):
    """How many games a cell of the payoff table gets. They are counted in pairs: one seed from both seats."""

    at_least: Annotated[Size, Field(ge=2)]  # of each cell; one alone shows no spread
    at_most: Size  # of each cell
    batch: Size  # more for a cell that is not known well enough
    num_envs: Size = 64

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in self.limits:
            if (most := getattr(self, name)) < self.at_least:
                raise ValueError(
                    f"expected {name} to be at least at_least, got {name}: {most}, at_least: {self.at_least}"
                )
        return self

    @property
    def limits(self) -> tuple[str, ...]:
        """The keys that limit the games of a cell."""
        return ("at_most",)


class Advancing(WholeConfig):
    """A population that advances in rounds."""

    kind: ClassVar[str] = "population"

    method: str
    seed: int = Field(0, ge=0, lt=2**63)
    engine: Engine = "processes"
    workers: Size = 2
    writers: References = ("tensorboard",)

    @property
    def rounds(self) -> int:
        """How many rounds train."""
        raise NotImplementedError


class InRounds(Advancing, OfGame):
    """A population whose members train and meet in rounds."""

    games: CellsConfig
    num_envs: Size = 64  # of a learner's training, as are these:
    rollout_length: Size | None = None
    stretch: PositiveInt = 100_000
    threads: int = Field(default=1, ge=1, le=1024)


class OfTraining(Advancing):
    """A population whose members are trained by one config, each with its own seed."""

    train: str  # the path of a training config, or a shipped one's name
    set: dict[str, Any] = Field(default_factory=dict)  # changes to it

    def training(self, *changes: Change) -> TrainConfig:
        """Return the training config with the changes of `set`, and with more; raises UserError if it does not fit."""
        with self.blame_game():
            return load(TrainConfig, Path(self.train), [*by_key(self.set, "'set.{}'"), *changes])

    @cached_property
    def game(self) -> str:
        """The game that the training config names; raises UserError if that does not fit."""
        return self.training().game

    def blame_game(self) -> AbstractContextManager[None]:
        """Say of a UserError about the training config where it is named."""
        return self.origin.blame(("train",), ("set",))


AdvancingConfig = InRounds | OfTraining  # of which game members are is known of both
