"""The config of partner pools: `method: partners`."""

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from games.contract import Spec
from games.errors import UserError, nearest, written
from games.registry import make
from marl.base.schema import Frozen, Size
from marl.learning.registry import configured
from marl.rollout.agent import policy_of
from marl.training.train import Checked, check
from tournaments.populations.settings import OfTraining

SELF = "self"  # self-play, among those that a run is evaluated against


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DiversityConfig(Frozen):
    """Why partners become different: what each is paid besides, and its weight. One of the two; 0 is as if neither."""

    entropy: Weight | None = None  # for what the partners' mean policy hardly ever does
    cross_play: Weight | None = None  # minus what it earns with the partner that it plays best with

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.entropy is None) == (self.cross_play is None):
            given = "both" if self.entropy is not None else "neither"
            raise ValueError(f"expected one of entropy and cross_play, got {given}; entropy: 0.01 is a start")
        return self


DEFAULTS = {"entropy": 0.01, "cross_play": 2.0}  # weights, where the name stands alone


def _spelled_out(named: Any) -> Any:
    """Let the name alone stand for its default weight."""
    if not isinstance(named, str):
        return named
    if named not in DEFAULTS:
        raise ValueError(f"expected {' or '.join(DEFAULTS)}, got {written(named)}{nearest(named, DEFAULTS)}")
    return {named: DEFAULTS[named]}


class PartnersConfig(OfTraining):
    """Fictitious co-play: learners that are trained with a pool of partners, and what they earn with strangers."""

    method: Literal["partners"]
    partners: Size = 8  # of the pool, trained by self-play, each by a seed of its own
    learners: Size = 2  # trained with the pool
    held_out: Annotated[Size, Field(ge=2)] = 4  # trained as partners are, and in no pool: strangers
    diversity: Annotated[
        DiversityConfig | None, BeforeValidator(_spelled_out), Field(exclude_if=lambda diversity: diversity is None)
    ] = None  # of the partners
    steps: PositiveInt | None = None  # of each learner; by default as many as of a partner
    seeds: Annotated[Size, Field(ge=2)] = 100  # of the games of each two agents, from every seat

    @model_validator(mode="after")
    def _others(self) -> Self:
        if self.diversity and self.partners < 2:
            raise ValueError("expected two partners or more, who differ from each other, got partners: 1")
        return self

    @cached_property
    def stages(self) -> int:
        """How many rounds train the partners: one, or one for each stretch where they are to differ."""
        return -(-(training := self.training()).steps // training.stretch) if self.differs else 1

    @property
    def rounds(self) -> int:
        """How many rounds train: the partners', and the learners', after which all meet."""
        return self.stages + 1

    @property
    def differs(self) -> bool:
        """Whether partners are paid for being different."""
        return self.diversity is not None and bool(self.diversity.entropy or self.diversity.cross_play)

    def checked(self, device: str = "cpu") -> Checked:
        """Return the training config of the partners, checked; raises UserError for what does not fit.

        All their checkpoints are kept, and evaluated by self-play, since a pool is made of them.
        """
        training = self.training()
        with self.origin.blame(("train",)):
            spec = make(training.game, 1).spec
            _check_game(spec)
            if training.opponents.agents:
                raise UserError("partners are trained by self-play, and their config has opponents; leave these out")
            if self.differs and training.reward_terms:
                raise UserError("diversity is a reward term of partners, and their config has others; leave these out")
            if training.stretch >= training.steps:
                raise UserError(
                    f"a pool has the checkpoints of partners half-way, and none is written before step "
                    f"{training.steps}; set a stretch of at most half of that, got {training.stretch}"
                )
            evaluation = training.evaluation.model_copy(update={"panel": (SELF,)})
            checked = check(training.model_copy(update={"keep": None, "evaluation": evaluation}), device)
            name, learner, settings = configured(checked.config.algorithm, "algorithm", typed=True)
            if learner.plays_whole_team(settings):
                raise UserError(
                    f"{name} plays both seats, and partners meet others: choose another, or set distil: true"
                )
            if self.diversity and self.diversity.entropy is not None:
                agent = learner(settings, spec, key=0, total_steps=1, device="cpu").agent()
                if policy_of(agent) is None:
                    raise UserError(
                        f"diversity: entropy asks partners for their policies, and those of {name} tell none; use ippo "
                        "or diversity: cross_play"
                    )
            return checked


def _check_game(spec: Spec) -> None:
    """Raise UserError for a game in which agents are no partners."""
    if spec.num_players != 2:
        raise UserError(
            f"partners needs a game of two players, and '{spec.name}' has {spec.num_players}; choose another"
        )
    if spec.payoff == "zero_sum":
        raise UserError(
            f"partners needs a game in which both players can gain, and '{spec.name}' is zero-sum; use method: psro"
        )
