"""The agent that plays a network's policy without a search."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from games.keys import draw
from marl.rollout.agent import LogProbs, Stateless, log_probs_of, one_hot
from marl.rollout.types import Decision, Hidden, View
from marl.search.evaluators import LogitsAndValues


class PriorAgent(Stateless):
    """Play the prior policy of a search's network: sample by the decision's key, or take the best action if `greedy`.

    `network(obs [B, *O], movers [B])` returns logits and values.
    """

    def __init__(self, network: Callable[..., LogitsAndValues], *, greedy: bool) -> None:
        self._network, self._greedy = network, greedy

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        return Decision(draw(view.key, self._weights(view))), None

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        return log_probs_of(self._weights(view)), None

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the network's value [B] of the view's player."""
        return self._network(view.obs, view.player)[1][np.arange(len(view)), view.player].astype(np.float32)

    def _weights(self, view: View) -> NDArray[np.float32]:
        """Return weights [B, A] in proportion to which an action is drawn."""
        logits = np.where(view.action_mask, self._network(view.obs, view.player)[0], -np.inf)
        return one_hot(logits.argmax(1), view) if self._greedy else np.exp(logits - logits.max(1, keepdims=True))
