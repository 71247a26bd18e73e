"""What the learners of a team share: they replay whole episodes. Their settings, and the update.

    trajectory -> replay -> every `steps_per_update` environment steps: a batch -> the algorithm's losses -> one step

The number of updates depends on the number of environment steps alone, not on the number of environments.
An algorithm (qmix.py, concaveq.py) defines its networks and its loss.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.value_factorization import diagnostics
from marl.algorithms.value_factorization.agent import TeamAgent
from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.networks import Team, TeamNetworkConfig
from marl.base.schema import Size
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import to_be_loaded
from marl.learning.optimizers import Adam, Optimizer, RMSprop
from marl.learning.replay import EpisodeReplay
from marl.learning.schedules import due, ramp
from marl.learning.standard import Standard
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, Trajectory, prefixed, under

Network = TypeVar("Network", bound=nn.Module)


def _spelled_out(value: object) -> object:
    """Return the word for `true`, which files of earlier versions have."""
    return "mean_and_deviation" if value is True else value


Standardisation = Annotated[Literal["deviation", "mean_and_deviation", False], BeforeValidator(_spelled_out)]


class TeamLearnerConfig(TeamNetworkConfig):
    """The settings that the learners of a team share."""

    learning_rate: PositiveFloat = 5e-4
    optimizer: Literal["adam", "rmsprop"] = "adam"
    gamma: float = Field(0.99, ge=0, le=1)  # per decision of the team
    td_lambda: float = Field(0.0, ge=0, le=1)
    steps_per_update: PositiveInt = 50  # environment steps between two updates, over all environments
    replay_episodes: Size = 5000
    batch_episodes: Size = 32
    target_update: PositiveFloat = 200  # >= 1: updates between two copies; < 1: rate of an exponential moving average
    epsilon_start: float = Field(1.0, ge=0, le=1)
    epsilon_end: float = Field(0.05, ge=0, le=1)
    epsilon_steps: PositiveInt = 50_000  # environment steps of the linear decay
    standardise_rewards: Standardisation = False  # by the running moments of the rewards sampled so far
    max_grad_norm: PositiveFloat = 10.0


class TeamLearner(Learner):
    """The update of a learner that replays whole episodes; an algorithm defines `build` and `learn`.

    Raises UserError for a game whose players are not a team, that has continuous actions, or that has turns but no
    global state.
    """

    Config: ClassVar[type[BaseModel]]
    config: TeamLearnerConfig
    Plays: ClassVar[type["TeamAgent"]] = TeamAgent
    name: ClassVar[str]
    whole_episodes = True
    needs_state: ClassVar[bool] = True  # the algorithm uses the global state in training

    def __init__(self, config: TeamLearnerConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        self.notes: list[str] = _refuse(self.name, spec, self.needs_state)
        self.config, self.spec, self.device = config, spec, device
        self.key = key
        self.state_size = spec.global_state_size or spec.num_players * int(np.prod(spec.observation.shape))
        self.replay = EpisodeReplay(spec, config.replay_episodes)
        self.standards = {"states": Standard(self.state_size), "rewards": Standard()}
        self.steps = self.updates = 0
        self.modules: dict[str, nn.Module] = {}  # by the name under which a checkpoint saves it
        self.optimizers: dict[str, Optimizer] = {}
        self._plays = self.build()
        self._actor = self.Plays(self._plays, device, explores=True)

    @classmethod
    def networks(cls, config: TeamLearnerConfig, spec: Spec, key: int) -> Team:
        """Build the networks that play; `key` draws their weights."""
        return Team(config, spec, key)

    @abstractmethod
    def build(self) -> Team:
        """Build the networks and their `optimizers`; return the networks that play."""

    @abstractmethod
    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Take one step of gradients; return metrics."""

    def single(self, name: str, build: Callable[[int], Network]) -> Network:
        """Build a network from a key of its own, and register it for checkpoints."""
        network = self.modules[name] = build(stream(self.key, name)).to(self.device)
        return network

    def with_target(self, name: str, build: Callable[[int], Network]) -> tuple[Network, Network]:
        """Build a network and its target network, which starts as a copy of it."""
        online, target = self.single(name, build), self.single(f"{name}_target", build)
        target.load_state_dict(online.state_dict())
        return online, target.requires_grad_(False)

    def actors(self) -> Sequence[Agent]:
        self._actor.epsilon = self.epsilon
        return [self._actor]

    def agent(self) -> Agent:
        return self.Plays(self._plays, self.device)

    @property
    def epsilon(self) -> float:
        config = self.config
        return ramp(config.epsilon_start, config.epsilon_end, self.steps, config.epsilon_steps)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        self.replay.add(trajectory, mine)
        before, self.steps = self.steps, self.steps + trajectory.steps
        means = Means()
        if len(self.replay) >= config.batch_episodes:
            for _ in range(due(before, self.steps, config.steps_per_update)):
                means.add(self.learn(self.batch()))
                self.updates += 1
        self._actor.epsilon = self.epsilon
        counts = {"epsilon": self.epsilon, "updates": self.updates, "replay_episodes": len(self.replay)}
        return means.result() | counts

    def batch(self) -> EpisodeBatch:
        """Draw the episodes of the next update."""
        trajectory = self.replay.sample(self.config.batch_episodes, fold_one(self.key, self.updates))
        return self.lay_out(trajectory)

    def lay_out(self, trajectory: Trajectory) -> EpisodeBatch:
        """Return whole episodes as a batch."""
        config = self.config
        return EpisodeBatch(
            self.spec,
            trajectory,
            self._plays.inputs,
            self.device,
            shared=config.share_parameters,
            states=self.standards["states"] if self.needs_state else None,
            rewards=self.standards["rewards"] if config.standardise_rewards else None,
            centre_rewards=config.standardise_rewards == "mean_and_deviation",
        )

    @property
    def diagnoses(self) -> bool:
        """Whether the batch of this update is diagnosed: those of all updates would cost some percent of them."""
        return self.updates % diagnostics.EVERY == 0

    def diagnosis(self, batch: EpisodeBatch, value: Tensor, lagging: Tensor, value_target: Tensor) -> dict[str, Tensor]:
        """Return metrics of the values [B, M] of the actions taken, by the networks and by the target networks.

        `value_target` [B, M] is what the targets are made of: the values of the best actions.
        """
        decided = batch.decided(each=value.shape[1] > 1)
        returns = batch.targets(value_target, gamma=self.config.gamma, td_lambda=1.0)
        metrics = diagnostics.of_values(value.detach()[decided], lagging[decided], returns[decided])
        metrics["truncated_episodes"] = torch.tensor(batch.truncated_episodes)
        if self.config.standardise_rewards == "mean_and_deviation":
            metrics["idle_reward"] = torch.tensor(float(self.standards["rewards"].apply(np.zeros((), np.float32))))
        return metrics

    def optimizer(self, *modules: nn.Module) -> Optimizer:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        rate, max_norm = self.config.learning_rate, self.config.max_grad_norm
        if self.config.optimizer == "rmsprop":
            return RMSprop(parameters, learning_rate=rate, eps=1e-5, max_norm=max_norm)
        return Adam(parameters, learning_rate=rate, eps=1e-8, max_norm=max_norm)

    def update_targets(self, *pairs: tuple[nn.Module, nn.Module]) -> None:
        """Move each target towards its network, `(target, network)`, if an update of the targets is due."""
        rate = self.config.target_update
        if rate >= 1 and (self.updates + 1) % round(rate):
            return
        targets, networks = (
            [p for module in modules for p in module.parameters()] for modules in zip(*pairs, strict=True)
        )
        with torch.no_grad():
            torch._foreach_lerp_(targets, networks, min(rate, 1.0))

    def agent_state(self) -> Tensors:
        return self._plays.state_dict()

    @classmethod
    def load_agent(
        cls, config: TeamLearnerConfig, spec: Spec, state: Tensors, *, device: str, epsilon: float = 0.0
    ) -> Agent:
        if not 0 <= epsilon <= 1:
            raise UserError(f"epsilon is a share of uniform actions, 0 to 1, got {epsilon}")
        with to_be_loaded():
            team = cls.networks(config, spec, 0).to(device)
        team.load_state_dict(state)
        agent = cls.Plays(team, device)
        agent.epsilon = epsilon
        return agent

    def state(self) -> Tensors:
        state: Tensors = {"counters": torch.tensor([self.steps, self.updates])}
        for name, standard in self.standards.items():
            state |= prefixed(f"standard.{name}", standard.state())
        for name, module in self.modules.items():
            state |= prefixed(f"module.{name}", module.state_dict())
        for name, optimizer in self.optimizers.items():
            state |= prefixed(f"optimizer.{name}", optimizer.state())
        return state | prefixed("replay", self.replay.state())

    def load_state(self, state: Tensors) -> None:
        self.steps, self.updates = state["counters"].tolist()
        for name, standard in self.standards.items():
            standard.load_state(under(f"standard.{name}", state))
        for name, module in self.modules.items():
            module.load_state_dict(under(f"module.{name}", state))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state(under(f"optimizer.{name}", state))
        self.replay.load_state(under("replay", state))


def _refuse(name: str, spec: Spec, needs_state: bool) -> list[str]:
    """Raise UserError for a game that does not fit; return warnings about one that does."""
    if spec.payoff != "team":
        # The wrapper team_reward refuses a zero-sum game: its team reward is always 0.
        remedy = "append ' | team_reward' to the game, or use ippo" if spec.payoff == "general_sum" else "use ippo"
        raise UserError(
            f"{name} needs a team, and the payoff of '{spec.name}' is {spec.payoff.replace('_', '-')}: {remedy}"
        )
    if not isinstance(spec.action, Discrete):
        raise UserError(f"{name} needs discrete actions, and '{spec.name}' has continuous ones; choose another game")
    if spec.global_state_size or not needs_state:
        return []
    if spec.turns != "simultaneous":
        raise UserError(
            f"{name} needs a global state, or all players' views at once, and '{spec.name}' has neither; use iql or vdn"
        )
    return [f"'{spec.name}' has no global state: all players' views stand in for it"]
