"""The agents of a policy gradient: they sample their policy, or play its mode."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marl.algorithms.policy_gradient.networks import ActorCritic
from marl.algorithms.policy_gradient.policies import Categorical
from marl.learning.networks import rows_by_network
from marl.learning.rowwise import Rowwise
from marl.rollout.agent import LogProbs, Policy
from marl.rollout.types import Decision, Hidden, View


class PpoAgent:
    """Play the policy: sample by the decision's key, or take its mode if `greedy`.

    `groups` [N] are the networks of each player. With a GRU the hidden state is that of the actor [rows, H].
    """

    def __init__(
        self, models: Sequence[ActorCritic], groups: NDArray[np.int64], device: str, *, greedy: bool = False
    ) -> None:
        self._groups, self._greedy = groups, greedy
        self._hidden_size, self._policies = models[0].hidden_size, models[0].policies
        self._models = [Rowwise(model, device, largest=model.largest_block) for model in models]

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros((rows, self._hidden_size), np.float32) if self._hidden_size else None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        described, hidden = self._described(view, hidden)
        return self._policies.decide(view, described, greedy=self._greedy), hidden

    @property
    def policy(self) -> Policy | None:
        """Return `policy(view, hidden)`, the log-probabilities with which `act` draws; None for continuous actions."""
        policies = self._policies
        if not isinstance(policies, Categorical):
            return None

        def policy(view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
            described, hidden = self._described(view, hidden)
            return policies.log_probs(view, described, greedy=self._greedy), hidden

        return policy

    def _described(self, view: View, hidden: Hidden) -> tuple[NDArray[np.float32], Hidden]:
        """Return what describes the policies [B, W] (policies.py), and the next hidden states."""
        width = self._policies.width
        described = np.empty((len(view), width), np.float32)
        after = None if hidden is None else np.empty_like(hidden)
        for rows, model in rows_by_network(self._groups[view.player], self._models):
            arrays = view.obs[rows], view.action_mask[rows], view.player[rows]
            if after is None:
                described[rows] = model.ask("policy", *arrays)
            else:
                both = model.ask("step", *arrays, hidden[rows])
                described[rows] = both[:, :width]
                after[rows] = both[:, width:]
        return described, after


class ValuedPpoAgent(PpoAgent):
    """An agent that knows what its critic expects: a feed-forward critic that sees a player's own view alone.

    A centralised critic sees more than a view, and the state of a critic's GRU is computed in training only.
    """

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the discounted return that the critic expects for each row of `view` [B]."""
        values = np.empty(len(view), np.float32)
        for rows, model in rows_by_network(self._groups[view.player], self._models):
            values[rows] = model.ask("values", view.obs[rows], view.player[rows])[:, 0]
        return values


class RecordingPpoAgent(PpoAgent):
    """An agent in training that records the hidden state before each decision, at which a chunk may begin."""

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        decision, after = super().act(view, hidden)
        return Decision(decision.action, decision.extras | {recorded_as(self._hidden_size): hidden}), after


def recorded_as(hidden_size: int) -> str:
    """Return the name of the extra with hidden states; learners of several sizes may play in one trajectory."""
    return f"hidden_{hidden_size}"
