"""The agent of a team: every player decides from its own observations and hidden state."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from games.keys import choose, fold, uniform
from marl.algorithms.value_factorization.networks import Team
from marl.learning.networks import rows_by_network
from marl.learning.rowwise import Rowwise
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
        outputs = np.empty(view.action_mask.shape, np.float32)
        after: NDArray[Any] = np.empty_like(hidden)
        seen = (torch.from_numpy(array) for array in (view.obs, view.player, hidden[:, 0].astype(np.int64) - 1))
        inputs = self._inputs(*seen).numpy()
        for rows, network in rows_by_network(view.player, self._networks):
            out = network.ask("decide", inputs[rows], hidden[rows, 1:])
            outputs[rows] = out[:, : view.action_mask.shape[1]]
            after[rows, 1:] = out[:, view.action_mask.shape[1] :]
        action = self.choose(outputs, view)
        after[:, 0] = action + 1
        return Decision(action), after

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        """Return an action for each row of outputs [B, A]."""
        action: NDArray[np.int64] = np.where(view.action_mask, outputs, -np.inf).argmax(1)
        return action if self.epsilon == 0 else self.explored(action, view)

    def explored(self, action: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        """Replace each action [B], with probability `epsilon`, by a random legal one."""
        explore = uniform(fold(view.key, EXPLORE)) < self.epsilon
        return np.where(explore, choose(fold(view.key, RANDOM_ACTION), view.action_mask), action)
