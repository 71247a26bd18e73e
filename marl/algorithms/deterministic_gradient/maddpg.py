"""MADDPG: deterministic policies, improved through critics that see all players (Lowe et al. 2017,
https://arxiv.org/abs/1706.02275), with the options of TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477).

Each player i has a policy a_i = μ_i(o_i) and a critic Q_i of the views x and the actions of all players, which learn
from replayed steps:

    L(Q_i) = mean (Q_i(x, a) - y_i)²        y_i = r_i + γ (1 - terminated_i) Q_i'(x', a')|_{a'_j = μ_j'(o'_j)}
    L(μ_i) = - mean Q_i(x, a)|_{a_i = μ_i(o_i)}

with target networks ', which follow at the rate `target_update`. A team is paid as one: its players share one critic.
In training normal noise is added to the actions, after `random_steps` of uniform ones.

With `centralised_gradient` all players j act by a_j = μ_j(o_j) in L(μ_i), not i alone, as in FACMAC (Peng et al. 2021,
https://arxiv.org/abs/2003.06709): replayed actions are those of policies that are gone. `share_parameters` makes one
policy of all μ_i, which sees the player's index. `output_penalty` c adds c mean Σ_i u_i² to the policies' loss, where
a_i = tanh(u_i), as in the authors' code: a policy at its bounds has no gradient left. Options of TD3:

    twin_critics    two critics learn the same targets, and the targets take the smaller of their values
    actor_delay     policies and target networks are updated once in so many updates of the critics
    target_noise    deviation of clipped normal noise on the target actions: a critic that is smooth in them

Layers are ReLUs, as in the papers: tanh units saturate where players stray far from where they began, and the critic's
gradient in the actions vanishes there. Deviations from the papers: actions are squashed by tanh into the bounds, in
whose half widths all noise is given; a player who is out has a view of zeros and plays 0; nobody guesses the policies
of others; the noise decays linearly. Only complete episodes are replayed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from games.contract import Box, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.deterministic_gradient.agent import DeterministicAgent
from marl.algorithms.deterministic_gradient.networks import Actor, Critic, NetworksConfig, Units
from marl.base.schema import Count, Size
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import generator_of, to_be_loaded
from marl.learning.optimizers import Adam
from marl.learning.replay import EpisodeReplay
from marl.learning.schedules import due, ramp
from marl.rollout.agent import Agent
from marl.rollout.types import Tensors, Trajectory, prefixed, under

Copied = TypeVar("Copied", bound=nn.Module)
DRAWN_AT_ONCE = 16  # batches


class MaddpgConfig(NetworksConfig):
    """The settings of MADDPG."""

    learning_rate: PositiveFloat = 1e-3  # of the policies
    critic_learning_rate: PositiveFloat = 1e-3
    gamma: float = Field(0.95, ge=0, le=1)  # per step
    batch_size: Size = 256  # steps of the team
    steps_per_update: Size = 25  # environment steps between two updates of the critics, over all environments
    replay_episodes: Size = 10_000
    random_steps: Count = 1000  # environment steps with uniform actions
    noise_start: float = Field(0.3, ge=0)  # the deviation of exploration, in half widths of the box
    noise_end: float = Field(0.05, ge=0)
    noise_steps: Size = 100_000  # environment steps of the linear decay
    target_update: float = Field(0.01, gt=0, le=1)  # the rate of an exponential moving average
    centralised_gradient: bool = False  # policies are improved against each other's present actions
    output_penalty: float = Field(0.0, ge=0)  # the weight of the squared outputs of the policies before tanh
    actor_delay: Size = 1  # updates of the critics for each of the policies
    target_noise: float = Field(0.0, ge=0)  # in half widths of the box
    target_noise_clip: PositiveFloat = 0.5
    max_grad_norm: PositiveFloat = 10.0


@dataclass(frozen=True)
class Batch:
    """Replayed steps as tensors: B steps, N players; views of players who are out are zeros."""

    obs: Tensor  # [B, N, *O]
    next_obs: Tensor  # [B, N, *O]
    acting: Tensor  # [B, N]
    next_acting: Tensor  # [B, N]
    units: Tensor  # [B, N, D] the actions taken
    reward: Tensor  # [B, N]
    goes_on: Tensor  # [B, N] 0 where the player's episode terminated, 1 elsewhere

    @classmethod
    def of(cls, trajectory: Trajectory, units: Units, device: str) -> "Batch":
        """Return the steps of a trajectory of one step [2, B, ...]."""
        rows = np.concatenate([trajectory.obs, np.zeros_like(trajectory.obs[:1])])  # the row -1: no view
        obs, next_obs = rows[trajectory.index]
        acting = trajectory.acting[0]
        columns = (
            *(obs, next_obs, acting, trajectory.index[1] >= 0),
            *(units.of(trajectory.action[0]) * acting[..., None], trajectory.reward[0]),
            (~trajectory.terminated[1]).astype(np.float32),
        )
        return cls(*(torch.from_numpy(column).to(device) for column in columns))

    def parts(self, size: int) -> "Iterator[Batch]":
        """Yield batches of so many steps each, in order."""
        for columns in zip(*(getattr(self, field.name).split(size) for field in fields(self)), strict=True):
            yield Batch(*columns)


class Maddpg(Learner):
    """Multi-agent DDPG.

    Raises UserError for a game whose actions are not continuous, or whose players do not act all at once.
    """

    Config = MaddpgConfig
    config: MaddpgConfig
    whole_episodes = True

    def __init__(self, config: MaddpgConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(spec)
        self.config, self.spec, self.device, self._key = config, spec, device, key
        self._units = Units(spec)
        self.critic_of = [0 if spec.payoff == "team" else player for player in range(spec.num_players)]
        self.policies = _policies(config, spec, key, device)
        self.critics = _critics(config, spec, key, device, 1 + max(self.critic_of))
        self.target_policies = _copies(_policies(config, spec, key, device), self.policies)
        self.target_critics = _copies(_critics(config, spec, key, device, len(self.critics)), self.critics)
        self._players = torch.arange(spec.num_players, device=device)
        self._numbers = torch.from_numpy(self._units.numbers).to(device)
        self._scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self._actor_optimizers = [self._optimizer(policy, config.learning_rate) for policy in self.policies]
        self._critic_optimizers = [self._optimizer(critic, config.critic_learning_rate) for critic in self.critics]
        self.replay = EpisodeReplay(spec, config.replay_episodes)
        self.steps = self.updates = 0
        self._actor = DeterministicAgent(self.policies, spec, device)

    def _optimizer(self, network: nn.Module, learning_rate: float) -> Adam:
        return Adam(network.parameters(), learning_rate=learning_rate, eps=1e-8, max_norm=self.config.max_grad_norm)

    @classmethod
    def needs(cls, config: MaddpgConfig, spec: Spec) -> Needs:
        return {"target_noise_clip": (config.target_noise > 0, "target_noise above 0")}

    def actors(self) -> Sequence[Agent]:
        self._explore()
        return [self._actor]

    def agent(self) -> Agent:
        return DeterministicAgent(self.policies, self.spec, self.device)

    @property
    def noise(self) -> float:
        """The deviation of exploration now."""
        config = self.config
        return ramp(config.noise_start, config.noise_end, self.steps, config.noise_steps)

    def _explore(self) -> None:
        """Let the actor explore as it does at this step of the run."""
        self._actor.noise, self._actor.uniform = self.noise, self.steps < self.config.random_steps

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        config = self.config
        self.replay.add(trajectory, mine)
        before, self.steps = self.steps, self.steps + trajectory.steps
        means = Means()
        if self.replay.num_steps >= config.batch_size:
            for batch in self._batches(due(before, self.steps, config.steps_per_update)):
                self._learn(batch, means)
        self._explore()
        counts = {"noise": self.noise, "updates": self.updates, "replay_episodes": len(self.replay)}
        return means.result() | counts

    def _batches(self, count: int) -> Iterator[Batch]:
        """Yield so many batches; several are drawn at once, which takes less time."""
        for first in range(0, count, DRAWN_AT_ONCE):
            drawn, size = min(DRAWN_AT_ONCE, count - first), self.config.batch_size
            steps = self.replay.sample_steps(drawn * size, fold_one(self._key, self.updates))
            yield from Batch.of(steps, self._units, self.device).parts(size)

    def _learn(self, batch: Batch, means: Means) -> None:
        """Take one step of the critics and, if it is due, of the policies and the target networks."""
        target = self.targets(batch, generator_of(stream(fold_one(self._key, self.updates), "target noise")))
        for number, optimizer in enumerate(self._critic_optimizers):
            loss, value = self._critic_loss(number, batch, target)
            optimizer.descend(loss)
            means.add({"value_loss": loss.detach(), "q": value})
        self.updates += 1
        if self.updates % self.config.actor_delay:
            return
        loss, value = self._actor_loss(batch)
        for optimizer in self._actor_optimizers:
            optimizer.step(optimizer.gradient(loss, retain_graph=True))
        means.add({"policy_loss": -value})
        self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the target networks towards the others."""
        targets = _parameters([*self.target_policies, *self.target_critics])
        torch._foreach_lerp_(targets, _parameters([*self.policies, *self.critics]), self.config.target_update)

    @torch.no_grad()
    def targets(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return y [B, N]; with `target_noise`, `generator` draws it."""
        config = self.config
        units = self._of_players(self.target_policies, "units", batch.next_obs)
        if config.target_noise:
            noise = torch.randn(units.shape, generator=generator).to(units.device) * config.target_noise
            units = (units + noise.clamp(-config.target_noise_clip, config.target_noise_clip)).clamp(-1, 1)
        units = units * batch.next_acting[..., None] * self._numbers
        views = self._views(batch.next_obs)
        values = [critic(views, units).amin(1) for critic in self.target_critics]
        value = torch.stack([values[own] for own in self.critic_of], 1)
        return batch.reward + config.gamma * batch.goes_on * value

    def _critic_loss(self, number: int, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the critic of the player of this number, or of the team, and its mean value."""
        values = self.critics[number](self._views(batch.obs), batch.units)  # [B, C]
        learns = batch.acting.any(1) if self.spec.payoff == "team" else batch.acting[:, number]
        errors = (values - target[:, number, None]).square() * learns[:, None]
        return errors.mean(), values.detach().mean()

    def _actor_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a loss whose gradient is - mean Σ_i ∇_θ μ_i(o_i) ∇_{a_i} Q_i, and the mean Q of the policies' actions.

        With `output_penalty` c the loss has c mean Σ_i u_i² besides, where a_i = tanh(u_i).

        A player who does not act has no part in it.
        """
        outputs = self._of_players(self.policies, "unsquashed", batch.obs) * batch.acting[..., None]
        units = outputs.tanh()
        value, slope = self._slopes(batch, units.detach())
        loss = self.config.output_penalty * outputs.square().sum() - (units * slope).sum()
        return loss / len(units), (value * batch.acting).mean()

    def _slopes(self, batch: Batch, units: Tensor) -> tuple[Tensor, Tensor]:
        """Return Q_i [B, N], and its gradient in the action of player i [B, N, D], at the policies' actions `units`."""
        views = self._views(batch.obs)
        if self.config.centralised_gradient:
            of_critic = [critic.slope(views, units) for critic in self.critics]
            found = [of_critic[number] for number in self.critic_of]
        else:
            own = [(self._players == player)[None, :, None] for player in self._players]
            found = [
                self.critics[number].slope(views, torch.where(mine, units, batch.units))
                for number, mine in zip(self.critic_of, own, strict=True)
            ]
        slopes = [slope[:, player] for player, (_, slope) in enumerate(found)]
        return torch.stack([value for value, _ in found], 1), torch.stack(slopes, 1)

    def _of_players(self, policies: Sequence[Actor], part: str, obs: Tensor) -> Tensor:
        """Return what policies put out [B, N, D], their `units` or `unsquashed`, for views [B, N, *O]."""
        count, players = obs.shape[:2]
        if len(policies) == 1:
            rows: Tensor = getattr(policies[0], part)(obs.flatten(0, 1), self._players.repeat(count))
            return rows.reshape(count, players, -1)
        each = [getattr(policy, part)(obs[:, i], self._players[i].expand(count)) for i, policy in enumerate(policies)]
        return torch.stack(each, 1)

    def _views(self, obs: Tensor) -> Tensor:
        """Return views [B, N, *O] as the critics see them [B, N F]."""
        return obs.flatten(1).float() * self._scale

    def _named(self) -> dict[str, nn.Module]:
        """Return all networks by the names under which a checkpoint saves them."""
        kinds: dict[str, Sequence[nn.Module]] = {
            "actor": self.policies,
            "critic": self.critics,
            "target_actor": self.target_policies,
            "target_critic": self.target_critics,
        }
        return {f"{kind}.{i}": network for kind, networks in kinds.items() for i, network in enumerate(networks)}

    def _optimizers(self) -> dict[str, Adam]:
        kinds = {"actor": self._actor_optimizers, "critic": self._critic_optimizers}
        return {f"optimizer.{kind}.{i}": each for kind, several in kinds.items() for i, each in enumerate(several)}

    def agent_state(self) -> Tensors:
        named = {f"actor.{i}": policy for i, policy in enumerate(self.policies)}
        return {k: v for name, each in named.items() for k, v in prefixed(name, each.state_dict()).items()}

    def state(self) -> Tensors:
        state: Tensors = {"counters": torch.tensor([self.steps, self.updates])}
        for name, network in self._named().items():
            state |= prefixed(name, network.state_dict())
        for name, optimizer in self._optimizers().items():
            state |= prefixed(name, optimizer.state())
        return state | prefixed("replay", self.replay.state())

    def load_state(self, state: Tensors) -> None:
        self.steps, self.updates = state["counters"].tolist()
        for name, network in self._named().items():
            network.load_state_dict(under(name, state))
        for name, optimizer in self._optimizers().items():
            optimizer.load_state(under(name, state))
        self.replay.load_state(under("replay", state))

    @classmethod
    def load_agent(cls, config: MaddpgConfig, spec: Spec, state: Tensors, *, device: str) -> Agent:
        with to_be_loaded():
            policies = _policies(config, spec, 0, device)
        for i, policy in enumerate(policies):
            policy.load_state_dict(under(f"actor.{i}", state))
        return DeterministicAgent(policies, spec, device)


def _policies(config: MaddpgConfig, spec: Spec, key: int, device: str) -> list[Actor]:
    count = 1 if config.share_parameters else spec.num_players
    return [Actor(config, spec, stream(key, f"actor.{i}")).to(device) for i in range(count)]


def _critics(config: MaddpgConfig, spec: Spec, key: int, device: str, count: int) -> list[Critic]:
    return [Critic(config, spec, stream(key, f"critic.{i}")).to(device) for i in range(count)]


def _parameters(networks: Sequence[nn.Module]) -> list[Tensor]:
    return [parameter for network in networks for parameter in network.parameters()]


def _copies(copies: list[Copied], networks: list[Copied]) -> list[Copied]:
    """Return networks with the weights of others, which have no gradient."""
    for copy, network in zip(copies, networks, strict=True):
        copy.load_state_dict(network.state_dict())
        copy.requires_grad_(False)
    return copies


def _refuse(spec: Spec) -> None:
    if not isinstance(spec.action, Box):
        raise UserError(
            f"maddpg needs continuous actions, and those of '{spec.name}' are discrete: choose mappo, or a value "
            "factorization such as qmix"
        )
    if spec.turns != "simultaneous":
        raise UserError(
            f"maddpg needs players who act all at once, and those of '{spec.name}' take turns: choose ippo or mappo"
        )
