"""The networks of learners that shape one opponent, and their settings."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Spec
from games.keys import stream
from marl.base.schema import Count, Frozen, Size
from marl.learning.networks import generator_of, linear, masked_log_probs, mlp
from marl.learning.recurrent import GRU


class OpponentShapingConfig(Frozen):
    """The settings that learners of two-player games share."""

    gamma: float = Field(0.96, ge=0, le=1)
    learning_rate: PositiveFloat = 1e-3  # the policy's
    critic_learning_rate: PositiveFloat = 1e-2
    critic_average: float = Field(0.99, ge=0, lt=1)  # decay of the target critic, a moving average of the critic
    entropy_coefficient: float = Field(0.0, ge=0)
    epsilon: float = Field(0.0, ge=0, le=1)  # share of uniform actions in training; the loss does not correct for it
    actor_hidden: tuple[Size, ...] = (128, 128)
    actor_memory: Count = 128  # size of its GRU; 0: it sees only its present observation
    critic_hidden: tuple[Size, ...] = (64, 64)
    critic_memory: Count = 64
    max_grad_norm: PositiveFloat = 1.0
    past_selves: Count = 0  # the largest number of past selves to play against; 0: self-play
    past_every: PositiveInt = 10  # updates between two past selves


class Head(nn.Module):
    """Map observations of whole episodes to `outputs` numbers: linear layers with ReLUs, then a GRU if `memory` > 0.

    The outputs begin near 0: a Q with large initial values would make the opponent look deterministic. Without hidden
    layers and memory it is a table: weights without a bias, initially 0.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], memory: int, key: int) -> None:
        super().__init__()
        generator = generator_of(key)
        self.memory = memory
        sizes = [inputs, *hidden]
        self.encode = mlp(sizes, generator)
        self.remember = GRU(sizes[-1], memory, generator) if memory else None
        table = not (memory or hidden)
        self.out = linear(memory or sizes[-1], outputs, 0.0 if table else 0.01, generator)
        if table:  # the bias stays 0: as a buffer it is not among the parameters
            bias = self.out.bias.detach()
            del self.out.bias
            self.out.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [T, B, I] to [T, B, outputs]."""
        features = self._encoded(x)
        if self.remember:
            features = self.remember(features.flatten(0, 1), [x.shape[1]] * len(x)).view(*x.shape[:2], -1)
        outputs: Tensor = self.out(features)
        return outputs

    def step(self, x: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map rows [.., I] and hidden states [.., H] (None without a memory) to outputs [.., outputs] and next states.

        Here and in `decide`, `..` are B rows, or the B rows of each of K heads (`stacked`).
        """
        features = self._encoded(x)
        if self.remember:
            assert hidden is not None
            features = hidden = self.remember.step(features, hidden)
        return self.out(features), hidden

    def decide(self, obs: Tensor, action_mask: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return log pi(a | o) for observations [.., *O] and masks [.., A], and next hidden states [.., A+H]."""
        logits, after = self.step(flat(obs, action_mask.ndim - 1), hidden)
        log_probs = masked_log_probs(logits, action_mask)
        return log_probs if after is None else torch.cat([log_probs, after], -1)

    def _encoded(self, x: Tensor) -> Tensor:
        features = self.encode(x)
        return features if self.remember or not len(self.encode) else functional.relu(features)


def stacked(head: Head, weights: Tensor) -> Head:
    """Return K heads like `head` as one that maps [K, B, ...]: its parameters have a leading axis K (`affine`).

    They are copied from `weights` [K, P], the parameters of each head as a vector: with a view, pickle writes all P.
    """
    heads, start = deepcopy(head), 0
    for layer in heads.modules():
        for name, parameter in list(layer.named_parameters(recurse=False)):
            part = weights[:, start : start + parameter.numel()].view(-1, *parameter.shape)
            setattr(layer, name, nn.Parameter(part.clone(), requires_grad=False))
            start += parameter.numel()
    return heads


class PolicyAndQ(nn.Module):
    """A policy network and a Q network; the input of Q contains the step as well."""

    def __init__(self, config: OpponentShapingConfig, spec: Spec, key: int) -> None:
        super().__init__()
        size, actions = int(np.prod(spec.observation.shape)), spec.num_actions
        self.actor = Head(size, actions, config.actor_hidden, config.actor_memory, stream(key, "actor"))
        self.critic = Head(size + 1, actions, config.critic_hidden, config.critic_memory, stream(key, "critic"))


def flat(obs: Tensor, axes: int = 1) -> Tensor:
    """Flatten observations to [.., I] after so many axes of rows; bytes are scaled to [0, 1]."""
    obs = obs.flatten(axes)
    return obs / 255 if obs.dtype == torch.uint8 else obs.float()
