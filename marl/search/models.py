"""Models: what a search asks of the world. A node's number stands for a position; the model knows which.

ExactModel      clones of a game's own positions, and an evaluator that judges them
LearnedModel    hidden states of a network that has learned what follows from an action
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys
from marl.rollout.types import View
from marl.search.evaluators import Evaluator, Judgement
from marl.search.tree import CHANCE, END, Nodes, Values


@dataclass(frozen=True)
class Positions:
    """What the rules say of B positions."""

    mover: NDArray[np.int64]  # [B] the player who moves, CHANCE or END
    reward: Values  # [B, N] paid on the way in
    count: NDArray[np.int64]  # [B] actions or outcomes there
    action: NDArray[np.int64]  # [sum of count]
    probability: NDArray[np.float64]  # [sum of count] of outcomes; 0 of actions


class Model(Protocol):
    """What a search asks of the world."""

    num_players: int

    def begin(self, nodes: Nodes) -> Positions:
        """Let `nodes` stand for the positions from which the search begins."""
        ...

    def step(self, parents: Nodes, actions: NDArray[np.int64], children: Nodes) -> Positions:
        """Walk from `parents` [B] by `actions` [B] (outcomes of chance, where it moves) to `children` [B]."""
        ...

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> Judgement:
        """Return logits of actions [B, A] at decision nodes, and what every player may expect from there on [B, N]."""
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
        states, joint = self.states, self._joint
        paid = []
        for parent, action in zip(parents.tolist(), actions.tolist(), strict=True):
            before = states[parent]
            state = before.clone()
            acting = state.acting()
            if acting:
                joint[acting[0]] = action
                state.apply(joint)
            else:
                state.apply_chance(action)
            if self._step_rewards:
                paid.append(before.returns())
            states.append(state)
        return self._describe(states[-len(parents) :], paid)

    def _describe(self, states: Sequence[State], paid: list[Sequence[float]]) -> Positions:
        """Say what the rules say; `paid` is what each position's predecessor had paid, where a game pays on the way."""
        mover = np.full(len(states), END)
        reward = np.zeros((len(states), self.num_players))
        count = np.zeros(len(states), np.int64)
        action: list[int] = []
        outcomes: dict[int, list[float]] = {}  # by the place of their first
        for i, state in enumerate(states):
            acting = state.acting()
            if acting:
                mover[i] = acting[0]
                legal = state.legal_actions(acting[0])
                count[i] = len(legal)
                action += legal
            elif not state.is_terminal():
                mover[i] = CHANCE
                chances = state.chance_outcomes()
                count[i] = len(chances)
                outcomes[len(action)] = [probability for _, probability in chances]
                action += [outcome for outcome, _ in chances]
            elif not self._step_rewards:
                reward[i] = state.returns()
        if self._step_rewards:
            reward[:] = np.array([state.returns() for state in states]) - np.array(paid)
        probability = np.zeros(len(action))
        for first, those in outcomes.items():
            probability[first : first + len(those)] = those
        return Positions(mover, reward, count, np.array(action, np.int64), probability)

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> Judgement:
        return self._evaluator.evaluate([self.states[node] for node in nodes.tolist()], movers, keys)


def exact(spec: Spec, evaluator: Evaluator, view: View) -> ExactModel:
    """Return the model of a view's own positions."""
    assert view.states is not None, "whoever searches positions refuses games that have none"
    return ExactModel(spec, evaluator, view.states())


@dataclass(frozen=True)
class Imagined:
    """What a network says of B hidden states, and of the ways into them."""

    hidden: NDArray[np.float32]  # [B, ...]
    mover: NDArray[np.int64]  # [B] the player who moves
    reward: Values  # [B, N] paid on the way in
    logits: NDArray[np.float32]  # [B, A]
    value: Values  # [B, N] what every player may expect from there on


class Inference(Protocol):
    """A learned game, under the names of MuZero's pseudocode (https://doi.org/10.1038/s41586-020-03051-4)."""

    def initial(self, views: NDArray[Any], movers: NDArray[np.int64]) -> Imagined:
        """Return the hidden states of views [B, *O] in which `movers` [B] are to move."""
        ...

    def recurrent(self, hidden: NDArray[np.float32], actions: NDArray[np.int64], movers: NDArray[np.int64]) -> Imagined:
        """Return what follows from actions [B] of `movers` [B] in hidden states [B, ...]."""
        ...


class LearnedModel:
    """A game as a network has learned it: nodes are hidden states, which count from 0, and no rule is asked.

    Legal actions are known at the roots alone, from the view's mask; below them every action is an edge, and it is for
    the policy to leave out what cannot be done. Nothing ends here: what follows the end of a game pays nothing.
    """

    def __init__(self, spec: Spec, inference: Inference, view: View) -> None:
        self.num_players = spec.num_players
        self._num_actions = spec.num_actions
        self._inference, self._view = inference, view
        self._hidden: list[NDArray[np.float32]] = []
        self._said: list[tuple[NDArray[np.float32], NDArray[np.float64]]] = []  # logits and values
        self._mover = np.zeros(0, np.int64)

    def begin(self, nodes: Nodes) -> Positions:
        view = self._view
        return self._describe(self._inference.initial(view.obs, view.player), view.action_mask)

    def step(self, parents: Nodes, actions: NDArray[np.int64], children: Nodes) -> Positions:
        hidden = np.stack([self._hidden[parent] for parent in parents.tolist()])
        imagined = self._inference.recurrent(hidden, actions, self._mover[parents])
        return self._describe(imagined, np.ones((len(parents), self._num_actions), bool))

    def _describe(self, imagined: Imagined, legal: NDArray[np.bool_]) -> Positions:
        self._hidden += list(imagined.hidden)
        self._said += zip(imagined.logits, imagined.value, strict=True)
        self._mover = np.concatenate([self._mover, imagined.mover])
        action = np.nonzero(legal)[1]
        return Positions(imagined.mover, imagined.reward, legal.sum(1), action, np.zeros(len(action)))

    def evaluate(self, nodes: Nodes, movers: NDArray[np.int64], keys: Keys) -> Judgement:
        logits, values = zip(*(self._said[node] for node in nodes.tolist()), strict=True)
        return np.stack(logits), np.stack(values)
