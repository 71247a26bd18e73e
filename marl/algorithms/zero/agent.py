"""The agent that plays a network's policy without a search."""

from collections.abc import Callable

import numpy as np

from games.keys import draw
from marl.rollout.types import Decision, Hidden, View
from marl.search.evaluators import LogitsAndValues


class PriorAgent:
    """Play the prior policy of a search's network: sample by the decision's key, or take the best action if `greedy`.

    `network(obs [B, *O], movers [B])` returns logits and values.
    """

    def __init__(self, network: Callable[..., LogitsAndValues], *, greedy: bool) -> None:
        self._network, self._greedy = network, greedy

    def initial_hidden(self, rows: int) -> Hidden:
        return None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        logits = np.where(view.action_mask, self._network(view.obs, view.player)[0], -np.inf)
        if self._greedy:
            return Decision(logits.argmax(1)), None
        return Decision(draw(view.key, np.exp(logits - logits.max(1, keepdims=True)))), None
