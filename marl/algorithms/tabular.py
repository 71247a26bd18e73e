"""Tables: agents whose policy is a table over what a player of a small game has seen. They are computed, not trained.

The exact best response to other policies is such a table (marl/evaluation/tabular.py computes it).
"""

import hashlib
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from games.arrays import Floats, Ints, Views
from games.contract import Spec
from games.errors import UserError
from games.keys import draw
from marl.base.schema import Frozen
from marl.learning.learner import Learner
from marl.rollout.agent import Agent, LogProbs, log_probs_of
from marl.rollout.types import Decision, Hidden, Tensors, View

NAMES, PROBABILITIES = "names", "probabilities"  # the tensors of a table


def names_of(before: Ints, obs: Views, player: Ints) -> Ints:
    """Return a name for what each player has seen so far [B]: a hash of the name before, of its view and of its seat.

    `before` are the names at the players' last decisions, 0 at the first of an episode. One view may not show all that
    a player knows: Leduc's does not show who raised.
    """
    hashes = (
        hashlib.blake2b(row.tobytes(), digest_size=8, salt=last + bytes([number % 256])).digest()
        for last, row, number in zip(
            (name.tobytes() for name in before.astype("<i8")), np.ascontiguousarray(obs), player.tolist(), strict=True
        )
    )
    return np.frombuffer(b"".join(hashes), "<i8").astype(np.int64)


def table(names: Ints, probabilities: Floats) -> Tensors:
    """Return the tensors of the agent that acts with probabilities [K, A] where its views have the names [K].

    Raises UserError where two of the names are the same.
    """
    if len(np.unique(names)) < len(names):
        raise UserError(
            "expected views that show a player all that it knows, and at two information states of this game all "
            "views so far are the same; choose another game"
        )
    return {NAMES: names, PROBABILITIES: probabilities}


class TableAgent:
    """Draw actions with the probabilities of a table; uniformly from the legal ones where the table has no entry.

    The hidden state [B] is the name of what was seen so far. Raises RuntimeError for tensors that are no table.
    """

    def __init__(self, state: Tensors, num_actions: int) -> None:
        names, probabilities = (np.asarray(state[name]) for name in (NAMES, PROBABILITIES))
        if probabilities.shape != (len(names), num_actions) or (probabilities < 0).any():
            raise RuntimeError(f"expected a probability of each of {num_actions} actions for {len(names)} views")
        self._place = {name: place for place, name in enumerate(names.tolist())}
        self._probabilities = np.concatenate([probabilities, np.zeros((1, num_actions))])  # the last: of no entry

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros(rows, np.int64)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        weights, names = self._weights(view, hidden)
        return Decision(draw(view.key, weights)), names

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        weights, names = self._weights(view, hidden)
        return log_probs_of(weights), names

    def _weights(self, view: View, hidden: Hidden) -> tuple[Floats, Ints]:
        """Return weights [B, A] in proportion to which an action is drawn, and the names of what was seen [B]."""
        names = names_of(hidden, view.obs, view.player)
        places = [self._place.get(name, -1) for name in names.tolist()]
        weights = self._probabilities[places] * view.action_mask
        return np.where(weights.any(1, keepdims=True), weights, view.action_mask), names


class TableConfig(Frozen):
    """A table has no settings."""


class BestResponse(Learner):
    """Best response: the exact best response to other policies of a small game, computed and not trained.

    Raises UserError where it is to be trained.
    """

    Config: ClassVar[type[BaseModel]] = TableConfig

    def __init__(self, config: TableConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        raise UserError(
            "best_response is computed from the tree of a small game and not trained; name it as the learner of a "
            "population (`marl population`, method: psro), or train another algorithm, such as ippo"
        )

    @classmethod
    def load_agent(cls, config: TableConfig, spec: Spec, state: Tensors, *, device: str) -> Agent:
        return TableAgent(state, spec.num_actions)

    def _never(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError("a best response is not trained")

    actors = update = agent = state = load_state = agent_state = _never
