"""The agent that plays by the policy network."""

import numpy as np

from games.keys import draw
from marl.algorithms.opponent_shaping.networks import Head
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.types import Decision, Hidden, View


class PolicyAgent:
    """Play a policy, sampled by the decision's key, or its mode if `greedy`; with probability `epsilon` any action."""

    def __init__(self, actor: Head, device: str, *, epsilon: float = 0.0, greedy: bool = False) -> None:
        self._epsilon, self._greedy = epsilon, greedy
        self._memory = actor.remember.size if actor.remember else 0
        # Without memory the network is small: its calls cost more than its rows.
        self._actor = Rowwise(actor, device, largest=BLOCK if self._memory else 16 * BLOCK)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros((rows, self._memory), np.float32) if self._memory else None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        arrays = (view.obs, view.action_mask) if hidden is None else (view.obs, view.action_mask, hidden)
        out = self._actor.ask("decide", *arrays)
        actions = view.action_mask.shape[1]
        chance = np.exp(out[:, :actions])
        if self._greedy:
            chance = np.eye(actions, dtype=np.float32)[chance.argmax(1)]
        if self._epsilon:
            chance += self._epsilon * (view.action_mask / view.action_mask.sum(1, keepdims=True) - chance)
        return Decision(draw(view.key, chance)), None if hidden is None else out[:, actions:]
