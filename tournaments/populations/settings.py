"""What the configs of all populations that advance in rounds have in common."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from marl.base.engine import Engine
from marl.base.schema import Frozen, OfGame, References, Size


class GamesConfig(Frozen):
    """How many games a cell of the payoff table gets. They are counted in pairs: one seed from both seats."""

    at_least: Annotated[Size, Field(ge=2)] = 200  # of each cell; one alone shows no spread
    at_most: Size = 1024  # of each cell
    batch: Size = 64  # more for a cell on which the mixture's value depends
    precision: PositiveFloat = 0.02  # standard error of the mixture's value, in deviations of one game's payoff
    num_envs: Size = 64

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(
                f"expected at_most to be at least at_least, got at_most: {self.at_most}, at_least: {self.at_least}"
            )
        return self


class InRounds(OfGame):
    """A population whose members train and meet in rounds."""

    kind: ClassVar[str] = "population"

    method: str
    games: GamesConfig = GamesConfig()
    seed: int = Field(0, ge=0, lt=2**63)
    num_envs: Size = 64  # of a learner's training, as are these:
    rollout_length: Size | None = None
    stretch: PositiveInt = 100_000
    threads: int = Field(default=1, ge=1, le=1024)
    engine: Engine = "processes"
    workers: Size = 2
    writers: References = ("tensorboard",)
