"""The agents of a team: every player decides by its own view and memory."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from games.keys import choose, fold, uniform
from marl.algorithms.value_factorization.networks import Team
from marl.learning.networks import rows_by_network
from marl.learning.rowwise import Rowwise
from marl.rollout.types import Decision, Hidden, View


class TeamAgent:
    """Play by a team's networks, each player by its own view and memory.

    Greedily, but for a legal action at random with probability `epsilon`.
    """

    def __init__(self, team: Team, device: str, *, explores: bool = False) -> None:
        self._config, self._inputs = team.config, team.inputs
        self._networks = [Rowwise(network, device) for network in team.networks]
        self.explores = explores  # in training
        self.epsilon = 0.0

    def initial_hidden(self, rows: int) -> Hidden:
        """Return hidden states [rows, 1 + H]: what was done last, plus 1, and what is remembered."""
        return np.zeros((rows, 1 + (self._config.hidden if self._config.recurrent else 0)), np.float32)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        outputs = np.empty(view.action_mask.shape, np.float32)
        after: NDArray[Any] = np.empty_like(hidden)
        shown = (torch.from_numpy(array) for array in (view.obs, view.player, hidden[:, 0].astype(np.int64) - 1))
        inputs = self._inputs(*shown).numpy()
        for rows, network in rows_by_network(view.player, self._networks):
            out = network.ask("decide", inputs[rows], hidden[rows, 1:])
            outputs[rows] = out[:, : view.action_mask.shape[1]]
            after[rows, 1:] = out[:, view.action_mask.shape[1] :]
        action = self.choose(outputs, view)
        after[:, 0] = action + 1
        return Decision(action), after

    def choose(self, outputs: NDArray[np.float32], view: View) -> NDArray[np.int64]:
        """Return an action for each row of outputs [B, A]."""
        action = np.where(view.action_mask, outputs, -np.inf).argmax(1)
        if self.epsilon == 0:
            return action
        explore = uniform(fold(view.key, 0)) < self.epsilon
        return np.where(explore, choose(fold(view.key, 1), view.action_mask), action)
