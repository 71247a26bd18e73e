"""Models of a game for a search. A model holds the position, or hidden state, of each node of the tree.

ExactModel      clones of the game's positions, with an evaluator
LearnedModel    hidden states of a network that has learned the game's dynamics
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.arrays import Views
from games.contract import Spec, State
from games.keys import Keys
from marl.rollout.types import View
from marl.search.evaluators import Evaluator, LogitsAndValues
from marl.search.tree import CHANCE, END, Nodes, Values


@dataclass(frozen=True)
class Positions:
    """Movers, rewards and actions of B positions."""

    mover: NDArray[np.int64]  # [B] the player who moves, CHANCE or END
    reward: Values  # [B, N] paid on the way in
    count: NDArray[np.int64]  # [B] actions or outcomes there
    action: NDArray[np.int64]  # [sum of count]
    probability: NDArray[np.float64]  # [sum of count] of outcomes; 0 of actions


class Model(Protocol):
    """Transitions and evaluations for a search."""

    num_players: int

    def begin(self, nodes: Nodes) -> Positions:
        """Assign the root positions to `nodes`."""
        ...

    def step(self, parents: Nodes, actions: NDArray[np.int64], children: Nodes) -> Positions:
        """Go from `parents` [B] by `actions` [B], or outcomes of chance, to the new nodes `children` [B]."""
        ...

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        """Return logits of actions [B, A] and expected returns from there on [B, N], for decision nodes."""
        ...


class ExactModel:
    """A game's own positions, cloned. Nodes count from 0, and so do the positions in `states`."""

    def __init__(self, spec: Spec, evaluator: Evaluator, roots: Sequence[State]) -> None:
        self.num_players = spec.num_players
        self._evaluator = evaluator
        self._step_rewards = spec.step_rewards
        self._joint = [0] * spec.num_players
        self.states: list[State] = list(roots)

    def begin(self, nodes: Nodes) -> Positions:
        return self._describe(self.states, [(0.0,) * self.num_players] * len(nodes))

    def step(self, parents: Nodes, actions: NDArray[np.int64], children: Nodes) -> Positions:
        states = self.states
        before = [states[parent] for parent in parents.tolist()]
        after = [self._after(state, action) for state, action in zip(before, actions.tolist(), strict=True)]
        states += after
        return self._describe(after, [state.returns() for state in before] if self._step_rewards else [])

    def _after(self, state: State, action: int) -> State:
        """Return the position after an action of the player to move, or an outcome of chance."""
        after = state.clone()
        acting = after.acting()
        if acting:
            self._joint[acting[0]] = action
            after.apply(self._joint)
        else:
            after.apply_chance(action)
        return after

    def _describe(self, states: Sequence[State], paid: list[Sequence[float]]) -> Positions:
        """Describe positions; `paid` are the returns of their predecessors, for a game with step rewards."""
        mover: list[int] = []
        count: list[int] = []
        action: list[int] = []  # flat: a list of lists would be many objects for Python's garbage collector
        outcomes: dict[int, list[float]] = {}  # by the index of the first in `action`
        for state in states:
            acting = state.acting()
            there: Sequence[int] = ()
            if acting:
                there = state.legal_actions(acting[0])
            elif not state.is_terminal():
                chances = state.chance_outcomes()
                there = [outcome for outcome, _ in chances]
                outcomes[len(action)] = [probability for _, probability in chances]
            mover.append(acting[0] if acting else CHANCE if there else END)
            count.append(len(there))
            action += there
        probability = np.zeros(len(action))
        for first, chances_there in outcomes.items():
            probability[first : first + len(chances_there)] = chances_there
        reward = self._rewards(states, mover, paid)
        movers, counts, actions = (np.array(numbers, np.int64) for numbers in (mover, count, action))
        return Positions(movers, reward, counts, actions, probability)

    def _rewards(self, states: Sequence[State], mover: list[int], paid: list[Sequence[float]]) -> Values:
        """Return what was paid on the way into positions [B, N]."""
        reward = np.zeros((len(states), self.num_players))
        for i, state in enumerate(states):
            if self._step_rewards:
                reward[i] = np.subtract(state.returns(), paid[i])
            elif mover[i] == END:
                reward[i] = state.returns()
        return reward

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        return self._evaluator.evaluate([self.states[node] for node in nodes.tolist()], movers, keys)


def exact(spec: Spec, evaluator: Evaluator, view: View) -> ExactModel:
    """Return the model of a view's own positions."""
    assert view.states is not None, "agents that search positions refuse games without them"
    return ExactModel(spec, evaluator, view.states())


@dataclass(frozen=True)
class HiddenStates:
    """B hidden states of a learned model, with the network's predictions."""

    hidden: NDArray[np.float32]  # [B, ...]
    mover: NDArray[np.int64]  # [B] the player who moves
    reward: Values  # [B, N] paid on the way in
    logits: NDArray[np.float32]  # [B, A]
    value: Values  # [B, N] expected returns from there on


class Inference(Protocol):
    """A learned model, with the names of MuZero's pseudocode (https://doi.org/10.1038/s41586-020-03051-4)."""

    def initial(self, obs: Views, movers: NDArray[np.int64]) -> HiddenStates:
        """Return the hidden states of observations [B, *O] in which `movers` [B] are to move."""
        ...

    def recurrent(
        self, hidden: NDArray[np.float32], actions: NDArray[np.int64], movers: NDArray[np.int64]
    ) -> HiddenStates:
        """Return the next hidden states after actions [B] of `movers` [B] in hidden states [B, ...]."""
        ...


class LearnedModel:
    """A game as a network has learned it: the states of nodes, numbered from 0, are hidden states of the network.

    Legal actions are known at the roots only, from the view's mask; below them every action is an edge, and the learned
    policy gives illegal ones low probability. There are no terminal states: rewards after the end of a game are 0.
    """

    def __init__(self, spec: Spec, inference: Inference, view: View) -> None:
        self.num_players = spec.num_players
        self._num_actions = spec.num_actions
        self._inference, self._view = inference, view
        self._hidden: list[NDArray[np.float32]] = []
        self._outputs: list[tuple[NDArray[np.float32], NDArray[np.float64]]] = []  # logits and values, by node
        self._mover = np.zeros(0, np.int64)

    def begin(self, nodes: Nodes) -> Positions:
        view = self._view
        return self._describe(self._inference.initial(view.obs, view.player), view.action_mask)

    def step(self, parents: Nodes, actions: NDArray[np.int64], children: Nodes) -> Positions:
        hidden = np.stack([self._hidden[parent] for parent in parents.tolist()])
        states = self._inference.recurrent(hidden, actions, self._mover[parents])
        return self._describe(states, np.ones((len(parents), self._num_actions), bool))

    def _describe(self, states: HiddenStates, action_mask: NDArray[np.bool_]) -> Positions:
        self._hidden += list(states.hidden)
        self._outputs += zip(states.logits, states.value, strict=True)
        self._mover = np.concatenate([self._mover, states.mover])
        action = np.nonzero(action_mask)[1]
        return Positions(states.mover, states.reward, action_mask.sum(1), action, np.zeros(len(action)))

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        logits, values = zip(*(self._outputs[node] for node in nodes.tolist()), strict=True)
        return np.stack(logits), np.stack(values)
