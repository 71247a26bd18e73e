"""The config of partner pools: `method: partners`."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from games.contract import Spec
from games.errors import UserError
from games.registry import make
from marl.base.schema import Size
from marl.learning.registry import configured
from marl.training.train import Checked, check
from tournaments.populations.settings import OfTraining

SELF = "self"  # self-play, among those that a run is evaluated against


class PartnersConfig(OfTraining):
    """Fictitious co-play: learners that are trained with a pool of partners, and what they earn with strangers."""

    method: Literal["partners"]
    partners: Size = 8  # of the pool, trained by self-play, each by a seed of its own
    learners: Size = 2  # trained with the pool
    held_out: Annotated[Size, Field(ge=2)] = 4  # trained as partners are, and in no pool: strangers
    steps: PositiveInt | None = None  # of each learner; by default as many as of a partner
    seeds: Annotated[Size, Field(ge=2)] = 100  # of the games of each two agents, from every seat

    @property
    def rounds(self) -> int:
        """How many rounds train: the partners' and the learners'."""
        return 2

    def checked(self, device: str = "cpu") -> Checked:
        """Return the training config of the partners, checked; raises UserError for what does not fit.

        All their checkpoints are kept, and evaluated by self-play, since a pool is made of them.
        """
        training = self.training()
        with self.origin.blame(("train",)):
            _check_game(make(training.game, 1).spec)
            if training.opponents.agents:
                raise UserError("partners are trained by self-play, and their config has opponents; leave these out")
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
