"""LOLA: learning with opponent-learning awareness (Foerster et al. 2018, https://arxiv.org/abs/1709.04326).

If the other player learns by policy gradient, then it will take a step of it, and that step depends on me. LOLA looks
ahead over the step:

    maximise V¹(θ¹, θ² + α ∂V²(θ¹, θ²)/∂θ²)

Exactly, where a repeated matrix game shows the last joint action: with the policies' tables the values have a closed
form, and autograd differentiates through the step. The payoffs are those that were seen.

    V = ρ (I - γ P)^-1 r        ρ, P, r from both policies: where play starts, how it goes on, what is paid

Otherwise from the trajectories (section 3.4 of the paper, which keeps one of the two terms of first order in α; the
products of score functions are those of DiCE, Foerster et al. 2018, https://arxiv.org/abs/1802.05098):

    ∂V¹/∂θ¹ + α (∂²V²/∂θ¹∂θ²) g,   g = ∂V¹/∂θ² = E sum_k ∂log π²(b_k) sum_{t>=k} γ^t r¹_t
    (∂²V²/∂θ¹∂θ²) g = E sum_t γ^t r²_t (sum_{k<=t} ∂log π¹(a_k)) (sum_{k<=t} g · ∂log π²(b_k))

so that here too every ∂log π¹(a_k) gets a weight. g · ∂log π² is a derivative along one direction: a difference of two
forward passes, at θ² + εg and θ² - εg.

Deviation: values are means weighted by γ^t, not sums, so that α does not depend on the length; the first term from
trajectories is the policy gradient that `naive` follows.
"""

from copy import deepcopy
from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.func import functional_call

from games.contract import Spec
from games.errors import UserError
from marl.algorithms.opponent_shaping.encounters import Encounters, discounted
from marl.algorithms.opponent_shaping.learner import PairwiseLearner
from marl.algorithms.opponent_shaping.networks import Head, PairwiseConfig
from marl.learning.networks import masked_log_probs

STEP = 1e-2  # ε |g|: how far the two forward passes are apart, half of it


class LolaConfig(PairwiseConfig):
    """The settings of LOLA."""

    lookahead: float = Field(10.0, ge=0)  # α, of values per step


class Lola(PairwiseLearner):
    """LOLA: policy gradient through the other's step of policy gradient."""

    Config: ClassVar[type[BaseModel]] = LolaConfig
    name = "lola"

    def __init__(self, config: LolaConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        super().__init__(config, spec, key=key, total_steps=total_steps, device=device)
        if self.remembers_last and config.gamma == 1:
            raise UserError("the exact values of lola need gamma below 1, got 1; set gamma: 0.99")

    def loss(self, met: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        config, me = self.config, met.me
        if self.remembers_last:
            pays = [payoffs(side.reward, me.action, met.other.action, self.spec.num_actions) for side in met.sides]
            values = [
                len(column) * looked_ahead(self.me.actor, other, *pays, gamma=config.gamma, alpha=config.lookahead)
                for other, column in met.opposite
            ]
            loss = -torch.stack(values).sum() / me.action.shape[1]
        else:
            weight = me.advantage.detach() + config.lookahead * correction(met, config.gamma)
            loss = -(me.log_prob * weight).mean()
        return loss, {"policy_loss": loss, "advantage": me.advantage.mean()}


def correction(met: Encounters, gamma: float) -> Tensor:
    """Return the weights [T, P] that look ahead from the trajectories, for α = 1, in a mean over [T, P]."""
    mine, theirs = (paid_later(side.reward, gamma) for side in met.sides)
    reach = torch.zeros_like(mine)  # [T, P] sum_{k<=t} g · ∂log π²(b_k)
    for policy, column in met.opposite:
        views, legal, action = met.views[:-1, column], met.legal[:-1, column], met.other.action[:, column]
        policy = deepcopy(policy).requires_grad_()
        score = (log_prob(policy, views, legal, action) * discounted(mine, 1.0)[:, column]).sum(0).mean()
        g = nn.utils.parameters_to_vector(torch.autograd.grad(score, list(policy.parameters())))
        reach[:, column] = along(policy, g, views, legal, action).cumsum(0)
    return len(reach) * discounted(theirs * reach, 1.0)


def paid_later(reward: Tensor, gamma: float) -> Tensor:
    """Return γ^t r_t / sum_t γ^t of rewards [T, P] less their mean at each step: no gradient comes of that mean."""
    weight = gamma ** torch.arange(len(reward), device=reward.device)[:, None]
    return weight / weight.sum() * (reward - reward.mean(1, keepdim=True))


def log_prob(policy: Head, views: Tensor, legal: Tensor, action: Tensor) -> Tensor:
    """Return log π of actions [T, P] on views [T, P, I]."""
    return masked_log_probs(policy(views), legal).gather(2, action[..., None])[..., 0]


def along(policy: Head, g: Tensor, views: Tensor, legal: Tensor, action: Tensor) -> Tensor:
    """Return g · ∂log π(b) for actions [T, P], by a difference of two forward passes."""
    step = STEP / g.norm().clamp_min(1e-12)
    weights = nn.utils.parameters_to_vector(policy.parameters()).detach()
    sides = []
    with torch.no_grad():
        for sign in (1, -1):
            nn.utils.vector_to_parameters(weights + sign * step * g, policy.parameters())
            sides.append(log_prob(policy, views, legal, action))
    return (sides[0] - sides[1]) / (2 * step)


def payoffs(reward: Tensor, action: Tensor, other: Tensor, actions: int) -> Tensor:
    """Return the payoffs seen [A, A]: what `reward` [T, P] was where these actions met; 0 where none has."""
    joint = (action * actions + other).flatten()
    total = torch.zeros(actions**2, device=reward.device).index_add(0, joint, reward.flatten())
    return (total / torch.bincount(joint, minlength=actions**2).clamp_min(1)).view(actions, actions)


def value(policy: Tensor, other: Tensor, pays: Tensor, gamma: float) -> Tensor:
    """Return (1 - γ) sum_t γ^t r_t, where both play tables [1 + A*A, A] of what was played last, each its own first.

    `pays` [A, A] are by the actions of the one and the other.
    """
    actions = policy.shape[1]
    mirrored = torch.arange(actions**2, device=policy.device).view(actions, actions).t().flatten()
    other = torch.cat([other[:1], other[1:][mirrored]])
    joint = (policy[:, :, None] * other[:, None, :]).flatten(1)  # [1 + A*A, A*A]
    paid = pays.flatten()
    later = torch.linalg.solve(
        torch.eye(actions**2, dtype=paid.dtype, device=paid.device) - gamma * joint[1:], joint[1:] @ paid
    )
    return (1 - gamma) * joint[0] @ (paid + gamma * later)


def looked_ahead(me: Head, other: Head, pays: Tensor, pays_other: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """Return V¹(θ¹, θ² + α ∂V²/∂θ²), differentiable in the parameters of `me`; `pays` [A, A] are by (mine, other's)."""
    views = torch.eye(1 + pays.numel(), dtype=pays.dtype, device=pays.device)[:, None]  # [1 + A*A, 1, 1 + A*A]

    def table(policy: Head, parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(policy, parameters, (views,))[:, 0].softmax(1)  # type: ignore[no-any-return]

    mine = table(me, dict(me.named_parameters()))
    theirs = {name: p.detach().clone().requires_grad_() for name, p in other.named_parameters()}
    expects = value(table(other, theirs), mine, pays_other.t(), gamma)
    steps = torch.autograd.grad(expects, list(theirs.values()), create_graph=True)
    moved = {name: p + alpha * step for (name, p), step in zip(theirs.items(), steps, strict=True)}
    return value(mine, table(other, moved), pays, gamma)
