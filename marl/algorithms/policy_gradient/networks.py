"""The networks of a policy gradient: an actor and a critic, feed-forward or with a GRU, and who shares them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from games.contract import Spec
from games.errors import UserError
from marl.algorithms.policy_gradient.policies import policies_of
from marl.base.schema import Count, Frozen, Size
from marl.learning.networks import Network, Perceptron, linear, tanh
from marl.learning.recurrent import GRU
from marl.learning.rowwise import BLOCK


class NetworksConfig(Frozen):
    """The settings of the networks."""

    # One pair of networks for all players, with the player's index as an input; one for each; or one for each group
    # of players, such as [[0, 1], [2]].
    share_parameters: bool | tuple[tuple[Count, ...], ...] = True
    encoder: Literal["auto", "mlp", "cnn"] = "auto"
    hidden: tuple[Size, ...] = (128, 128)  # the widths of the layers of tanh units
    channels: tuple[Size, ...] = (32, 32)  # of the cnn
    standardise_views: bool = False  # each number by itself, and those that the critic sees besides, by running moments
    recurrent: bool = False  # a GRU after those layers, in the actor and in the critic
    hidden_size: Size = 64  # of the GRU
    chunk_length: Size = 10  # decisions through which the gradient of a GRU reaches back
    initial_log_std: float = Field(-0.5, ge=-10, le=2)  # of continuous actions, before they are squashed


class Unrolling(NamedTuple):
    """How packed rows [B] are unrolled through the GRUs (marl/learning/recurrent.py)."""

    sizes: list[int]  # of the blocks
    actor: Tensor  # [sizes[0], H] the hidden states before the first block
    critic: Tensor  # [sizes[0], H]


class RecurrentPerceptron(nn.Module):
    """Layers of tanh units, a GRU, then a linear layer.

    The GRU h' = (1 - z) tanh(W x + b + r (U h + b')) + z h is one more layer of tanh units where its gates r and z
    are 0.
    """

    def __init__(self, sizes: Sequence[int], output_gain: float, generator: torch.Generator, *, hidden_size: int):
        super().__init__()
        *inner, outputs = sizes
        self.encode = Perceptron(inner, 2**0.5, generator) if len(inner) > 1 else None
        self.remember = GRU(inner[-1], hidden_size, generator)
        self.choose = linear(hidden_size, outputs, output_gain, generator)

    def forward(self, x: Tensor, sizes: list[int], initial: Tensor) -> tuple[Tensor, Tensor]:
        """Map packed rows [B, F] to outputs [B, O] and hidden states [B, H]; `initial` [sizes[0], H] are the first."""
        hidden = self.remember(self._encoded(x), sizes, initial)
        return self.choose(hidden), hidden

    def step(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows [B, F] and hidden states [B, H] to outputs [B, O] and the next hidden states."""
        hidden = self.remember.step(self._encoded(x), hidden)
        return self.choose(hidden), hidden

    def _encoded(self, x: Tensor) -> Tensor:
        return x if self.encode is None else tanh(self.encode(x))


class ValueNormaliser(nn.Module):
    """The mean and the deviation of value targets (Yu et al. 2022, https://arxiv.org/abs/2103.01955, section 5.1).

    They are exponential moving averages, corrected for their beginning at 0:

        m ← β m + (1 − β) mean(x),   s ← β s + (1 − β) mean(x²),   w ← β w + (1 − β)
        μ = m / w,   σ² = max(s / w − μ², 0.01)

    Before the first update μ = 0 and σ = 1.
    """

    BETA, LEAST_VARIANCE = 0.99999, 0.01

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean", "square", "weight"):  # m, s and w
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self.mean: Tensor
        self.square: Tensor
        self.weight: Tensor

    def update(self, target: Tensor) -> None:
        """Learn the scale of targets [B]."""
        wide = target.double()
        for average, now in ((self.mean, wide.mean()), (self.square, wide.square().mean())):
            average.lerp_(now, 1 - self.BETA)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.BETA)

    def normalise(self, value: Tensor) -> Tensor:
        mean, deviation = self._moments()
        return (value - mean) / deviation

    def denormalise(self, value: Tensor) -> Tensor:
        mean, deviation = self._moments()
        return value * deviation + mean

    def _moments(self) -> tuple[float, float]:
        if self.weight == 0:
            return 0.0, 1.0
        mean = self.mean / self.weight
        variance = (self.square / self.weight - mean.square()).clamp(min=self.LEAST_VARIANCE)
        return float(mean), float(variance.sqrt())


class ActorCritic(nn.Module):
    """A policy and a value function, as separate networks.

    The critic sees `state_size` more numbers than the actor. With `normalise_values` its output is a normalised value.
    """

    def __init__(
        self,
        config: NetworksConfig,
        spec: Spec,
        generator: torch.Generator,
        *,
        player_id: bool,
        state_size: int = 0,
        normalise_values: bool = False,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {}
        if config.recurrent:
            options["body"] = partial(RecurrentPerceptron, hidden_size=config.hidden_size)

        def network(outputs: int, output_gain: float, state_size: int) -> Network:
            return Network(
                spec,
                outputs,
                hidden=config.hidden,
                channels=config.channels,
                encoder=config.encoder,
                player_id=player_id,
                output_gain=output_gain,
                generator=generator,
                state_size=state_size,
                standardise=config.standardise_views,
                **options,
            )

        self.hidden_size = config.hidden_size if config.recurrent else 0
        self.policies = policies_of(spec, config.initial_log_std)
        self.actor = network(self.policies.outputs, 0.01, 0)
        self.critic = network(1, 1.0, state_size)
        self.normaliser = ValueNormaliser() if normalise_values else None
        self.largest_block = BLOCK if self.actor.convolutions else 16 * BLOCK  # of rows, in acting

    def forward(
        self, obs: Tensor, player: Tensor, state: Tensor | None = None, unrolling: Unrolling | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the actor's outputs [B, O] and the critic's [B]; `state` [B, S] is what the critic alone sees."""
        features = self.actor.features(obs, player)
        alike = state is None and not self.critic.convolutions
        of_critic = features if alike else self.critic.features(obs, player, state)
        if unrolling is None:
            return self.actor.body(features), self.critic.body(of_critic)[:, 0]
        outputs, _ = self.actor.body(features, unrolling.sizes, unrolling.actor)
        value, _ = self.critic.body(of_critic, unrolling.sizes, unrolling.critic)
        return outputs, value[:, 0]

    def see(self, obs: Tensor, player: Tensor, state: Tensor | None = None) -> None:
        """Learn the moments by which inputs are standardised, with `standardise_views`."""
        self.actor.see(obs, player)
        self.critic.see(obs, player, state)

    def actor_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the policies."""
        yield from self.actor.parameters()
        if isinstance(self.policies, nn.Module):
            yield from self.policies.parameters()

    def policy(self, obs: Tensor, action_mask: Tensor, player: Tensor) -> Tensor:
        """Return what describes the policies of a feed-forward actor [B, W] (policies.py)."""
        return self.policies.described(self.actor(obs, player), action_mask)

    def step(self, obs: Tensor, action_mask: Tensor, player: Tensor, hidden: Tensor) -> Tensor:
        """Return what describes the policies of an actor with a GRU, then its next hidden states: [B, W + H]."""
        body = self.actor.body
        assert isinstance(body, RecurrentPerceptron)
        outputs, hidden = body.step(self.actor.features(obs, player), hidden)
        return torch.cat([self.policies.described(outputs, action_mask), hidden], 1)

    def values(self, obs: Tensor, player: Tensor) -> Tensor:
        """Return the values [B, 1] of a feed-forward critic that sees what the actor sees."""
        return self.denormalised(self.critic(obs, player))

    def denormalised(self, output: Tensor) -> Tensor:
        """Return values, from outputs of the critic."""
        return self.normaliser.denormalise(output) if self.normaliser else output


def groups_of(config: NetworksConfig, spec: Spec) -> NDArray[np.int64]:
    """Return the group of each player [N]; players of one group share their networks.

    Raises UserError for groups that do not hold each player exactly once.
    """
    share, players = config.share_parameters, spec.num_players
    if share is True:
        return np.zeros(players, np.int64)
    groups = [[player] for player in range(players)] if share is False else [list(group) for group in share]
    named = [player for group in groups for player in group]
    fault = ""
    if [] in groups:
        fault = "has a group without a player"
    elif unknown := [player for player in named if player >= players]:
        fault = f"names player {unknown[0]}"
    elif twice := [player for player in named if named.count(player) > 1]:
        fault = f"names player {twice[0]} twice"
    elif missing := sorted(set(range(players)) - set(named)):
        fault = f"leaves out player {missing[0]}"
    if fault:
        raise UserError(
            f"share_parameters {fault}, and '{spec.name}' has the players 0 to {players - 1}: name each of them in one "
            "group, or say true or false"
        )
    of_player = np.empty(players, np.int64)
    for number, group in enumerate(groups):
        of_player[group] = number
    return of_player
