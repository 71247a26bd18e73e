"""ConcaveQ: a value concave in the agents' utilities, maximised jointly (Li et al. 2024, https://arxiv.org/abs/2312.15555).

A monotone mixer cannot say that an action is good only if the others join in. A concave one can, and its maximum can be
climbed to. But that maximum is no longer each agent's own: in training the joint action is searched for, and each agent
learns a policy of its own to play its part of it.

    f(Q_1 .. Q_N; s)          concave in the utilities: an input-convex network, negated
    û = argmax_u f            by enumeration, or by coordinate ascent from several starts
    Q*(τ, u; s)               an unrestricted estimate beside it, as in WQMIX (Rashid et al. 2020)
    y = TD(λ) of r + γ Q*'(τ', û'; s')
    L_* = mean (Q*(u) - y)²
    L_f = mean w (f(u) - y)²,   w = 1 where u = û or y > Q*(û), else `underestimate_weight`
    L_π = mean over i of sum_a π_i(a) (α log π_i(a) - Q*(a, û_-i))

The exploring agent samples its π_i; the one that is rated takes the mode. Neither needs the others.

The trap: the weights that act on the utilities directly must be free in sign; only those between hidden layers are not
negative. With all of them made positive f is monotone besides, and no better than a sum.

Deviations, and what the paper leaves open: its claim that coordinate ascent reaches the joint optimum does not hold
among actions (at QTRAN's 3x3 game, fitted exactly, it does from 3 of 9 starts), hence the enumeration and the several
starts; the temperature α falls linearly; uniform actions are mixed in by epsilon; sizes are ours.
"""

from itertools import product
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.errors import UserError
from games.keys import choose, draw, fold, uniform
from marl.algorithms.value_factorization.agent import TeamAgent
from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.learner import EpisodicConfig, EpisodicLearner
from marl.algorithms.value_factorization.networks import Team
from marl.base.schema import Size
from marl.learning.networks import generator_of, linear, masked_log_probs, mlp
from marl.rollout.types import View

ENUMERABLE = 4096  # joint actions: the most that are ever enumerated
CHUNK = 1 << 16  # joint actions that are valued at once


class ConcaveQConfig(EpisodicConfig):
    """The settings of ConcaveQ."""

    mixing_hidden: Size = 32
    hypernet_hidden: Size = 64
    central_hidden: Size = 128  # of Q*'s mixer
    selection: Literal["auto", "enumerate", "ascent"] = "auto"  # auto enumerates up to 64 joint actions
    sweeps: Size = 10  # of the coordinate ascent, at most
    underestimate_weight: float = Field(0.1, ge=0, le=1)
    temperature_start: PositiveFloat = 1.0
    temperature_end: PositiveFloat = 0.05
    temperature_steps: PositiveInt = 50_000  # environment steps from the one to the other, linearly


class Concave(nn.Module):
    """f = u·q + V - |w| z2,  z2 = ReLU(|W1| z1 + U1 q + b1),  z1 = ReLU(W0 q + b0): concave in q (Amos et al. 2017).

    All weights are made from the state. W0, U1 and u act on the utilities and are free in sign.
    """

    def __init__(self, config: ConcaveQConfig, num_players: int, state_size: int, generator: torch.Generator) -> None:
        super().__init__()
        n, e, h = num_players, config.mixing_hidden, config.hypernet_hidden
        self.shapes = [(n, e), (1, e), (e, e), (n, e), (1, e), (e, 1), (n, 1), (1, 1)]  # W0 b0 W1 U1 b1 w u V
        self.hyper = mlp((state_size, h, sum(a * b for a, b in self.shapes)), generator)

    def weights(self, state: Tensor) -> list[Tensor]:
        """Return the weights that the states [P, S] make, each [P, a, b]; those between hidden layers are positive."""
        parts = self.hyper(state).split([a * b for a, b in self.shapes], 1)
        w0, b0, w1, u1, b1, w, u, v = (part.view(-1, *s) for part, s in zip(parts, self.shapes, strict=True))
        return [w0, b0, w1.abs(), u1, b1, w.abs(), u, v]

    def value(self, weights: list[Tensor], q: Tensor) -> Tensor:
        """Return f [P, C] of C vectors of utilities at each point [P, C, N]."""
        w0, b0, w1, u1, b1, w, u, v = weights
        z = functional.relu(torch.baddbmm(b0, q, w0))
        z = functional.relu(torch.baddbmm(torch.baddbmm(b1, q, u1), z, w1))
        return (torch.baddbmm(v, q, u) - z @ w)[..., 0]

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """Return f [P, 1] of utilities [P, N]."""
        return self.value(self.weights(state), q[:, None])


class Central(nn.Module):
    """Q* = MLP(q, s), without restriction."""

    def __init__(self, config: ConcaveQConfig, num_players: int, state_size: int, generator: torch.Generator) -> None:
        super().__init__()
        size = config.central_hidden
        self.of_state = linear(state_size, size, 2**0.5, generator)
        self.of_q = linear(num_players, size, 2**0.5, generator)
        self.out = mlp((size, size, 1), generator)

    def value(self, state: Tensor, q: Tensor) -> Tensor:
        """Return Q* [P, C] of C vectors of central utilities at each point [P, C, N]."""
        return self.out(functional.relu(self.of_state(state)[:, None] + functional.linear(q, self.of_q.weight)))[..., 0]

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """Return Q* [P, 1] of central utilities [P, N]."""
        return self.value(state, q[:, None])


def enumerate_joint(mixer: Concave, weights: list[Tensor], q: Tensor, legal: Tensor) -> Tensor:
    """Return the best joint actions [P, N] of utilities [P, N, A], by valuing them all."""
    points, players, actions = q.shape
    joint = torch.tensor(list(product(range(actions), repeat=players)), device=q.device)  # [C, N]
    best = []
    step = max(1, CHUNK // len(joint))
    for start in range(0, points, step):
        rows = slice(start, start + step)
        value = mixer.value([w[rows] for w in weights], _at(q[rows], joint))
        best.append(value.masked_fill(~_at(legal[rows], joint).all(2), -torch.inf).argmax(1))
    return joint[torch.cat(best)]


def ascend(mixer: Concave, weights: list[Tensor], q: Tensor, legal: Tensor, joint: Tensor, sweeps: int) -> Tensor:
    """Climb from joint actions [P, C, N], one agent's action at a time; return each point's best summit [P, N].

    A point whose joint actions a whole sweep left alone is done.
    """
    players, actions = q.shape[1:]
    joint = joint.clone()
    moving = torch.arange(len(q), device=q.device)
    for _ in range(sweeps):
        here, there, now = [w[moving] for w in weights], q[moving], joint[moving]
        for i in range(players):
            tried = now[:, :, None].expand(-1, -1, actions, -1).clone()  # [P, C, A, N]
            tried[..., i] = torch.arange(actions, device=q.device)
            value = mixer.value(here, _of(there, tried.flatten(1, 2))).view(tried.shape[:3])
            value = value.masked_fill(~legal[moving, i][:, None], -torch.inf)
            stay = value.gather(2, now[..., i, None]) + 1e-6  # a tie is no reason to move
            best = value.max(2)
            now[..., i] = torch.where(best.values > stay[..., 0], best.indices, now[..., i])
        moved = (now != joint[moving]).flatten(1).any(1)
        joint[moving] = now
        moving = moving[moved]
        if len(moving) == 0:
            break
    best = mixer.value(weights, _of(q, joint)).argmax(1)  # type: ignore[assignment]
    return joint[torch.arange(len(q), device=q.device), best]


def _at(seats: Tensor, joint: Tensor) -> Tensor:
    """Return what the joint actions [C, N] take of [P, N, A]: [P, C, N]."""
    return seats[:, torch.arange(joint.shape[1], device=joint.device), joint]


def _of(seats: Tensor, joint: Tensor) -> Tensor:
    """Return what each point's joint actions [P, C, N] take of [P, N, A]: [P, C, N]."""
    return seats.gather(2, joint.transpose(1, 2)).transpose(1, 2)


class PolicyAgent(TeamAgent):
    """Sample the policies in training, mixed with uniform actions; otherwise take their modes."""

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        logits = np.where(view.action_mask, outputs, -np.inf)
        if not self.explores:
            return super().choose(outputs, view)
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        action = draw(fold(view.key, 2), probabilities)
        explore = uniform(fold(view.key, 0)) < self.epsilon
        return np.where(explore, choose(fold(view.key, 1), view.action_mask), action)


class ConcaveQ(EpisodicLearner):
    """ConcaveQ: a concave mix of utilities, maximised jointly, and policies that play it alone.

    Raises UserError where enumeration was asked for and there are too many joint actions.
    """

    Config: ClassVar[type[BaseModel]] = ConcaveQConfig
    Plays = PolicyAgent
    name = "concaveq"

    def build(self) -> Team:
        config, spec = self.config, self.spec
        joint = spec.num_actions**spec.num_players
        if config.selection == "enumerate" and joint > ENUMERABLE:
            raise UserError(
                f"'{spec.name}' has {joint:,} joint actions, and at most {ENUMERABLE:,} are enumerated; "
                "set selection: ascent"
            )
        self._enumerates = config.selection == "enumerate" or (config.selection == "auto" and joint <= 64)
        self._knows_gap = not self._enumerates and joint <= ENUMERABLE
        sizes = spec.num_players, self.state_size

        def team(key: int) -> Team:
            return Team(config, spec, key)

        self.team = self.single("team", team)
        self.mixer = self.single("mixer", lambda key: Concave(config, *sizes, generator_of(key)))
        self.central, self.central_target = self.twins("central", team)
        self.mix, self.mix_target = self.twins("central_mixer", lambda key: Central(config, *sizes, generator_of(key)))
        self.policy = self.single("policy", team)
        self.optimizers["value"] = self.optimizer(self.team, self.mixer, self.central, self.mix)
        self.optimizers["policy"] = self.optimizer(self.policy)
        return self.policy

    def learn(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        q, _ = self.team(batch.packed)  # [R, A] utilities
        central, _ = self.central(batch.packed)  # [R, A] those of Q*
        logits, _ = self.policy(batch.packed)
        with torch.no_grad():
            best, gap = self.select(batch, q, logits)  # û [P, N]
            central_target, _ = self.central_target(batch.packed)
            target = self.targets(batch, self.mix_target(batch.chosen(central_target, best), batch.global_state))
            value_best = self.mix(batch.chosen(central, best), batch.global_state)
            same = ((best == batch.taken_actions) | ~batch.acting).all(1, keepdim=True)
            weight = torch.where(same | (target > value_best), 1.0, self.config.underestimate_weight)
        f = self.mixer(batch.taken(q), batch.global_state)  # [P, 1]
        value = self.mix(batch.taken(central), batch.global_state)
        decided = batch.decided(each=False)
        f_loss = (weight * (f - target).square())[decided].mean()
        value_loss = (value - target).square()[decided].mean()
        norm = self.optimizers["value"].descend(f_loss + value_loss)
        policy_loss, entropy = self.policy_loss(batch, logits, central.detach(), best)
        policy_norm = self.optimizers["policy"].descend(policy_loss)
        self.follow((self.central_target, self.central), (self.mix_target, self.mix))
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
        }
        return metrics | gap

    def select(self, batch: EpisodeBatch, q: Tensor, logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the joint actions [P, N] that maximise f, and what the ascent fell short by, where one can know."""
        seats, legal = batch.seats(q), batch.legal()  # [P, N, A]
        weights = self.mixer.weights(batch.global_state)
        if self._enumerates:
            return enumerate_joint(self.mixer, weights, seats, legal), {}
        greedy = seats.masked_fill(~legal, -torch.inf).argmax(2)
        lowest = seats.masked_fill(~legal, torch.inf).argmin(2)
        mode = batch.seats(logits).masked_fill(~legal, -torch.inf).argmax(2)
        starts = torch.stack([batch.taken_actions, mode, greedy, lowest], 1)  # [P, C, N]
        best = ascend(self.mixer, weights, seats, legal, starts, self.config.sweeps)
        if not self._knows_gap:
            return best, {}
        some = slice(0, 64)
        weights = [w[some] for w in weights]
        exact = enumerate_joint(self.mixer, weights, seats[some], legal[some])
        short = [self.mixer.value(weights, _of(seats[some], joint[:, None])) for joint in (exact, best[some])]
        return best, {"ascent_gap": (short[0] - short[1]).mean()}

    def policy_loss(self, batch: EpisodeBatch, logits: Tensor, central: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_π and the mean entropy: each agent's policy against Q* of its actions beside the others' best."""
        with torch.no_grad():
            marginal = batch.rows(self.marginals(batch, central, best))[batch.acts]  # [B, A]
        mask = batch.action_mask[batch.acts]
        log_pi = masked_log_probs(logits[batch.acts], mask)
        pi = log_pi.exp()
        entropy = -(pi * log_pi).sum(1).mean()
        return -(pi * marginal).sum(1).mean() - self.temperature * entropy, entropy.detach()

    def marginals(self, batch: EpisodeBatch, central: Tensor, best: Tensor) -> Tensor:
        """Return Q*(a, û_-i) for each agent i and action a [P, N, A]."""
        seats = batch.seats(central)
        points, players, actions = seats.shape
        chosen = seats.gather(2, best[..., None])[..., 0]  # [P, N]
        tried = chosen[:, None, None].expand(-1, players, actions, -1).clone()  # [P, N, A, N]
        for i in range(players):
            tried[:, i, :, i] = seats[:, i]
        tried = tried.view(points, players * actions, players)
        step = max(1, CHUNK // (players * actions))
        value = [self.mix.value(s, t) for s, t in zip(batch.global_state.split(step), tried.split(step), strict=True)]
        return torch.cat(value).view(points, players, actions)

    @property
    def temperature(self) -> float:
        config = self.config
        done = min(1.0, self.steps / config.temperature_steps)
        return float(config.temperature_start + done * (config.temperature_end - config.temperature_start))
