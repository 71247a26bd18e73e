"""Conditional MAPPO: a multi-agent PPO that provably converges (Zhao et al. 2023, https://arxiv.org/abs/2305.04819).

The players of a team are ordered, and the policy of each is conditioned on the actions of those before it
(conditional.py). With Q^{1:m}(s, a^{1:m}) the mean of Q over the actions of later players, the difference of the
returns of two joint policies is a sum over players (the paper's lemma):

    J(π') - J(π) = E_{s ~ π'} Σ_m E_{a^{1:m-1} ~ π'} < Q^{1:m}(s, a^{1:m-1}, ·), π'^m - π^m > / (1 - γ)

So the team improves if each player in turn maximises its own term, near its last policy and with an entropy bonus:

    π^m_{k+1} = argmax_π < A^m, π > - β KL(π || π^m_k) + c H(π)        A^m = Q^{1:m} - Q^{1:m-1}
              ∝ (π^m_k)^{β / (β + c)} exp(A^m / (β + c))

and since these policies can play any joint policy, it converges to the best one; independent ones stop where no player
gains alone. An update has two steps:

    evaluate    one network learns Q^{1:m}, m = 0..n, each by its squared error to the λ-return of the joint action
    improve     for m = 1..n: the player's network is fitted to π^m_{k+1} = π*, on the rows of the sample,
                    L = mean ρ KL(π || π*),    ρ = Π_{j<m} π^j_{k+1} / π^j_k of the actions taken, clipped to [1/2, 2]

A and π* are computed for every action of the player, taken or not. Both steps are to be carried through: a critic that
took too few or too small steps says nearly the same after every earlier action, so the answers to all of them change
alike, and the first player gives up an action before the others have learned to answer it. `q_explained_variance` and
`fit_kl` say how far the critic and the policies have come. PPO's clipped ratio is not used: it moves all players at one
pace, however much they gain, and so ends where independent players do.

Deviations from the paper: policies are networks of their own for each player, not log-linear; ρ is clipped.

With `distil` a policy of each player's own view learns, by its cross entropy, the actions that the joint policy likes
best. This one is then evaluated and rated, since it can play any seat. What the best actions owe to what others see
is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import fold_one, stream
from marl.algorithms.policy_gradient.centralised import AllViews, GlobalState, refuse_no_team
from marl.algorithms.policy_gradient.conditional import (
    NONE,
    ConditionalAgent,
    ConditionalNetworksConfig,
    DistilledAgent,
    LocalisedValues,
    Policy,
    actions_before,
    policy,
)
from marl.algorithms.policy_gradient.networks import ValueNormaliser
from marl.base.schema import Size
from marl.learning.idle import Needs
from marl.learning.learner import Learner
from marl.learning.metrics import Means
from marl.learning.networks import convolves, to_be_loaded
from marl.learning.optimizers import Adam
from marl.learning.returns import gae
from marl.learning.schedules import annealed, ramp
from marl.rollout.agent import Agent
from marl.rollout.recording import successor_known
from marl.rollout.types import Tensors, Trajectory, prefixed, under

RATIOS = 0.5, 2.0  # the least and the greatest weight ρ


class ConditionalMappoConfig(ConditionalNetworksConfig):
    """The settings of conditional MAPPO."""

    learning_rate: PositiveFloat = 1e-2
    anneal: bool = False  # the learning rate falls linearly to 0 at the run's last step
    gamma: float = Field(0.99, ge=0, le=1)  # per decision of the team
    gae_lambda: float = Field(0.95, ge=0, le=1)
    epochs: Size = 20  # of the evaluation, and of each player's improvement
    minibatch_size: Size = 256  # steps of the team, about
    beta: PositiveFloat = 1.0  # in the units of the critic's output
    entropy_coefficient: float = Field(0.01, ge=0)  # c, in the same units
    entropy_coefficient_end: float | None = Field(None, ge=0)  # reached linearly at the run's last step
    normalise_values: bool = True
    max_grad_norm: PositiveFloat = 10.0
    distil: bool = False


@dataclass(frozen=True)
class Turn:
    """The decisions of one player in a sample [B'], or of several."""

    step: Tensor  # [B'] the step of the team
    obs: Tensor  # [B', *O]
    action_mask: Tensor  # [B', A]
    player: Tensor  # [B']
    action: Tensor  # [B']

    def __len__(self) -> int:
        return len(self.step)

    def rows(self, rows: Tensor) -> "Turn":
        """Return some decisions."""
        return Turn(*(getattr(self, field.name).index_select(0, rows) for field in fields(self)))


@dataclass(frozen=True)
class Sample:
    """Steps of a team [B]: one row for all who act at once."""

    state: Tensor  # [B, S]
    joint: Tensor  # [B, N] the action of each player, NONE for one who does not act
    value_target: Tensor  # [B] the λ-return
    turns: Sequence[Turn]  # [N]


def improved(old: Tensor, advantage: Tensor, *, beta: float, entropy_coefficient: float) -> Tensor:
    """Return log π* [B, A] of log π_k and A^m [B, A]; illegal actions keep a probability of 0."""
    scale = beta + entropy_coefficient
    return torch.log_softmax(beta / scale * old + advantage / scale, 1)


def divergence(log_probs: Tensor, other: Tensor) -> Tensor:
    """Return KL(π || π') [B] of log-probabilities [B, A]."""
    return (log_probs.exp() * (log_probs - other)).sum(1)


class ConditionalMappo(Learner):
    """Multi-agent PPO with conditional policies.

    Raises UserError for a game that is not a team's, or whose actions are continuous.
    """

    Config = ConditionalMappoConfig
    config: ConditionalMappoConfig

    def __init__(self, config: ConditionalMappoConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        _refuse(config, spec)
        self.config, self.spec, self.device = config, spec, device
        self._key, self._total_steps = key, total_steps
        self._input = GlobalState(spec) if spec.global_state_size else AllViews(spec)
        self.notes = [self._input.note] if self._input.note else []
        self.policies = _policies(config, spec, key, device)
        self.distilled = _distilled(config, spec, key, device) if config.distil else None
        self.critic = LocalisedValues(config, spec, self._input.size, stream(key, "critic")).to(device)
        self.normaliser = ValueNormaliser().to(device)
        self._optimizers = {
            name: Adam(each.parameters(), learning_rate=config.learning_rate, eps=1e-5, max_norm=config.max_grad_norm)
            for name, each in (_named(self.policies, self.distilled) | {"critic": self.critic}).items()
        }
        self._actors = [ConditionalAgent(self.policies, device)]
        self._steps = self._updates = 0

    @classmethod
    def needs(cls, config: ConditionalMappoConfig, spec: Spec) -> Needs:
        return {"channels": (convolves(config.encoder, spec), "encoder: cnn")}

    @classmethod
    def plays_whole_team(cls, config: ConditionalMappoConfig) -> bool:
        return not config.distil

    def actors(self) -> Sequence[Agent]:
        return self._actors

    def agent(self) -> Agent:
        return DistilledAgent(self.distilled, self.spec, self.device) if self.distilled else self._actors[0]

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        metrics = self._schedule()
        self._steps += trajectory.steps
        sample, metrics["explained_variance"] = self._sample(trajectory, mine)
        if not len(sample.joint):
            return metrics
        means, weight = Means(), torch.ones(len(sample.joint), device=self.device)  # ρ
        self._evaluate(sample, means)
        for player, turn in enumerate(sample.turns):
            if len(turn):
                weight[turn.step] *= self._improve(player, sample, weight[turn.step], means)
                weight.clamp_(*RATIOS)
        if self.distilled:
            self._distil(self.distilled, sample, means)
        self._updates += 1
        return metrics | means.result()

    def _schedule(self) -> dict[str, float]:
        """Set what changes over the run, and return it."""
        config = self.config
        start, end = config.entropy_coefficient, config.entropy_coefficient_end
        self._entropy_coefficient = start if end is None else ramp(start, end, self._steps, self._total_steps)
        rate = annealed(config.learning_rate, self._steps, self._total_steps) if config.anneal else config.learning_rate
        for optimizer in self._optimizers.values():
            optimizer.learning_rate = rate
        changes = {} if end is None else {"entropy_coefficient": self._entropy_coefficient}
        return {"learning_rate": rate} | changes

    def _sample(self, trajectory: Trajectory, mine: Sequence[int]) -> tuple[Sample, float]:
        """Return the steps of the team to learn from, and the explained variance of the values before the update."""
        state, number, value = self._states_and_values(trajectory)
        # In a team all are paid the same and terminate together.
        acting, truncated = (np.asarray(each.any(2))[..., None] for each in (trajectory.acting, trajectory.truncated))
        terminated = np.asarray(trajectory.terminated.all(2))[..., None]
        advantage = gae(
            value,
            trajectory.reward[..., :1],
            acting,
            terminated,
            truncated,
            trajectory.first,
            gamma=self.config.gamma,
            gae_lambda=self.config.gae_lambda,
        )
        learn = successor_known(acting, terminated, truncated) & np.isin(trajectory.seating, mine).any(2, keepdims=True)
        before = slice(trajectory.recorded + 1)  # what the previous trajectory had
        learn[: trajectory.recorded] &= ~successor_known(acting[before], terminated[before], truncated[before])
        learn, target = learn[..., 0], (advantage + value[:-1])[learn]
        joint = np.where(trajectory.acting[:-1], trajectory.action, NONE)[learn]
        index = trajectory.index[:-1][learn]
        turns = [self._turn(trajectory, joint[:, m], index[:, m], m) for m in range(self.spec.num_players)]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite ends the run
            explained = 1 - np.var(advantage[:, :, 0][learn]) / max(float(np.var(target)), 1e-8) if len(target) else 0
        chosen, actions, targets = (self._tensor(each) for each in (number[:-1][learn], joint, target))
        return Sample(state.index_select(0, chosen), actions, targets, turns), float(explained)

    def _states_and_values(self, trajectory: Trajectory) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
        """Return the states at which the team sees something [R, S], the number of each [T+1, E], and V [T+1, E, 1]."""
        seen = trajectory.index >= 0
        time, env = np.nonzero(seen.any(2))
        first = np.where(seen, trajectory.index, seen.size)[time, env].min(1)  # [R] the first view of a step
        state = self._tensor(self._input.of(trajectory)[first])
        number, value = np.full(seen.shape[:2], -1), np.zeros((*seen.shape[:2], 1), np.float32)
        number[time, env] = np.arange(len(time))
        nobody = torch.full((len(state), self.spec.num_players), NONE, device=self.device)
        with torch.inference_mode():
            output = self.values(state, nobody, 0)
            value[time, env, 0] = self.normaliser.denormalise(output).cpu().numpy()
        return state, number, value

    def _turn(self, trajectory: Trajectory, action: NDArray[np.int64], index: NDArray[np.int64], player: int) -> Turn:
        """Return the decisions of a player at the team's steps: its actions [B], NONE elsewhere, and its views [B]."""
        step = np.flatnonzero(action != NONE)
        row = index[step]
        columns = step, trajectory.obs[row], trajectory.action_mask[row], np.full(len(step), player), action[step]
        return Turn(*(self._tensor(each) for each in columns))

    def _evaluate(self, sample: Sample, means: Means) -> None:
        """Fit Q^{1:m}, m = 0..n, to the λ-returns."""
        target = sample.value_target
        if self.config.normalise_values:
            self.normaliser.update(target)
            target = self.normaliser.normalise(target)
        for rows in self._minibatches("critic", len(target)):
            state, joint = sample.state[rows], sample.joint[rows]
            values = torch.stack([self.values(state, joint, m) for m in range(self.spec.num_players + 1)])
            loss = 0.5 * (values - target[rows]).square().mean()
            self._optimizers["critic"].descend(loss)
            means.add({"value_loss": loss.detach()})
        with torch.no_grad():
            missed = (target - self.values(sample.state, sample.joint, self.spec.num_players)).var(correction=0)
            means.add({"q_explained_variance": 1 - missed / target.var(correction=0).clamp(min=1e-8)})

    def values(self, state: Tensor, joint: Tensor, m: int) -> Tensor:
        """Return Q^{1:m} [B] of the actions of the first m players, as the critic puts it out."""
        values: Tensor = self.critic(state, actions_before(joint, m, self.spec.num_actions))
        return values

    @torch.no_grad()
    def advantages(self, sample: Sample, player: int) -> Tensor:
        """Return A^m [B', A] of every action of a player at its decisions, after the actions taken before it."""
        step = sample.turns[player].step
        state, joint = sample.state[step], sample.joint[step]
        baseline, values = self.values(state, joint, player), []
        for action in range(self.spec.num_actions):
            joint[:, player] = action
            values.append(self.values(state, joint, player + 1) - baseline)
        return torch.stack(values, 1)

    def _improve(self, player: int, sample: Sample, weight: Tensor, means: Means) -> Tensor:
        """Fit a player's policy to π*, with weights [B']; return the ratios of its actions [B']."""
        turn, network, name = sample.turns[player], self.policies[player], f"policy.{player}"
        before = actions_before(sample.joint, player, self.spec.num_actions)[turn.step]

        def log_probs(turn: Turn, before: Tensor) -> Tensor:
            return network.log_probs(turn.obs, turn.action_mask, turn.player, before)

        with torch.no_grad():
            old = log_probs(turn, before)
        advantage, config = self.advantages(sample, player), self.config
        best = improved(old, advantage, beta=config.beta, entropy_coefficient=self._entropy_coefficient)
        for rows in self._minibatches(name, len(turn)):
            loss = (weight[rows] * divergence(log_probs(turn.rows(rows), before[rows]), best[rows])).mean()
            self._optimizers[name].descend(loss)
            means.add({"policy_loss": loss.detach()})
        with torch.no_grad():
            new = log_probs(turn, before)
            kl, fit_kl = divergence(new, old).mean(), divergence(new, best).mean()
            means.add({"entropy": -(new.exp() * new).sum(1).mean(), "kl": kl, "fit_kl": fit_kl})
            return (new - old).gather(1, turn.action[:, None])[:, 0].exp()

    def _distil(self, distilled: Policy, sample: Sample, means: Means) -> None:
        """Fit the policy of own views to the actions that the joint policy likes best."""
        turns, best = [turn for turn in sample.turns if len(turn)], self._best(sample)
        every = Turn(*(torch.cat([getattr(turn, field.name) for turn in turns]) for field in fields(Turn)))
        for rows in self._minibatches("distilled", len(every)):
            turn = every.rows(rows)
            log_probs = distilled.log_probs(turn.obs, turn.action_mask, turn.player)
            loss = functional.nll_loss(log_probs, best[turn.step, turn.player])
            self._optimizers["distilled"].descend(loss)
            means.add({"distil_loss": loss.detach()})

    @torch.no_grad()
    def _best(self, sample: Sample) -> Tensor:
        """Return the joint actions [B, N] in which each player takes the best after those before it."""
        best = torch.full_like(sample.joint, NONE)
        for player, (network, turn) in enumerate(zip(self.policies, sample.turns, strict=True)):
            before = actions_before(best, player, self.spec.num_actions)[turn.step]
            best[turn.step, player] = network.log_probs(turn.obs, turn.action_mask, turn.player, before).argmax(1)
        return best

    def _minibatches(self, name: str, rows: int) -> Iterator[Tensor]:
        """Yield the rows of each minibatch, of `epochs` passes over so many."""
        shuffler = np.random.default_rng(fold_one(stream(self._key, f"minibatches.{name}"), self._updates))
        for _ in range(self.config.epochs):
            drawn = self._tensor(shuffler.permutation(rows))
            yield from drawn.tensor_split(max(1, round(rows / self.config.minibatch_size)))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def state(self) -> Tensors:
        state = self.agent_state() | {"counters": torch.tensor([self._steps, self._updates])}
        state |= prefixed("critic", self.critic.state_dict()) | prefixed("normaliser", self.normaliser.state_dict())
        for name, optimizer in self._optimizers.items():
            state |= prefixed(f"optimizer.{name}", optimizer.state())
        return state

    def load_state(self, state: Tensors) -> None:
        _load(_named(self.policies, self.distilled), state)
        self.critic.load_state_dict(under("critic", state))
        self.normaliser.load_state_dict(under("normaliser", state))
        self._steps, self._updates = state["counters"].tolist()
        for name, optimizer in self._optimizers.items():
            optimizer.load_state(under(f"optimizer.{name}", state))

    def agent_state(self) -> Tensors:
        named = _named(self.policies, self.distilled)
        return {k: v for name, each in named.items() for k, v in prefixed(name, each.state_dict()).items()}

    @classmethod
    def load_agent(
        cls, config: ConditionalMappoConfig, spec: Spec, state: Tensors, *, device: str, greedy: bool = False
    ) -> Agent:
        with to_be_loaded():
            if config.distil:
                distilled = _distilled(config, spec, 0, device)
                _load(_named((), distilled), state)
                return DistilledAgent(distilled, spec, device, greedy=greedy)
            policies = _policies(config, spec, 0, device)
        _load(_named(policies, None), state)
        return ConditionalAgent(policies, device, greedy=greedy)


def _policies(config: ConditionalMappoConfig, spec: Spec, key: int, device: str) -> list[Policy]:
    """Return the conditional policy of each player [N]."""
    keys = [stream(key, f"policy.{m}") for m in range(spec.num_players)]
    return [policy(config, spec, each, conditional=True).to(device) for each in keys]


def _distilled(config: ConditionalMappoConfig, spec: Spec, key: int, device: str) -> Policy:
    return policy(config, spec, stream(key, "distilled"), conditional=False).to(device)


def _named(policies: Sequence[Policy], distilled: Policy | None) -> dict[str, nn.Module]:
    """Return networks that play by the names under which a checkpoint saves them."""
    named: dict[str, nn.Module] = {f"policy.{m}": each for m, each in enumerate(policies)}
    return named if distilled is None else named | {"distilled": distilled}


def _load(named: dict[str, nn.Module], state: Tensors) -> None:
    for name, each in named.items():
        each.load_state_dict(under(name, state))


def _refuse(config: ConditionalMappoConfig, spec: Spec) -> None:
    refuse_no_team("conditional_mappo", spec)
    if not isinstance(spec.action, Discrete):
        raise UserError(
            f"conditional_mappo needs discrete actions, and '{spec.name}' has continuous ones: choose mappo or happo"
        )
    if config.encoder == "cnn" and len(spec.observation.shape) != 3:
        raise UserError(
            f"encoder: cnn wants views of three axes, and those of '{spec.name}' have the shape "
            f"{spec.observation.shape}; use mlp or auto"
        )
