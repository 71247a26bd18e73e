"""The networks of a team: from each player's inputs to the utilities of its actions.

With shared parameters one network serves all players and sees the player's index; otherwise each has its own. The last
layer's outputs become predictions for each action by a head without parameters:

    plain      Q(a)
    dueling    V + A(a) - mean_b A(b), b legal    (Wang et al. 2016, https://arxiv.org/abs/1511.06581, eq. 9)

What is predicted is a utility, or the logits of a distribution of returns (marl/learning/value_heads.py).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from games.contract import Spec
from games.keys import fold_one
from marl.base.schema import Frozen, Size
from marl.learning.networks import generator_of
from marl.learning.recurrent import AgentNetwork, Packed
from marl.learning.value_heads import Scalar, ValueHead


class TeamNetworkConfig(Frozen):
    """The settings of a team's networks."""

    recurrent: bool = True  # a GRU; without it the agent sees only its present observation
    hidden: Size = 64
    last_action: bool = True  # the agent sees its last action
    share_parameters: bool = True  # one network for all players, with the player's index as an input


class Inputs:
    """The inputs of an agent's network, as rows [B, size]: flat observation, last action, player's index."""

    def __init__(self, config: TeamNetworkConfig, spec: Spec) -> None:
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.actions = spec.num_actions if config.last_action else 0
        self.players = spec.num_players if config.share_parameters and spec.num_players > 1 else 0
        self.size = int(np.prod(spec.observation.shape)) + self.actions + self.players

    def __call__(self, obs: Tensor, player: Tensor, last_action: Tensor) -> Tensor:
        """Concatenate observations [B, *O], players [B] and last actions [B]; -1 is no action yet."""
        parts = [obs.flatten(1).float() * self.scale]
        if self.actions:
            parts.append(functional.one_hot(last_action + 1, self.actions + 1)[:, 1:].float())
        if self.players:
            parts.append(functional.one_hot(player, self.players).float())
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class ActionValues(nn.Module):
    """Predictions for each action, from the outputs of a layer."""

    def __init__(self, num_actions: int, head: ValueHead, *, dueling: bool) -> None:
        super().__init__()
        self.head, self.dueling = head, dueling
        self.outputs = (num_actions + dueling) * head.bins

    def forward(self, outputs: Tensor, action_mask: Tensor) -> Tensor:
        """Return predictions [R, A], or [R, A, K] of a distribution, of outputs [R, F] and legal actions [R, A]."""
        predicted = self.head.parted(outputs)
        if not self.dueling:
            return predicted
        value, advantage = predicted[:, :1], predicted[:, 1:]
        legal = action_mask.view(*action_mask.shape, *[1] * (advantage.ndim - 2)).to(advantage.dtype)
        return value + advantage - (advantage * legal).sum(1, keepdim=True) / legal.sum(1, keepdim=True).clamp_min(1)


class PlayerNetwork(AgentNetwork):
    """The network of one player, or of all."""

    def __init__(
        self, inputs: int, action_values: ActionValues, *, hidden: int, recurrent: bool, generator: torch.Generator
    ) -> None:
        super().__init__(inputs, action_values.outputs, hidden=hidden, recurrent=recurrent, generator=generator)
        self.action_values = action_values

    def decide(self, inputs: Tensor, hidden: Tensor, action_mask: Tensor) -> Tensor:
        """Return utilities for rows [B, I], concatenated with the next hidden states of a GRU: [B, A (+ H)]."""
        outputs, features = self.step(inputs, hidden)
        utilities = self.action_values.head.mean(self.action_values(outputs, action_mask))
        return torch.cat([utilities, features], 1) if self.remember else utilities


class Team(nn.Module):
    """The networks of all players: one shared, or one for each; `action_values` makes predictions of their outputs."""

    def __init__(
        self, config: TeamNetworkConfig, spec: Spec, key: int, *, head: ValueHead | None = None, dueling: bool = False
    ) -> None:
        super().__init__()
        self.config, self.inputs = config, Inputs(config, spec)
        self.action_values = ActionValues(spec.num_actions, head or Scalar(), dueling=dueling)
        count = 1 if config.share_parameters else spec.num_players
        self.networks = nn.ModuleList(
            PlayerNetwork(
                self.inputs.size,
                self.action_values,
                hidden=config.hidden,
                recurrent=config.recurrent,
                generator=generator_of(fold_one(key, p)),
            )
            for p in range(count)
        )

    def forward(self, packed: Packed, action_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions for each action [R, A] or [R, A, K], and features [R, H], for packed rows."""
        parts = packed.inputs.split([sum(sizes) for sizes in packed.blocks])
        done = [net(part, sizes) for net, part, sizes in zip(self.networks, parts, packed.blocks, strict=True)]
        outputs, features = done[0] if len(done) == 1 else (torch.cat(parts) for parts in zip(*done, strict=True))
        return self.action_values(outputs, action_mask), features

    def utilities(self, predicted: Tensor) -> Tensor:
        """Return the utilities [R, A] of predictions for each action."""
        return self.action_values.head.mean(predicted)
