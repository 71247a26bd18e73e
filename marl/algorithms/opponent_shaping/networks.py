"""The networks of learners that meet one other player, and their settings."""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Spec
from games.keys import stream
from marl.base.schema import Count, Size
from marl.learning.networks import generator_of, linear, masked_log_probs, mlp
from marl.learning.recurrent import GRU


class PairwiseConfig(BaseModel):
    """The settings that learners of two-player games share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gamma: float = Field(0.96, ge=0, le=1)
    learning_rate: PositiveFloat = 1e-3  # the policy's
    critic_learning_rate: PositiveFloat = 1e-2
    critic_average: float = Field(0.99, ge=0, lt=1)  # of the target critic's moving average, kept at each update
    entropy_coefficient: float = Field(0.0, ge=0)
    epsilon: float = Field(0.0, ge=0, le=1)  # of uniform actions mixed in while training, never corrected for
    actor_hidden: tuple[Size, ...] = (128, 128)
    actor_memory: Count = 128  # of its GRU; 0: it sees its present view alone
    critic_hidden: tuple[Size, ...] = (64, 64)
    critic_memory: Count = 64
    max_grad_norm: PositiveFloat = 1.0
    past_selves: Count = 0  # the most that are kept to play against; 0: it plays itself
    past_every: PositiveInt = 10  # updates between two that are kept


class Head(nn.Module):
    """Views over whole episodes in, `outputs` numbers out: Linear layers, ReLUs between them, a GRU if it remembers.

    The numbers begin near 0: a Q that begins elsewhere takes the opponent for one that has decided already. Without
    hidden layers and memory it is a table: no bias, zeros at first.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], memory: int, key: int) -> None:
        super().__init__()
        generator = generator_of(key)
        sizes = [inputs, *hidden]
        self.encode = mlp(sizes, generator)
        self.remember = GRU(sizes[-1], memory, generator) if memory else None
        table = not (memory or hidden)
        self.out = linear(memory or sizes[-1], outputs, 0.0 if table else 0.01, generator)
        if table:  # its bias stays 0: no parameter, for whoever differentiates, copies or looks ahead
            bias = self.out.bias.detach()
            del self.out.bias
            self.out.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [T, B, I] to [T, B, outputs]."""
        features = self._encoded(x)
        if self.remember:
            features = self.remember(features.flatten(0, 1), [x.shape[1]] * len(x)).view(*x.shape[:2], -1)
        return self.out(features)  # type: ignore[no-any-return]

    def step(self, x: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map rows [B, I] and hidden states [B, H], if it has a memory, to outputs [B, outputs] and the next ones."""
        features = self._encoded(x)
        if self.remember:
            assert hidden is not None
            features = hidden = self.remember.step(features, hidden)
        return self.out(features), hidden

    def decide(self, obs: Tensor, mask: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return log pi(a | o) of views [B, *O] and masks [B, A], and the next hidden states, beside each other."""
        logits, after = self.step(flat(obs), hidden)
        log_probs = masked_log_probs(logits, mask)
        return log_probs if after is None else torch.cat([log_probs, after], 1)

    def _encoded(self, x: Tensor) -> Tensor:
        features = self.encode(x)
        return features if self.remember or not len(self.encode) else functional.relu(features)


class ActorCritic(nn.Module):
    """A policy, and a Q that sees the time besides."""

    def __init__(self, config: PairwiseConfig, spec: Spec, key: int) -> None:
        super().__init__()
        size, actions = int(np.prod(spec.observation.shape)), spec.num_actions
        self.actor = Head(size, actions, config.actor_hidden, config.actor_memory, stream(key, "actor"))
        self.critic = Head(size + 1, actions, config.critic_hidden, config.critic_memory, stream(key, "critic"))


def flat(obs: Tensor) -> Tensor:
    """Return views [R, *O] as rows [R, I]; bytes become [0, 1]."""
    return obs.flatten(1) / 255 if obs.dtype == torch.uint8 else obs.flatten(1).float()
