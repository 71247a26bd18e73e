"""LOLA: learning with opponent-learning awareness (Foerster et al. 2018, https://arxiv.org/abs/1709.04326).

LOLA assumes that the opponent takes a step of policy gradient. That step depends on my policy, so LOLA maximises its
value after the step:

    maximise V¹(θ¹, θ² + α ∂V²(θ¹, θ²)/∂θ²)

For a repeated matrix game that shows the last joint action, this is exact: with policies as tables the values have a
closed form, and autograd differentiates through the step. The payoffs are the rewards that were observed.

    V = ρ (I - γ M)^-1 r        of both policies: ρ the first joint action, M the transition matrix, r the rewards

For other games it is estimated from the trajectories (section 3.4 of the paper, which keeps one of the two terms of
first order in α; the products of score functions are those of DiCE, Foerster et al. 2018,
https://arxiv.org/abs/1802.05098):

    ∂V¹/∂θ¹ + α (∂²V²/∂θ¹∂θ²) g,   g = ∂V¹/∂θ² = E sum_k ∂log π²(b_k) sum_{t>=k} γ^t r¹_t
    (∂²V²/∂θ¹∂θ²) g = E sum_t γ^t r²_t (sum_{k<=t} ∂log π¹(a_k)) (sum_{k<=t} g · ∂log π²(b_k))

so that here too every ∂log π¹(a_k) gets a weight. g · ∂log π² is a directional derivative, computed as the difference
of two forward passes, at θ² + εg and θ² - εg.

Deviation: values are means weighted by γ^t, not sums, so that α does not depend on the length; the first term of the
estimate is the policy gradient of `naive`.
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
from marl.algorithms.opponent_shaping.learner import OpponentShapingLearner
from marl.algorithms.opponent_shaping.networks import Head, OpponentShapingConfig
from marl.learning.networks import masked_log_probs

STEP = 1e-2  # ε |g|: the distance of each forward pass from θ²


class LolaConfig(OpponentShapingConfig):
    """The settings of LOLA."""

    lookahead: float = Field(10.0, ge=0)  # α: the step size of the opponent, for values per step


class Lola(OpponentShapingLearner):
    """LOLA: policy gradient through the opponent's step of policy gradient."""

    Config: ClassVar[type[BaseModel]] = LolaConfig
    config: LolaConfig
    name = "lola"

    def __init__(self, config: LolaConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        super().__init__(config, spec, key=key, total_steps=total_steps, device=device)
        if self.remembers_last and config.gamma == 1:
            raise UserError("the exact values of lola need gamma below 1, got 1; set gamma: 0.99")

    def loss(self, encounters: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        config, me, other = self.config, encounters.me, encounters.other
        if self.remembers_last:
            tables = [payoffs(s.reward, me.action, other.action, self.spec.num_actions) for s in encounters.sides]
            values = [
                len(some) * looked_ahead(self.me.actor, policy, *tables, gamma=config.gamma, alpha=config.lookahead)
                for policy, some in encounters.other_policies
            ]
            loss = -torch.stack(values).sum() / me.action.shape[1]
        else:
            weight = me.advantage.detach() + config.lookahead * correction(encounters, config.gamma)
            loss = -(me.log_prob * weight).mean()
        return loss, {"policy_loss": loss, "advantage": me.advantage.mean()}


def correction(encounters: Encounters, gamma: float) -> Tensor:
    """Return the weights [T, B] of the estimate's second term, for α = 1, in a mean over [T, B]."""
    mine, theirs = (discounted_rewards(side.reward, gamma) for side in encounters.sides)
    along_g = torch.zeros_like(mine)  # [T, B] sum_{k<=t} g · ∂log π²(b_k)
    for policy, some in encounters.other_policies:
        obs, action_mask = encounters.other_obs[:-1, some], encounters.other_action_mask[:-1, some]
        action = encounters.other.action[:, some]
        policy = deepcopy(policy).requires_grad_()
        score = (log_prob(policy, obs, action_mask, action) * discounted(mine, 1.0)[:, some]).sum(0).mean()
        g = nn.utils.parameters_to_vector(torch.autograd.grad(score, list(policy.parameters())))
        along_g[:, some] = directional_derivative(policy, g, obs, action_mask, action).cumsum(0)
    return len(along_g) * discounted(theirs * along_g, 1.0)


def discounted_rewards(reward: Tensor, gamma: float) -> Tensor:
    """Return γ^t (r_t - mean over B) / sum_t γ^t of rewards [T, B]; the mean is a baseline, without gradient."""
    weight = gamma ** torch.arange(len(reward), device=reward.device)[:, None]
    return weight / weight.sum() * (reward - reward.mean(1, keepdim=True))


def log_prob(policy: Head, obs: Tensor, action_mask: Tensor, action: Tensor) -> Tensor:
    """Return log π of actions [T, B], for observations [T, B, I] and masks [T, B, A]."""
    return masked_log_probs(policy(obs), action_mask).gather(2, action[..., None])[..., 0]


def directional_derivative(policy: Head, g: Tensor, obs: Tensor, action_mask: Tensor, action: Tensor) -> Tensor:
    """Return g · ∂log π(b) for actions b [T, B], as a difference of two forward passes."""
    step = STEP / g.norm().clamp_min(1e-12)
    weights = nn.utils.parameters_to_vector(policy.parameters()).detach()
    log_probs = []
    with torch.no_grad():
        for sign in (1, -1):
            nn.utils.vector_to_parameters(weights + sign * step * g, policy.parameters())
            log_probs.append(log_prob(policy, obs, action_mask, action))
    change: Tensor = (log_probs[0] - log_probs[1]) / (2 * step)
    return change


def payoffs(reward: Tensor, action: Tensor, other: Tensor, actions: int) -> Tensor:
    """Return the payoff table [A, A] by own and other's action: the mean of `reward` [T, B]; 0 if never observed."""
    joint = (action * actions + other).flatten()
    total = torch.zeros(actions**2, device=reward.device).index_add(0, joint, reward.flatten())
    return (total / torch.bincount(joint, minlength=actions**2).clamp_min(1)).view(actions, actions)


def value(policy: Tensor, other: Tensor, pays: Tensor, gamma: float) -> Tensor:
    """Return (1 - γ) sum_t γ^t r_t of `policy` against `other`, with the payoff table `pays` [A, A] by (own, other's).

    Policies are tables [1 + A*A, A]: row 0 is the first step, the others the last joint action, a player's own first.
    """
    actions = policy.shape[1]
    mirrored = torch.arange(actions**2, device=policy.device).view(actions, actions).t().flatten()
    other = torch.cat([other[:1], other[1:][mirrored]])
    joint = (policy[:, :, None] * other[:, None, :]).flatten(1)  # [1 + A*A, A*A]
    reward = pays.flatten()
    later: Tensor = torch.linalg.solve(
        torch.eye(actions**2, dtype=reward.dtype, device=reward.device) - gamma * joint[1:], joint[1:] @ reward
    )
    return (1 - gamma) * joint[0] @ (reward + gamma * later)


def looked_ahead(me: Head, other: Head, pays: Tensor, pays_other: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """Return V¹(θ¹, θ² + α ∂V²/∂θ²), differentiable in the parameters of `me`; payoffs [A, A] by (mine, other's)."""
    obs = torch.eye(1 + pays.numel(), dtype=pays.dtype, device=pays.device)[:, None]  # [1 + A*A, 1, 1 + A*A]

    def table(policy: Head, parameters: dict[str, Tensor]) -> Tensor:
        probabilities: Tensor = functional_call(policy, parameters, (obs,))[:, 0].softmax(1)
        return probabilities

    mine = table(me, dict(me.named_parameters()))
    theirs = {name: p.detach().clone().requires_grad_() for name, p in other.named_parameters()}
    their_value = value(table(other, theirs), mine, pays_other.t(), gamma)
    steps = torch.autograd.grad(their_value, list(theirs.values()), create_graph=True)
    moved = {name: p + alpha * step for (name, p), step in zip(theirs.items(), steps, strict=True)}
    return value(mine, table(other, moved), pays, gamma)
