"""The policy that an actor's outputs describe: categorical over discrete actions, a squashed Gaussian over a box.

The Gaussian is diagonal, and its deviations do not depend on the view. With μ the actor's outputs,

    u ~ N(μ, σ²)        a = c + h tanh(u)        c = (low + high) / 2,  h = (high - low) / 2
    log π(a) = Σ log N(u; μ, σ²) - log(1 - tanh² u)

which is the density of tanh(u): that of a has one more term, log h, which no gradient and no ratio has. A bonus is
paid for the entropy of u, Σ log σ + ½ log 2πe, since that of tanh(u) has no closed form (Haarnoja et al. 2018,
https://arxiv.org/abs/1812.05905, appendix C). A player with fewer numbers than others is padded; sums leave the
padding out, so no gradient passes through it.

An update recomputes log π for the recorded u, so nothing is lost where tanh(u) rounds to 1.
"""

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Discrete, Spec
from games.keys import draw, normal
from marl.learning.networks import log_prob_and_entropy, masked_log_probs
from marl.rollout.agent import LogProbs, log_probs_of, one_hot
from marl.rollout.types import Decision, View

Numbers = NDArray[np.float32]
_LOG_TWO, _HALF_LOG_TWO_PI = math.log(2), 0.5 * math.log(2 * math.pi)


class Policies(Protocol):
    """A family of policies, for the actor of one pair of networks.

    In acting, W numbers describe the policy of a row; in training, the actor's outputs [B, O] do.
    """

    chosen: str  # where what was chosen is recorded: "action", or an extra of the trajectory
    outputs: int  # O
    width: int  # W

    def described(self, outputs: Tensor, action_mask: Tensor) -> Tensor:
        """Return what describes policies in acting [B, W], from the actor's outputs [B, O]."""
        ...

    def decide(self, view: View, described: Numbers, *, greedy: bool) -> Decision:
        """Return actions of the policies that `described` [B, W] describes: samples, or the modes if `greedy`."""
        ...

    def log_prob_and_entropy(
        self, outputs: Tensor, action_mask: Tensor, player: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return log π [B] of what was chosen, and the entropy [B] for which a bonus is paid."""
        ...


class Categorical:
    """Policies over discrete actions: W = A log-probabilities, very small for illegal actions; `chosen` is [B]."""

    chosen = "action"

    def __init__(self, spec: Spec) -> None:
        self.outputs = self.width = spec.num_actions

    def described(self, outputs: Tensor, action_mask: Tensor) -> Tensor:
        return masked_log_probs(outputs, action_mask)

    def decide(self, view: View, described: Numbers, *, greedy: bool) -> Decision:
        action = described.argmax(1) if greedy else draw(view.key, np.exp(described))
        return Decision(action, {"log_prob": described[np.arange(len(action)), action]})

    def log_probs(self, view: View, described: Numbers, *, greedy: bool) -> LogProbs:
        """Return the log-probabilities [B, A] with which `decide` draws, -inf for illegal actions."""
        if greedy:
            return log_probs_of(one_hot(described.argmax(1), view))
        return np.where(view.action_mask, described, np.float32(-np.inf))

    def log_prob_and_entropy(
        self, outputs: Tensor, action_mask: Tensor, player: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        return log_prob_and_entropy(outputs, action_mask, chosen)


class SquashedGaussian(nn.Module):
    """Policies over a box: W = 2 D, means and log-deviations; `chosen` is u [B, D], recorded as an extra."""

    chosen = "unsquashed"

    def __init__(self, spec: Spec, initial_log_std: float) -> None:
        super().__init__()
        low, high = spec.action_bounds
        self._low, self._high, self._numbers = low, high, spec.action_numbers
        self._centre, self._half = low / 2 + high / 2, high / 2 - low / 2  # halves first: bounds may be float32's own
        self.outputs = low.shape[1]
        self.width = 2 * self.outputs
        self.log_std = nn.Parameter(torch.full((self.outputs,), initial_log_std))
        self.numbers: Tensor  # [N, D] 1 for the numbers of a player's action, 0 for its padding
        self.register_buffer("numbers", torch.from_numpy(spec.action_numbers).float(), persistent=False)

    def described(self, outputs: Tensor, action_mask: Tensor) -> Tensor:
        return torch.cat([outputs, self.log_std.expand_as(outputs)], 1)

    def decide(self, view: View, described: Numbers, *, greedy: bool) -> Decision:
        # Contiguous: numpy may round otherwise where it reads with strides.
        mean, log_std = (np.ascontiguousarray(half) for half in np.split(described, 2, axis=1))
        noise = np.zeros_like(mean) if greedy else normal(view.key, self.outputs).astype(np.float32)
        u, player = mean + np.exp(log_std) * noise, view.player
        points = self._centre[player] + self._half[player] * np.tanh(u)
        log_density = -0.5 * noise * noise - log_std - np.float32(_HALF_LOG_TWO_PI)
        log_slope = 2 * (np.float32(_LOG_TWO) - u - np.logaddexp(np.float32(0), -2 * u))
        log_prob = np.where(self._numbers[player], log_density - log_slope, 0).sum(1)
        return Decision(np.clip(points, self._low[player], self._high[player]), {self.chosen: u, "log_prob": log_prob})

    def log_prob_and_entropy(
        self, outputs: Tensor, action_mask: Tensor, player: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        noise = (chosen - outputs) * (-self.log_std).exp()
        log_density = -0.5 * noise.square() - self.log_std - _HALF_LOG_TWO_PI
        log_slope = 2 * (_LOG_TWO - chosen - functional.softplus(-2 * chosen))  # log(1 - tanh² u), however large |u|
        entropy = (self.log_std + (0.5 + _HALF_LOG_TWO_PI)).expand_as(outputs)
        numbers = self.numbers.index_select(0, player)
        return ((log_density - log_slope) * numbers).sum(1), (entropy * numbers).sum(1)


def policies_of(spec: Spec, initial_log_std: float) -> Policies:
    """Return the family of policies for a game's actions."""
    return Categorical(spec) if isinstance(spec.action, Discrete) else SquashedGaussian(spec, initial_log_std)
