"""AlphaZero: search, and a network that learns from what the search found (Silver et al. 2018,
https://doi.org/10.1126/science.aar6404).

A search whose priors and values come from a network plays better than the network's policy alone. So the network
learns to say at once what the search took its simulations to find, and the search, asking a better network, goes
further. With p, v the network's word on a position, π what the search made of its root, z how the game went,

    L = - sum_a π_a log p_a + (z̃ - v)² + c |θ|²,   z̃ = (1 - m) z + m (value of the root)

Here: one self-play generation an update, in the shared rollout, all games searched in one call. `rule: gumbel` is
Gumbel AlphaZero (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO): π is then its improved policy.

Deviations: values are vectors, one for each player, so that three players and payoffs of any sum need no other code;
Adam instead of SGD with momentum; a share of the moves may be searched cheaply (`cheap_share`), as KataGo does.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.agent import Agent
from marl.learner import Learner
from marl.networks import convolution, generator_of, in_blocks, linear, masked_log_probs, prefixed, sample, under
from marl.optimizers import Adam
from marl.search.agent import SearchAgent, refuse
from marl.search.evaluators import NetworkEvaluator
from marl.search.positions import PositionReplay
from marl.search.selection import Gumbel, Puct, Rule
from marl.search.symmetry import symmetries, turned_over
from marl.types import Decision, Hidden, Tensors, Trajectory, View

MOST_ACTIONS = 20_000  # of a network's head


class AlphaZeroConfig(BaseModel):
    """The settings of AlphaZero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simulations: PositiveInt = 64  # a move, in training
    rule: Literal["puct", "gumbel"] = "puct"
    c_init: PositiveFloat = 1.25  # puct: how much the prior weighs against Q
    noise: float = Field(0.25, ge=0, le=1)  # puct: share of Dirichlet's noise at the root, in training
    noise_alpha: NonNegativeFloat = 0.0  # of that noise; 0: ten by the number of legal actions
    considered: PositiveInt = 16  # gumbel: actions at the root
    sampled_moves: NonNegativeInt = 10  # of each player, in training, are drawn from the search's policy
    cheap_simulations: PositiveInt = 16  # of the moves that are searched cheaply; their policies are not learned
    cheap_share: float = Field(0.0, ge=0, lt=1)  # of all moves
    solve: bool = True  # back up proven values
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 1e-4  # c
    root_value_share: float = Field(0.0, ge=0, le=1)  # m
    replay_positions: PositiveInt = 100_000
    batch_size: PositiveInt = 256
    steps_per_update: PositiveInt = 64  # environment steps between two updates, however many environments made them
    max_grad_norm: PositiveFloat = 10.0
    symmetries: bool = True  # learn from positions turned over, where the game's Spec says how
    encoder: Literal["auto", "mlp", "residual"] = "auto"  # auto: residual for views of three axes
    hidden: tuple[PositiveInt, ...] = (128, 128)  # of the mlp
    channels: PositiveInt = 32  # of the residual network
    blocks: PositiveInt = 2
    precision: Literal["float32", "bfloat16"] = "float32"  # in which the network is asked; it learns in float32


class Normalized(nn.Module):
    """A 3x3 convolution and its batch normalisation; `folded` is the one convolution that does the same."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.convolution = convolution(inputs, outputs, generator)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))  # type: ignore[no-any-return]

    def folded(self) -> nn.Conv2d:
        return nn.utils.fusion.fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())


class Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = Normalized(channels, channels, generator)
        self.second = Normalized(channels, channels, generator)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class PolicyValue(nn.Module):
    """Views [B, *O] and who moves [B] -> logits of actions and values, beside each other: [B, A + N].

    Values are in [-1, 1], the mover's first, then those of the players after it.
    """

    def __init__(self, config: AlphaZeroConfig, spec: Spec, generator: torch.Generator) -> None:
        super().__init__()
        shape, self.players = spec.observation.shape, spec.num_players
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.residual = config.encoder == "residual" or (config.encoder == "auto" and len(shape) == 3)
        if self.residual:
            inputs, cells = shape[0] + self.players, shape[1] * shape[2]
            self.torso = nn.Sequential(
                Normalized(inputs, config.channels, generator),
                nn.ReLU(),
                *(Block(config.channels, generator) for _ in range(config.blocks)),
            )
            self.of_policy = Normalized(config.channels, 8, generator)
            self.of_value = Normalized(config.channels, 4, generator)
            features, self.value_hidden = 8 * cells, linear(4 * cells, 64, 2**0.5, generator)
        else:
            sizes = [int(np.prod(shape)) + self.players, *config.hidden]
            layers = [linear(a, b, 2**0.5, generator) for a, b in pairwise(sizes)]
            self.torso = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
            features, self.value_hidden = sizes[-1], linear(sizes[-1], 64, 2**0.5, generator)
        self.policy = linear(features, spec.num_actions, 0.01, generator)
        self.value = linear(64, self.players, 0.01, generator)

    def forward(self, obs: Tensor, mover: Tensor) -> Tensor:
        x = obs.float() * self.scale
        who = functional.one_hot(mover, self.players).float()
        if self.residual:
            planes = who[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = self.torso(torch.cat([x, planes], 1))
            of_policy, of_value = (functional.relu(part(x)).flatten(1) for part in (self.of_policy, self.of_value))
        else:
            of_policy = of_value = self.torso(torch.cat([x.flatten(1), who], 1))
        value = torch.tanh(self.value(functional.relu(self.value_hidden(of_value))))
        return torch.cat([self.policy(of_policy), value], 1)

    def folded(self) -> "PolicyValue":
        """Return a copy that plays: each batch normalisation folded into its convolution."""
        twin = deepcopy(self).eval()
        for parent in list(twin.modules()):
            for name, child in parent.named_children():
                if isinstance(child, Normalized):
                    setattr(parent, name, child.folded())
        return twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class Judge:
    """A network as an evaluator asks it: logits, and every player's expected return."""

    MULTIPLE = 8  # of rows in a call: convolutions sum alike in batches of 4 and more (a test)

    def __init__(self, network: PolicyValue, spec: Spec, device: str, precision: str = "float32") -> None:
        self._spec, self._device, self._half = spec, device, precision == "bfloat16"
        self.renew(network)

    def renew(self, network: PolicyValue) -> None:
        """Judge as the network does now."""
        self._network = network.folded()

    def __call__(self, views: NDArray[Any], movers: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[Any]]:
        said = in_blocks(self._ask, views, movers, device=self._device, multiple=self.MULTIPLE)
        logits, relative = np.split(said, [self._spec.num_actions], 1)
        place = (np.arange(self._spec.num_players) - movers[:, None]) % self._spec.num_players
        return logits, unscaled(np.take_along_axis(relative, place, 1), self._spec)

    def _ask(self, obs: Tensor, mover: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            return self._network(obs, mover).float()  # type: ignore[no-any-return]


def scaled(value: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """Map returns, of the range that the game allows, to [-1, 1]."""
    low, high = spec.return_bounds or (-1.0, 1.0)
    return np.asarray(2 * (value - low) / max(high - low, 1e-9) - 1)


def unscaled(value: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """Undo `scaled`; where two players share nothing, what one expects the other must pay."""
    low, high = spec.return_bounds or (-1.0, 1.0)
    value = low + (value.astype(np.float64) + 1) * (high - low) / 2
    if spec.payoff == "zero_sum" and spec.num_players == 2:
        value = value - value.mean(1, keepdims=True) + (low + high) / 2
    return value


class PolicyAgent:
    """Play the network's policy without a search: sampled by the decision's key, or its mode if `greedy`."""

    def __init__(self, judge: Judge, *, greedy: bool) -> None:
        self._judge, self._greedy = judge, greedy

    def initial_hidden(self, rows: int) -> Hidden:
        return None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        logits = np.where(view.action_mask, self._judge(view.obs, view.player)[0], -np.inf)
        if self._greedy:
            return Decision(logits.argmax(1)), None
        return Decision(sample(np.exp(logits - logits.max(1, keepdims=True)), view.key)), None


def loss(
    said: Tensor, action_mask: Tensor, policy: Tensor, value: Tensor, searched: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of [B, A + N] that the network said, against a search's policy [B, A] and values [B, N]."""
    logits, v = said.split([action_mask.shape[1], value.shape[1]], 1)
    log_p = masked_log_probs(logits, action_mask)
    weight = searched.float() / searched.float().sum().clamp_min(1)
    policy_loss = -(policy * log_p).sum(1) @ weight
    value_loss = (v - value).square().mean()
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    of_search = -(policy * policy.clamp_min(1e-12).log()).sum(1) @ weight
    metrics = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "search_entropy": of_search}
    return policy_loss + value_loss, {name: metric.detach() for name, metric in metrics.items()}


class AlphaZero(Learner):
    """Learn from what a search made of positions, and from how their games went.

    Raises UserError for games without positions, with hidden information or simultaneous moves, and for more actions
    than a network's head should have.
    """

    Config: ClassVar[type[BaseModel]] = AlphaZeroConfig
    may_lag = True

    def __init__(self, config: AlphaZeroConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(spec)
        _refuse_settings(config, spec)
        self.config, self.spec, self.device, self.key = config, spec, device, key
        self.network = PolicyValue(config, spec, generator_of(stream(key, "network"))).to(device)
        self.optimizer = Adam(
            self.network.parameters(), learning_rate=config.learning_rate, eps=1e-8, max_norm=config.max_grad_norm
        )
        self.replay = PositionReplay(spec, config.replay_positions)
        self.judge = Judge(self.network, spec, device, config.precision)
        self.evaluator = NetworkEvaluator(spec, self.judge)
        self.steps = self.updates = 0
        self._symmetries = symmetries(spec)
        self._actor = SearchAgent(
            spec,
            self.evaluator,
            _rule(config, noisy=True),
            simulations=config.simulations,
            sampled=config.sampled_moves,
            cheap=config.cheap_simulations,
            cheap_share=config.cheap_share,
            solve=config.solve,
        )

    def actors(self) -> Sequence[Agent]:
        return [self._actor]

    def agent(self) -> Agent:
        return _player(self.config, self.spec, self.evaluator, self.config.simulations, self.config.solve)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        finished = self.replay.add(trajectory, mine)
        due = self.steps // config.steps_per_update
        self.steps += trajectory.steps
        due = self.steps // config.steps_per_update - due
        logged: dict[str, list[Tensor]] = {}
        if len(self.replay) >= config.batch_size:
            self.network.train()
            for _ in range(due):
                for name, metric in self._learn().items():
                    logged.setdefault(name, []).append(metric)
                self.updates += 1
            if due:
                self.judge.renew(self.network)
                self.evaluator.forget()
        means = {name: float(torch.stack(values).mean()) for name, values in logged.items()}
        return means | {"updates": self.updates, "positions": len(self.replay), "finished": finished}

    def _learn(self) -> dict[str, Tensor]:
        config, spec = self.config, self.spec
        key = fold_one(self.key, self.updates)
        drawn = self.replay.sample(config.batch_size, key)
        if config.symmetries:
            turned_over(drawn, self._symmetries[fold_one(key, 1) % len(self._symmetries)])
        value = (1 - config.root_value_share) * drawn["outcome"] + config.root_value_share * drawn["root_value"]
        place = (np.arange(spec.num_players) + drawn["player"][:, None]) % spec.num_players
        relative = np.take_along_axis(scaled(value, spec), place, 1).astype(np.float32)
        tensor = {name: torch.from_numpy(rows).to(self.device) for name, rows in drawn.items()}
        said = self.network(tensor["obs"], tensor["player"])
        total, metrics = loss(
            said,
            tensor["action_mask"],
            tensor["policy"],
            torch.from_numpy(relative).to(self.device),
            tensor["searched"],
        )
        decay = sum((weight.square().sum() for weight in self.network.parameters() if weight.ndim > 1), torch.tensor(0))
        self.optimizer.descend(total + config.weight_decay * decay)
        return metrics

    def state(self) -> Tensors:
        return (
            {"counters": torch.tensor([self.steps, self.updates])}
            | prefixed("network", self.network.state_dict())
            | prefixed("optimizer", self.optimizer.state())
            | prefixed("replay", self.replay.state())
        )

    def load_state(self, state: Tensors) -> None:
        self.steps, self.updates = state["counters"].tolist()
        self.network.load_state_dict(under("network", state))
        self.optimizer.load_state(under("optimizer", state))
        self.replay.load_state(under("replay", state))
        self.judge.renew(self.network)
        self.evaluator.forget()

    def agent_state(self) -> Tensors:
        return self.network.state_dict()

    @classmethod
    def load_agent(
        cls,
        config: Any,
        spec: Spec,
        state: Tensors,
        *,
        device: str,
        simulations: int | None = None,
        solve: bool | None = None,
        search: bool = True,
        greedy: bool = False,
    ) -> Agent:
        network = PolicyValue(config, spec, generator_of(0)).to(device)
        network.load_state_dict(state)
        judge = Judge(network, spec, device, config.precision)
        if not search:
            return PolicyAgent(judge, greedy=greedy)
        if simulations is not None and simulations < 1:
            raise UserError(
                f"alphazero searches with at least 1 simulation, got {simulations}; search=false plays without"
            )
        budget = config.simulations if simulations is None else simulations
        return _player(config, spec, NetworkEvaluator(spec, judge), budget, config.solve if solve is None else solve)


def _player(config: AlphaZeroConfig, spec: Spec, evaluator: NetworkEvaluator, simulations: int, solve: bool) -> Agent:
    """Return what a tournament rates: the best of a search without noise."""
    return SearchAgent(
        spec, evaluator, _rule(config, noisy=False), simulations=simulations, solve=solve, decided=config.rule == "puct"
    )


def _rule(config: AlphaZeroConfig, *, noisy: bool) -> Rule:
    if config.rule == "gumbel":
        return Gumbel(considered=config.considered, noise=float(noisy))
    return Puct(c_init=config.c_init, noise=config.noise * noisy, alpha=config.noise_alpha)


def _refuse(spec: Spec) -> None:
    refuse(spec, "alphazero")
    if "|" in spec.name:
        raise UserError(f"alphazero sees a game's own positions; leave the wrappers out, got '{spec.name}'")
    if not isinstance(spec.action, Discrete) or spec.num_actions > MOST_ACTIONS:
        raise UserError(
            f"alphazero's network has a head of at most {MOST_ACTIONS:,} actions, and '{spec.name}' has "
            f"{spec.num_actions:,}; choose another game, or uct"
        )


def _refuse_settings(config: AlphaZeroConfig, spec: Spec) -> None:
    if config.encoder == "residual" and len(spec.observation.shape) != 3:
        raise UserError(
            f"encoder: residual wants views of three axes, and those of '{spec.name}' have the shape "
            f"{spec.observation.shape}; use mlp or auto"
        )
    if config.replay_positions < config.batch_size:
        raise UserError(
            f"expected replay_positions of at least batch_size, {config.batch_size}, got {config.replay_positions}; "
            "nothing would be learned"
        )
    if spec.return_bounds is None:
        raise UserError(
            f"alphazero scales values by a game's return_bounds, and the Spec of '{spec.name}' has none; add them"
        )
