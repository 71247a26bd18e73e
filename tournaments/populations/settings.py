"""What the configs of all populations that advance in rounds have in common."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from marl.base.engine import Engine
from marl.base.schema import Frozen, OfGame, References, Size


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


class InRounds(OfGame):
    """A population whose members train and meet in rounds."""

    kind: ClassVar[str] = "population"

    method: str
    games: CellsConfig
    seed: int = Field(0, ge=0, lt=2**63)
    num_envs: Size = 64  # of a learner's training, as are these:
    rollout_length: Size | None = None
    stretch: PositiveInt = 100_000
    threads: int = Field(default=1, ge=1, le=1024)
    engine: Engine = "processes"
    workers: Size = 2
    writers: References = ("tensorboard",)

    @property
    def rounds(self) -> int:
        """How many rounds train."""
        raise NotImplementedError
