"""What learners of a team share that replay whole episodes: their agents, a sampled batch as tensors, and the loop.

    trajectory -> replay -> every `steps_per_update` environment steps: a batch -> the algorithm's losses -> one step

The number of updates follows from the number of environment steps alone, not from how many environments made them.
An algorithm (marl/algorithms/) says what its networks are and what its loss is.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import choose, fold, fold_one, stream, uniform
from marl import returns
from marl.agent import Agent
from marl.networks import generator_of, in_blocks, load_optimizer_state, optimizer_state, prefixed, under
from marl.recurrent import AgentNetwork, pack
from marl.replay import EpisodeReplay
from marl.types import Decision, Hidden, Tensors, Trajectory, View


class EpisodicConfig(BaseModel):
    """The settings that learners from replayed episodes share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: PositiveFloat = 5e-4
    optimizer: Literal["adam", "rmsprop"] = "adam"
    gamma: float = Field(0.99, ge=0, le=1)  # per decision of the team
    td_lambda: float = Field(0.0, ge=0, le=1)
    steps_per_update: PositiveInt = 50  # environment steps between two updates, however many environments made them
    replay_episodes: PositiveInt = 5000
    batch_episodes: PositiveInt = 32
    target_update: PositiveFloat = 200  # from 1 on: updates between two copies; below 1: the rate of a moving average
    epsilon_start: float = Field(1.0, ge=0, le=1)
    epsilon_end: float = Field(0.05, ge=0, le=1)
    epsilon_steps: PositiveInt = 50_000  # environment steps from the one to the other, linearly
    standardise_rewards: bool = False  # by the running mean and deviation of the rewards sampled so far
    max_grad_norm: PositiveFloat = 10.0
    recurrent: bool = True  # a GRU; without it the agent sees its present view alone
    hidden: PositiveInt = 64
    last_action: bool = True  # the agent sees what it did last
    share_parameters: bool = True  # one network for all players, told apart by the player's index


class Inputs:
    """What an agent's network sees: the flat view, the last action, the player's index; as rows [B, size]."""

    def __init__(self, spec: Spec, *, last_action: bool, player_id: bool) -> None:
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.actions = spec.num_actions if last_action else 0
        self.players = spec.num_players if player_id and spec.num_players > 1 else 0
        self.size = int(np.prod(spec.observation.shape)) + self.actions + self.players

    def __call__(self, obs: Tensor, player: Tensor, last_action: Tensor) -> Tensor:
        """Put together views [B, *O], players [B] and last actions [B], which are -1 at first."""
        parts = [obs.flatten(1).float() * self.scale]
        if self.actions:
            parts.append(functional.one_hot(last_action + 1, self.actions + 1)[:, 1:].float())
        if self.players:
            parts.append(functional.one_hot(player, self.players).float())
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class Batch:
    """Whole episodes as tensors.

    Axis letters: R rows, the views on which somebody decided, and those at which a recording was cut, packed for the
    recurrent networks; P points, the steps of all episodes with their ends; N players.
    """

    def __init__(
        self,
        spec: Spec,
        trajectory: Trajectory,
        inputs: Inputs,
        device: str,
        *,
        shared: bool,
        states: "Standard | None" = None,
        rewards: "Standard | None" = None,
    ) -> None:
        """Lay out a sample for networks that are `shared` by all players; standardise what has a standard."""
        acting, truncated = trajectory.acting, trajectory.truncated & ~trajectory.terminated
        t, k, n = np.nonzero(trajectory.index >= 0)  # in the order of the rows
        self._length = (trajectory.terminated | trajectory.truncated).all(2).argmax(0)  # [K] steps
        self._real = np.arange(len(acting))[:, None] <= self._length  # [T+1, K]
        self.num_points, self.num_players = int(self._real.sum()), spec.num_players
        point = np.cumsum(self._real).reshape(self._real.shape) - 1
        order, self.groups = _pack(k * spec.num_players + n, n, spec.num_players, shared)
        before = _rows_before(self.groups)
        t, k, n = t[order], k[order], n[order]
        acts = acting[t, k, n]
        action = np.where(acts, trajectory.action[np.minimum(t, len(trajectory.action) - 1), k, n], 0)
        mask = trajectory.action_mask[order]
        # What is legal where a recording was cut is not known: what was legal at the player's last decision stands in.
        mask = np.where(acts[:, None], mask, np.where((before >= 0)[:, None], mask[before], True))

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.player = tensor(n)
        self.inputs = inputs(  # [R, I]
            tensor(trajectory.obs[order]), self.player, tensor(np.where(before >= 0, action[before], -1))
        )
        self.action_mask = tensor(mask)  # [R, A]
        self.action = tensor(action)  # [R]
        self.acts = tensor(acts)  # [R] False where a recording was cut
        self._cell = tensor(point[t, k] * spec.num_players + n)  # [R]
        alive = np.ones_like(acting[:-1])
        alive[1:] = ~(trajectory.terminated | trajectory.truncated)[1:-1]
        self._reward = _mean(trajectory.reward, alive)  # [T, K] the team's
        if rewards:
            rewards.see(self._reward[self._real[1:]])
            self._reward = rewards.apply(self._reward)
        self.acting = tensor(acting[self._real])  # [P, N]
        self._acting, self._cut = acting, truncated
        state = self._state(trajectory, spec)
        if states:
            states.see(state)
            state = states.apply(state)
        self.state = tensor(state)  # [P, S]

    def _state(self, trajectory: Trajectory, spec: Spec) -> NDArray[np.float32]:
        """Return the global state [P, S], or all players' views side by side, where a game has none."""
        if spec.global_state_size:
            return trajectory.global_state[self._real]
        views = trajectory.obs.reshape(len(trajectory.obs), -1)[trajectory.index]
        views = np.where(trajectory.index[..., None] >= 0, views, 0)
        return views[self._real].reshape(self.num_points, -1).astype(np.float32)

    def greedy(self, rows: Tensor) -> Tensor:
        """Return the best legal action of each row of outputs [R, A]."""
        return rows.detach().masked_fill(~self.action_mask, -torch.inf).argmax(1)

    def seats(self, rows: Tensor) -> Tensor:
        """Lay out what belongs to rows [R, ...] by point and player [P, N, ...]: 0 where nobody saw anything."""
        out = rows.new_zeros(self.num_points * self.num_players, *rows.shape[1:])
        out = out.index_copy(0, self._cell, rows)
        return out.view(self.num_points, self.num_players, *rows.shape[1:])

    def rows(self, seats: Tensor) -> Tensor:
        """Return what belongs to rows [R, ...] of what is laid out by point and player [P, N, ...]."""
        return seats.flatten(0, 1)[self._cell]

    def taken(self, rows: Tensor) -> Tensor:
        """Return of outputs [R, A] those of the actions that were taken [P, N]: 0 where nobody acted."""
        return self.seats(rows.gather(1, self.action[:, None])[:, 0] * self.acts)

    def chosen(self, rows: Tensor, joint: Tensor) -> Tensor:
        """Return of outputs [R, A] those of joint actions [P, N]: [P, N], 0 where nobody saw anything."""
        return self.seats(rows.gather(1, self.rows(joint)[:, None])[:, 0])

    def legal(self) -> Tensor:
        """Return the legal actions [P, N, A]; of who sees nothing, the first one alone."""
        legal = self.seats(self.action_mask)
        legal[..., 0] |= ~legal.any(2)
        return legal

    @property
    def taken_actions(self) -> Tensor:
        """The actions that were taken [P, N]: 0 where nobody acted."""
        return self.seats(self.action)

    def decided(self, each: bool) -> Tensor:
        """Return where the team decided anything [P, 1], or each of its players [P, N]."""
        return self.acting if each else self.acting.any(1, keepdim=True)

    def targets(self, value: Tensor, *, gamma: float, td_lambda: float) -> Tensor:
        """Return the TD(λ) targets [P, M] of values [P, M]: M is 1, the team's, or N, each player's own."""
        each = value.shape[1] == self.num_players
        decided, cut = self._acting, self._cut
        if not each:
            decided, cut = (np.asarray(a.any(2, keepdims=True)) for a in (decided, cut))
        dense = np.zeros(decided.shape, np.float32)
        dense[self._real] = value.cpu().numpy()
        dense *= decided | cut  # an end that was none has a value; others have 0
        reward = np.repeat(self._reward[..., None], decided.shape[2], 2)
        target = np.zeros_like(dense)
        target[:-1] = returns.td_lambda(dense, decided, reward, self._length, gamma=gamma, td_lambda=td_lambda)
        return torch.from_numpy(target[self._real]).to(value.device)


def _pack(
    sequence: NDArray[np.int64], player: NDArray[np.int64], num_players: int, shared: bool
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Return the order of the rows, and the blocks' sizes of each network: one for all, or one for each player."""
    members = [np.arange(len(player))] if shared else [np.flatnonzero(player == p) for p in range(num_players)]
    packed = [pack(np.unique(sequence[rows], return_inverse=True)[1]) for rows in members]
    order = np.concatenate([rows[order] for rows, (order, _) in zip(members, packed, strict=True)])
    return order, [sizes.tolist() for _, sizes in packed]


def _rows_before(groups: list[list[int]]) -> NDArray[np.int64]:
    """Return for each packed row the one before it in its sequence, or -1 [R]."""
    before, start = [], 0
    for sizes in groups:
        for last, size in zip([0, *sizes], sizes, strict=False):
            before.append(np.arange(start, start + size) - last if last else np.full(size, -1))
            start += size
    return np.concatenate(before) if before else np.zeros(0, np.int64)


def _mean(reward: NDArray[np.float32], alive: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean over the players who were still in the game [T, K]: what each of a team is paid."""
    return np.asarray((reward * alive).sum(2) / np.maximum(alive.sum(2), 1), np.float32)


class Team(nn.Module):
    """The networks of all players: one that they share, or one each."""

    def __init__(self, config: EpisodicConfig, inputs: Inputs, spec: Spec, key: int) -> None:
        super().__init__()
        count = 1 if config.share_parameters else spec.num_players
        self.networks = nn.ModuleList(
            AgentNetwork(
                inputs.size,
                spec.num_actions,
                hidden=config.hidden,
                recurrent=config.recurrent,
                generator=generator_of(fold_one(key, p)),
            )
            for p in range(count)
        )

    def unroll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return outputs [R, A] and features [R, H] for every row of a batch."""
        parts = batch.inputs.split([sum(sizes) for sizes in batch.groups])
        done = [net(part, sizes) for net, part, sizes in zip(self.networks, parts, batch.groups, strict=True)]
        return done[0] if len(done) == 1 else (torch.cat([o for o, _ in done]), torch.cat([f for _, f in done]))

    def of(self, player: NDArray[np.int64]) -> list[tuple[Any, AgentNetwork]]:
        """Return the rows that each network holds."""
        if len(self.networks) == 1:
            return [(slice(None), self.networks[0])]  # type: ignore[list-item]
        return [(rows, net) for p, net in enumerate(self.networks) if len(rows := np.flatnonzero(player == p))]  # type: ignore[misc]


class TeamAgent:
    """Play by a team's networks, each player by its own view and memory.

    Greedily, but for a legal action at random with probability `epsilon`.
    """

    def __init__(
        self, team: Team, inputs: Inputs, config: EpisodicConfig, device: str, *, explores: bool = False
    ) -> None:
        self._team, self._inputs, self._config, self._device = team, inputs, config, device
        self.explores = explores  # in training
        self.epsilon = 0.0

    def initial_hidden(self, rows: int) -> Hidden:
        """Return hidden states [rows, 1 + H]: what was done last, plus 1, and what is remembered."""
        return np.zeros((rows, 1 + (self._config.hidden if self._config.recurrent else 0)), np.float32)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        outputs = np.empty(view.action_mask.shape, np.float32)
        after: NDArray[Any] = np.empty_like(hidden)
        rows: Any
        for rows, network in self._team.of(view.player):
            arrays = view.obs[rows], view.player[rows], hidden[rows]
            out = in_blocks(lambda *block, net=network: self._step(net, *block), *arrays, device=self._device)
            outputs[rows] = out[:, : view.action_mask.shape[1]]
            after[rows, 1:] = out[:, view.action_mask.shape[1] :]
        action = self.choose(outputs, view)
        after[:, 0] = action + 1
        return Decision(action), after

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        """Return an action for each row of outputs [B, A]."""
        action = np.where(view.action_mask, outputs, -np.inf).argmax(1)
        if self.epsilon == 0:
            return action
        explore = uniform(fold(view.key, 0)) < self.epsilon
        return np.where(explore, choose(fold(view.key, 1), view.action_mask), action)

    def _step(self, network: AgentNetwork, obs: Tensor, player: Tensor, hidden: Tensor) -> Tensor:
        inputs = self._inputs(obs, player, hidden[:, 0].long() - 1)
        outputs, features = network.step(inputs, hidden[:, 1:])
        return torch.cat([outputs, features], 1) if self._config.recurrent else outputs


class Standard:
    """The running mean and deviation of all that was sampled (Chan et al. 1979: parallel variance)."""

    def __init__(self, *shape: int) -> None:
        self.mean, self.variance, self.count = np.zeros(shape), np.ones(shape), 1e-4

    def see(self, sample: NDArray[np.float32]) -> None:
        """Take in rows [B, *shape]."""
        mean, variance, count = sample.mean(0, dtype=np.float64), sample.var(0, dtype=np.float64), len(sample)
        total, apart = self.count + count, mean - self.mean
        both = self.variance * self.count + variance * count
        self.variance = (both + apart * apart * self.count * count / total) / total
        self.mean = self.mean + apart * count / total
        self.count = total

    @property
    def deviation(self) -> NDArray[np.float64]:
        """What differences are measured in: a little more than the deviation, so that constants stay 0."""
        return np.sqrt(self.variance + 1e-6)

    def apply(self, sample: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows of mean 0 and deviation 1."""
        return ((sample - self.mean) / self.deviation).astype(np.float32)

    def state(self) -> Tensors:
        return {"mean": self.mean, "variance": self.variance, "count": np.array(self.count)}

    def load_state(self, state: Tensors) -> None:
        self.mean, self.variance = np.asarray(state["mean"]).copy(), np.asarray(state["variance"]).copy()
        self.count = float(state["count"])


class EpisodicLearner:
    """The loop of a learner from replayed episodes; an algorithm builds its networks and writes `learn`.

    Raises UserError for a game that is not a team's, has continuous actions, or shows no global state while players
    take turns.
    """

    Config: ClassVar[type[BaseModel]]
    Plays: ClassVar[type["TeamAgent"]] = TeamAgent
    name: ClassVar[str]
    needs_state: ClassVar[bool] = True  # the algorithm looks at the global state in training

    def __init__(self, config: Any, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        self.notes = _refuse(self.name, spec, self.needs_state)
        self.config, self.spec, self.device = config, spec, device
        self.key = key
        self.inputs = _inputs(config, spec)
        self.state_size = spec.global_state_size or spec.num_players * int(np.prod(spec.observation.shape))
        self.replay = EpisodeReplay(spec, config.replay_episodes)
        self.standards = {"states": Standard(self.state_size), "rewards": Standard()}
        self.steps = self.updates = 0
        self.modules: dict[str, nn.Module] = {}  # all that is saved, by name
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self._plays = self.build()
        self._actor = self.Plays(self._plays, self.inputs, config, device, explores=True)

    def build(self) -> Team:
        """Build the networks (`twins`) and their `optimizers`; return those that play."""
        raise NotImplementedError

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step of gradients; return metrics."""
        raise NotImplementedError

    def single(self, name: str, build: Callable[[int], nn.Module]) -> Any:
        """Build a network from a key of its own."""
        self.modules[name] = build(stream(self.key, name)).to(self.device)
        return self.modules[name]

    def twins(self, name: str, build: Callable[[int], nn.Module]) -> tuple[Any, Any]:
        """Build a network twice from a key of its own: one to learn, and a target that follows it."""
        online, target = self.single(name, build), self.single(f"{name}_target", build)
        target.load_state_dict(online.state_dict())
        return online, target.requires_grad_(False)

    def actors(self) -> Sequence[Agent]:
        self._actor.epsilon = self.epsilon
        return [self._actor]

    def agent(self) -> Agent:
        return self.Plays(self._plays, self.inputs, self.config, self.device)

    @property
    def epsilon(self) -> float:
        config = self.config
        done = min(1.0, self.steps / config.epsilon_steps)
        return float(config.epsilon_start + done * (config.epsilon_end - config.epsilon_start))

    def update(self, trajectory: Trajectory, mine: Collection[int]) -> dict[str, float]:
        config = self.config
        self.replay.add(trajectory, mine)
        due = self.steps // config.steps_per_update
        self.steps += trajectory.steps
        due = self.steps // config.steps_per_update - due
        logged: dict[str, list[Tensor]] = {}
        for _ in range(due if len(self.replay) >= config.batch_episodes else 0):
            for name, value in self.learn(self.batch()).items():
                logged.setdefault(name, []).append(value)
            self.updates += 1
        self._actor.epsilon = self.epsilon
        means = {name: float(torch.stack(values).mean()) for name, values in logged.items()}
        return means | {"epsilon": self.epsilon, "updates": self.updates, "replay_episodes": len(self.replay)}

    def batch(self) -> Batch:
        """Draw the episodes of the next update."""
        trajectory = self.replay.sample(self.config.batch_episodes, fold_one(self.key, self.updates))
        return self.lay_out(trajectory)

    def lay_out(self, trajectory: Trajectory) -> Batch:
        """Return whole episodes as a batch."""
        config = self.config
        return Batch(
            self.spec,
            trajectory,
            self.inputs,
            self.device,
            shared=config.share_parameters,
            states=self.standards["states"] if self.needs_state else None,
            rewards=self.standards["rewards"] if config.standardise_rewards else None,
        )

    def targets(self, batch: Batch, value: Tensor) -> Tensor:
        """Return the TD(λ) targets [P, M] of the next values [P, M]."""
        return batch.targets(value, gamma=self.config.gamma, td_lambda=self.config.td_lambda)

    def optimizer(self, *modules: nn.Module) -> torch.optim.Optimizer:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        if self.config.optimizer == "rmsprop":
            return torch.optim.RMSprop(parameters, lr=self.config.learning_rate, alpha=0.99, eps=1e-5, foreach=True)
        return torch.optim.Adam(parameters, lr=self.config.learning_rate, fused=True)

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        """Take one step down a loss; return the norm of its gradient before it was clipped."""
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], self.config.max_grad_norm, foreach=True)
        optimizer.step()
        return norm

    def follow(self, *pairs: tuple[nn.Module, nn.Module]) -> None:
        """Move targets towards the networks that they follow, `(target, network)`, when that is due."""
        rate = self.config.target_update
        if rate >= 1 and (self.updates + 1) % round(rate):
            return
        with torch.no_grad():
            for target, network in pairs:
                for kept, new in zip(target.parameters(), network.parameters(), strict=True):
                    kept.lerp_(new, min(rate, 1.0))

    def agent_state(self) -> Tensors:
        return self._plays.state_dict()

    @classmethod
    def load_agent(cls, config: Any, spec: Spec, state: Tensors, *, device: str, epsilon: float = 0.0) -> Agent:
        inputs = _inputs(config, spec)
        team = Team(config, inputs, spec, 0).to(device)
        team.load_state_dict(state)
        agent = cls.Plays(team, inputs, config, device)
        agent.epsilon = epsilon
        return agent

    def state(self) -> Tensors:
        state: Tensors = {"counters": torch.tensor([self.steps, self.updates])}
        for name, standard in self.standards.items():
            state |= prefixed(f"standard.{name}", standard.state())
        for name, module in self.modules.items():
            state |= prefixed(f"module.{name}", module.state_dict())
        for name, optimizer in self.optimizers.items():
            state |= prefixed(f"optimizer.{name}", optimizer_state(optimizer))
        return state | prefixed("replay", self.replay.state())

    def load_state(self, state: Tensors) -> None:
        self.steps, self.updates = state["counters"].tolist()
        for name, standard in self.standards.items():
            standard.load_state(under(f"standard.{name}", state))
        for name, module in self.modules.items():
            module.load_state_dict(under(f"module.{name}", state))
        for name, optimizer in self.optimizers.items():
            load_optimizer_state(optimizer, under(f"optimizer.{name}", state))
        self.replay.load_state(under("replay", state))


def _inputs(config: EpisodicConfig, spec: Spec) -> Inputs:
    return Inputs(spec, last_action=config.last_action, player_id=config.share_parameters)


def _refuse(name: str, spec: Spec, needs_state: bool) -> list[str]:
    """Raise UserError for a game that does not fit; return what the user should know of one that does."""
    if spec.payoff != "team":
        raise UserError(
            f"{name} needs a team, and the payoff of '{spec.name}' is {spec.payoff.replace('_', '-')}: "
            f"append ' | team_reward' to the game, or use ippo"
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
