"""ConcaveQ: a value concave in the agents' utilities, maximised jointly (Li et al. 2024, https://arxiv.org/abs/2312.15555).

A monotone mixer cannot represent an action that is good only if the others join in. A concave mixer can, and its
maximum can be found by ascent. But the best joint action no longer consists of each agent's own best action. So the
joint action is searched for in training, and each agent learns a policy that plays its part of it.

    f(Q_1 .. Q_N; s)          concave in the utilities: an input-convex network, negated
    û = argmax_u f            by enumeration, or by coordinate ascent from several starts
    Q*(τ, u; s)               a second, unrestricted estimate, as in WQMIX (Rashid et al. 2020)
    y = TD(λ) of r + γ Q*'(τ', û'; s')
    L_* = mean (Q*(u) - y)²
    L_f = mean w (f(u) - y)²,   w = 1 where u = û or y > Q*(û), else `underestimate_weight`
    L_π = mean over i of sum_a π_i(a) (α log π_i(a) - Q*(a, û_-i))

In training an agent samples its π_i; in evaluation it takes the most probable action. Neither needs the others.

The weights that act on the utilities directly must be free in sign; only those between hidden layers are not negative.
If all were positive, f would be monotone as well, and could represent no more than a monotone mixer.

Deviations, and choices that the paper leaves open: coordinate ascent over discrete actions does not always reach the
joint optimum, as the paper claims (in QTRAN's 3x3 game, fitted exactly, it does from 3 of 9 starts), so we enumerate or
start from several joint actions; the temperature α falls linearly; epsilon mixes in uniform actions; sizes are ours.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Spec
from games.errors import UserError
from games.keys import draw, fold
from marl.algorithms.value_factorization.agent import POLICY_ACTION, TeamAgent
from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.diagnostics import action_gap
from marl.algorithms.value_factorization.learner import TeamLearner, TeamLearnerConfig
from marl.algorithms.value_factorization.networks import Team
from marl.base.schema import Size
from marl.learning.idle import Needs
from marl.learning.networks import generator_of, linear, masked_log_probs, mlp
from marl.learning.schedules import ramp
from marl.rollout.types import View

ENUMERABLE = 4096  # the largest number of joint actions to enumerate
BLOCK = 256  # steps to search at once: what a search computes stays in the cache
CHUNK = 1 << 12  # joint actions to evaluate at once, for the same reason


class ConcaveQConfig(TeamLearnerConfig):
    """The settings of ConcaveQ."""

    mixing_hidden: Size = 32
    hypernet_hidden: Size = 64
    central_hidden: Size = 128  # of Q*'s mixer
    selection: Literal["auto", "enumerate", "ascent"] = "auto"  # auto enumerates up to 64 joint actions
    sweeps: Size = 10  # of the coordinate ascent, at most
    underestimate_weight: float = Field(0.1, ge=0, le=1)
    temperature_start: PositiveFloat = 1.0
    temperature_end: PositiveFloat = 0.05
    temperature_steps: PositiveInt = 50_000  # environment steps of the linear decay


class ConcaveWeights(NamedTuple):
    """The weights of f for B states."""

    of_q: Tensor  # [B, N, 2E + 1] W0, U1 and u, side by side
    bias: Tensor  # [B, 1, 2E + 1] b0, b1 and V
    w1: Tensor  # [B, E, E]
    w: Tensor  # [B, E, 1]

    def at(self, steps: Tensor | slice) -> "ConcaveWeights":
        return ConcaveWeights(*(weight[steps] for weight in self))


class Concave(nn.Module):
    """f = u·q + V - |w| z2,  z2 = ReLU(|W1| z1 + U1 q + b1),  z1 = ReLU(W0 q + b0): concave in q (Amos et al. 2017).

    A hypernetwork computes all weights from the state. W0, U1 and u act on the utilities and are free in sign.
    """

    def __init__(self, config: ConcaveQConfig, num_players: int, state_size: int, generator: torch.Generator) -> None:
        super().__init__()
        n, e, h = num_players, config.mixing_hidden, config.hypernet_hidden
        self.shapes = [(n, e), (1, e), (e, e), (n, e), (1, e), (e, 1), (n, 1), (1, 1)]  # W0 b0 W1 U1 b1 w u V
        self.hyper = mlp((state_size, h, sum(a * b for a, b in self.shapes)), generator)

    def weights(self, state: Tensor) -> ConcaveWeights:
        """Return the weights for states [B, S]; those between hidden layers are not negative."""
        parts = self.hyper(state).split([a * b for a, b in self.shapes], 1)
        w0, b0, w1, u1, b1, w, u, v = (part.view(-1, *s) for part, s in zip(parts, self.shapes, strict=True))
        return ConcaveWeights(torch.cat([w0, u1, u], 2), torch.cat([b0, b1, v], 2), w1.abs(), w.abs())

    def value(self, weights: ConcaveWeights, q: Tensor) -> Tensor:
        """Return f [B, C] of C vectors of utilities at each step [B, C, N]."""
        return self.of_affine(weights, self.affine(weights, q))

    def affine(self, weights: ConcaveWeights, q: Tensor) -> Tensor:
        """Return W0 q + b0, U1 q + b1 and u·q + V of utilities [B, C, N], side by side: [B, C, 2E + 1]."""
        return torch.baddbmm(weights.bias, q, weights.of_q)

    def of_affine(self, weights: ConcaveWeights, affine: Tensor) -> Tensor:
        """Return f [B, C]."""
        first, second, last = affine.tensor_split((weights.w1.shape[1], -1), 2)
        z = functional.relu(torch.baddbmm(second, functional.relu(first), weights.w1))
        return (last - z @ weights.w)[..., 0]

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """Return f [B, 1] of utilities [B, N]."""
        return self.value(self.weights(state), q[:, None])


class Central(nn.Module):
    """Q* = MLP(q, s), without restriction."""

    def __init__(self, config: ConcaveQConfig, num_players: int, state_size: int, generator: torch.Generator) -> None:
        super().__init__()
        size = config.central_hidden
        self.of_state = linear(state_size, size, 2**0.5, generator)
        self.of_q = linear(num_players, size, 2**0.5, generator)
        self.out = mlp((size, size, 1), generator)

    def values(self, state: Tensor, q: Tensor, tried: Tensor) -> Tensor:
        """Return Q* [B, N, A] if one player's utility in q [B, N] is replaced by one of those tried [B, N, A]."""
        of_q = self.of_q.weight
        hidden = self.of_state(state) + functional.linear(q, of_q)  # [B, H]
        change = (tried - q[..., None])[..., None]  # [B, N, A, 1]
        value: Tensor = self.out(torch.addcmul(hidden[:, None, None], change, of_q.t()[:, None]).relu_())
        return value[..., 0]

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """Return Q* [B, 1] of central utilities [B, N]."""
        value: Tensor = self.out(functional.relu(self.of_state(state) + functional.linear(q, self.of_q.weight)))
        return value


def enumerate_joint(mixer: Concave, weights: ConcaveWeights, q: Tensor, action_mask: Tensor) -> Tensor:
    """Return the best joint actions [B, N] of utilities [B, N, A], by evaluating all of them."""
    steps, players, actions = q.shape
    joint = torch.tensor(list(product(range(actions), repeat=players)), device=q.device)  # [C, N]
    best = []
    size = max(1, CHUNK // len(joint))
    for start in range(0, steps, size):
        rows = slice(start, start + size)
        value = mixer.value(weights.at(rows), _at(q[rows], joint))
        best.append(value.masked_fill(~_at(action_mask[rows], joint).all(2), -torch.inf).argmax(1))
    return joint[torch.cat(best)]


def ascend(
    mixer: Concave, weights: ConcaveWeights, q: Tensor, action_mask: Tensor, joint: Tensor, sweeps: int
) -> Tensor:
    """Coordinate ascent from C joint actions per step [B, C, N]; return the best local maximum of each step [B, N].

    A sweep improves the action of one agent after the other. A start goes on until a sweep changes nothing or it
    meets an earlier one of its step.
    """
    joint = joint.clone()
    moving = ~_repeated(joint)
    for _ in range(sweeps):
        moved = torch.zeros_like(moving)
        for step, start in _by_count(moving):
            some, there = step[:, 0], joint[step, start]
            here = _sweep(mixer, weights.at(some), q[some], action_mask[some], there)
            joint[step, start] = here
            moved[step, start] = (here != there).any(2)
        moving = moved & ~_repeated(joint)
        if not moving.any():
            break
    best = mixer.value(weights, _of(q, joint)).argmax(1)
    return joint[torch.arange(len(q), device=q.device), best]


def _sweep(mixer: Concave, weights: ConcaveWeights, q: Tensor, action_mask: Tensor, joint: Tensor) -> Tensor:
    """Return joint actions [B, C, N] after each agent in turn has chosen its best action."""
    joint = joint.clone()
    chosen = _of(q, joint)  # [B, C, N]
    affine = mixer.affine(weights, chosen)  # of `joint`: an action changes it by a multiple of one row of weights
    for i in range(q.shape[1]):
        now, row = joint[..., i, None], weights.of_q[:, i, None]
        change = q[:, i, None] - chosen[..., i, None]  # [B, C, A]
        tried = torch.addcmul(affine[:, :, None], change[..., None], row[:, None])  # [B, C, A, 2E + 1]
        value = mixer.of_affine(weights, tried.flatten(1, 2)).view_as(change)
        value = value.masked_fill(~action_mask[:, i, None], -torch.inf)
        best = value.max(2, keepdim=True)
        better = best.values > value.gather(2, now) + 1e-6  # do not move for a tie
        after = torch.where(better, best.indices, now)
        joint[..., i] = after[..., 0]
        affine = torch.addcmul(affine, change.gather(2, after), row)
    return joint


def _repeated(joint: Tensor) -> Tensor:
    """Return which joint actions [B, C, N] are the same as an earlier one of their step [B, C]."""
    joint = joint.permute(2, 0, 1).contiguous()  # to reduce over the first axis is the fastest
    return (joint[..., None] == joint[:, :, None]).all(0).tril(-1).any(2)


def _by_count(moving: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide what moves [B, C] into blocks of steps with equally many moving starts: indices [b, 1], [b, c]."""
    count, first = moving.sum(1), moving.long().argsort(dim=1, descending=True, stable=True)
    for c in range(1, moving.shape[1] + 1):
        for step in (count == c).nonzero().split(BLOCK):
            yield step, first[step[:, 0], :c]


def _at(seats: Tensor, joint: Tensor) -> Tensor:
    """Select from values [B, N, A] those of joint actions [C, N], the same at each step: [B, C, N]."""
    return seats[:, torch.arange(joint.shape[1], device=joint.device), joint]


def _of(seats: Tensor, joint: Tensor) -> Tensor:
    """Select from values [B, N, A] those of each step's joint actions [B, C, N]: [B, C, N]."""
    return seats.gather(2, joint.transpose(1, 2)).transpose(1, 2)


class TeamPolicyAgent(TeamAgent):
    """Sample each player's policy and explore by `epsilon` in training; otherwise take the most probable action."""

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        if not self.explores:
            return super().choose(outputs, view)
        return self.explored(draw(fold(view.key, POLICY_ACTION), self.preferred(outputs, view)), view)

    def preferred(self, outputs: NDArray[np.float32], view: View) -> NDArray[Any]:
        if not self.explores:
            return super().preferred(outputs, view)
        logits = np.where(view.action_mask, outputs, -np.inf)
        return np.asarray(np.exp(logits - logits.max(1, keepdims=True)))


class ConcaveQ(TeamLearner):
    """ConcaveQ: a concave mixer of utilities, maximised jointly, and decentralised policies.

    Raises UserError for `selection: enumerate` with too many joint actions.
    """

    Config: ClassVar[type[BaseModel]] = ConcaveQConfig
    config: ConcaveQConfig
    Plays = TeamPolicyAgent
    name = "concaveq"

    @classmethod
    def needs(cls, config: TeamLearnerConfig, spec: Spec) -> Needs:
        assert isinstance(config, ConcaveQConfig)
        return {"sweeps": (not _enumerates(config, spec), "selection: ascent")}

    def build(self) -> Team:
        config, spec = self.config, self.spec
        joint = spec.num_actions**spec.num_players
        if config.selection == "enumerate" and joint > ENUMERABLE:
            raise UserError(
                f"'{spec.name}' has {joint:,} joint actions, and at most {ENUMERABLE:,} are enumerated; "
                "set selection: ascent"
            )
        self._enumerates = _enumerates(config, spec)
        self._knows_gap = not self._enumerates and joint <= ENUMERABLE
        sizes = spec.num_players, self.state_size

        def team(key: int) -> Team:
            return Team(config, spec, key)

        self.team = self.single("team", team)
        self.mixer = self.single("mixer", lambda key: Concave(config, *sizes, generator_of(key)))
        self.central, self.central_target = self.with_target("central", team)
        self.mix, self.mix_target = self.with_target(
            "central_mixer", lambda key: Central(config, *sizes, generator_of(key))
        )
        self.policy = self.single("policy", team)
        self.optimizers["value"] = self.optimizer(self.team, self.mixer, self.central, self.mix)
        self.optimizers["policy"] = self.optimizer(self.policy)
        return self.policy

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        q, _ = self.team(batch.packed, batch.action_mask)  # [R, A] utilities
        central, _ = self.central(batch.packed, batch.action_mask)  # [R, A] those of Q*
        logits, _ = self.policy(batch.packed, batch.action_mask)
        weights = self.mixer.weights(batch.global_state)
        with torch.no_grad():
            best, gap = self.select(batch, weights, q, logits)  # û [B, N]
            central_target, _ = self.central_target(batch.packed, batch.action_mask)
            value_target = self.mix_target(batch.chosen(central_target, best), batch.global_state)
            target = batch.targets(value_target, gamma=self.config.gamma, td_lambda=self.config.td_lambda)
            value_best = self.mix(batch.chosen(central, best), batch.global_state)
            if self.diagnoses:
                value_mode = self.mix(batch.chosen(central, self.modes(batch, logits)), batch.global_state)
            same = ((best == batch.taken_actions) | ~batch.acting).all(1, keepdim=True)
            weight = torch.where(same | (target > value_best), 1.0, self.config.underestimate_weight)
        f = self.mixer.value(weights, batch.taken(q)[:, None])  # [B, 1]
        value = self.mix(batch.taken(central), batch.global_state)
        decided = batch.decided(each=False)
        f_loss = (weight * (f - target).square())[decided].mean()
        value_loss = (value - target).square()[decided].mean()
        norm = self.optimizers["value"].descend(f_loss + value_loss)
        with torch.no_grad():
            marginal = batch.rows(self.marginals(batch, central, best))[batch.acts]  # [B, A]
        action_mask = batch.action_mask[batch.acts]
        policy_loss, entropy = self.policy_loss(logits[batch.acts], action_mask, marginal)
        policy_norm = self.optimizers["policy"].descend(policy_loss)
        metrics = {
            "loss": value_loss.detach(),
            "concave_loss": f_loss.detach(),
            "policy_loss": policy_loss.detach(),
            "entropy": entropy,
            "weight": weight[decided].mean(),
            "grad_norm": norm,
            "policy_grad_norm": policy_norm,
            "q": value.detach()[decided].mean(),
            "temperature": torch.tensor(self.temperature),
        } | gap
        if self.diagnoses:
            with torch.no_grad():
                lagging = self.mix_target(batch.taken(central_target), batch.global_state)
            metrics |= self.diagnosis(batch, value, lagging, value_target)
            metrics["action_gap"] = action_gap(marginal, action_mask)
            metrics["mode_gap"] = (value_mode - value_best)[decided].mean()
        self.update_targets((self.central_target, self.central), (self.mix_target, self.mix))
        return metrics

    def select(
        self, batch: EpisodeBatch, weights: ConcaveWeights, q: Tensor, logits: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return joint actions [B, N] that maximise f, and the gap of the ascent as a metric, if it can be computed."""
        seats, action_masks = batch.seats(q), batch.action_masks()  # [B, N, A]
        if self._enumerates:
            return enumerate_joint(self.mixer, weights, seats, action_masks), {}
        greedy = seats.masked_fill(~action_masks, -torch.inf).argmax(2)
        lowest = seats.masked_fill(~action_masks, torch.inf).argmin(2)
        starts = torch.stack([batch.taken_actions, self.modes(batch, logits), greedy, lowest], 1)  # [B, C, N]
        best = ascend(self.mixer, weights, seats, action_masks, starts, self.config.sweeps)
        if not self._knows_gap:
            return best, {}
        some = slice(0, 64)
        weights = weights.at(some)
        exact = enumerate_joint(self.mixer, weights, seats[some], action_masks[some])
        optimal, found = (self.mixer.value(weights, _of(seats[some], joint[:, None])) for joint in (exact, best[some]))
        return best, {"ascent_gap": (optimal - found).mean()}

    def modes(self, batch: EpisodeBatch, logits: Tensor) -> Tensor:
        """Return the joint actions [B, N] of the agents' most probable actions."""
        return batch.seats(logits).masked_fill(~batch.action_masks(), -torch.inf).argmax(2)

    def policy_loss(self, logits: Tensor, action_mask: Tensor, marginal: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_π and the mean entropy; `marginal` is Q*(a, û_-i) of each decision. All arguments are [B, A]."""
        log_pi = masked_log_probs(logits, action_mask)
        pi = log_pi.exp()
        entropy = -(pi * log_pi).sum(1).mean()
        return -(pi * marginal).sum(1).mean() - self.temperature * entropy, entropy.detach()

    def marginals(self, batch: EpisodeBatch, central: Tensor, best: Tensor) -> Tensor:
        """Return Q*(a, û_-i) for each agent i and action a [B, N, A]."""
        seats = batch.seats(central)  # [B, N, A]
        chosen = seats.gather(2, best[..., None])[..., 0]  # [B, N]
        size = max(1, CHUNK // seats[0].numel())
        parts = zip(*(part.split(size) for part in (batch.global_state, chosen, seats)), strict=True)
        return torch.cat([self.mix.values(*part) for part in parts])

    @property
    def temperature(self) -> float:
        config = self.config
        return ramp(config.temperature_start, config.temperature_end, self.steps, config.temperature_steps)


def _enumerates(config: ConcaveQConfig, spec: Spec) -> bool:
    """Return whether the best joint action is found among all of them."""
    few = spec.num_actions**spec.num_players <= 64
    return config.selection == "enumerate" or (config.selection == "auto" and few)
