"""The networks of a team: what each sees, and what it says its actions are worth.

With shared parameters one network holds every player, told apart by its index; else each has its own.
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


class TeamConfig(Frozen):
    """The settings of a team's networks."""

    recurrent: bool = True  # a GRU; without it the agent sees its present view alone
    hidden: Size = 64
    last_action: bool = True  # the agent sees what it did last
    share_parameters: bool = True  # one network for all players, told apart by the player's index


class Inputs:
    """What an agent's network sees: the flat view, the last action, the player's index; as rows [B, size]."""

    def __init__(self, config: TeamConfig, spec: Spec) -> None:
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.actions = spec.num_actions if config.last_action else 0
        self.players = spec.num_players if config.share_parameters and spec.num_players > 1 else 0
        self.size = int(np.prod(spec.observation.shape)) + self.actions + self.players

    def __call__(self, obs: Tensor, player: Tensor, last_action: Tensor) -> Tensor:
        """Put together views [B, *O], players [B] and last actions [B], which are -1 at first."""
        parts = [obs.flatten(1).float() * self.scale]
        if self.actions:
            parts.append(functional.one_hot(last_action + 1, self.actions + 1)[:, 1:].float())
        if self.players:
            parts.append(functional.one_hot(player, self.players).float())
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class Team(nn.Module):
    """The networks of all players: one that they share, or one each."""

    def __init__(self, config: TeamConfig, spec: Spec, key: int) -> None:
        super().__init__()
        self.config, self.inputs = config, Inputs(config, spec)
        count = 1 if config.share_parameters else spec.num_players
        self.networks = nn.ModuleList(
            AgentNetwork(
                self.inputs.size,
                spec.num_actions,
                hidden=config.hidden,
                recurrent=config.recurrent,
                generator=generator_of(fold_one(key, p)),
            )
            for p in range(count)
        )

    def forward(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return outputs [R, A] and features [R, H] for packed rows."""
        parts = packed.inputs.split([sum(sizes) for sizes in packed.blocks])
        done = [net(part, sizes) for net, part, sizes in zip(self.networks, parts, packed.blocks, strict=True)]
        return done[0] if len(done) == 1 else (torch.cat([o for o, _ in done]), torch.cat([f for _, f in done]))
