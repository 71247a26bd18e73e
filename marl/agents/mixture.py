"""Mixtures: an agent that draws one of several members at the beginning of an episode and plays it to the end."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from games.arrays import Floats, Ints
from games.contract import Box, Spec
from games.keys import draw, streams
from marl.rollout.agent import Agent, explain_of
from marl.rollout.types import AgentFailed, Decision, Explanation, Hidden, View

_NOBODY = -1  # no member is drawn yet


class Mixture:
    """Play each episode by one of K members, drawn by the weights of the seat from the key of its first decision.

    `weights` [K, N] are those of each member by seat; those of a seat need not sum to 1. `load` [K] return the members;
    each is called once, when its member is first drawn. A mixture tells no policy, since its draw lasts a whole
    episode; `marl.evaluation.tabular` combines those of its members.
    """

    def __init__(self, weights: Floats, load: Sequence[Callable[[], Agent]], spec: Spec) -> None:
        self.weights = weights
        self._load, self._loaded = load, dict[int, Agent]()
        self._action = spec.action

    def member(self, index: int) -> Agent:
        """Return a member."""
        if index not in self._loaded:
            self._loaded[index] = self._load[index]()
        return self._loaded[index]

    @property
    def members(self) -> list[Agent]:
        """All members [K]; those that were not drawn yet are loaded."""
        return [self.member(index) for index in range(len(self._load))]

    def initial_hidden(self, rows: int) -> Hidden:
        return MixtureHidden(self.member, np.full(rows, _NOBODY), {})

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        member = self._drawn(view, hidden)
        after = MixtureHidden(self.member, member, {})
        action = _no_actions(self._action, len(view))
        failed: dict[int, AgentFailed] = {}
        notes: dict[int, str] = {}
        if view.states is not None:
            view = replace(view, states=functools.cache(view.states))  # members ask for disjoint rows of them
        for index in np.unique(member).tolist():
            rows = np.flatnonzero(member == index)
            own = hidden.of(index, rows)
            decision, own = self.member(index).act(view.rows(rows), own)
            action[rows] = decision.action
            failed |= {int(rows[row]): failure for row, failure in decision.failed.items()}
            notes |= {int(rows[row]): note for row, note in decision.notes.items()}
            after.put(index, rows, own)
        return Decision(action, failed=failed, notes=notes), after

    def explain(self, view: View, hidden: Hidden) -> list[Explanation]:
        """Explain the rows of each member by what it tells; of a member that tells nothing, by its action."""
        if view.states is not None:
            view = replace(view, states=functools.cache(view.states))  # members ask for disjoint rows of them
        found: list[Explanation] = []
        for row, index in enumerate(self._drawn(view, hidden).tolist()):
            one, own, member = view.take(row), hidden.of(index, slice(row, row + 1)), self.member(index)
            ask = explain_of(member)
            told = ask(one, own)[0] if ask else Explanation(member.act(one, own)[0].action.tolist()[0])
            who = f"member {index + 1} of {len(self._load)} plays this game"
            found.append(replace(told, text=f"{who}; {told.text}" if told.text else who))
        return found

    def _drawn(self, view: View, hidden: Hidden) -> Ints:
        """Return the member that plays each row [B]."""
        drawn = draw(streams(view.key, "member of a mixture")[:, 0], self.weights.T[view.player])
        return np.where(hidden.member == _NOBODY, drawn, hidden.member)


class MixtureHidden:
    """The hidden states of B rows: which member plays each, and that member's own; it is indexed by rows."""

    def __init__(self, agent: Callable[[int], Agent], member: Ints, own: Mapping[int, Any]) -> None:
        self.member = member  # [B]; _NOBODY before the first decision
        self._agent, self._own = agent, dict(own)  # by member [B], initial ones where another plays

    def __len__(self) -> int:
        return len(self.member)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of an array of rows."""
        return self.member.shape

    def __getitem__(self, rows: Any) -> "MixtureHidden":
        return MixtureHidden(self._agent, self.member[rows], {index: own[rows] for index, own in self._own.items()})

    def __setitem__(self, rows: Any, other: "MixtureHidden") -> None:
        self.member[rows] = other.member
        for index in self._own.keys() | other._own.keys():
            self.put(index, rows, other.of(index, slice(None)))

    def of(self, index: int, rows: Any) -> Hidden:
        """Return a member's own hidden states at some rows; None for a member without."""
        if index in self._own:
            return self._own[index][rows]
        return self._agent(index).initial_hidden(len(self.member[rows]))

    def put(self, index: int, rows: Any, own: Hidden) -> None:
        """Set a member's own hidden states at some rows."""
        if own is None:
            return
        if index not in self._own:
            self._own[index] = self._agent(index).initial_hidden(len(self))
        self._own[index][rows] = own


def _no_actions(action: Any, rows: int) -> Any:
    return np.zeros((rows, action.size), np.float32) if isinstance(action, Box) else np.zeros(rows, np.int64)
