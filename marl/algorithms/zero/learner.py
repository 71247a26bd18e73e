"""What AlphaZero and MuZero share: settings, replay, the schedule of updates, and the contents of a checkpoint.

An algorithm adds its network, the model of its search, and its loss.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from games.contract import Spec
from games.errors import UserError
from games.keys import fold_one
from marl.algorithms.zero.agent import PriorAgent
from marl.algorithms.zero.networks import Encoder, is_residual
from marl.algorithms.zero.replay import PositionReplay, Rows
from marl.algorithms.zero.symmetry import symmetries, transform
from marl.base.schema import Count, Size
from marl.learning.backends import Choice, Precision, fastest
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.optimizers import Adam
from marl.learning.rowwise import Network
from marl.learning.schedules import annealed, due
from marl.learning.value_heads import ValueHeadConfig, needs_of_head
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, Trajectory, View, prefixed, under
from marl.search.agent import SearchAgent
from marl.search.evaluators import LogitsAndValues
from marl.search.models import Model
from marl.search.selection import Gumbel, Puct, Rule

SYMMETRY = 1  # draw of a batch's key: the symmetry


class SearchConfig(ValueHeadConfig):
    """The settings that AlphaZero and MuZero share."""

    simulations: Size = 64  # for each move, in training
    rule: Literal["puct", "gumbel"] = "puct"
    c_init: PositiveFloat = 1.25  # puct: the weight of the prior against Q
    noise: float = Field(0.25, ge=0, le=1)  # puct: share of Dirichlet noise at the root, in training
    noise_alpha: NonNegativeFloat = 0.0  # of that noise; 0: 10 / number of legal actions
    considered: Size = 16  # gumbel: the number of actions considered at the root
    sampled_moves: Count = 10  # a player's first moves that are sampled from the search's policy, in training
    learning_rate: PositiveFloat = 1e-3
    anneal: bool = False  # the learning rate falls linearly towards 0 at the run's last step
    weight_decay: NonNegativeFloat = 1e-4  # c
    root_value_share: float = Field(0.0, ge=0, le=1)  # m
    replay_positions: Size = 100_000
    batch_size: Size = 256
    steps_per_update: PositiveInt = 64  # environment steps between two updates, over all environments
    max_grad_norm: PositiveFloat = 10.0
    symmetries: bool = True  # apply a random symmetry of the board to each batch, if the game's Spec has any
    encoder: Encoder = "auto"  # auto: residual for observations of three axes
    hidden: tuple[Size, ...] = (128, 128)  # of the mlp
    channels: Size = 32  # of the residual network
    blocks: Size = 2
    precision: Precision = "float32"  # of the network's computation in play; its weights are float32
    backend: Choice = "auto"  # the library that computes the network in play; auto: the fastest one installed

    def selection(self, *, noisy: bool) -> Rule:
        """Return the selection rule of a search: with noise at the root in training, without noise in evaluation."""
        if self.rule == "gumbel":
            return Gumbel(considered=self.considered, noise=float(noisy))
        return Puct(c_init=self.c_init, noise=self.noise * noisy, alpha=self.noise_alpha)


Settings = TypeVar("Settings", bound=SearchConfig)


class SearchLearner(Learner, Generic[Network]):
    """Learn from batches of searched positions, one update every `steps_per_update` environment steps."""

    config: SearchConfig
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
        self.config = self.resolved(config, spec, device=device)
        self.spec, self.device, self.key, self.total_steps = spec, device, key, total_steps
        self.network = network.to(device)
        self.optimizer = Adam(
            self.network.parameters(), learning_rate=config.learning_rate, eps=1e-8, max_norm=config.max_grad_norm
        )
        self.replay = PositionReplay(spec, config.replay_positions, whole_games=whole_games, may_resign=may_resign)
        self.steps = self.updates = 0
        self._symmetries = symmetries(spec)

    @classmethod
    def needs(cls, config: SearchConfig, spec: Spec) -> Needs:
        residual = is_residual(config.encoder, spec)
        puct, gumbel = ((config.rule == rule, f"rule: {rule}") for rule in ("puct", "gumbel"))
        planes, rows = (residual, "encoder: residual"), (not residual, "encoder: mlp")
        return {
            **needs_of_head(config),
            "c_init": puct,
            "noise": puct,
            "noise_alpha": puct,
            "considered": gumbel,
            "hidden": rows,
            "channels": planes,
            "blocks": planes,
        }

    @classmethod
    def resolved(cls, config: Settings, spec: Spec, *, device: str) -> Settings:
        if config.backend != "auto":
            return config
        chosen = fastest(device, config.precision, convolutional=is_residual(config.encoder, spec))
        return config.model_copy(update={"backend": chosen})

    @abstractmethod
    def loss(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch that `key` draws from the replay, and metrics."""

    @abstractmethod
    def renew(self) -> None:
        """Give the present weights of the network to the agents that play."""

    def refresh(self, updates: int) -> None:
        """Prepare the replay before `updates` updates."""

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        finished = self.replay.add(trajectory, mine)
        learning_rate = self._learning_rate()
        before, self.steps = self.steps, self.steps + trajectory.steps
        updates = due(before, self.steps, config.steps_per_update)
        means = Means()
        if updates and len(self.replay) >= config.batch_size:
            self.refresh(updates)
            self.optimizer.learning_rate = learning_rate
            self.network.train()
            for _ in range(updates):
                means.add(self._learn())
                self.updates += 1
            self.renew()
        metrics = means.result()
        would, wrongly = self.replay.would_resign
        if would:
            metrics["resigned_wrongly"] = wrongly / would
        counts = {"updates": self.updates, "positions": len(self.replay), "finished": finished}
        return metrics | counts | {"learning_rate": learning_rate}

    def _learning_rate(self) -> float:
        """Return the rate at the step at which a trajectory begins; at the end of the last one it is 0."""
        rate = self.config.learning_rate
        return annealed(rate, self.steps, self.total_steps) if self.config.anneal else rate

    def _learn(self) -> dict[str, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            loss, metrics = self.loss(fold_one(self.key, self.updates))
        decay = sum((weight.square().sum() for weight in self.network.parameters() if weight.ndim > 1), torch.tensor(0))
        self.optimizer.descend(loss + self.config.weight_decay * decay)
        return metrics

    def augmented(self, rows: Rows, key: int) -> Rows:
        """Return positions after one symmetry of the board that `key` draws, if `symmetries` is set."""
        if self.config.symmetries:
            transform(rows, self._symmetries[fold_one(key, SYMMETRY) % len(self._symmetries)])
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


@dataclass(frozen=True)
class RatedOptions:
    """The arguments with which a checkpoint's agent is loaded: `runs/x(simulations=100, leaves=8)`.

    Raises UserError for arguments that contradict each other or are out of range; `name` is the algorithm's.
    """

    name: str
    config: SearchConfig
    simulations: int | None = None  # None: as in training
    sampled_moves: int = 0  # a player's first moves that are sampled from the search's policy
    leaves: int = 1
    solve: bool | None = None  # None: as in training
    reuse: bool = False
    search: bool = True
    greedy: bool = False

    def __post_init__(self) -> None:
        if self.search and self.greedy:
            raise UserError(
                "greedy=true plays the mode of the network's policy alone; add search=false, or leave it out"
            )
        if not self.search:
            self._refuse_search_arguments()

    def agent(
        self,
        spec: Spec,
        network: Callable[..., LogitsAndValues],
        model: Callable[[View], Model],
        *,
        solve: bool = False,
    ) -> Agent:
        """Return the agent: by the network's policy alone without `search`, else by a search of `model`.

        `solve` is what the search of an exact model does in training.
        """
        if not self.search:
            return PriorAgent(network, greedy=self.greedy)
        if self.sampled_moves < 0:
            raise UserError(f"{self.name} samples 0 or more of its first moves, got sampled_moves={self.sampled_moves}")
        if self.simulations is not None and self.simulations < 1:
            raise UserError(
                f"{self.name} searches with at least 1 simulation, got {self.simulations}; search=false plays without"
            )
        trained = self.config
        return SearchAgent(
            spec,
            model,
            trained.selection(noisy=False),
            simulations=trained.simulations if self.simulations is None else self.simulations,
            sampled=self.sampled_moves,
            leaves=self.leaves,
            solve=solve if self.solve is None else self.solve,
            decided=trained.rule == "puct",
            reuse=self.reuse,
            draws=spec.chance,
        )

    def _refuse_search_arguments(self) -> None:
        arguments = {
            "simulations": self.simulations,
            "solve": self.solve,
            "sampled_moves": self.sampled_moves,
            "reuse": self.reuse,
            "leaves": self.leaves != 1,
        }
        if given := [name for name, value in arguments.items() if value not in (None, False, 0)]:
            raise UserError(f"search=false plays the network's policy alone, got {given[0]} too; leave one of them out")
