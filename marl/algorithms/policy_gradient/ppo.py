"""PPO for any number of players (Schulman et al. 2017, https://arxiv.org/abs/1707.06347): what IPPO and MAPPO share.

An update improves the policy on the decisions that a trajectory has, and the clipped ratio keeps it near the policy
that made them. They differ in what the critic V sees (ippo.py, mappo.py).

    ratio = pi(a | o) / pi_old(a | o)
    L = - mean min(ratio A, clip(ratio, 1 - c, 1 + c) A)  -  c_e mean H(pi)          the actor's
      + mean l(V - (A + V_old))                                                      the critic's, on its own network

with A from GAE over each player's own decisions (marl/learning/returns.py), standardised over the minibatch or the
batch, and l(x) = x² / 2, or Huber's l. With `value_clip` the critic's loss is the larger one of V and of V_old +
clip(V - V_old, -c_v, c_v). With `normalise_values` the critic computes (V - μ) / σ (networks.ValueNormaliser); the
targets are normalised when μ and σ have seen them.

With `standardise_views` the networks see (o - μ) / σ, by the moments of all decisions so far. They move when an update
has ended, so that its ratios are those of the policy that acted, and once before the first, when little is learned yet.

Means are over decisions: a player who waits, or is out, has none.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one
from marl.algorithms.policy_gradient import idle
from marl.algorithms.policy_gradient.agent import PpoAgent, RecordingPpoAgent, ValuedPpoAgent, recorded_as
from marl.algorithms.policy_gradient.batch import Batch, Minibatch, chunks, sequences
from marl.algorithms.policy_gradient.critic import CriticInput, Critics, Shown
from marl.algorithms.policy_gradient.networks import ActorCritic, NetworksConfig, groups_of
from marl.base.schema import Size
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import convolves, generator_of, rows_by_network, to_be_loaded
from marl.learning.optimizers import Adam
from marl.learning.returns import gae
from marl.learning.schedules import annealed, ramp
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, Trajectory, prefixed, under

LARGEST_KL = 1e4  # nats; beyond it ratios have exploded: those of sound updates are below 1
SKIPPED = (
    "steps of the learner were skipped, as the ratios of their decisions had exploded (skipped_updates counts them): "
    "lower learning_rate, or set target_kl"
)

Standardisation = Literal["minibatch", "batch", False]


class PpoConfig(NetworksConfig):
    """The settings of PPO."""

    learning_rate: PositiveFloat = 1e-3
    anneal: bool = True  # the learning rate falls linearly to 0 at the run's last step
    gamma: float = Field(0.99, ge=0, le=1)  # per decision of the player, or of the team if all players are one
    gae_lambda: float = Field(0.95, ge=0, le=1)
    epochs: Size = 4
    minibatch_size: Size = 2048  # decisions, about
    target_kl: PositiveFloat | None = None  # an update ends before the first step at which approx_kl is larger
    clip: PositiveFloat = 0.2
    value_clip: PositiveFloat | None = None  # c_v, in the units of the critic's output
    huber_delta: PositiveFloat | None = None  # the error from which the critic's loss is linear
    normalise_values: bool = False
    standardise_advantages: Standardisation = "minibatch"
    entropy_coefficient: float = Field(0.01, ge=0)
    entropy_coefficient_end: float | None = Field(None, ge=0)  # reached linearly at the run's last step
    max_grad_norm: PositiveFloat = 0.5


def actor_loss(
    log_prob: Tensor,
    entropy: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    *,
    clip: float,
    entropy_coefficient: float,
    weight: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the clipped surrogate with an entropy bonus, and its metrics. All arguments are [B].

    `weight` multiplies the surrogate of each decision (happo.py).
    """
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.exp()
    surrogates = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    surrogate = (surrogates if weight is None else weight * surrogates).mean()
    loss = -surrogate - entropy_coefficient * entropy.mean()
    with torch.no_grad():
        return loss, {
            "policy_loss": -surrogate,
            "entropy": entropy.mean(),
            "approx_kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        }


def critic_loss(
    value: Tensor,
    value_target: Tensor,
    old_value: Tensor | None = None,
    *,
    clip: float | None = None,
    huber_delta: float | None = None,
) -> Tensor:
    """Return the mean of half the squared error, or Huber's loss, of values [B]; with `clip` it is clipped.

    `old_value` [B], the values before the update, is needed for that alone.
    """

    def loss(value: Tensor) -> Tensor:
        if huber_delta is None:
            return 0.5 * (value - value_target).square()
        return functional.huber_loss(value, value_target, reduction="none", delta=huber_delta)

    if clip is None:
        return loss(value).mean()
    assert old_value is not None
    clipped = old_value + (value - old_value).clamp(-clip, clip)
    return torch.maximum(loss(value), loss(clipped)).mean()


def standardised(advantage: Tensor) -> Tensor:
    """Return advantages [B] with mean 0 and deviation 1."""
    return (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)


class Ppo(Learner):
    """The update; an algorithm says what its critic sees.

    Raises UserError for groups of players that do not fit the game.
    """

    Config: ClassVar[type[BaseModel]] = PpoConfig
    name: ClassVar[str]

    def __init__(self, config: PpoConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        self.config, self.spec, self.device = config, spec, device
        self._key, self._total_steps = key, total_steps
        self._input = self.critic_input(spec)
        self.notes: list[str] = [self._input.note] if self._input.note else []
        self.groups = groups_of(config, spec)
        self.models = self._build(config, spec, key, device)
        self._critics = Critics(self.models, self.groups, device)
        self._optimizers = [
            # Separate groups: clipped together, the critic's larger gradient would shrink the actor's.
            Adam(
                model.actor_parameters(),
                model.critic.parameters(),
                learning_rate=config.learning_rate,
                eps=1e-5,
                max_norm=config.max_grad_norm,
            )
            for model in self.models
        ]
        acts = RecordingPpoAgent if config.recurrent else PpoAgent
        self._actors = [acts(self.models, self.groups, device)]
        self._steps = self._updates = 0

    @classmethod
    def needs(cls, config: PpoConfig, spec: Spec) -> Needs:
        return {
            "hidden_size": (config.recurrent, "recurrent: true"),
            "chunk_length": (config.recurrent, "recurrent: true"),
            "channels": (convolves(config.encoder, spec), "encoder: cnn"),
            "initial_log_std": (not isinstance(spec.action, Discrete), "continuous actions"),
        }

    @classmethod
    def critic_input(cls, spec: Spec) -> CriticInput:
        """Return what the critic sees besides a player's own view."""
        return CriticInput()

    def actors(self) -> Sequence[Agent]:
        return self._actors

    def agent(self) -> Agent:
        return self._agent(self.config, self.spec, self.models, self.device)

    @classmethod
    def _agent(
        cls, config: PpoConfig, spec: Spec, models: Sequence[ActorCritic], device: str, *, greedy: bool = False
    ) -> Agent:
        sees_more = cls.critic_input(spec).size > 0
        plays = PpoAgent if config.recurrent or sees_more else ValuedPpoAgent
        return plays(models, groups_of(config, spec), device, greedy=greedy)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        learning_rate, entropy_coefficient = self._learning_rate(), self._entropy_coefficient()
        metrics = {"learning_rate": learning_rate}
        if self.config.entropy_coefficient_end is not None:
            metrics["entropy_coefficient"] = entropy_coefficient
        self._steps += trajectory.steps
        learn, shown = trajectory.learnable(mine), self._shown(trajectory)
        if not learn.any():
            if self.config.recurrent:  # the critics' memories go on
                self._critics(trajectory, shown)
            return metrics
        if self._updates == 0:
            self._see(trajectory, learn, shown)
        batches, metrics["explained_variance"] = self._batches(trajectory, learn, shown)
        if self._updates == 0:
            self.notes += idle.of_updates(self.config, max(map(len, batches.values())))
        means, skipped = Means(), 0
        for p, (group, batch) in enumerate(self._in_turn(batches, learn)):
            self._optimizers[group].learning_rate = learning_rate
            shuffler = np.random.default_rng(fold_one(fold_one(self._key, self._updates), p))
            skipped += self._improve(group, batch, entropy_coefficient, shuffler, means)
        if self._updates > 0:
            self._see(trajectory, learn, shown)
        self._updates += 1
        if skipped and SKIPPED not in self.notes:
            self.notes.append(SKIPPED)
        return metrics | means.result() | {"skipped_updates": skipped}

    def _shown(self, trajectory: Trajectory) -> Shown:
        return Shown.of(trajectory, self._input.of(trajectory), self.device)

    def _see(self, trajectory: Trajectory, learn: NDArray[np.bool_], shown: Shown) -> None:
        """Let the networks learn the moments of what they see at the decisions `learn` [T, E, N]."""
        if self.config.standardise_views:
            row, player = trajectory.index[:-1][learn], np.nonzero(learn)[2]  # [B]
            for rows, model in rows_by_network(self.groups[player], self.models):
                columns = shown.rows(row[rows])
                model.see(columns["obs"], columns["player"], columns.get("state"))

    def _batches(
        self, trajectory: Trajectory, learn: NDArray[np.bool_], shown: Shown
    ) -> tuple[dict[int, Batch], float]:
        """Return the rows of each group of players, and the explained variance; `learn` [T, E, N] are its decisions."""
        config = self.config
        values = self._critics(trajectory, shown)
        advantage = gae(
            values.value,
            trajectory.reward,
            trajectory.acting,
            trajectory.terminated,
            trajectory.truncated,
            trajectory.first,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            team=self.spec.payoff == "team",
        )
        recorded_by = self.models[0].policies.chosen
        chosen = trajectory.action if recorded_by == "action" else trajectory.extras[recorded_by]
        row = trajectory.index[:-1][learn]  # [B] the observations of the learner's decisions
        player = np.nonzero(learn)[2]
        columns: dict[str, NDArray[Any]] = {
            "chosen": chosen[learn],
            "old_log_prob": trajectory.extras["log_prob"][learn],
            "advantage": advantage[learn],
            "value_target": (advantage + values.value[:-1])[learn],
        }
        if config.value_clip is not None:
            columns["old_value"] = values.output[row]
        if values.hidden is not None:
            columns["actor_hidden"] = trajectory.extras[recorded_as(config.hidden_size)][learn]
            columns["critic_hidden"] = values.hidden[row]
            sequence = sequences(trajectory, learn)
        batches = {}
        for rows, model in rows_by_network(self.groups[player], self.models):
            tensors = {name: torch.from_numpy(array[rows]).to(self.device) for name, array in columns.items()}
            tensors |= shown.rows(row[rows])
            cut = None if values.hidden is None else chunks(sequence[rows], config.chunk_length)
            batches[self.models.index(model)] = Batch(tensors, cut)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite ends the run
            explained = 1 - np.var(columns["advantage"]) / max(float(np.var(columns["value_target"])), 1e-8)
        return batches, float(explained)

    def _in_turn(self, batches: dict[int, Batch], learn: NDArray[np.bool_]) -> Iterator[tuple[int, Batch]]:
        """Yield each group of players with its batch when its networks are to be trained.

        `learn` [T, E, N] are the decisions that the batches hold.
        """
        yield from batches.items()

    def _improve(
        self, group: int, batch: Batch, entropy_coefficient: float, shuffler: np.random.Generator, means: Means
    ) -> int:
        """Train the networks of one group for `epochs` passes over its rows; return how many steps were skipped."""
        config, model, columns = self.config, self.models[group], batch.columns
        if model.normaliser:
            model.normaliser.update(columns["value_target"])
            columns["value_target"] = model.normaliser.normalise(columns["value_target"])
        if config.standardise_advantages == "batch":
            columns["advantage"] = standardised(columns["advantage"])
        skipped = 0
        for _ in range(config.epochs):
            for minibatch in batch.minibatches(config.minibatch_size, shuffler):
                loss, logged = self._loss(model, minibatch, entropy_coefficient)
                if logged["approx_kl"] > LARGEST_KL:
                    skipped += 1
                    continue
                if config.target_kl is not None and logged["approx_kl"] > config.target_kl:
                    return skipped
                self._optimizers[group].descend(loss)
                means.add(logged)
        return skipped

    def _loss(
        self, model: ActorCritic, minibatch: Minibatch, entropy_coefficient: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a minibatch, and its metrics."""
        config, columns = self.config, minibatch.columns
        outputs, value = model(columns["obs"], columns["player"], columns.get("state"), minibatch.unrolling)
        log_prob, entropy = model.policies.log_prob_and_entropy(
            outputs, columns["action_mask"], columns["player"], columns["chosen"]
        )
        advantage = columns["advantage"]
        policy_loss, logged = actor_loss(
            log_prob,
            entropy,
            columns["old_log_prob"],
            standardised(advantage) if config.standardise_advantages == "minibatch" else advantage,
            clip=config.clip,
            entropy_coefficient=entropy_coefficient,
            weight=columns.get("weight"),
        )
        value_loss = critic_loss(
            value,
            columns["value_target"],
            columns.get("old_value"),
            clip=config.value_clip,
            huber_delta=config.huber_delta,
        )
        return policy_loss + value_loss, logged | {"value_loss": value_loss.detach()}

    def _learning_rate(self) -> float:
        rate = self.config.learning_rate
        return annealed(rate, self._steps, self._total_steps) if self.config.anneal else rate

    def _entropy_coefficient(self) -> float:
        start, end = self.config.entropy_coefficient, self.config.entropy_coefficient_end
        return start if end is None else ramp(start, end, self._steps, self._total_steps)

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
    def load_agent(cls, config: PpoConfig, spec: Spec, state: Tensors, *, device: str, greedy: bool = False) -> Agent:
        with to_be_loaded():
            models = cls._build(config, spec, 0, device)
        _load_models(models, state)
        return cls._agent(config, spec, models, device, greedy=greedy)

    @classmethod
    def _build(cls, config: PpoConfig, spec: Spec, key: int, device: str) -> list[ActorCritic]:
        """Return the networks of each group of players."""
        count = groups_of(config, spec).max() + 1
        return [
            ActorCritic(
                config,
                spec,
                generator_of(fold_one(key, p)),
                player_id=count < spec.num_players,
                state_size=cls.critic_input(spec).size,
                normalise_values=config.normalise_values,
            ).to(device)
            for p in range(count)
        ]


def _load_models(models: Sequence[ActorCritic], state: Tensors) -> None:
    for p, model in enumerate(models):
        model.load_state_dict(under(f"model.{p}", state))


def _refuse(config: PpoConfig, spec: Spec) -> None:
    if config.encoder == "cnn" and len(spec.observation.shape) != 3:
        raise UserError(
            f"encoder: cnn wants views of three axes, and those of '{spec.name}' have the shape "
            f"{spec.observation.shape}; use mlp or auto"
        )
