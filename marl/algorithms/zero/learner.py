"""What learners share that learn from searches: settings, replay, when an update is due, what a checkpoint keeps.

An algorithm adds its network, what its search asks of the world, and its loss.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from games.contract import Spec
from games.errors import UserError
from games.keys import fold_one
from marl.algorithms.zero.networks import Encoder
from marl.algorithms.zero.replay import PositionReplay, Rows
from marl.algorithms.zero.symmetry import symmetries, turned_over
from marl.base.schema import Count, Frozen, Size
from marl.learning.backends import BackendName, Precision
from marl.learning.learner import Learner
from marl.learning.optimizers import Adam
from marl.learning.rowwise import Network
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, Trajectory, prefixed, under
from marl.search.agent import SearchAgent
from marl.search.models import Model
from marl.search.selection import Gumbel, Puct, Rule


class SearchConfig(Frozen):
    """The settings of every learner from searches."""

    simulations: Size = 64  # a move, in training
    rule: Literal["puct", "gumbel"] = "puct"
    c_init: PositiveFloat = 1.25  # puct: how much the prior weighs against Q
    noise: float = Field(0.25, ge=0, le=1)  # puct: share of Dirichlet's noise at the root, in training
    noise_alpha: NonNegativeFloat = 0.0  # of that noise; 0: ten by the number of legal actions
    considered: Size = 16  # gumbel: actions at the root
    sampled_moves: Count = 10  # of each player, in training, are drawn from the search's policy
    learning_rate: PositiveFloat = 1e-3
    anneal: bool = False  # the learning rate falls linearly to 0 at the run's last step
    weight_decay: NonNegativeFloat = 1e-4  # c
    root_value_share: float = Field(0.0, ge=0, le=1)  # m
    replay_positions: Size = 100_000
    batch_size: Size = 256
    steps_per_update: PositiveInt = 64  # environment steps between two updates, however many environments made them
    max_grad_norm: PositiveFloat = 10.0
    symmetries: bool = True  # learn from positions turned over, where the game's Spec says how
    encoder: Encoder = "auto"  # auto: residual for views of three axes
    hidden: tuple[Size, ...] = (128, 128)  # of the mlp
    channels: Size = 32  # of the residual network
    blocks: Size = 2
    precision: Precision = "float32"  # in which the network computes; its weights are float32
    backend: BackendName = "torch"  # what computes the network where it plays

    def selection(self, *, noisy: bool) -> Rule:
        """Return the rule of a search: with noise at its root in training, without where strength is asked for."""
        if self.rule == "gumbel":
            return Gumbel(considered=self.considered, noise=float(noisy))
        return Puct(c_init=self.c_init, noise=self.noise * noisy, alpha=self.noise_alpha)


class SearchLearner(Learner, Generic[Network]):
    """Learn from batches of searched positions, one update every `steps_per_update` environment steps."""

    may_lag = True

    def __init__(
        self,
        config: SearchConfig,
        spec: Spec,
        network: Network,
        *,
        key: int,
        total_steps: int,
        device: str,
        whole_games: bool = False,
        may_resign: bool = False,
    ) -> None:
        if config.replay_positions < config.batch_size:
            raise UserError(
                f"expected replay_positions of at least batch_size, {config.batch_size}, got "
                f"{config.replay_positions}; nothing would be learned"
            )
        self.config: Any = config  # an algorithm's own
        self.spec, self.device, self.key, self.total_steps = spec, device, key, total_steps
        self.network = network.to(device)
        self.optimizer = Adam(
            self.network.parameters(), learning_rate=config.learning_rate, eps=1e-8, max_norm=config.max_grad_norm
        )
        self.replay = PositionReplay(spec, config.replay_positions, whole_games=whole_games, may_resign=may_resign)
        self.steps = self.updates = 0
        self._symmetries = symmetries(spec)

    @abstractmethod
    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch of the replay that `key` draws, and metrics."""

    @abstractmethod
    def renew(self) -> None:
        """Let whoever plays play as the network does now."""

    def refresh(self, updates: int) -> None:
        """Do what is to be done to the replay before the updates that are due."""

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        finished = self.replay.add(trajectory, mine)
        due = self.steps // config.steps_per_update
        self.steps += trajectory.steps
        due = self.steps // config.steps_per_update - due
        logged: dict[str, list[Tensor]] = {}
        if due and len(self.replay) >= config.batch_size:
            self.refresh(due)
            left = max(0.0, 1 - self.steps / self.total_steps) if config.anneal else 1.0
            self.optimizer.learning_rate = config.learning_rate * left
            self.network.train()
            for _ in range(due):
                for name, metric in self._learn().items():
                    logged.setdefault(name, []).append(metric)
                self.updates += 1
            self.renew()
        means = {name: float(torch.stack(values).mean()) for name, values in logged.items()}
        would, wrongly = self.replay.would_resign
        if would:
            means["resigned_wrongly"] = wrongly / would
        return means | {"updates": self.updates, "positions": len(self.replay), "finished": finished}

    def _learn(self) -> dict[str, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            loss, metrics = self.loss(fold_one(self.key, self.updates))
        decay = sum((weight.square().sum() for weight in self.network.parameters() if weight.ndim > 1), torch.tensor(0))
        self.optimizer.descend(loss + self.config.weight_decay * decay)
        return metrics

    def turned(self, rows: Rows, key: int) -> Rows:
        """Return positions turned over in one of the ways that the game allows, where that is wanted."""
        if self.config.symmetries:
            turned_over(rows, self._symmetries[fold_one(key, 1) % len(self._symmetries)])
        return rows

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
        self.renew()

    def agent_state(self) -> Tensors:
        return self.network.state_dict()


def budget(name: str, config: SearchConfig, asked: int | None, sampled_moves: int) -> int:
    """Return a player's budget: as asked, or as trained; raises UserError for none, and for less than no moves."""
    if sampled_moves < 0:
        raise UserError(f"{name} samples 0 or more of its first moves, got sampled_moves={sampled_moves}")
    if asked is not None and asked < 1:
        raise UserError(f"{name} searches with at least 1 simulation, got {asked}; search=false plays without")
    return config.simulations if asked is None else asked


def rated(
    config: SearchConfig,
    spec: Spec,
    model: Callable[..., Model],
    *,
    simulations: int,
    sampled: int = 0,
    leaves: int = 1,
    solve: bool = False,
    reuse: bool = False,
) -> Agent:
    """Return what a tournament rates: the best of a search without noise, after `sampled` moves drawn from it."""
    return SearchAgent(
        spec,
        model,
        config.selection(noisy=False),
        simulations=simulations,
        sampled=sampled,
        leaves=leaves,
        solve=solve,
        decided=config.rule == "puct",
        reuse=reuse,
    )


def refuse_unfit(search: bool, greedy: bool, **of_search: int | None) -> None:
    """Raise UserError for arguments of a search where none is made, and for a policy's mode where one is."""
    if search and greedy:
        raise UserError("greedy=true plays the mode of the network's policy alone; add search=false, or leave it out")
    if search:
        return
    if given := [name for name, value in of_search.items() if value not in (None, False, 0)]:
        raise UserError(f"search=false plays the network's policy alone, got {given[0]} too; leave one of them out")
