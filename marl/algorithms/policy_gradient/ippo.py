"""IPPO: every player learns by PPO from its own observations (de Witt et al. 2020, https://arxiv.org/abs/2011.09533).

Each player treats the others as part of its environment. An update improves the policy on the decisions that it made,
and the clipped ratio keeps it near the policy that made them. In self-play this learner holds every seat.

    ratio = pi(a | o) / pi_old(a | o)
    L = - mean min(ratio A, clip(ratio, 1 - c, 1 + c) A)  -  c_e mean H(pi)          the actor's
      + mean (V(o) - (A + V_old(o)))^2 / 2                                          the critic's, on its own network

with A from GAE over each player's own decisions (marl/learning/returns.py), standardised over the minibatch.

Deviations from the paper: feed-forward networks (recurrence is to come); the value loss is not clipped, because
clipping never helped in our tests (Andrychowicz et al. 2021, https://arxiv.org/abs/2006.05990, found the same); values
are computed once for a whole trajectory, not at each step: the same numbers, in larger matrix products.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat
from torch import Tensor, nn

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import draw, fold_one
from marl.base.schema import Frozen, Size
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import (
    Network,
    generator_of,
    log_prob_and_entropy,
    masked_log_probs,
    rows_by_network,
    to_be_loaded,
)
from marl.learning.optimizers import Adam, Optimizer
from marl.learning.returns import gae
from marl.learning.rowwise import BLOCK, Rowwise
from marl.learning.schedules import annealed
from marl.rollout.agent import Agent, LogProbs, Stateless, log_probs_of, one_hot
from marl.rollout.types import Decision, Hidden, Tensors, Trajectory, View, prefixed, under


class IppoConfig(Frozen):
    """The settings of IPPO."""

    learning_rate: PositiveFloat = 1e-3
    anneal: bool = True  # the learning rate falls linearly to 0 at the run's last step
    gamma: float = Field(0.99, ge=0, le=1)  # per decision of the player
    gae_lambda: float = Field(0.95, ge=0, le=1)
    epochs: Size = 4
    minibatch_size: Size = 2048
    clip: PositiveFloat = 0.2
    entropy_coefficient: float = Field(0.01, ge=0)
    max_grad_norm: PositiveFloat = 0.5
    share_parameters: bool = True  # one pair of networks for all players, with the player's index as an input
    encoder: Literal["auto", "mlp", "cnn"] = "auto"
    hidden: tuple[Size, ...] = (128, 128)
    channels: tuple[Size, ...] = (32, 32)  # of the cnn


class ActorCritic(nn.Module):
    """A policy and a value function, as separate networks."""

    def __init__(self, config: IppoConfig, spec: Spec, generator: torch.Generator) -> None:
        super().__init__()

        def network(outputs: int, output_gain: float) -> Network:
            return Network(
                spec,
                outputs,
                hidden=config.hidden,
                channels=config.channels,
                encoder=config.encoder,
                player_id=config.share_parameters and spec.num_players > 1,
                output_gain=output_gain,
                generator=generator,
            )

        self.actor = network(spec.num_actions, 0.01)
        self.critic = network(1, 1.0)
        self.largest_block = BLOCK if self.actor.convolutions else 16 * BLOCK  # of rows, in acting

    def forward(self, obs: Tensor, player: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, A] and values [B]."""
        features = self.actor.features(obs, player)
        of_critic = self.critic.features(obs, player) if self.critic.convolutions else features
        return self.actor.body(features), self.critic.body(of_critic)[:, 0]

    def log_probs(self, obs: Tensor, action_mask: Tensor, player: Tensor) -> Tensor:
        return masked_log_probs(self.actor(obs, player), action_mask)

    def values(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return the critic's values [B, 1]."""
        return self.critic(obs, player)  # type: ignore[no-any-return]


class IppoAgent(Stateless):
    """Play the policy: sample by the decision's key, or take the most probable action if `greedy`."""

    def __init__(self, models: Sequence[ActorCritic], device: str, *, greedy: bool) -> None:
        self._greedy = greedy
        self._models = [Rowwise(model, device, largest=model.largest_block) for model in models]

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        log_probs = self._log_probs(view)
        action = log_probs.argmax(1) if self._greedy else draw(view.key, np.exp(log_probs))
        return Decision(action, {"log_prob": log_probs[np.arange(len(action)), action]}), None

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        log_probs = self._log_probs(view)
        return log_probs_of(one_hot(log_probs.argmax(1), view) if self._greedy else np.exp(log_probs)), None

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        values = np.empty(len(view), np.float32)
        for rows, model in rows_by_network(view.player, self._models):
            values[rows] = model.ask("values", view.obs[rows], view.player[rows])[:, 0]
        return values

    def _log_probs(self, view: View) -> LogProbs:
        log_probs = np.empty(view.action_mask.shape, np.float32)
        for rows, model in rows_by_network(view.player, self._models):
            arrays = view.obs[rows], view.action_mask[rows], view.player[rows]
            log_probs[rows] = model.ask("log_probs", *arrays)
        return log_probs


def actor_loss(
    log_prob: Tensor,
    entropy: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    *,
    clip: float,
    entropy_coefficient: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the clipped surrogate with an entropy bonus, and its metrics. All arguments are [B]."""
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
    loss = -surrogate - entropy_coefficient * entropy.mean()
    with torch.no_grad():
        return loss, {
            "policy_loss": -surrogate,
            "entropy": entropy.mean(),
            "approx_kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        }


def critic_loss(value: Tensor, value_target: Tensor) -> Tensor:
    """Return half the mean squared error of values [B]."""
    return 0.5 * (value - value_target).square().mean()


class Ippo(Learner):
    """Independent PPO: every player learns from its own observations.

    Raises UserError for continuous actions, which are to come.
    """

    Config: ClassVar[type[BaseModel]] = IppoConfig

    def __init__(self, config: IppoConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        self.config, self.spec, self.device = config, spec, device
        self._key, self._total_steps = key, total_steps
        self.models = _build(config, spec, key, device)
        self._optimizers = [
            # Separate groups: clipped together, the critic's larger gradient would shrink the actor's.
            Adam(
                model.actor.parameters(),
                model.critic.parameters(),
                learning_rate=config.learning_rate,
                eps=1e-5,
                max_norm=config.max_grad_norm,
            )
            for model in self.models
        ]
        self._actors = [IppoAgent(self.models, device, greedy=False)]
        self._steps = self._updates = 0

    def actors(self) -> Sequence[Agent]:
        return self._actors

    def agent(self) -> Agent:
        return IppoAgent(self.models, self.device, greedy=False)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        learning_rate = self._learning_rate()
        self._steps += trajectory.steps
        learn = trajectory.learnable(mine)
        if not learn.any():
            return {"learning_rate": learning_rate}
        value, advantage = self._advantages(trajectory)
        row = trajectory.index[:-1][learn]  # [B] the observations of the learner's decisions
        player = np.nonzero(learn)[2]
        batch = {
            "obs": trajectory.obs[row],
            "action_mask": trajectory.action_mask[row],
            "player": player,
            "action": trajectory.action[learn],
            "old_log_prob": trajectory.extras["log_prob"][learn],
            "advantage": advantage[learn],
            "value_target": (advantage + value[:-1])[learn],
        }
        means = Means()
        for p, (rows, model) in enumerate(rows_by_network(player, self.models)):
            tensors = {name: torch.from_numpy(array[rows]).to(self.device) for name, array in batch.items()}
            optimizer = self._optimizers[self.models.index(model)]
            optimizer.learning_rate = learning_rate
            self._improve(model, optimizer, tensors, p, means)
        self._updates += 1
        explained = 1 - np.var(advantage[learn]) / max(float(np.var(batch["value_target"])), 1e-8)
        return means.result() | {"explained_variance": float(explained), "learning_rate": learning_rate}

    def _improve(
        self,
        model: ActorCritic,
        optimizer: Optimizer,
        batch: dict[str, Tensor],
        p: int,
        means: Means,
    ) -> None:
        """Train one model for `epochs` passes over its rows."""
        config = self.config
        size = len(batch["action"])
        shuffler = np.random.default_rng(fold_one(fold_one(self._key, self._updates), p))
        for _ in range(config.epochs):
            order = torch.from_numpy(shuffler.permutation(size)).to(self.device)
            # Minibatches of equal size: a small last one would take a full step on a noisy gradient.
            for rows in order.tensor_split(max(1, round(size / config.minibatch_size))):
                mb = {name: tensor.index_select(0, rows) for name, tensor in batch.items()}
                advantage = (mb["advantage"] - mb["advantage"].mean()) / (mb["advantage"].std(correction=0) + 1e-8)
                logits, value = model(mb["obs"], mb["player"])
                log_prob, entropy = log_prob_and_entropy(logits, mb["action_mask"], mb["action"])
                policy_loss, logged = actor_loss(
                    log_prob,
                    entropy,
                    mb["old_log_prob"],
                    advantage,
                    clip=config.clip,
                    entropy_coefficient=config.entropy_coefficient,
                )
                value_loss = critic_loss(value, mb["value_target"])
                optimizer.descend(policy_loss + value_loss)
                means.add(logged | {"value_loss": value_loss.detach()})

    def _advantages(self, trajectory: Trajectory) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return values [T+1, E, N] and advantages [T, E, N]."""
        player = np.nonzero(trajectory.index >= 0)[2]  # in the order of the rows
        of_row = np.zeros(len(player), np.float32)
        for rows, model in rows_by_network(player, self.models):
            with torch.inference_mode():
                obs, who = (torch.from_numpy(a[rows]).to(self.device) for a in (trajectory.obs, player))
                of_row[rows] = model.critic(obs, who)[:, 0].cpu().numpy()
        value = np.zeros(trajectory.index.shape, np.float32)
        value[trajectory.index >= 0] = of_row
        return value, gae(
            value,
            trajectory.reward,
            trajectory.acting,
            trajectory.terminated,
            trajectory.truncated,
            trajectory.first,
            gamma=self.config.gamma,
            gae_lambda=self.config.gae_lambda,
        )

    def _learning_rate(self) -> float:
        rate = self.config.learning_rate
        return annealed(rate, self._steps, self._total_steps) if self.config.anneal else rate

    def state(self) -> Tensors:
        state = self.agent_state() | {"counters": torch.tensor([self._steps, self._updates])}
        for p, optimizer in enumerate(self._optimizers):
            state |= prefixed(f"optimizer.{p}", optimizer.state())
        return state

    def load_state(self, state: Tensors) -> None:
        _load_models(self.models, state)
        self._steps, self._updates = state["counters"].tolist()
        for p, optimizer in enumerate(self._optimizers):
            optimizer.load_state(under(f"optimizer.{p}", state))

    def agent_state(self) -> Tensors:
        return {k: v for p, m in enumerate(self.models) for k, v in prefixed(f"model.{p}", m.state_dict()).items()}

    @classmethod
    def load_agent(cls, config: IppoConfig, spec: Spec, state: Tensors, *, device: str, greedy: bool = False) -> Agent:
        with to_be_loaded():
            models = _build(config, spec, 0, device)
        _load_models(models, state)
        return IppoAgent(models, device, greedy=greedy)


def _build(config: IppoConfig, spec: Spec, key: int, device: str) -> list[ActorCritic]:
    count = 1 if config.share_parameters else spec.num_players
    return [ActorCritic(config, spec, generator_of(fold_one(key, p))).to(device) for p in range(count)]


def _load_models(models: Sequence[ActorCritic], state: Tensors) -> None:
    for p, model in enumerate(models):
        model.load_state_dict(under(f"model.{p}", state))


def _refuse(config: IppoConfig, spec: Spec) -> None:
    if not isinstance(spec.action, Discrete):
        raise UserError(f"ippo needs discrete actions, and '{spec.name}' has continuous ones; choose another game")
    if config.encoder == "cnn" and len(spec.observation.shape) != 3:
        raise UserError(
            f"encoder: cnn wants views of three axes, and those of '{spec.name}' have the shape "
            f"{spec.observation.shape}; use mlp or auto"
        )
