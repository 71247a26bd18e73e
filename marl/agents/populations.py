"""The list of a population's members, population.json, which may be a stranger's: it names no code to import.

    {"format": 2, "game": ..., "members": [{"id", "checkpoint" or "reference", "digest", "round", ...}, ...],
     "mixture": {"weights": {"<digest>": [weight by seat]}, ...}}

A checkpoint is a folder within the population's; a reference names an agent that is built in, or another checkpoint.
Format 1 has checkpoints alone, and no mixture.
"""

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from games.errors import UserError
from marl.base.files import inside, parse_json, read_text
from marl.base.origin import Origin
from marl.base.schema import FolderName, validate

FILE = "population.json"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Member(BaseModel):
    """A member: the fields that decide which agent it is. Others are kept as they are."""

    model_config = ConfigDict(extra="allow")

    id: FolderName
    checkpoint: str | None = None
    reference: str | None = None
    digest: Sha256 | None = None  # always there in format 2
    round: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        if (self.checkpoint is None) == (self.reference is None):
            raise ValueError(f"expected a checkpoint or a reference of '{self.id}'")
        return self

    def named(self, folder: Path) -> str:
        """Return the reference that loads the member of a population in a folder."""
        return self.reference or f"{folder}/{self.checkpoint}"


class Weights(BaseModel):
    """The meta-strategy: the weight of each digest by seat."""

    model_config = ConfigDict(strict=True)

    weights: Annotated[dict[Sha256, Annotated[list[Weight], Field(min_length=1)]], Field(min_length=1)]


class Population(BaseModel):
    """A population as it was found in a folder."""

    members: Annotated[list[Member], Field(min_length=1)]
    mixture: Weights | None = None
    game: str | None = None  # in format 1 each member has its own

    @model_validator(mode="after")
    def _weighs_members(self) -> Self:
        if self.mixture is None:
            return self
        weights = self.mixture.weights
        if unknown := sorted(weights.keys() - {member.digest for member in self.members}):
            raise ValueError(f"the mixture has a weight of {unknown[0][:8]}..., which is no member")
        if len({len(by_seat) for by_seat in weights.values()}) > 1:
            raise ValueError("expected weights of the mixture for as many seats of each member")
        if not all(0 < sum(of_seat) < float("inf") for of_seat in zip(*weights.values(), strict=True)):
            raise ValueError("expected weights of the mixture that sum to more than 0 in each seat")
        return self

    @property
    def newest(self) -> list[Member]:
        """The members of the newest round: in format 1 all."""
        last = max(member.round for member in self.members)
        return [member for member in self.members if member.round == last]


def listed(folder: Path) -> Population:
    """Return what population.json lists, whether its checkpoints are there or not.

    Raises OSError where it cannot be read, and ValueError or UserError if it is damaged.
    """
    return validate(Population, parse_json(read_text(folder / FILE)), Origin("it"))


def read_population(folder: Path) -> Population:
    """Return the population in a folder.

    Raises UserError if population.json is damaged, names a folder that is not within, or one that is missing.
    """
    try:
        found = listed(folder)
        for name in (member.checkpoint for member in found.members):
            if name is not None and not os.path.isdir(inside(folder, name)):
                raise ValueError(f"no checkpoint is at '{name}'")
        return found
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"'{folder}' holds no readable {FILE} ({error}); train it with `marl population`") from error
