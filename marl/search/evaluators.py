"""Evaluators: positions in, logits of actions and expected returns out.

NetworkEvaluator    a network sees the mover's view; what it has said of a view is remembered
Playouts            the game is played to its end at random; every action looks alike
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys, draw_one, fold_one, uniform_one
from marl.rollout.loop import most_steps
from marl.search.tree import Values

Judgement = tuple[NDArray[np.float32], Values]  # logits [B, A], and the return that each player may expect [B, N]


class Evaluator(Protocol):
    """Say what positions are worth to every player, and which actions look good to the one who moves."""

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> Judgement:
        """Judge positions [B] in which `movers` [B] are to move; `keys` [B] is all the randomness there is."""
        ...


class NetworkEvaluator:
    """Ask a network, `network(views [B, *O], movers [B]) -> logits [B, A], values [B, N]`; remember what it said.

    Views are remembered until there are `capacity` of them, or as many as `MEMORY` holds, then all are forgotten. Equal
    views are asked about once, in whatever games they come up: what a network says of a view must not depend on its
    batch-mates.
    """

    MEMORY = 2**29  # bytes

    def __init__(self, spec: Spec, network: Callable[..., Judgement], *, capacity: int = 100_000) -> None:
        self._spec, self._network = spec, network
        self._size = int(np.prod(spec.observation.shape))
        row = self._size * np.dtype(spec.observation.dtype).itemsize + 2 * (4 * spec.num_actions + 8 * spec.num_players)
        self._capacity = min(capacity, self.MEMORY // row)  # rows grow to double what is there
        self._slots: list[dict[bytes, int]] = [{} for _ in range(spec.num_players)]  # by mover: a view -> its row
        self._remembered = 0
        self._logits = np.zeros((0, spec.num_actions), np.float32)
        self._values = np.zeros((0, spec.num_players))
        self.asked = self.answered = 0  # positions so far, and those of them that the network saw

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is remembered: to ask again costs less than to send it to another process."""
        return vars(NetworkEvaluator(self._spec, self._network, capacity=self._capacity))

    def forget(self) -> None:
        """Forget all that the network said: it has changed."""
        for known in self._slots:
            known.clear()
        self._remembered = 0

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> Judgement:
        views = np.zeros((len(states), self._size), self._spec.observation.dtype)
        for row, state, mover in zip(views, states, movers.tolist(), strict=True):
            state.observe(mover, row)
        self.asked += len(states)
        if self._capacity == 0:
            self.answered += len(states)
            return self._ask(views, movers)
        if self._remembered + len(states) > self._capacity:
            self.forget()
        slots, new = [], []
        written, width = views.tobytes(), views[0].nbytes
        for i, mover in enumerate(movers.tolist()):
            known, view = self._slots[mover], written[i * width : (i + 1) * width]
            slot = known.get(view)
            if slot is None:
                slot = known[view] = self._remembered
                self._remembered += 1
                new.append(i)
            slots.append(slot)
        if new:
            self._remember(slots, new, *self._ask(views[new], movers[new]))
        return self._logits[slots], self._values[slots]

    def _ask(self, views: NDArray[np.float32], movers: NDArray[np.int64]) -> Judgement:
        return self._network(views.reshape(len(views), *self._spec.observation.shape), movers)

    def _remember(self, slots: list[int], new: list[int], logits: NDArray[np.float32], values: Values) -> None:
        self.answered += len(new)
        if self._remembered > len(self._logits):
            more = max(self._remembered, 2 * len(self._logits), 1024) - len(self._logits)
            self._logits = np.concatenate([self._logits, np.zeros((more, logits.shape[1]), np.float32)])
            self._values = np.concatenate([self._values, np.zeros((more, values.shape[1]))])
        at = [slots[i] for i in new]
        self._logits[at], self._values[at] = logits, values


class Playouts:
    """Play positions to their ends, `count` times each, every action and outcome drawn by key; uniform logits.

    `prefer(state, player)` may name the actions among which a playout draws: an informed one. A playout that has not
    ended after the game's most steps is worth what has been paid by then.
    """

    def __init__(self, spec: Spec, count: int = 1, prefer: Callable[[State, int], Sequence[int]] | None = None) -> None:
        self._spec, self._count, self._most = spec, count, most_steps(spec)
        self._prefer = prefer or (lambda state, player: state.legal_actions(player))

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> Judgement:
        values = np.zeros((len(states), self._spec.num_players))
        for row, state, key in zip(values, states, keys.tolist(), strict=True):
            before = np.array(state.returns())
            for n in range(self._count):
                row += self._play(state.clone(), fold_one(key, n))
            row /= self._count
            row -= before
        return np.zeros((len(states), self._spec.num_actions), np.float32), values

    def _play(self, state: State, key: int) -> Sequence[float]:
        """Play one position to its end; return what each player was paid in all."""
        joint = [0] * self._spec.num_players
        left = self._most
        while True:
            acting = state.acting()
            if acting and left:
                for player in acting:
                    key = fold_one(key, player)
                    actions = self._prefer(state, player)
                    joint[player] = actions[int(uniform_one(key) * len(actions))]
                state.apply(joint)
                left -= 1
            elif acting or state.is_terminal():
                return state.returns()
            else:
                key = fold_one(key, self._spec.num_players)
                state.apply_chance(draw_one(state.chance_outcomes(), uniform_one(key)))
