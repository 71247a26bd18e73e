"""What configs of populations share whose members are runs of one training config."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from marl.base.engine import Engine
from marl.base.origin import Change, by_key
from marl.base.schema import References, Size, WholeConfig, load
from marl.training.config import TrainConfig


class OfTraining(WholeConfig):
    """A population whose members are trained by one config, each with its own seed."""

    kind: ClassVar[str] = "population"

    train: str  # the path of a training config, or a shipped one's name
    set: dict[str, Any] = Field(default_factory=dict)  # changes to it
    seed: int = Field(0, ge=0, lt=2**63)
    engine: Engine = "processes"
    workers: Size = 2
    writers: References = ("tensorboard",)

    def training(self, *changes: Change) -> TrainConfig:
        """Return the training config with the changes of `set`, and with more; raises UserError if it does not fit."""
        with self.origin.blame(("train",), ("set",)):
            return load(TrainConfig, Path(self.train), [*by_key(self.set, "'set.{}'"), *changes])
