"""LOQA: learning with opponent Q-learning awareness (Aghajohari et al. 2024, https://arxiv.org/abs/2405.01035).

LOQA assumes that the opponent acts by its Q. My actions change the opponent's returns, so they change its Q, and so its
future policy. LOQA adds the gradient of that effect to the policy gradient.

    π̂(b | s_t) = softmax of the opponent's Q(s_t, .), in which the entry of b_t has the gradient of Q̃_t
    Q̃_t = r^b_t + γ R̃_{t+1},  R̃_t = R^b_t + D_t,  D_t = sum_{k>=t} (γλ)^{k-t} (R^b_k - V^b_k) d_k    (loaded DiCE)

where R^b is the opponent's return, and d_k has the value 0 and the gradient of log π(a_k), my action's probability.
With A_t = r_t + γ V_{t+1} - V_t,

    L_agent = - mean log π(a_t) A_t
    L_shape = - mean log π̂(b_t) A_t:   raise the probability of the opponent's action where it was good for me

The gradient of L_shape is that of - mean_k log π(a_k) w_k, with (section 4 of the paper, written out)

    w_k = (R^b_k - V^b_k) G_k,   G_{k+1} = γλ G_k + γ (1 - π̂(b_k | s_k)) A_k,   G_0 = 0

Deviation: in the paper the entry of b_t has the value of Q̃_t, too (`literal: true`). A return stands then among values
that a critic has learnt from 0 on: π̂(b_t) is 1 where payoffs are positive, so that w is 0, and 0 where they are
negative. The softmax of Q alone depends on differences of payoffs, not on a constant added to all of them.

Deviation: the mean reward of the first update is subtracted from all rewards (not if `literal`). A constant is then
nothing that the critics must learn, which takes thousands of updates with a slow target, and a run with other payoffs
by a constant is the same run.

Deviation: L_shape uses A minus its mean over the batch (`center_advantage`). With a critic that begins at 0 and
negative payoffs all A are negative at first, and L_shape would lower the probability of every action of the opponent.
The mean is weighted by 1 - π̂(b_t), with which A enters G. The opponent chooses b_t by its policy, not by π̂, and
without the weights the mean of G is not 0: the learner would reward whatever the opponent does.

`literal: true, center_advantage: false, through_values: true` is the published recipe
(docs/reference/algorithms/loqa.md has the effects).
"""

from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from games.contract import Spec
from marl.algorithms.opponent_shaping.encounters import Encounters, discounted
from marl.algorithms.opponent_shaping.learner import OpponentShapingLearner
from marl.algorithms.opponent_shaping.networks import OpponentShapingConfig
from marl.base.schema import InOldRecords
from marl.learning.idle import Needs
from marl.rollout.types import Tensors


class Naive(OpponentShapingLearner):
    """Independent policy gradient: LOQA without shaping."""

    name = "naive"

    def loss(self, encounters: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        me = encounters.me
        loss = -(me.log_prob * me.advantage.detach()).mean()
        return loss, {"policy_loss": loss, "advantage": me.advantage.mean()}


class LoqaConfig(OpponentShapingConfig):
    """The settings of LOQA."""

    shaping: float = 1.0  # weight of L_shape in L_agent + weight * L_shape
    shaping_lambda: float = Field(0.9, ge=0, le=1)  # λ of the loaded DiCE
    center_advantage: bool = True  # subtract the mean of A in L_shape; false: as published
    # π̂ takes the value of the opponent's return, as published, and A's mean is not weighted; false: the value of its Q.
    literal: Annotated[bool, InOldRecords(True)] = False
    through_values: bool = False  # let the gradient flow through V into policy and Q; true: as in the authors' code


class Loqa(OpponentShapingLearner):
    """LOQA: the policy gradient, and the gradient of the opponent's future policy."""

    Config: ClassVar[type[BaseModel]] = LoqaConfig
    config: LoqaConfig
    name = "loqa"
    _offset: float | None = None  # the mean reward of the first update

    @classmethod
    def needs(cls, config: OpponentShapingConfig, spec: Spec) -> Needs:
        assert isinstance(config, LoqaConfig)
        shapes = (config.shaping != 0, "shaping other than 0")
        return {**super().needs(config, spec), "shaping_lambda": shapes, "center_advantage": shapes}

    def warn(self, spec: Spec) -> list[str]:
        if spec.payoff == "zero_sum":
            return [f"'{spec.name}' is zero-sum: there is nothing to share, and shaping has nothing to win"]
        return []

    def reward_offset(self, reward: Tensor) -> float:
        if self.config.literal:
            return super().reward_offset(reward)
        if self._offset is None:
            self._offset = float(reward.mean())
        return self._offset

    def state(self) -> Tensors:
        offset = {} if self._offset is None else {"reward_offset": torch.tensor(self._offset, dtype=torch.float64)}
        return super().state() | offset

    def load_state(self, state: Tensors) -> None:
        super().load_state(state)
        self._offset = float(state["reward_offset"]) if "reward_offset" in state else None

    def improved(self) -> list[nn.Module]:
        return [self.me] if self.config.through_values else [self.me.actor]

    def loss(self, encounters: Encounters) -> tuple[Tensor, dict[str, Tensor]]:
        config, me, other = self.config, encounters.me, encounters.other
        advantage = me.advantage if config.through_values else me.advantage.detach()
        agent_loss = -(me.log_prob * advantage).mean()
        returns = discounted(other.reward, config.gamma)  # R^b
        mask = encounters.other_action_mask[:-1]
        other_log_prob = predicted(other.estimates.q[:-1], mask, other.action, returns if config.literal else None)
        shaping_advantage = advantage
        if config.center_advantage:
            counts = torch.ones_like(returns) if config.literal else 1 - other_log_prob.exp()
            shaping_advantage = advantage - weighted_mean(advantage.detach(), counts)
        weight = weights(
            other_log_prob,
            returns - other.estimates.value[:-1],
            shaping_advantage.detach(),
            gamma=config.gamma,
            lam=config.shaping_lambda,
        )
        shaping_loss = -(me.log_prob * weight + other_log_prob * shaping_advantage).mean()
        metrics = {
            "policy_loss": agent_loss,
            "shaping_loss": -(other_log_prob * shaping_advantage).mean(),
            "shaping_weight": weight.abs().mean(),
            "advantage": me.advantage.mean(),
        }
        return agent_loss + config.shaping * shaping_loss, metrics


def predicted(q: Tensor, action_mask: Tensor, action: Tensor, returns: Tensor | None) -> Tensor:
    """Return log π̂(b_t | s_t) [T, B] of the opponent's actions [T, B], from its Q and action masks [T, B, A].

    With `returns` [T, B] these stand in place of Q's values for the actions, as in the paper.
    """
    if returns is not None:
        q = q.scatter(2, action[..., None], returns[..., None])
    log_probs = torch.log_softmax(q.masked_fill(~action_mask, -torch.inf), 2)
    return log_probs.gather(2, action[..., None])[..., 0]


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Return sum(weight x) / sum(weight); 0 where all weights are 0."""
    return (weight * x).sum() / weight.sum().clamp_min(1e-12)


def weights(log_prob: Tensor, error: Tensor, advantage: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Return the weights w_t of the module's docstring [T, B].

    The opponent's: `log_prob` log π̂ of its actions, `error` R^b - V^b. The learner's: `advantage`. All are [T, B].
    """
    influence = gamma * (1 - log_prob.exp()) * advantage
    # G: how much the opponent's earlier actions depend on its rewards from t on.
    accumulated = torch.zeros_like(influence)
    for t in range(len(influence) - 1):
        accumulated[t + 1] = gamma * lam * accumulated[t] + influence[t]
    return error * accumulated
