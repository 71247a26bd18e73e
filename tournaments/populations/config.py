"""The config of a population whose members meet: `method: psro`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from games.errors import UserError, nearest, written
from marl.base import shipped, yaml
from marl.base.engine import Engine
from marl.base.files import read_text
from marl.base.origin import Change
from marl.base.schema import Frozen, OfGame, References, Section, Size, load
from marl.training.config import PopulationConfig

BEST = "best_response"  # the learner whose agents are computed and not trained
Solver = Literal["nash", "uniform", "last", "replicator", "alpharank"]


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


class PsroConfig(OfGame):
    """Policy-space response oracles: each round a response to the mixture of all members joins them."""

    kind: ClassVar[str] = "population"

    method: Literal["psro"]
    learner: Section  # the algorithm of the responses, or best_response: computed, for small games
    response: PositiveInt = 100_000  # environment steps of each response
    iterations: Size = 20  # responses
    start: Annotated[References, Field(min_length=1)] = ("random",)  # the members before any response
    solver: Solver = "nash"
    payoffs: Literal["games", "exact"] = "games"  # exact: by the tree of a small game
    exploitability: Literal["auto", "exact", "none"] = "auto"  # of the mixture, by the tree; auto: where it is small
    games: GamesConfig = GamesConfig()
    seed: int = Field(0, ge=0, lt=2**63)
    num_envs: Size = 64  # of a response's training, as are these:
    rollout_length: Size | None = None
    stretch: PositiveInt = 100_000
    threads: int = Field(default=1, ge=1, le=1024)
    engine: Engine = "processes"
    workers: Size = 2
    writers: References = ("tensorboard",)

    @field_validator("learner")
    @classmethod
    def _fits(cls, learner: dict[str, Any]) -> dict[str, Any]:
        if "name" not in learner:
            raise ValueError(f"expected the key 'name' of an algorithm, got {written(learner)}; add it")
        settings = learner.keys() - {"name"}
        if learner["name"] == BEST and settings:
            raise ValueError(f"{BEST} has no settings, got '{min(settings)}'; leave it out")
        return learner

    @property
    def computed(self) -> bool:
        """Whether responses are computed, and not trained."""
        return bool(self.learner["name"] == BEST)


PopulationSchema = type[PopulationConfig] | type[PsroConfig]
METHODS: dict[str, PopulationSchema] = {"independent": PopulationConfig, "psro": PsroConfig}


def load_population(path: Path, changes: Sequence[Change]) -> PopulationConfig | PsroConfig:
    """Read the config of a population by its method; raises UserError in one sentence for whatever does not fit."""
    return load(schema_of(path, changes), path, changes)


def schema_of(source: Path | Mapping[str, Any], changes: Sequence[Change]) -> PopulationSchema:
    """Return the schema of a config's method; raises UserError for a method that there is not.

    What cannot be read is left to `load`, which says what is wrong with it.
    """
    data: Any = source
    if isinstance(source, Path):
        try:
            data = yaml.read(read_text(shipped.find(source, PsroConfig.kind), yaml.MOST))
        except (OSError, ValueError, yaml.YamlError):
            data = {}
    named = [data["method"]] if isinstance(data, Mapping) and "method" in data else []
    named += [change.value for change in changes if change.key == "method"]
    if not named and isinstance(data, Mapping) and "learner" in data and "members" not in data:
        raise UserError("expected the key 'method' beside 'learner'; add method: psro")
    method = named[-1] if named else "independent"
    if not isinstance(method, str) or method not in METHODS:
        hint = nearest(method, METHODS) if isinstance(method, str) else ""
        raise UserError(f"expected method to be one of {', '.join(METHODS)}, got {written(method)}{hint}")
    return METHODS[method]
