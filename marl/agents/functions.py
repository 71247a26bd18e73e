"""Functions of positions as agents: `module:function(states, player)` proposes moves, or evaluates positions.

    def propose(states, player): return [[3, 2], [0]]       # for each position actions, the best first
    def propose(states, player): return weights             # or weights of actions, floats [B, A]
    def evaluate(states, player): return [0.3, -1.0]        # for each position what the player gets from there on

All positions of a call have the same player, who acts there. Such a function plays by its first choices, and the other
agents of this project ask it as they ask any: in a process of its own (marl/agents/foreign.py).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec
from games.references import Reference, parameters_of
from marl.rollout.agent import Stateless
from marl.rollout.types import Decision, Hidden, View


def is_of_positions(target: Any) -> bool:
    """Return whether something is a function of positions and a player, rather than a class that makes agents."""
    return not isinstance(target, type) and {"states", "player"} <= set(parameters_of(target))


class OfPositions(Stateless):
    """An agent by a function; `reference` has the function's further arguments."""

    def __init__(self, function: Callable[..., Any], reference: Reference, spec: Spec) -> None:
        self._function, self._num_actions = partial(function, **dict(reference.arguments)), spec.num_actions

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        return Decision(self.preferences(view, hidden).argmax(1)), None

    def preferences(self, view: View, hidden: Hidden) -> NDArray[np.float64]:
        """Return the weights, or minus the ranks, of what is proposed [B, A]; -inf at all else."""
        found = np.full(view.action_mask.shape, -np.inf)
        for rows, answer in self._asked(view):
            for row, proposed in zip(rows.tolist(), answer, strict=True):
                numbers = np.asarray(proposed)
                if numbers.dtype.kind == "f" and len(numbers):
                    with np.errstate(divide="ignore"):
                        found[row] = np.log(numbers)
                elif len(numbers):
                    found[row, numbers] = -np.arange(len(numbers), dtype=np.float64)
        return found

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        found = np.zeros(len(view), np.float32)
        for rows, answer in self._asked(view):
            found[rows] = answer
        return found

    def _asked(self, view: View) -> list[tuple[NDArray[np.int64], Any]]:
        """Return the function's answers for the rows of each player."""
        if view.states is None:
            raise ValueError("this function needs positions, and the game has none")
        states = view.states()
        players = [(player, np.flatnonzero(view.player == player)) for player in np.unique(view.player).tolist()]
        return [(rows, self._function([states[row] for row in rows.tolist()], player)) for player, rows in players]
