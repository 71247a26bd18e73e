"""Evaluators: from positions to logits of actions and expected returns.

NetworkEvaluator    a network sees the mover's observation; its results are cached
Playouts            random play to the end of the game; logits are uniform
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys, draw_one, fold_one, uniform_one
from marl.rollout.loop import most_steps
from marl.search.tree import Values

LogitsAndValues = tuple[NDArray[np.float32], Values]  # logits [B, A], expected returns [B, N]


class Evaluator(Protocol):
    """Estimate the returns of every player, and the logits of the mover's actions."""

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        """Evaluate positions [B] in which `movers` [B] are to move; all randomness comes from `keys` [B]."""
        ...


class NetworkEvaluator:
    """Evaluate by `network(obs [B, *O], movers [B]) -> logits [B, A], values [B, N]`, with a cache.

    The cache holds up to `capacity` observations, or as many as fit into `MEMORY`; a full cache is cleared. Equal
    observations of all games share one entry, so a network's result must not depend on the other rows of a batch.
    """

    MEMORY = 2**29  # bytes

    def __init__(self, spec: Spec, network: Callable[..., LogitsAndValues], *, capacity: int = 100_000) -> None:
        self._spec, self._network = spec, network
        self._size = int(np.prod(spec.observation.shape))
        # The results count twice, because their arrays are copied when they grow.
        row = self._size * np.dtype(spec.observation.dtype).itemsize + 2 * (4 * spec.num_actions + 8 * spec.num_players)
        self._capacity = min(capacity, self.MEMORY // row)
        self._slots: list[dict[bytes, int]] = [
            {} for _ in range(spec.num_players)
        ]  # by mover: an observation -> its row
        self._cached = 0
        self._logits = np.zeros((0, spec.num_actions), np.float32)
        self._values = np.zeros((0, spec.num_players))
        self.asked = self.answered = 0  # positions asked for, and those not in the cache

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the cache: evaluating again costs less than sending it to another process."""
        return vars(NetworkEvaluator(self._spec, self._network, capacity=self._capacity))

    def forget(self) -> None:
        """Clear the cache, after a change of the network."""
        for rows in self._slots:
            rows.clear()
        self._cached = 0

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        views = np.zeros((len(states), self._size), self._spec.observation.dtype)
        for row, state, mover in zip(views, states, movers.tolist(), strict=True):
            state.observe(mover, row)
        self.asked += len(states)
        if self._capacity == 0:
            self.answered += len(states)
            return self._run(views, movers)
        if self._cached + len(states) > self._capacity:
            self.forget()
        slots, new = [], []
        written, width = views.tobytes(), views[0].nbytes
        for i, mover in enumerate(movers.tolist()):
            known, view = self._slots[mover], written[i * width : (i + 1) * width]
            slot = known.get(view)
            if slot is None:
                slot = known[view] = self._cached
                self._cached += 1
                new.append(i)
            slots.append(slot)
        if new:
            self._store(slots, new, *self._run(views[new], movers[new]))
        return self._logits[slots], self._values[slots]

    def _run(self, views: NDArray[np.float32], movers: NDArray[np.int64]) -> LogitsAndValues:
        return self._network(views.reshape(len(views), *self._spec.observation.shape), movers)

    def _store(self, slots: list[int], new: list[int], logits: NDArray[np.float32], values: Values) -> None:
        self.answered += len(new)
        if self._cached > len(self._logits):
            more = max(self._cached, 2 * len(self._logits), 1024) - len(self._logits)
            self._logits = np.concatenate([self._logits, np.zeros((more, logits.shape[1]), np.float32)])
            self._values = np.concatenate([self._values, np.zeros((more, values.shape[1]))])
        at = [slots[i] for i in new]
        self._logits[at], self._values[at] = logits, values


class Playouts:
    """Play positions to the end, `count` times each, with actions and outcomes drawn by key; uniform logits.

    `prefer(state, player)` may restrict the actions among which a playout draws. A playout stops after `most_steps`
    steps and counts with the returns so far.
    """

    def __init__(self, spec: Spec, count: int = 1, prefer: Callable[[State, int], Sequence[int]] | None = None) -> None:
        self._spec, self._count, self._most = spec, count, most_steps(spec)
        self._prefer = prefer or (lambda state, player: state.legal_actions(player))

    def evaluate(self, states: Sequence[State], movers: NDArray[np.int64], keys: Keys) -> LogitsAndValues:
        values = np.zeros((len(states), self._spec.num_players))
        for row, state, key in zip(values, states, keys.tolist(), strict=True):
            before = np.array(state.returns())
            for n in range(self._count):
                row += self._play(state.clone(), fold_one(key, n))
            row /= self._count
            row -= before
        return np.zeros((len(states), self._spec.num_actions), np.float32), values

    def _play(self, state: State, key: int) -> Sequence[float]:
        """Play one position to its end; return each player's return."""
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
