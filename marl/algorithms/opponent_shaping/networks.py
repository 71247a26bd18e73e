"""The networks of learners that shape one opponent, and their settings."""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call, vmap
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
        """Map rows [B, I] and hidden states [B, H] (None without a memory) to outputs [B, outputs] and next states."""
        features = self._encoded(x)
        if self.remember:
            assert hidden is not None
            features = hidden = self.remember.step(features, hidden)
        return self.out(features), hidden

    def decide(self, obs: Tensor, action_mask: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return log pi(a | o) for observations [B, *O] and masks [B, A], and next hidden states [B, A+H]."""
        logits, after = self.step(flat(obs), hidden)
        log_probs = masked_log_probs(logits, action_mask)
        return log_probs if after is None else torch.cat([log_probs, after], 1)

    def _encoded(self, x: Tensor) -> Tensor:
        features = self.encode(x)
        return features if self.remember or not len(self.encode) else functional.relu(features)


class _Decide(nn.Module):
    """A policy network whose forward pass is `decide`."""

    def __init__(self, actor: Head) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.actor.decide(*inputs)


def decide_stacked(actor: Head, stacked: dict[str, Tensor], *inputs: Tensor) -> Tensor:
    """Return what K networks like `actor` decide [K, B, A (+ H)], each for its own rows, inputs [K, B, ...].

    `stacked` has their parameters [K, ...] by the names that they have in `actor`.
    """
    parameters = {f"actor.{name}": parameter for name, parameter in stacked.items()}
    network = _Decide(actor)
    said: Tensor = vmap(lambda each, *rows: functional_call(network, each, rows))(parameters, *inputs)
    return said


def stacked_views(vectors: Tensor, network: nn.Module) -> dict[str, Tensor]:
    """Return parameters [K, ...] of K networks like `network`, by name: views of their weights as `vectors` [K, P]."""
    views, start = {}, 0
    for name, parameter in network.named_parameters():
        views[name] = vectors[:, start : start + parameter.numel()].view(-1, *parameter.shape)
        start += parameter.numel()
    return views


class PolicyAndQ(nn.Module):
    """A policy network and a Q network; the input of Q contains the step as well."""

    def __init__(self, config: OpponentShapingConfig, spec: Spec, key: int) -> None:
        super().__init__()
        size, actions = int(np.prod(spec.observation.shape)), spec.num_actions
        self.actor = Head(size, actions, config.actor_hidden, config.actor_memory, stream(key, "actor"))
        self.critic = Head(size + 1, actions, config.critic_hidden, config.critic_memory, stream(key, "critic"))


def flat(obs: Tensor) -> Tensor:
    """Flatten observations [R, *O] to [R, I]; bytes are scaled to [0, 1]."""
    return obs.flatten(1) / 255 if obs.dtype == torch.uint8 else obs.flatten(1).float()
