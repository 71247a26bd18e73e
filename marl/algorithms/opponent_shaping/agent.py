"""The agent that plays by the policy network."""

import numpy as np

from games.keys import draw
from marl.algorithms.opponent_shaping.networks import Head
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.types import Decision, Hidden, View


class ActorAgent:
    """Play the policy network `actor`: sample by the decision's key, or take the most probable action if `greedy`.

    With probability `epsilon` the action is drawn uniformly from the legal ones instead.
    """

    def __init__(self, actor: Head, device: str, *, epsilon: float = 0.0, greedy: bool = False) -> None:
        self._epsilon, self._greedy = epsilon, greedy
        self._memory = actor.remember.size if actor.remember else 0
        # A network without memory is small: large blocks of rows save the cost of its calls.
        self._actor = Rowwise(actor, device, largest=BLOCK if self._memory else 16 * BLOCK)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros((rows, self._memory), np.float32) if self._memory else None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        arrays = (view.obs, view.action_mask) if hidden is None else (view.obs, view.action_mask, hidden)
        out = self._actor.ask("decide", *arrays)
        actions = view.action_mask.shape[1]
        probabilities = np.exp(out[:, :actions])
        if self._greedy:
            probabilities = np.eye(actions, dtype=np.float32)[probabilities.argmax(1)]
        if self._epsilon:
            uniform = view.action_mask / view.action_mask.sum(1, keepdims=True)
            probabilities += self._epsilon * (uniform - probabilities)
        return Decision(draw(view.key, probabilities)), None if hidden is None else out[:, actions:]
