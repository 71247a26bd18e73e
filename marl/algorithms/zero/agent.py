"""The agent that plays by a network's policy, without a search."""

from collections.abc import Callable

import numpy as np

from games.keys import draw
from marl.rollout.types import Decision, Hidden, View
from marl.search.evaluators import Judgement


class PolicyAgent:
    """Play a network's policy without a search: sampled by the decision's key, or its mode if `greedy`.

    `judge(views [B, *O], movers [B])` says the logits of actions, and values.
    """

    def __init__(self, judge: Callable[..., Judgement], *, greedy: bool) -> None:
        self._judge, self._greedy = judge, greedy

    def initial_hidden(self, rows: int) -> Hidden:
        return None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        logits = np.where(view.action_mask, self._judge(view.obs, view.player)[0], -np.inf)
        if self._greedy:
            return Decision(logits.argmax(1)), None
        return Decision(draw(view.key, np.exp(logits - logits.max(1, keepdims=True)))), None
