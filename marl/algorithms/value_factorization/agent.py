"""The agent of a team: every player decides from its own observations and hidden state."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from games.keys import choose, fold, uniform
from marl.algorithms.value_factorization.networks import Team
from marl.learning.networks import rows_by_network
from marl.learning.rowwise import Rowwise
from marl.rollout.agent import LogProbs, log_probs_of, one_hot
from marl.rollout.types import Decision, Hidden, View

# Draws of a decision's key.
EXPLORE = 0  # whether to explore
RANDOM_ACTION = 1  # the action, if it explores
POLICY_ACTION = 2  # the action of a policy, if it does not


class TeamAgent:
    """Play the best action by the team's networks, or with probability `epsilon` a random legal action."""

    def __init__(self, team: Team, device: str, *, explores: bool = False) -> None:
        self._config, self._inputs = team.config, team.inputs
        self._networks = [Rowwise(network, device) for network in team.networks]
        self.explores = explores  # True in training
        self.epsilon = 0.0

    def initial_hidden(self, rows: int) -> Hidden:
        """Return hidden states [rows, 1 + H]: the last action plus 1 (0: none), and the state of the GRU."""
        return np.zeros((rows, 1 + (self._config.hidden if self._config.recurrent else 0)), np.float32)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        outputs, after = self._ask(view, hidden)
        action = self.choose(outputs, view)
        after[:, 0] = action + 1
        return Decision(action), after

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        outputs, after = self._ask(view, hidden)
        after[:, 0] = self.choose(outputs, view) + 1
        weights, legal = self.preferred(outputs, view), view.action_mask
        chosen, explored = (each / each.sum(1, keepdims=True) for each in (weights, legal))
        return log_probs_of((1 - self.epsilon) * chosen + self.epsilon * explored), after

    def _ask(self, view: View, hidden: Hidden) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return the networks' utilities [B, A], and the next hidden states without the action."""
        outputs = np.empty(view.action_mask.shape, np.float32)
        after: NDArray[Any] = np.empty_like(hidden)
        seen = (torch.from_numpy(array) for array in (view.obs, view.player, hidden[:, 0].astype(np.int64) - 1))
        inputs = self._inputs(*seen).numpy()
        for rows, network in rows_by_network(view.player, self._networks):
            out = network.ask("decide", inputs[rows], hidden[rows, 1:], view.action_mask[rows])
            outputs[rows] = out[:, : view.action_mask.shape[1]]
            after[rows, 1:] = out[:, view.action_mask.shape[1] :]
        return outputs, after

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        """Return an action for each row of outputs [B, A]."""
        action: NDArray[np.int64] = np.where(view.action_mask, outputs, -np.inf).argmax(1)
        return action if self.epsilon == 0 else self.explored(action, view)

    def preferred(self, outputs: NDArray[np.float32], view: View) -> NDArray[Any]:
        """Return weights [B, A] in proportion to which `choose` draws where it does not explore."""
        return one_hot(np.where(view.action_mask, outputs, -np.inf).argmax(1), view)

    def explored(self, action: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        """Replace each action [B], with probability `epsilon`, by a random legal one."""
        explore = uniform(fold(view.key, EXPLORE)) < self.epsilon
        return np.where(explore, choose(fold(view.key, RANDOM_ACTION), view.action_mask), action)
