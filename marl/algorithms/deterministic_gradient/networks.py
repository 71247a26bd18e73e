"""Deterministic policies and their critics. Actions are in units of a box: -1 is its lower bound, 1 its upper one.

Axis letters: B rows, N players, D numbers of an action, F numbers of a view.
"""

from functools import partial
from typing import Annotated, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from games.contract import Spec
from marl.base.schema import Frozen, InOldRecords, Size
from marl.learning.networks import Activation, Network, Perceptron, generator_of


class NetworksConfig(Frozen):
    """The settings of the networks."""

    activation: Annotated[Activation, InOldRecords("tanh")] = "relu"  # of their layers
    share_parameters: bool = False  # one policy for all players, with the player's index as an input
    actor_hidden: tuple[Size, ...] = (64, 64)
    critic_hidden: tuple[Size, ...] = (64, 64)
    twin_critics: bool = False


class Units:
    """The boxes of a game's players as [-1, 1]; numbers that a player lacks, and bounds that are equal, become 0."""

    def __init__(self, spec: Spec) -> None:
        self.low, self.high = spec.action_bounds  # [N, D]
        self._centre, self._half = self.low / 2 + self.high / 2, self.high / 2 - self.low / 2
        self.numbers = spec.action_numbers & (self._half > 0)

    def of(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points [..., N, D] in units."""
        half = np.where(self.numbers, self._half, 1)
        return np.where(self.numbers, (points - self._centre) / half, 0).astype(np.float32)

    def points(self, units: NDArray[np.float32], player: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the points of players [B] for units [B, D]; none lies beyond its bounds."""
        points = self._centre[player] + self._half[player] * units
        return np.clip(points, self.low[player], self.high[player])


class Actor(Network):
    """The policy of one player, or of all: tanh of the outputs, 0 where a player's action has no number."""

    numbers: Tensor  # [N, D]

    def __init__(self, config: NetworksConfig, spec: Spec, key: int) -> None:
        super().__init__(
            spec,
            spec.action_bounds[0].shape[1],
            hidden=config.actor_hidden,
            channels=(),
            encoder="mlp",
            player_id=config.share_parameters and spec.num_players > 1,
            output_gain=0.01,
            generator=generator_of(key),
            body=partial(Perceptron, activation=config.activation),
        )
        self.register_buffer("numbers", torch.from_numpy(Units(spec).numbers).float(), persistent=False)

    def units(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return the actions [B, D] of players [B] for views [B, *O]."""
        return self.unsquashed(obs, player).tanh()

    def unsquashed(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return the outputs [B, D] whose tanh are the actions."""
        outputs: Tensor = self.body(self.features(obs, player))
        return outputs * self.numbers.index_select(0, player)


class Critic(nn.Module):
    """Q of the views and actions of all players, once or, as twins, twice: [B, C]."""

    def __init__(self, config: NetworksConfig, spec: Spec, key: int) -> None:
        super().__init__()
        inputs = spec.num_players * (int(np.prod(spec.observation.shape)) + spec.action_bounds[0].shape[1])
        generator, count = generator_of(key), 1 + config.twin_critics
        sizes = [inputs, *config.critic_hidden, 1]
        self.heads = nn.ModuleList(Perceptron(sizes, 1.0, generator, config.activation) for _ in range(count))

    def forward(self, views: Tensor, units: Tensor) -> Tensor:
        """Return the values [B, C] of views [B, N F] and of actions [B, N, D]."""
        features = torch.cat([views, units.flatten(1)], 1)
        return torch.cat([head(features) for head in self.heads], 1)

    def slope(self, views: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values [B] of the first critic, and their gradient in the actions [B, N, D]."""
        units = units.detach().requires_grad_()
        value = cast("Perceptron", self.heads[0]).fixed(torch.cat([views, units.flatten(1)], 1))[:, 0]
        (slope,) = torch.autograd.grad(value.sum(), units)
        return value.detach(), slope
