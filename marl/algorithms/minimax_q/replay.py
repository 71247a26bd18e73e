"""Replay of decisions with the positions after them, as each player saw them.

A row is one player's decision at a position: what it saw, both players' legal actions and choices, what it was paid
until the next position, and the next position as seen by a player who acts there: by itself if it does, else by the
other. A player who is not acting has the one legal action 0.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Bools, Ints
from games.contract import Spec
from games.keys import fold, uniform
from marl.base.memory import refuse_beyond_memory
from marl.rollout.types import Tensors, Trajectory

Rows = dict[str, NDArray[Any]]
UNSOLVED = -1


class StageReplay:
    """Keep the newest `capacity` decisions; `heads` is how many values the next position has.

    Raises UserError if so many do not fit into memory.
    """

    def __init__(self, spec: Spec, capacity: int, heads: int) -> None:
        self.capacity, self._fields = capacity, _row(spec, heads)
        size = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in self._fields.values())
        # Growing copies the rows: twice the memory for a moment. A checkpoint is written without a copy.
        refuse_beyond_memory(capacity, f"positions of '{spec.name}'", size, 2, "replay_positions")
        self.rows: Rows = {name: np.zeros((0, *shape), dtype) for name, (shape, dtype) in self._fields.items()}
        self._next = 0  # the number of decisions ever stored

    def __len__(self) -> int:
        return min(self._next, self.capacity)

    def add(self, trajectory: Trajectory, mine: Collection[int]) -> None:
        """Add the decisions of the roster entries `mine` whose next position is known."""
        rows = decisions(trajectory, mine)
        count = len(rows["player"])
        room = min(self.capacity, self._next + count)
        if (had := len(self.rows["player"])) < room:
            more = min(self.capacity, max(room, 2 * had, 1024)) - had
            for name, column in self.rows.items():
                self.rows[name] = np.concatenate([column, np.zeros((more, *column.shape[1:]), column.dtype)])
        at = (self._next + np.arange(count)) % self.capacity
        for name, column in rows.items():
            self.rows[name][at] = column
        self.rows["solved"][at] = UNSOLVED
        self._next += count

    def draw(self, count: int, key: int) -> Ints:
        """Draw the places of `count` decisions by `key`, with replacement."""
        return (uniform(fold(key, np.arange(count))) * len(self)).astype(np.int64)

    def at(self, places: Ints) -> Rows:
        """Return the decisions at some places."""
        return {name: column[places] for name, column in self.rows.items()}

    def state(self) -> Tensors:
        return {"next": np.array(self._next)} | {name: column[: len(self)] for name, column in self.rows.items()}

    def load_state(self, state: Tensors) -> None:
        self._next, count = int(state["next"]), len(state["player"])
        places = np.arange(count)
        if count > self.capacity or count < min(self._next, self.capacity):  # another capacity: the newest, in order
            places = np.roll(places, -self._next)[-self.capacity :]
            self._next = len(places)
        self.rows = {name: np.asarray(state[name])[places].copy() for name in self.rows}


def decisions(trajectory: Trajectory, mine: Collection[int]) -> Rows:
    """Return the decisions [K] of the roster entries `mine` with the positions that follow them.

    Decisions before a truncation are left out: nobody is shown the legal actions there.
    """
    after, paid, ended = _successors(trajectory)
    cut: Bools = np.asarray((trajectory.truncated & ~trajectory.terminated).any(2))  # [T+1, E]
    env = np.arange(after.shape[1])
    wanted = trajectory.learnable(mine) & ~(ended & cut[after, env])[..., None]
    time, env, player = np.nonzero(wanted)
    other, then, done = 1 - player, after[time, env], ended[time, env]
    acts = trajectory.acting[time, env, other]
    seen_by = np.where(trajectory.acting[then, env, player], player, other)
    gain = paid[time, env]
    rows: Rows = {
        "player": player,
        "action": trajectory.action[time, env, player],
        "other_action": np.where(acts, trajectory.action[time, env, other], 0),
        "reward": (gain[np.arange(len(player)), player] - gain[np.arange(len(player)), other]) / 2,
        "done": done,
        "start": _opens(trajectory)[time, env],
        "obs": trajectory.obs[trajectory.index[time, env, player]],
        "legal": _legal(trajectory, time, env, player),
        "other_legal": _legal(trajectory, time, env, other),
        "next_player": np.where(done, player, seen_by),
    }
    index = np.where(done, trajectory.index[time, env, player], trajectory.index[then, env, seen_by])
    rows["next_obs"] = trajectory.obs[index]
    rows["next_legal"] = _legal(trajectory, then, env, rows["next_player"])
    rows["next_other_legal"] = _legal(trajectory, then, env, 1 - rows["next_player"])
    return rows


def _legal(trajectory: Trajectory, time: Ints, env: Ints, player: Ints) -> Bools:
    """Return the legal actions [K, A] of players; action 0 of one who is not acting."""
    legal = trajectory.action_mask[trajectory.index[time, env, player]]
    nothing = np.arange(legal.shape[1]) == 0
    return np.where(trajectory.acting[time, env, player][:, None], legal, nothing)


def _successors(trajectory: Trajectory) -> tuple[Ints, NDArray[np.float32], Bools]:
    """Return the step of the next position, or of the end [T, E], what is paid until then, and whether it is the end.

    Where the next position lies beyond the recording that is T.
    """
    reward = trajectory.reward
    steps = len(reward)
    last: Bools = np.asarray((trajectory.terminated | trajectory.truncated).all(2))
    position: Bools = np.asarray(trajectory.acting.any(2))
    after = np.full(reward.shape[:2], steps)
    paid, ended = np.zeros_like(reward), np.zeros(reward.shape[:2], bool)
    then, gain, end = after[0].copy(), np.zeros_like(reward[0]), ended[0].copy()
    for t in reversed(range(steps)):
        here = last[t + 1] | position[t + 1]
        then, end = np.where(here, t + 1, then), np.where(here, last[t + 1], end)
        gain = np.where(here[:, None], 0, gain) + reward[t]
        after[t], paid[t], ended[t] = then, gain, end
    return after, paid, ended


def _opens(trajectory: Trajectory) -> Bools:
    """Return where an episode has its first position [T, E]."""
    position: Bools = np.asarray(trajectory.acting.any(2))
    opened = np.zeros(trajectory.first.shape[1], bool)
    found = np.zeros(trajectory.first[:-1].shape, bool)
    for t in range(len(found)):
        opened = opened | trajectory.first[t]
        found[t] = opened & position[t]
        opened = opened & ~position[t]
    return found


def _row(spec: Spec, heads: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and the type of each field of a decision."""
    actions, view = (spec.num_actions,), (spec.observation.shape, spec.observation.dtype)
    return {
        "obs": view,
        "player": ((), "int64"),
        "legal": (actions, "bool"),
        "other_legal": (actions, "bool"),
        "action": ((), "int64"),
        "other_action": ((), "int64"),
        "reward": ((), "float32"),  # half of what the player was paid more than the other
        "done": ((), "bool"),
        "start": ((), "bool"),  # the first position of its episode
        "next_obs": view,
        "next_player": ((), "int64"),
        "next_legal": (actions, "bool"),
        "next_other_legal": (actions, "bool"),
        "value": ((heads,), "float32"),  # of the next position, for the player of the row
        "solved": ((), "int64"),  # the target network that `value` is of
    }
