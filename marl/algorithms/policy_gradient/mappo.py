"""MAPPO: every player learns by PPO, with a critic that sees the whole state (Yu et al. 2022,
https://arxiv.org/abs/2103.01955).

Training is centralised, execution is not: the policy pi(a | o) sees a player's own view o, the value function V sees
more, which lowers the variance of the advantages. The update is PPO's (ppo.py). The critic's input is

    V(s, o, i)     the global state s, the player's own view o, and its index i (the paper's "agent-specific" state)

A game whose players all act at once and that has no global state gets s = the views of all players side by side, zeros
for a player who is out. In any other game there is nothing more to see: the critic is that of IPPO, and a note says so.

The defaults are the paper's where a few CPU cores allow it: two layers of 64 units and a GRU of 64, chunks of 10
decisions, normalised values, the Huber loss with δ = 10 and the value loss clipped like the ratio, advantages
standardised over the whole batch, gradients clipped at 10, γ = 0.99, λ = 0.95, ε = 0.2, an entropy bonus of 0.01, a
constant learning rate of 5e-4. Of 5 to 15 epochs it takes 5. Minibatches have about 4,096 decisions instead of a whole
batch of 10,000 or more: as many steps as the paper's take fewer passes over the data.

Deviations from the paper: networks are feed-forward by default (`recurrent`), and have tanh units, as in the paper's
runs on the particle environments, and no layer normalisation; the GRU's weights are uniform; the state of a player who
is out is not zeroed, since such a player has no decisions to learn from; the statistics of the values are updated once
an update with all targets, not at each minibatch; the last chunk of a sequence may be shorter than the others.
"""

import numpy as np
from pydantic import PositiveFloat

from games.contract import Spec
from marl.algorithms.policy_gradient.critic import CriticInput, Floats
from marl.algorithms.policy_gradient.ppo import Ppo, PpoConfig, Standardisation
from marl.base.schema import Size
from marl.rollout.types import Trajectory


class MappoConfig(PpoConfig):
    """The settings of MAPPO."""

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

    def __init__(self, spec: Spec) -> None:
        self.note = (
            f"'{spec.name}' has no global state, and no views of several players at once: mappo's critic sees a "
            "player's own view alone, as that of ippo does"
        )


class Mappo(Ppo):
    """Multi-agent PPO: a centralised critic, and policies of each player's own observations."""

    Config, name = MappoConfig, "mappo"

    @classmethod
    def critic_input(cls, spec: Spec) -> CriticInput:
        if spec.global_state_size:
            return GlobalState(spec)
        at_once = spec.turns == "simultaneous" and spec.num_players > 1
        return AllViews(spec) if at_once else NothingMore(spec)
