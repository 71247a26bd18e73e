"""Agents make the decisions. An agent keeps no state between two calls; the rollout owns its hidden state.

random                              a legal action, uniformly
mcts(simulations=100)               OpenSpiel's own C++ search with random playouts: a fixed anchor
uct(simulations=100)                ours, for every game with positions (marl/search/agent.py)
tit_for_tat                         and others for social dilemmas (marl/agents/scripted.py)
runs/x/checkpoints/000500000        what a run trained (marl/agents/checkpoint.py)
my_package.bots:Pavlov()            anyone's class with `act(view, hidden)`
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.keys import choose, uniform
from marl.rollout.types import Decision, Hidden, View


class Agent(Protocol):
    """Decide for rows of seats."""

    def initial_hidden(self, rows: int) -> Hidden:
        """Return the hidden state of `rows` seats at an episode's start; None for an agent that has none."""
        ...

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        """Choose an action for every row of `view`, given the hidden states of those rows; keep no state."""
        ...


class Ensemble(Protocol):
    """Several agents that decide in one call, as networks of one shape can."""

    def initial_hidden(self, rows: int) -> Hidden:
        """Return the hidden state of `rows` seats at an episode's start, the same for all members."""
        ...

    def act(self, view: View, member: NDArray[np.int64], hidden: Hidden) -> tuple[Decision, Hidden]:
        """Choose an action for every row of `view`, as the `member` [B] that holds the row; keep no state."""
        ...


@dataclass(frozen=True)
class Member:
    """The agent that is one member of an ensemble. Members at successive roster entries decide in one call."""

    ensemble: Ensemble
    index: int | NDArray[np.int64]  # the member, or that of every row [B]

    def initial_hidden(self, rows: int) -> Hidden:
        return self.ensemble.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        return self.ensemble.act(view, np.broadcast_to(self.index, len(view)), hidden)


class Stateless:
    """Mixin for agents without hidden state."""

    def initial_hidden(self, rows: int) -> Hidden:
        return None


class Random(Stateless):
    """Choose a legal action, or a point of the box, uniformly."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        self._action = spec.action

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        if isinstance(self._action, Box):
            low, high = self._action.low, self._action.high
            return Decision((low + (high - low) * uniform(view.key, self._action.size)).astype(np.float32)), None
        return Decision(choose(view.key, view.action_mask)), None
