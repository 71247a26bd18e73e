"""The config of policy-space response oracles."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from games.errors import written
from marl.base.schema import References, Section, Size
from tournaments.populations.settings import CellsConfig, InRounds

BEST = "best_response"  # the learner whose agents are computed and not trained
Solver = Literal["nash", "uniform", "last", "replicator", "alpharank"]


class GamesConfig(CellsConfig):
    """Games are added until the mixture's value is known."""

    at_least: Annotated[Size, Field(ge=2)] = 200
    at_most: Size = 1024
    batch: Size = 64
    precision: PositiveFloat = 0.02  # standard error of the mixture's value, in deviations of one game's payoff


class PsroConfig(InRounds):
    """Policy-space response oracles: each round a response to the mixture of all members joins them."""

    method: Literal["psro"]
    games: GamesConfig = GamesConfig()
    learner: Section  # the algorithm of the responses, or best_response: computed, for small games
    response: PositiveInt = 100_000  # environment steps of each response
    iterations: Size = 20  # responses
    pipeline: Annotated[Size, Field(exclude_if=lambda responses: responses == 1)] = 1  # responses that train at once
    start: Annotated[References, Field(min_length=1)] = ("random",)  # the members before any response
    solver: Solver = "nash"
    payoffs: Literal["games", "exact"] = "games"  # exact: by the tree of a small game
    exploitability: Literal["auto", "exact", "none"] = "auto"  # of the mixture, by the tree; auto: where it is small

    @field_validator("learner")
    @classmethod
    def _fits(cls, learner: dict[str, Any]) -> dict[str, Any]:
        if "name" not in learner:
            raise ValueError(f"expected the key 'name' of an algorithm, got {written(learner)}; add it")
        settings = learner.keys() - {"name"}
        if learner["name"] == BEST and settings:
            raise ValueError(f"{BEST} has no settings, got '{min(settings)}'; leave it out")
        return learner

    @model_validator(mode="after")
    def _trains_at_once(self) -> Self:
        if self.computed and self.pipeline > 1:
            raise ValueError(f"{BEST} is computed and not trained, got pipeline: {self.pipeline}; leave it out")
        if self.response < self.pipeline:
            raise ValueError(
                f"expected a response of at least one step in each of its {self.pipeline} rounds, got response: "
                f"{self.response}"
            )
        return self

    @property
    def computed(self) -> bool:
        """Whether responses are computed, and not trained."""
        return bool(self.learner["name"] == BEST)

    @property
    def rounds(self) -> int:
        """How many rounds train: the last response begins in one and ends `pipeline` - 1 rounds later."""
        return self.iterations + self.pipeline - 1
