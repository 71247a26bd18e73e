"""LOQA: learning with opponent Q-learning awareness (Aghajohari et al. 2024, https://arxiv.org/abs/2405.01035).

If the other player acts by its Q, then what I do now changes what it will do: my actions decide what its actions are
worth to it. LOQA sees its opponent so, and moves by how its own policy shapes the opponent's.

    π̂(b | s_t) = softmax of the opponent's Q(s_t, .), in which the entry of b_t is replaced by Q̃_t
    Q̃_t = r^b_t + γ R̃_{t+1},  R̃_t = R^b_t + D_t,  D_t = sum_{k>=t} (γλ)^{k-t} (R^b_k - V^b_k) d_k    (loaded DiCE)

where R^b is the opponent's return and d_k has the value 0 and the gradient of log π(a_k): how likely my action was.
With A_t = r_t + γ V_{t+1} - V_t,

    L_agent = - mean log π(a_t) A_t
    L_shape = - mean log π̂(b_t) A_t:   make likelier what the opponent did, where that was good for me

The gradient of L_shape is that of - mean_k log π(a_k) w_k, with (section 4 of the paper, written out)

    w_k = (R^b_k - V^b_k) G_k,   G_{k+1} = γλ G_k + γ (1 - π̂(b_k | s_k)) A_k,   G_0 = 0

Deviation: A has its mean over the batch taken away in L_shape (`center_advantage`). A critic that begins at zero makes
all A negative together, and L_shape then says "whatever the opponent did, less of it". With `center_advantage: false`
and `through_values: true` it is the published recipe (docs/reference/algorithms/loqa.md has what either does).
"""

from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from games.contract import Spec
from marl.algorithms.opponent_shaping.encounters import Encounters, Estimates, discounted
from marl.algorithms.opponent_shaping.learner import PairwiseLearner
from marl.algorithms.opponent_shaping.networks import PairwiseConfig


class Naive(PairwiseLearner):
    """Independent policy gradient: LOQA without shaping."""

    name = "naive"

    def loss(self, met: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        loss = -(met.me.log_prob * met.me.advantage.detach()).mean()
        return loss, {"policy_loss": loss, "advantage": met.me.advantage.mean()}


class LoqaConfig(PairwiseConfig):
    """The settings of LOQA."""

    shaping: float = 1.0  # of L_shape beside L_agent
    shaping_lambda: float = Field(0.9, ge=0, le=1)  # λ of the loaded DiCE
    center_advantage: bool = True  # in L_shape; false: as published
    through_values: bool = False  # the gradient flows through V into the policy and Q; true: as the authors' code does


class Loqa(PairwiseLearner):
    """LOQA: policy gradient, and the gradient of what the opponent will learn to do."""

    Config: ClassVar[type[BaseModel]] = LoqaConfig
    name = "loqa"

    def warn(self, spec: Spec) -> list[str]:
        if spec.payoff == "zero_sum":
            return [f"'{spec.name}' is zero-sum: there is nothing to share, and shaping has nothing to win"]
        return []

    def improved(self) -> list[nn.Module]:
        return [self.me] if self.config.through_values else [self.me.actor]

    def loss(self, met: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        config, me, other = self.config, met.me, met.other
        advantage = me.advantage if config.through_values else me.advantage.detach()
        agent = -(me.log_prob * advantage).mean()
        felt = advantage - advantage.detach().mean() if config.center_advantage else advantage
        log_pi, weight = shaping(
            other.estimates, other.action, other.reward, felt.detach(), gamma=config.gamma, lam=config.shaping_lambda
        )
        shape = -(me.log_prob * weight + log_pi * felt).mean()
        metrics = {
            "policy_loss": agent,
            "shaping_loss": -(log_pi * felt).mean(),
            "shaping_weight": weight.abs().mean(),
            "advantage": me.advantage.mean(),
        }
        return agent + config.shaping * shape, metrics


def shaping(
    other: Estimates, action: Tensor, reward: Tensor, advantage: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return log π̂(b_t | s_t) and the weights w_t, both [T, P]: see above.

    `other` is what the opponent's networks say [T+1, P, A], `action` and `reward` [T, P] what it did and was paid,
    `advantage` [T, P] is one's own.
    """
    returns = discounted(reward, gamma)  # R^b; its value stands in for Q̃ of the action taken
    q = other.q[:-1].scatter(2, action[..., None], returns[..., None])
    q = q.masked_fill(other.log_probs[:-1] < torch.finfo(q.dtype).min / 2, -torch.inf)  # illegal actions
    log_pi = torch.log_softmax(q, 2).gather(2, action[..., None])[..., 0]
    felt = gamma * (1 - log_pi.exp()) * advantage
    reached = torch.zeros_like(felt)  # G: how much the opponent's earlier choices hang on what it is paid from t on
    for t in range(len(felt) - 1):
        reached[t + 1] = gamma * lam * reached[t] + felt[t]
    return log_pi, (returns - other.value[:-1]) * reached
