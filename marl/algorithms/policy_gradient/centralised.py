"""PPO with a critic that sees the whole state, for the learners of teams: mappo.py, happo.py."""

import numpy as np
from pydantic import PositiveFloat

from games.contract import Spec
from games.errors import UserError
from marl.algorithms.policy_gradient.critic import CriticInput, Floats
from marl.algorithms.policy_gradient.ppo import Ppo, PpoConfig, Standardisation
from marl.base.schema import Size
from marl.rollout.types import Trajectory


class CentralisedConfig(PpoConfig):
    """Settings of teams: the defaults of MAPPO (mappo.py)."""

    learning_rate: PositiveFloat = 5e-4
    anneal: bool = False
    epochs: Size = 5
    minibatch_size: Size = 4096
    value_clip: PositiveFloat | None = 0.2
    huber_delta: PositiveFloat | None = 10.0
    normalise_values: bool = True
    standardise_advantages: Standardisation = "batch"
    max_grad_norm: PositiveFloat = 10.0
    hidden: tuple[Size, ...] = (64, 64)


def refuse_no_team(learner: str, spec: Spec) -> None:
    """Raise UserError for a game whose players are not a team."""
    if spec.payoff != "team":
        remedy = ", or append ' | team_reward' to the game" if spec.payoff == "general_sum" else ""
        raise UserError(
            f"{learner} needs a team game, whose players are all paid the same, and '{spec.name}' is {spec.payoff}: "
            f"choose ippo or mappo{remedy}"
        )


class GlobalState(CriticInput):
    """The game's global state."""

    def __init__(self, spec: Spec) -> None:
        self.size = spec.global_state_size

    def of(self, trajectory: Trajectory) -> Floats:
        time, env, _ = np.nonzero(trajectory.index >= 0)
        return np.asarray(trajectory.global_state[time, env])


class AllViews(CriticInput):
    """The views of all players side by side, for a game in which all act at once; zeros for a player who is out."""

    def __init__(self, spec: Spec) -> None:
        self.size = spec.num_players * int(np.prod(spec.observation.shape))
        self.note = f"'{spec.name}' has no global state: all players' views stand in for it"
        self._scale = np.float32(1 / 255 if spec.observation.dtype == "uint8" else 1)

    def of(self, trajectory: Trajectory) -> Floats:
        time, env, _ = np.nonzero(trajectory.index >= 0)
        views = trajectory.obs.reshape(len(trajectory.obs), -1)
        views = np.concatenate([views, np.zeros_like(views[:1])])  # the row -1: a player who has no view
        return views[trajectory.index[time, env]].reshape(len(time), self.size).astype(np.float32) * self._scale


class NothingMore(CriticInput):
    """A centralised critic that has nothing more to see than a player's own view."""

    def __init__(self, spec: Spec, learner: str) -> None:
        self.note = (
            f"'{spec.name}' has no global state, and no views of several players at once: {learner}'s critic sees a "
            "player's own view alone, as that of ippo does"
        )


class Centralised(Ppo):
    """PPO whose critic sees the global state, or else all views where all act at once."""

    @classmethod
    def critic_input(cls, spec: Spec) -> CriticInput:
        if spec.global_state_size:
            return GlobalState(spec)
        at_once = spec.turns == "simultaneous" and spec.num_players > 1
        return AllViews(spec) if at_once else NothingMore(spec, cls.name)
