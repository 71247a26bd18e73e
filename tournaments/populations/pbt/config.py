"""The config of population-based training: `method: pbt`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_serializer, model_validator

from games.errors import UserError, written
from games.keys import fold_one, stream
from games.registry import make
from marl.agents.load import load_panel
from marl.base.intervals import MIN_SEEDS
from marl.base.origin import Change
from marl.base.schema import Frozen, References, Size
from marl.learning.learner import Learner
from marl.learning.registry import configured
from marl.training.config import TrainConfig
from marl.training.train import Checked, check
from tournaments.populations.pbt.lineage import Settings
from tournaments.populations.pbt.priors import Choice, Prior, Range, drawn
from tournaments.populations.pbt.scores import SELF
from tournaments.populations.pbt.selection import FIFTH
from tournaments.populations.settings import OfTraining

SECTION = "algorithm"  # whose settings may vary
ANCHORS = ("random",)  # where the config names none
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


class PriorConfig(Frozen):
    """The values that a setting may have: one of `{log: [1e-4, 3e-3]}`, `{uniform: [0, 1]}`, `{choice: [8, 16]}`."""

    log: Bounds | None = None
    uniform: Bounds | None = None
    choice: list[Any] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.model_fields_set) != 1:
            given = ", ".join(sorted(self.model_fields_set)) or "none"
            raise ValueError(f"expected one of log, uniform and choice, got {given}")
        if self.choice is not None:
            if len(self.choice) < 2 or any(value in self.choice[:k] for k, value in enumerate(self.choice)):
                raise ValueError(f"expected two or more different values to choose from, got {written(self.choice)}")
            return self
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"expected the lower end of the range first, got {written([low, high])}")
        if self.log and low <= 0:
            raise ValueError(f"expected values above 0 for their logarithms, got {written(low)}; use uniform")
        return self

    @property
    def bounds(self) -> list[float]:
        """The ends of the range; none for a choice."""
        return self.log or self.uniform or []

    @property
    def ends(self) -> list[Any]:
        """The ends of the range, or all values of a choice."""
        return self.choice or self.bounds

    def prior(self, *, whole: bool) -> Prior:
        """Return the prior; of whole numbers alone if it is a range and the setting has no others."""
        if self.choice is not None:
            return Choice(self.choice)
        low, high = (int(end) if whole else end for end in self.bounds)
        return Range(low, high, log=self.log is not None, whole=whole)

    @model_serializer
    def _written(self) -> dict[str, Any]:
        (kind,) = self.model_fields_set
        return {kind: self.ends}


def _by_key(vary: Any, above: str = "") -> Any:
    """Return priors by dotted keys; a mapping of mappings is a section, as `--set vary.algorithm.clip=` makes."""
    if not isinstance(vary, Mapping):
        return vary
    found: dict[str, Any] = {}
    for key, value in vary.items():
        section = isinstance(value, Mapping) and value and all(isinstance(inner, Mapping) for inner in value.values())
        found |= _by_key(value, f"{above}{key}.") if section else {f"{above}{key}": value}
    return found


@dataclass(frozen=True)
class Pbt:
    """What a config says, checked."""

    base: Checked  # the training config of the members
    priors: Mapping[str, Prior]  # by setting
    anchors: Mapping[str, str]  # digests by reference; none where members are measured by each other
    starts: Sequence[Settings]  # by member, in the first round


class PbtConfig(OfTraining):
    """Population-based training: members copy better ones, and explore the settings with which they learn."""

    method: Literal["pbt"]
    size: Size = 8  # members
    ready: PositiveInt = 200_000  # environment steps of each member between two rounds of copies
    start: Literal["drawn", "train"] = "drawn"  # settings in the first round: drawn from `vary`, or those of `train`
    vary: Annotated[
        dict[str, PriorConfig], Field(min_length=1), BeforeValidator(_by_key)
    ]  # by the settings' keys: algorithm.learning_rate
    fitness: Literal["anchors", "league"] = "anchors"  # the mean return against anchors, or against all other members
    anchors: Annotated[References, Field(min_length=1)] = ANCHORS
    seeds: Annotated[Size, Field(ge=MIN_SEEDS)] = 128  # of the games against each anchor, from every seat

    @field_validator("size")
    @classmethod
    def _enough(cls, size: int) -> int:
        if size < FIFTH:
            raise ValueError(f"pbt needs at least {FIFTH} members to copy from the best fifth, got {size}")
        return size

    @model_validator(mode="after")
    def _measures_by_one(self) -> Self:
        if self.fitness == "league" and self.anchors != ANCHORS:
            raise ValueError(
                f"fitness: league is by games with the other members, got anchors: {written(list(self.anchors))} too; "
                "leave one out"
            )
        return self

    @property
    def met(self) -> str:
        """Whom members play for their fitness, in words."""
        return "the other members" if self.fitness == "league" else ", ".join(self.anchors)

    @cached_property
    def rounds(self) -> int:
        """How many rounds train."""
        return -(-self.training().steps // self.ready)

    def checked(self, device: str = "cpu") -> "Pbt":
        """Return what the config says, checked; raises UserError for what does not fit."""
        training = self.training()
        with self.origin.blame(("ready",)):
            if self.ready > training.steps:
                raise UserError(
                    f"expected ready to be at most {training.steps}, the steps of training, got {self.ready}"
                )
        priors = {name: self._prior(name, prior, training) for name, prior in self.vary.items()}
        base = check(training, device)
        return Pbt(base, priors, self._anchors(base), self._starts(base.config, priors))

    def _anchors(self, base: Checked) -> Mapping[str, str]:
        """Return the digests of anchors by their references; raises UserError for what does not fit."""
        if self.fitness == "league":
            with self.origin.blame(("fitness",)):
                if (spec := make(base.config.game, 1).spec).num_players == 1:
                    raise UserError(f"'{spec.name}' is a game of one player, in which no members meet; use anchors")
            return {}
        with self.origin.blame(("anchors",)):
            return _anchors(self.anchors, {digest for digest, _ in base.opponents}, base.config)

    def _starts(self, training: TrainConfig, priors: Mapping[str, Prior]) -> Sequence[Settings]:
        """Return the settings in the first round, by member; raises UserError for those of `train` that cannot vary."""
        if self.start == "drawn":
            key = stream(self.seed, "start")
            return [drawn(priors, fold_one(key, place)) for place in range(self.size)]
        own: dict[str, Any] = {}
        for name, prior in priors.items():
            own[name] = reduce(lambda data, part: data[part], name.split("."), training.model_dump(mode="json"))
            if not prior.has(own[name]):
                with self.origin.blame(("vary", name)):
                    raise UserError(
                        f"expected the value of the training config, {written(own[name])}, among those that '{name}' "
                        "may have, since members start with it; widen them, or leave 'start' out"
                    )
        return [own] * self.size

    def _prior(self, name: str, prior: PriorConfig, training: TrainConfig) -> Prior:
        """Return the prior of a setting; raises UserError if it is none, or takes no such values, or shapes tensors."""
        with self.origin.blame(("vary", name)):
            section, _, setting = name.partition(".")
            if section != SECTION or setting in ("", "name"):
                raise UserError(
                    f"expected a setting of the algorithm, such as {SECTION}.learning_rate, got '{name}'; leave it out"
                )
            shapes = _shapes(training)
            for value in prior.ends:
                if _shapes(self._with(name, value)) != shapes:
                    raise UserError(
                        f"'{name}' changes the shapes of what is learned, so that weights could not be copied; "
                        "leave it out"
                    )
            return prior.prior(whole=bool(prior.bounds) and not self._takes(name, _fraction(*prior.bounds)))

    def _with(self, name: str, value: Any) -> TrainConfig:
        """Return the training config with one more value."""
        return self.training(Change(tuple(name.split(".")), value, f"'vary.{name}'"))

    def _takes(self, name: str, value: float) -> bool:
        """Say whether a setting may have a value."""
        config = self._with(name, value)
        try:
            configured(config.algorithm, SECTION, typed=True)
        except UserError:
            return False
        return True


def _fraction(low: float, high: float) -> float:
    """Return a number between two others that is not whole."""
    middle = (low + high) / 2
    return middle if middle % 1 else middle + min(0.25, (high - low) / 4)


def _shapes(config: TrainConfig) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Return the shapes and types of all that a learner has learned, by name, when it begins."""
    _, learner, settings = configured(config.algorithm, SECTION, typed=True, origin=config.origin)
    with config.blame_game():
        spec = make(config.game, 1).spec
    settings = learner.resolved(settings, spec, device="cpu")
    made: Learner = learner(settings, spec, key=0, total_steps=1, device="cpu")
    return {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in made.state().items()}


def _anchors(anchors: References, opponents: set[str], training: TrainConfig) -> Mapping[str, str]:
    """Return the digests of anchors by their references; `self`, which is self-play, has its name.

    Raises UserError for one that is an opponent in training, given by their digests, and for self-play where it is
    worth nothing.
    """
    spec, found = make(training.game, 1).spec, {}
    for name, entrant in load_panel(anchors, spec).items():
        if entrant is None:
            if spec.payoff == "zero_sum":
                raise UserError(
                    f"'{spec.name}' is zero-sum, so self-play pays all members alike; take 'self' out, and name agents "
                    "such as random"
                )
            found[name] = SELF
            continue
        entrant.rest()
        if entrant.digest in opponents:
            raise UserError(f"anchors are never trained against: '{name}' is in 'opponents' too; take it out of one")
        found[entrant.reference] = entrant.digest
    return found
