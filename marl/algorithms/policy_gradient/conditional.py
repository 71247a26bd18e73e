"""A team's conditional policies: players choose in turn, and each sees the actions of those before it.

    π(a | s) = Π_m π^m(a^m | o^m, a^{1:m-1})

A player's network sees its own view and a one-hot of the action of every earlier player: zeros for a later one, and for
one who does not act. So the team can play any joint policy, but only where one agent holds all of its seats.

Axis letters: B rows, N players, A actions, S numbers of the state.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from games.contract import Spec
from games.keys import draw
from marl.algorithms.policy_gradient.policies import Categorical
from marl.base.schema import Frozen, Size
from marl.learning.networks import Network, Perceptron, generator_of, masked_log_probs
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.agent import LogProbs, Stateless
from marl.rollout.types import Decision, Hidden, View

NONE = -1  # the action of a player who does not act


class ConditionalNetworksConfig(Frozen):
    """The settings of the networks."""

    encoder: Literal["auto", "mlp", "cnn"] = "auto"
    hidden: tuple[Size, ...] = (64, 64)  # the widths of the layers of tanh units
    channels: tuple[Size, ...] = (32, 32)  # of the cnn


class Policy(Network):
    """The policy of one player of the team, or of all without the actions of others (`distil`)."""

    def log_probs(self, obs: Tensor, action_mask: Tensor, player: Tensor, before: Tensor | None = None) -> Tensor:
        """Return log π [B, A] of legal actions; `before` [B, N A] are the actions of the earlier players."""
        return masked_log_probs(self(obs, player, before), action_mask)

    @property
    def largest_block(self) -> int:
        """The largest number of rows in a call, in acting."""
        return BLOCK if self.convolutions else 16 * BLOCK


def policy(config: ConditionalNetworksConfig, spec: Spec, key: int, *, conditional: bool) -> Policy:
    """Build the policy of one player that sees earlier actions, or of all players from their own views."""
    return Policy(
        spec,
        spec.num_actions,
        hidden=config.hidden,
        channels=config.channels,
        encoder=config.encoder,
        player_id=not conditional,
        output_gain=0.01,
        generator=generator_of(key),
        state_size=spec.num_players * spec.num_actions if conditional else 0,
    )


class LocalisedValues(nn.Module):
    """Q^{1:m}(s, a^{1:m}) of all m in one network: the actions of later players are masked. Q^{1:0} is V."""

    def __init__(self, config: ConditionalNetworksConfig, spec: Spec, state_size: int, key: int) -> None:
        super().__init__()
        inputs = state_size + spec.num_players * spec.num_actions
        self.body = Perceptron([inputs, *config.hidden, 1], 1.0, generator_of(key))

    def forward(self, state: Tensor, before: Tensor) -> Tensor:
        """Return values [B] of states [B, S] and of the actions of the first players [B, N A]."""
        values: Tensor = self.body(torch.cat([state, before], 1))[:, 0]
        return values


def actions_before(joint: Tensor, player: int, num_actions: int) -> Tensor:
    """Return the actions [B, N] of the players before `player` as one-hots [B, N A]; NONE is zeros."""
    hots = (joint[..., None] == torch.arange(num_actions, device=joint.device)).float()  # [B, N, A]
    hots[:, player:] = 0
    return hots.flatten(1)


class ConditionalAgent(Stateless):
    """Play the joint policy: the players of an environment choose in turn, by their decisions' keys.

    It sees all rows of an environment in one call, as it holds all seats (`whole_team`). It has no `policy`: what a
    player does depends on the draws of others. With `greedy` each takes the best action after those before it.
    """

    whole_team = True

    def __init__(self, policies: Sequence[Policy], device: str, *, greedy: bool = False) -> None:
        self._networks, self._greedy = [Rowwise(each, device, largest=each.largest_block) for each in policies], greedy

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        envs, place = np.unique(view.row // len(self._networks), return_inverse=True)
        before = np.zeros((len(envs), len(self._networks), view.action_mask.shape[1]), np.float32)
        action = np.empty(len(view), np.int64)
        for player, network in enumerate(self._networks):
            rows = np.flatnonzero(view.player == player)
            if not len(rows):
                continue
            known = before[place[rows]].reshape(len(rows), -1)
            log_probs = network.ask("log_probs", view.obs[rows], view.action_mask[rows], view.player[rows], known)
            action[rows] = log_probs.argmax(1) if self._greedy else draw(view.key[rows], np.exp(log_probs))
            before[place[rows], player, action[rows]] = 1
        return Decision(action), None


class DistilledAgent(Stateless):
    """Play a policy of each player's own view, which any player of the team can play beside strangers."""

    def __init__(self, policy: Policy, spec: Spec, device: str, *, greedy: bool = False) -> None:
        self._network, self._greedy = Rowwise(policy, device, largest=policy.largest_block), greedy
        self._categorical = Categorical(spec)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        return self._categorical.decide(view, self._described(view), greedy=self._greedy), None

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        return self._categorical.log_probs(view, self._described(view), greedy=self._greedy), None

    def _described(self, view: View) -> LogProbs:
        return self._network.ask("log_probs", view.obs, view.action_mask, view.player)
