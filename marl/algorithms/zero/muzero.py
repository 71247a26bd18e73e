"""MuZero: search in a game that a network has learned, without its rules (Schrittwieser et al. 2020,
https://doi.org/10.1038/s41586-020-03051-4).

AlphaZero's search visits a game's own positions. MuZero's visits hidden states s^k: a representation h maps the
observation to the first, dynamics g map a state and an action to the next, and a prediction f maps each to a policy and
a value.

    s^0 = h(o, who moves)      r^k, m^k, s^k = g(s^(k-1), a^k)      p^k, v^k = f(s^k)

Hidden states have no targets. The three networks are trained together to predict, K moves ahead from a position of the
replay and along the moves that were played, the searches' policies and values, the movers and the rewards:

    L = sum_k s_k [ - sum_a π_a log p^k_a + (z̃ - v^k)² + w (u - r^k)² - log m^k_mover ] + c |θ|²
    s_0 = 1,  s_k = 1/K,  z̃ = (1 - m) z + m (value of the root)

with u the reward of a move and z the return from a position on. After the end of a game the reward and value are 0, and
there is no policy. The gradient into g's input is halved, and hidden states are scaled to [0, 1] (appendix G).

Deviations: the next mover is learned too, so the same code serves extra moves, passes and any number of players; values
and rewards are vectors, one number for each player; z is the full return, not an n-step return; Adam.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat
from torch import Tensor, nn

from games.arrays import Views
from games.contract import Spec
from games.errors import UserError
from games.keys import fold, fold_one, stream, uniform
from marl.algorithms.zero.learner import RatedOptions, SearchConfig, SearchLearner
from marl.algorithms.zero.networks import (
    NetworkInference,
    Normalized,
    Prediction,
    dense,
    encoded,
    head_of,
    is_residual,
    refuse_network,
    tower,
)
from marl.algorithms.zero.replay import Rows
from marl.base.schema import Count, Size
from marl.learning.idle import Needs
from marl.learning.networks import generator_of, linear, to_be_loaded
from marl.learning.value_heads import SCALAR, ValueHead
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, View
from marl.search.agent import SearchAgent
from marl.search.evaluators import LogitsAndValues
from marl.search.models import HiddenStates, LearnedModel
from marl.search.values import by_mover, by_player, half_range, scaled, unscaled

SEARCHED = 512  # positions of one search call in reanalysis: more would cost memory and save no time
# Draws of an update's key.
REANALYSIS = 1  # keys of the searches
AFTER_END = 2  # actions after the end of a game


class MuZeroConfig(SearchConfig):
    """The settings of MuZero."""

    simulations: Size = 50  # for each move, in training
    unroll_steps: Size = 5  # K
    reanalyse: Count = 0  # positions of the replay to search again for each update
    reward_weight: PositiveFloat = 4.0  # w: rewards are exact targets, outcomes are noisy for a long time
    hidden: tuple[Size, ...] = Field((128, 128), min_length=1)  # of the mlp; the last is the size of the hidden state
    action_planes: Size = 2  # planes that encode an action for residual dynamics


class MuZeroNetwork(nn.Module):
    """Representation h, dynamics g and prediction f; a hidden state is [B, C, H, W] or [B, F], scaled to [0, 1]."""

    def __init__(self, config: MuZeroConfig, spec: Spec, generator: torch.Generator) -> None:
        super().__init__()
        shape, self.players, self.actions = spec.observation.shape, spec.num_players, spec.num_actions
        self.residual = is_residual(config.encoder, spec)
        if self.residual:
            channels, blocks = config.channels, config.blocks
            self.features: tuple[int, ...] = (channels, *shape[1:])
            self.representation = tower(shape[0] + self.players, channels, blocks, generator)
            self.action = nn.Parameter(_action_planes(self.actions, (config.action_planes, *shape[1:]), generator))
            self.dynamics = tower(channels + config.action_planes, channels, blocks, generator)
            of_transition: list[nn.Module] = [Normalized(channels, 4, generator), nn.ReLU(inplace=True), nn.Flatten()]
            width = 4 * shape[1] * shape[2]
        else:
            self.features = config.hidden[-1:]
            self.representation = dense([int(np.prod(shape)) + self.players, *config.hidden], generator)
            self.dynamics = dense([*self.features, *config.hidden], generator)
            self.action = nn.Parameter(0.1 * torch.randn(self.actions, *self.features, generator=generator))
            of_transition, width = [], config.hidden[-1]
        of_transition += [
            linear(width, 64, 2**0.5, generator),
            nn.ReLU(inplace=True),
            linear(64, 2 * self.players, 0.01, generator),
        ]
        self.transition = nn.Sequential(*of_transition)
        self.prediction = Prediction(nn.Sequential(), self.features, spec, head_of(config, spec), generator)

    def encode(self, obs: Tensor, mover: Tensor) -> Tensor:
        """Return the input of the representation for observations [B, *O] and movers [B]."""
        return encoded(obs, mover, self.players, residual=self.residual)

    def with_action(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Return the input of the dynamics for hidden states [B, ...] and actions [B]."""
        action = self.action[action]
        return torch.cat([hidden, action], 1) if self.residual else hidden + action

    def initial(self, x: Tensor) -> Tensor:
        """Return logits, values and hidden states for inputs of `encode`, concatenated: [B, A + N + F]."""
        hidden = rescaled(self.representation(x))
        return torch.cat([self.prediction.evaluate(hidden), hidden.flatten(1)], 1)

    def recurrent(self, x: Tensor) -> Tensor:
        """Return rewards and logits of the next mover, then as `initial`, for `with_action`: [B, 2N + A + N + F]."""
        hidden = rescaled(self.dynamics(x))
        return torch.cat([self.transition(hidden), self.prediction.evaluate(hidden), hidden.flatten(1)], 1)

    def unroll(self, obs: Tensor, mover: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Apply actions [B, K]; return those of K+1 states [B, K+1, A + N * bins] and K transitions [B, K, 2N]."""
        states = [rescaled(self.representation(self.encode(obs, mover)))]
        for action in actions.unbind(1):
            states.append(rescaled(self.dynamics(self.with_action(halved(states[-1]), action))))
        predictions = self.prediction(torch.cat(states)).unflatten(0, (-1, len(obs)))
        transitions = self.transition(torch.cat(states[1:])).unflatten(0, (-1, len(obs)))
        return predictions.transpose(0, 1), transitions.transpose(0, 1)


def _action_planes(actions: int, planes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return the initial planes of actions [A, p, H, W]: noise, and the action's cell if cells are actions."""
    start = 0.1 * torch.randn(actions, *planes, generator=generator)
    if actions == planes[1] * planes[2]:
        start[:, 0] = torch.eye(actions).view(actions, *planes[1:])
    return start


def rescaled(hidden: Tensor) -> Tensor:
    """Scale each hidden state [B, ...] to [0, 1]."""
    flat = hidden.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return ((flat - low) / (high - low + 1e-5)).view_as(hidden)


def halved(x: Tensor) -> Tensor:
    """Return x; its gradient is halved in the backward pass."""
    return x / 2 + x.detach() / 2


class MuZeroInference(NetworkInference[MuZeroNetwork]):
    """The network as a search calls it: initial and recurrent inference."""

    def initial(self, obs: Views, movers: NDArray[np.int64]) -> HiddenStates:
        output = self._run("initial", self._network.encode, obs, movers)
        return self._hidden_states(output, movers, np.zeros((len(output), self._spec.num_players)))

    def recurrent(
        self, hidden: NDArray[np.float32], actions: NDArray[np.int64], movers: NDArray[np.int64]
    ) -> HiddenStates:
        players = self._spec.num_players
        output = self._run("recurrent", self._network.with_action, hidden, actions)
        reward, turns, output = np.split(output, [players, 2 * players], 1)
        rewards = by_player(reward, movers).astype(np.float64) * half_range(self._spec)
        return self._hidden_states(output, (movers + turns.argmax(1)) % players, rewards)

    def _hidden_states(
        self, output: NDArray[np.float32], movers: NDArray[np.int64], reward: NDArray[np.float64]
    ) -> HiddenStates:
        actions = self._spec.num_actions
        logits, value, hidden = np.split(output, [actions, actions + self._spec.num_players], 1)
        values = unscaled(by_player(value, movers), self._spec)
        return HiddenStates(hidden.reshape(-1, *self._network.features), movers, reward, logits, values)

    def __call__(self, obs: Views, movers: NDArray[np.int64]) -> LogitsAndValues:
        """Return the logits and values of observations, without a search."""
        states = self.initial(obs, movers)
        return states.logits, states.value


@dataclass(frozen=True)
class Targets:
    """The targets for B positions and the K steps after each; players are counted from each step's mover.

    A weight is 0 for a missing target: policy and mover after the end of a game, everything after a truncation.
    """

    policy: Any  # [B, K+1, A]
    policy_weight: Any  # [B, K+1]
    value: Any  # [B, K+1, N]
    value_weight: Any  # [B, K+1]
    reward: Any  # [B, K, N] of the step k - 1 -> k, players counted from its mover
    turns: Any  # [B, K] the number of players by which the turn passed on
    reward_weight: Any  # [B, K]
    turns_weight: Any  # [B, K]


def targets(rows: Rows, spec: Spec, root_value_share: float) -> Targets:
    """Return the targets for positions and their successors, as the replay unrolls them [B, K+1, ...]."""
    player, outcome, root_value = rows["player"], rows["outcome"], rows["root_value"]
    ahead = np.arange(player.shape[1])
    inside = ahead <= rows["left"][:, :1]
    known = inside | ~rows["cut"][:, :1]
    mixed = (1 - root_value_share) * outcome + root_value_share * root_value
    value = np.where(inside[..., None], np.where(np.isnan(root_value), outcome, mixed), 0)
    valued = known & ~np.isnan(value).any(2)  # NaN: a stranger's position, not searched, of a truncated game
    reward = np.where(inside[:, :-1, None], rows["reward"][:, :-1], 0) / half_range(spec)
    return Targets(
        policy=rows["policy"],
        policy_weight=(inside & rows["searched"]).astype(np.float32),
        value=by_mover(scaled(np.nan_to_num(value), spec), player).astype(np.float32),
        value_weight=valued.astype(np.float32),
        reward=by_mover(reward, player[:, :-1]).astype(np.float32),
        turns=(player[:, 1:] - player[:, :-1]) % spec.num_players,
        reward_weight=known[:, 1:].astype(np.float32),
        turns_weight=inside[:, 1:].astype(np.float32),
    )


def loss(
    predictions: Tensor, transitions: Tensor, target: Targets, reward_weight: float, head: ValueHead = SCALAR
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of the predictions for states [B, K+1, A + N * bins] and for transitions [B, K, 2N]."""
    logits, v = predictions.tensor_split([target.policy.shape[2]], 2)
    v = head.parted(v)
    r, turns = transitions.chunk(2, 2)
    log_p = torch.log_softmax(logits, 2)  # over all actions: legal ones are unknown below a root
    log_m = torch.log_softmax(turns, 2)
    policy_loss = -(target.policy * log_p).sum(2) * target.policy_weight
    value_loss = head.loss(v, target.value).mean(2) * target.value_weight
    reward_loss = (r - target.reward).square().mean(2) * target.reward_weight
    mover_loss = -log_m.gather(2, target.turns[..., None])[..., 0] * target.turns_weight
    unrolled = policy_loss[:, 1:] + value_loss[:, 1:] + reward_weight * reward_loss + mover_loss
    total = (policy_loss[:, 0] + value_loss[:, 0] + unrolled.mean(1)).mean()
    search_entropy = -(target.policy * target.policy.clamp_min(1e-12).log()).sum(2)
    of_root = log_p[:, 0].detach()
    entropy = -(of_root.exp() * of_root).sum(1) * target.policy_weight[:, 0]
    metrics = {
        "policy_loss": _mean(policy_loss[:, 0], target.policy_weight[:, 0]),
        "search_entropy": _mean(search_entropy[:, 0] * target.policy_weight[:, 0], target.policy_weight[:, 0]),
        "entropy": _mean(entropy, target.policy_weight[:, 0]),
        "value_loss": _mean(value_loss[:, 0], target.value_weight[:, 0]),
        "unrolled_policy_loss": _mean(policy_loss[:, 1:], target.policy_weight[:, 1:]),
        "unrolled_value_loss": _mean(value_loss[:, 1:], target.value_weight[:, 1:]),
        "reward_loss": _mean(reward_loss, target.reward_weight),
        "mover_loss": _mean(mover_loss, target.turns_weight),
    } | head.metrics(v[:, 0], target.value[:, 0], target.value_weight[:, 0, None])
    return total, {name: metric.detach() for name, metric in metrics.items()}


def _mean(weighted: Tensor, weight: Tensor) -> Tensor:
    return weighted.sum() / weight.sum().clamp_min(1)


class MuZero(SearchLearner[MuZeroNetwork]):
    """MuZero: a learned model of the game, and the policies and values that searches in it found.

    Strangers' moves are unrolled like its own, but they were not searched, so they have no policy target unless they
    are reanalysed. Raises UserError for games with chance, hidden information or simultaneous moves, and for more
    actions than MOST_ACTIONS.
    """

    Config: ClassVar[type[BaseModel]] = MuZeroConfig
    config: MuZeroConfig

    def __init__(self, config: MuZeroConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        network = MuZeroNetwork(config, spec, generator_of(stream(key, "network")))
        super().__init__(config, spec, network, key=key, total_steps=total_steps, device=device, whole_games=True)
        self.inference = MuZeroInference(network, spec, device, precision=config.precision, backend=self.config.backend)
        model = partial(LearnedModel, spec, self.inference)
        quiet, noisy = (config.selection(noisy=noisy) for noisy in (False, True))
        self._actor = SearchAgent(spec, model, noisy, simulations=config.simulations, sampled=config.sampled_moves)
        self._searcher = SearchAgent(spec, model, quiet, simulations=config.simulations)

    @classmethod
    def needs(cls, config: SearchConfig, spec: Spec) -> Needs:
        return {
            **super().needs(config, spec),
            "action_planes": (is_residual(config.encoder, spec), "encoder: residual"),
        }

    def actors(self) -> Sequence[Agent]:
        return [self._actor]

    def agent(self) -> Agent:
        model = partial(LearnedModel, self.spec, self.inference)
        return RatedOptions("muzero", self.config).agent(self.spec, self.inference, model)

    def renew(self) -> None:
        self.inference.renew(self.network)

    def refresh(self, updates: int) -> None:
        if self.config.reanalyse:
            self._reanalyse(updates * self.config.reanalyse)

    def _reanalyse(self, count: int) -> None:
        """Search positions of the replay again with the present network."""
        key = fold_one(stream(self.key, "reanalyse"), self.updates)
        places = self.replay.draw(count, key)
        rows, row = self.replay.at(places), np.arange(count)
        keys = fold(fold_one(key, REANALYSIS), row)
        view = View(rows["obs"], rows["action_mask"], rows["player"], row, np.ones(count, bool), keys)
        for start in range(0, count, SEARCHED):
            part = view.rows(slice(start, start + SEARCHED))
            found = self._searcher.search(part, part.key, np.full(len(part), self.config.simulations))
            policy = found.dense(found.policy, self.spec.num_actions)
            self.replay.renew(places[start : start + SEARCHED], policy, found.value)

    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        config, spec = self.config, self.spec
        rows = self.augmented(self.replay.unroll(self.replay.draw(config.batch_size, key), config.unroll_steps), key)
        # After the end of a game any action gets reward 0, so random ones are unrolled.
        drawn = uniform(fold(fold_one(key, AFTER_END), np.arange(config.batch_size)), config.unroll_steps)
        inside = np.arange(config.unroll_steps) <= rows["left"][:, :1]
        action = np.where(inside, rows["action"][:, :-1], (drawn * spec.num_actions).astype(np.int64))
        learned = targets(rows, spec, config.root_value_share)
        target = Targets(**{field.name: self._tensor(getattr(learned, field.name)) for field in fields(Targets)})
        first = rows["player"][:, 0]
        predictions, transitions = self.network.unroll(*(self._tensor(array) for array in (rows["obs"], first, action)))
        head = self.network.prediction.head
        return loss(predictions.float(), transitions.float(), target, config.reward_weight, head)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @classmethod
    def load_agent(
        cls,
        config: MuZeroConfig,
        spec: Spec,
        state: Tensors,
        *,
        device: str,
        simulations: int | None = None,
        sampled_moves: int = 0,
        leaves: int = 1,
        backend: str | None = None,
        search: bool = True,
        greedy: bool = False,
    ) -> Agent:
        config = cls.resolved(config, spec, device=device)
        with to_be_loaded():
            network = MuZeroNetwork(config, spec, generator_of(0)).to(device)
        network.load_state_dict(state)
        inference = MuZeroInference(
            network, spec, device, precision=config.precision, backend=config.backend if backend is None else backend
        )
        options = RatedOptions("muzero", config, simulations, sampled_moves, leaves, search=search, greedy=greedy)
        return options.agent(spec, inference, partial(LearnedModel, spec, inference))


def _refuse(config: MuZeroConfig, spec: Spec) -> None:
    """Raise UserError for a game in which an observation and an action do not determine the next observation."""
    if "|" in spec.name:
        raise UserError(f"muzero learns a game's own views; leave the wrappers out, got '{spec.name}'")
    what = (
        ("lets players move at the same time; ippo learns it", spec.turns != "sequential"),
        ("hides information; ippo learns it", not spec.perfect_information),
        ("has chance; alphazero learns it where it has positions, and ippo anywhere", spec.chance),
    )
    for which, so in what:
        if so:
            raise UserError(
                f"muzero learns games of turns in which nothing is hidden or drawn, and '{spec.name}' {which}"
            )
    refuse_network(spec, "muzero", config.encoder)
