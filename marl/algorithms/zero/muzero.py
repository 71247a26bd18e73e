"""MuZero: a search that asks no rules, in a game that a network has learned (Schrittwieser et al. 2020,
https://doi.org/10.1038/s41586-020-03051-4).

AlphaZero's search walks through a game's own positions. Here it walks through hidden states s^k: a representation makes
the first of what is seen, dynamics make the next of an action, a prediction says policy and value of each.

    s^0 = h(o, who moves)      r^k, m^k, s^k = g(s^(k-1), a^k)      p^k, v^k = f(s^k)

Nothing says what a hidden state should be. The three are trained together to say, K moves ahead from a position of the
replay and along the moves that were played, what a search made of those positions, who moved there and what was paid:

    L = sum_k s_k [ - sum_a π_a log p^k_a + (z̃ - v^k)² + w (u - r^k)² - log m^k_mover ] + c |θ|²
    s_0 = 1,  s_k = 1/K,  z̃ = (1 - m) z + m (value of the root)

with u what a move was paid, z all that is paid from a position on. After its end a game pays nothing, is worth nothing,
and has no policy. The gradient into g's input is halved, and hidden states are scaled to [0, 1] (appendix G).

Deviations: who moves next is learned too, so that extra moves, passes and any number of players need no other code;
values and rewards are vectors, one number for each player; z is the return to the end, never an n-step one; Adam.
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

from games.contract import Spec
from games.errors import UserError
from games.keys import fold, fold_one, stream, uniform
from marl.algorithms.zero.agent import PolicyAgent
from marl.algorithms.zero.learner import SearchConfig, SearchLearner, budget, rated, refuse_unfit
from marl.algorithms.zero.networks import Asked, Normalized, Prediction, dense, is_residual, refuse_network, seen, tower
from marl.algorithms.zero.replay import Rows
from marl.base.schema import Count, Size
from marl.learning.networks import generator_of, linear
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, View
from marl.search.agent import SearchAgent
from marl.search.evaluators import Judgement
from marl.search.models import Imagined, LearnedModel
from marl.search.values import by_mover, by_player, half_range, scaled, unscaled

SEARCHED = 512  # positions that are searched again in one call: more would take memory, not time


class MuZeroConfig(SearchConfig):
    """The settings of MuZero."""

    simulations: Size = 50  # a move, in training
    unroll_steps: Size = 5  # K
    reanalyse: Count = 0  # positions of the replay that are searched again for each update
    reward_weight: PositiveFloat = 4.0  # w: how things went is noise for long, what a move pays is none
    hidden: tuple[Size, ...] = Field((128, 128), min_length=1)  # of the mlp; the last is the hidden state's
    action_planes: Size = 2  # as which an action enters residual dynamics


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
            of_transition: list[nn.Module] = [Normalized(channels, 4, generator), nn.ReLU(), nn.Flatten()]
            width = 4 * shape[1] * shape[2]
        else:
            self.features = config.hidden[-1:]
            self.representation = dense([int(np.prod(shape)) + self.players, *config.hidden], generator)
            self.dynamics = dense([*self.features, *config.hidden], generator)
            self.action = nn.Parameter(0.1 * torch.randn(self.actions, *self.features, generator=generator))
            of_transition, width = [], config.hidden[-1]
        of_transition += [
            linear(width, 64, 2**0.5, generator),
            nn.ReLU(),
            linear(64, 2 * self.players, 0.01, generator),
        ]
        self.transition = nn.Sequential(*of_transition)
        self.prediction = Prediction(nn.Sequential(), self.features, spec, generator)

    def see(self, obs: Tensor, mover: Tensor) -> Tensor:
        """Return what the representation is shown of views [B, *O] and who moves [B]."""
        return seen(obs, mover, self.players, residual=self.residual)

    def taken(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Return what the dynamics are shown of hidden states and actions [B]."""
        action = self.action[action]
        return torch.cat([hidden, action], 1) if self.residual else hidden + action

    def initial(self, x: Tensor) -> Tensor:
        """Return what is said of what is seen, and its hidden states, beside each other: [B, A + N + F]."""
        hidden = rescaled(self.representation(x))
        return torch.cat([self.prediction(hidden), hidden.flatten(1)], 1)

    def recurrent(self, x: Tensor) -> Tensor:
        """Return the reward of actions taken and logits of who moves next, then as `initial`: [B, 2N + A + N + F]."""
        hidden = rescaled(self.dynamics(x))
        return torch.cat([self.transition(hidden), self.prediction(hidden), hidden.flatten(1)], 1)

    def unroll(self, obs: Tensor, mover: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Follow actions [B, K]; return what is said of K + 1 states [B, K+1, A + N] and K ways [B, K, 2N]."""
        states = [rescaled(self.representation(self.see(obs, mover)))]
        for action in actions.unbind(1):
            states.append(rescaled(self.dynamics(self.taken(halved(states[-1]), action))))
        said, ways = self.prediction(torch.cat(states)), self.transition(torch.cat(states[1:]))
        return tuple(x.unflatten(0, (-1, len(obs))).transpose(0, 1) for x in (said, ways))  # type: ignore[return-value]


def _action_planes(actions: int, planes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return what actions are at first [A, p, H, W]: small noise, and their own cell where each cell is an action."""
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
    """Return x, whose gradient is halved on its way back."""
    return x / 2 + x.detach() / 2


class Imagination(Asked[MuZeroNetwork]):
    """The network as a search asks it: what is seen now, and what follows."""

    def initial(self, views: NDArray[Any], movers: NDArray[np.int64]) -> Imagined:
        said = self._ask("initial", self._network.see, views, movers)
        return self._imagined(said, movers, np.zeros((len(said), self._spec.num_players)))

    def recurrent(self, hidden: NDArray[np.float32], actions: NDArray[np.int64], movers: NDArray[np.int64]) -> Imagined:
        players = self._spec.num_players
        said = self._ask("recurrent", self._network.taken, hidden, actions)
        reward, further, said = np.split(said, [players, 2 * players], 1)
        paid = by_player(reward, movers).astype(np.float64) * half_range(self._spec)
        return self._imagined(said, (movers + further.argmax(1)) % players, paid)

    def _imagined(self, said: NDArray[np.float32], movers: NDArray[np.int64], reward: NDArray[np.float64]) -> Imagined:
        actions = self._spec.num_actions
        logits, value, hidden = np.split(said, [actions, actions + self._spec.num_players], 1)
        values = unscaled(by_player(value, movers), self._spec)
        return Imagined(hidden.reshape(-1, *self._network.features), movers, reward, logits, values)

    def __call__(self, views: NDArray[Any], movers: NDArray[np.int64]) -> Judgement:
        """Return the logits of views, and values: what there is to know without a search."""
        imagined = self.initial(views, movers)
        return imagined.logits, imagined.value


@dataclass(frozen=True)
class Targets:
    """What the network should say of B positions and the K steps from each; players from each step's mover on.

    A weight is 0 where there is nothing to learn: no policy and no mover after a game's end, nothing after a cut.
    """

    policy: Any  # [B, K+1, A]
    policy_weight: Any  # [B, K+1]
    value: Any  # [B, K+1, N]
    value_weight: Any  # [B, K+1]
    reward: Any  # [B, K, N] of the step k - 1 -> k, seen from the one who moved
    further: Any  # [B, K] by how many players the turn has passed on
    reward_weight: Any  # [B, K]
    further_weight: Any  # [B, K]


def targets(rows: Rows, spec: Spec, root_value_share: float) -> Targets:
    """Return the targets of positions and those after them, as the replay unrolls them [B, K+1, ...]."""
    player, outcome, root_value = rows["player"], rows["outcome"], rows["root_value"]
    ahead = np.arange(player.shape[1])
    inside = ahead <= rows["left"][:, :1]
    known = inside | ~rows["cut"][:, :1]
    mixed = (1 - root_value_share) * outcome + root_value_share * root_value
    value = np.where(inside[..., None], np.where(np.isnan(root_value), outcome, mixed), 0)
    valued = known & ~np.isnan(value).any(2)  # nobody searched a stranger's position, nor knows how a cut game ends
    reward = np.where(inside[:, :-1, None], rows["reward"][:, :-1], 0) / half_range(spec)
    return Targets(
        policy=rows["policy"],
        policy_weight=(inside & rows["searched"]).astype(np.float32),
        value=by_mover(scaled(np.nan_to_num(value), spec), player).astype(np.float32),
        value_weight=valued.astype(np.float32),
        reward=by_mover(reward, player[:, :-1]).astype(np.float32),
        further=(player[:, 1:] - player[:, :-1]) % spec.num_players,
        reward_weight=known[:, 1:].astype(np.float32),
        further_weight=inside[:, 1:].astype(np.float32),
    )


def loss(said: Tensor, ways: Tensor, target: Targets, reward_weight: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of what was said of states [B, K+1, A + N] and of the ways into them [B, K, 2N]."""
    logits, v = said.split([target.policy.shape[2], target.value.shape[2]], 2)
    r, further = ways.chunk(2, 2)
    log_p = torch.log_softmax(logits, 2)  # of all actions: below a root nobody says which are legal
    log_m = torch.log_softmax(further, 2)
    policy_loss = -(target.policy * log_p).sum(2) * target.policy_weight
    value_loss = (v - target.value).square().mean(2) * target.value_weight
    reward_loss = (r - target.reward).square().mean(2) * target.reward_weight
    mover_loss = -log_m.gather(2, target.further[..., None])[..., 0] * target.further_weight
    unrolled = policy_loss[:, 1:] + value_loss[:, 1:] + reward_weight * reward_loss + mover_loss
    total = (policy_loss[:, 0] + value_loss[:, 0] + unrolled.mean(1)).mean()
    entropy = -(target.policy * target.policy.clamp_min(1e-12).log()).sum(2)
    metrics = {
        "policy_loss": _mean(policy_loss[:, 0], target.policy_weight[:, 0]),
        "search_entropy": _mean(entropy[:, 0] * target.policy_weight[:, 0], target.policy_weight[:, 0]),
        "value_loss": _mean(value_loss[:, 0], target.value_weight[:, 0]),
        "unrolled_policy_loss": _mean(policy_loss[:, 1:], target.policy_weight[:, 1:]),
        "unrolled_value_loss": _mean(value_loss[:, 1:], target.value_weight[:, 1:]),
        "reward_loss": _mean(reward_loss, target.reward_weight),
        "mover_loss": _mean(mover_loss, target.further_weight),
    }
    return total, {name: metric.detach() for name, metric in metrics.items()}


def _mean(weighted: Tensor, weight: Tensor) -> Tensor:
    return weighted.sum() / weight.sum().clamp_min(1)


class MuZero(SearchLearner[MuZeroNetwork]):
    """Learn a game and how to play it, from what was seen, done and paid, and from what a search made of it.

    Strangers' moves are unrolled like its own, but nobody searched them: they have no policy to learn unless they are
    reanalysed. Raises UserError for games with chance, hidden information or simultaneous moves, and for more actions
    than a network's head should have.
    """

    Config: ClassVar[type[BaseModel]] = MuZeroConfig

    def __init__(self, config: MuZeroConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        network = MuZeroNetwork(config, spec, generator_of(stream(key, "network")))
        super().__init__(config, spec, network, key=key, total_steps=total_steps, device=device, whole_games=True)
        self.imagination = Imagination(network, spec, device, precision=config.precision, backend=config.backend)
        model = partial(LearnedModel, spec, self.imagination)
        quiet, noisy = (config.selection(noisy=noisy) for noisy in (False, True))
        self._actor = SearchAgent(spec, model, noisy, simulations=config.simulations, sampled=config.sampled_moves)
        self._searcher = SearchAgent(spec, model, quiet, simulations=config.simulations)

    def actors(self) -> Sequence[Agent]:
        return [self._actor]

    def agent(self) -> Agent:
        model = partial(LearnedModel, self.spec, self.imagination)
        return rated(self.config, self.spec, model, simulations=self.config.simulations)

    def renew(self) -> None:
        self.imagination.renew(self.network)

    def refresh(self, updates: int) -> None:
        if self.config.reanalyse:
            self._reanalyse(updates * self.config.reanalyse)

    def _reanalyse(self, count: int) -> None:
        """Search positions of the replay again, as the network is now; that takes a view, a mask and who moves."""
        key = fold_one(stream(self.key, "reanalyse"), self.updates)
        places = self.replay.draw(count, key)
        rows, row = self.replay.at(places), np.arange(count)
        keys = fold(fold_one(key, 1), row)
        view = View(rows["obs"], rows["action_mask"], rows["player"], row, np.ones(count, bool), keys)
        for start in range(0, count, SEARCHED):
            some = view.rows(slice(start, start + SEARCHED))
            found = self._searcher.search(some, some.key, np.full(len(some), self.config.simulations))
            policy = found.dense(found.policy, self.spec.num_actions)
            self.replay.renew(places[start : start + SEARCHED], policy, found.value)

    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        config, spec = self.config, self.spec
        rows = self.turned(self.replay.unroll(self.replay.draw(config.batch_size, key), config.unroll_steps), key)
        # Whatever is done after its end, a game pays nothing: any action will do.
        anything = uniform(fold(fold_one(key, 2), np.arange(config.batch_size)), config.unroll_steps)
        inside = np.arange(config.unroll_steps) <= rows["left"][:, :1]
        action = np.where(inside, rows["action"][:, :-1], (anything * spec.num_actions).astype(np.int64))
        learned = targets(rows, spec, config.root_value_share)
        target = Targets(**{field.name: self._tensor(getattr(learned, field.name)) for field in fields(Targets)})
        first = rows["player"][:, 0]
        said, ways = self.network.unroll(*(self._tensor(array) for array in (rows["obs"], first, action)))
        return loss(said.float(), ways.float(), target, config.reward_weight)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    @classmethod
    def load_agent(
        cls,
        config: Any,
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
        network = MuZeroNetwork(config, spec, generator_of(0)).to(device)
        network.load_state_dict(state)
        imagination = Imagination(
            network, spec, device, precision=config.precision, backend=config.backend if backend is None else backend
        )
        refuse_unfit(search, greedy, simulations=simulations, sampled_moves=sampled_moves, leaves=leaves != 1)
        if not search:
            return PolicyAgent(imagination, greedy=greedy)
        model, count = partial(LearnedModel, spec, imagination), budget("muzero", config, simulations, sampled_moves)
        return rated(config, spec, model, simulations=count, sampled=sampled_moves, leaves=leaves)


def _refuse(config: MuZeroConfig, spec: Spec) -> None:
    """Raise UserError where the next view does not follow from this one and a player's action."""
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
