"""Replay of whole episodes, or of steps of them: each step is stored once, without padding, and sampled without a loop.

Steps are rows of a ring, in the order of play: [t, e] of one recording, then of the next. So an episode is every E-th
row from its first row on. Rows lie in pages. A page is reused when no stored episode has rows on it any more, so memory
grows with the rows that are stored, not with the capacity.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.keys import fold, uniform
from marl.base.memory import refuse_beyond_memory
from marl.learning.shards import ROWS
from marl.rollout.types import Tensors, Trajectory

PAGE = ROWS  # rows of a page, which is one shard of a checkpoint
GROWTH = 1 / 16  # share of the pages to add when none is free


class EpisodeReplay:
    """Keep the newest `capacity` complete episodes.

    Raises UserError if so many episodes of the game do not fit into memory.
    """

    def __init__(self, spec: Spec, capacity: int) -> None:
        self.spec, self.capacity = spec, capacity
        row = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in _row(spec).values())
        episode = row * ((spec.max_length or 0) + 1)  # unknown lengths count as 0
        # Measured factor 2.1: the pages, and a copy of their rows in `state` and `load_state`.
        refuse_beyond_memory(capacity, f"episodes of '{spec.name}'", episode, 2.1, "replay_episodes")
        self._fields = {name: np.zeros((0, *shape), dtype) for name, (shape, dtype) in _row(spec).items()}
        self._page = np.zeros(0, np.int64)  # [live pages] the index of each page in `_fields`, in the order of its rows
        self._free: list[int] = []
        self._forgotten = 0  # pages freed so far: row r lies on live page r // PAGE - forgotten
        self._next = 0  # number of the next row, counted from the first one ever written
        self._episodes = np.zeros((0, 3), np.int64)  # [K, 3] first row, stride, length in steps; the oldest first
        self._open = np.zeros(0, np.int64)  # [E] the first row of the open episode; -1 if its beginning is not stored

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self._episodes)

    @property
    def nbytes(self) -> int:
        """Bytes of all pages."""
        return sum(field.nbytes for field in self._fields.values())

    def add(self, trajectory: Trajectory, mine: Collection[int]) -> None:
        """Add the new steps of a recording.

        Players of roster entries other than `mine` are part of the game: they do not act, and truncation terminates
        their episode.
        """
        fresh = slice(trajectory.recorded, len(trajectory.action))
        played = trajectory.played[fresh]
        first = trajectory.first[fresh] & played
        length, num_envs = first.shape
        if length == 0:
            return
        at = self._allocate(length * num_envs)
        ours = np.isin(trajectory.seating[fresh], list(mine))
        truncated = trajectory.truncated[fresh]
        # The others' observations are not stored, so no value of theirs can be bootstrapped at a truncation.
        terminated = np.where(ours, trajectory.terminated[fresh], trajectory.terminated[fresh] | truncated)
        dense = {"acting": trajectory.acting[fresh] & ours, "terminated": terminated, "truncated": truncated}
        dense |= {name: getattr(trajectory, name)[fresh] for name in ("action", "reward", "global_state")}
        for name, array in dense.items():
            self._fields[name][at] = array.reshape(len(at), *array.shape[2:])
        index = trajectory.index[fresh].reshape(len(at), -1)
        for name in ("obs", "action_mask"):
            rows = getattr(trajectory, name)
            views = np.zeros((*index.shape, *rows.shape[1:]), rows.dtype)
            views[index >= 0] = rows[index[index >= 0]]
            self._fields[name][at] = views
        self._close(first, np.asarray((terminated | truncated).all(2)) & played)
        self._forget()

    @property
    def num_steps(self) -> int:
        """The number of steps of all episodes."""
        return int(self._episodes[:, 2].sum())

    def sample(self, count: int, key: int) -> Trajectory:
        """Draw `count` episodes by `key`, with replacement, as a Trajectory of as many environments [T+1, K, ...].

        Environment k plays its episode from step 0 on; after the episode's end nobody acts and all entries are 0.
        """
        drawn = (uniform(fold(key, np.arange(count))) * len(self)).astype(np.int64)
        start, stride, length = self._episodes[drawn].T
        return self._trajectory(start, stride, length, opens=np.ones(count, bool))

    def sample_steps(self, count: int, key: int) -> Trajectory:
        """Draw `count` steps of all episodes by `key`, with replacement, as a Trajectory of one step [2, K, ...]."""
        last = np.cumsum(self._episodes[:, 2])
        drawn = (uniform(fold(key, np.arange(count))) * last[-1]).astype(np.int64)
        episode = np.searchsorted(last, drawn, side="right")
        start, stride, length = self._episodes[episode].T
        step = drawn - (last[episode] - length)
        return self._trajectory(start + step * stride, stride, np.ones(count, np.int64), opens=step == 0)

    def _trajectory(
        self, start: NDArray[np.int64], stride: NDArray[np.int64], length: NDArray[np.int64], opens: NDArray[np.bool_]
    ) -> Trajectory:
        """Return stretches of episodes: `length` [K] steps from rows `start` [K]; `opens` [K] where an episode does."""
        time = np.arange(length.max() + 1)[:, None]
        real = time <= length  # [T+1, K]
        at = self._positions((start + stride * time)[real])

        def dense(name: str) -> NDArray[Any]:
            field = self._fields[name]
            out = np.zeros((*real.shape, *field.shape[1:]), field.dtype)
            out[real] = field[at]
            return out

        acting, terminated, truncated = dense("acting"), dense("terminated"), dense("truncated")
        seen = acting | (truncated & ~terminated)
        index = np.where(seen, np.cumsum(seen).reshape(seen.shape) - 1, -1)
        seats = (at[:, None] * self.spec.num_players + np.arange(self.spec.num_players))[seen[real]]  # [R]
        action, held = dense("action")[:-1], len(self._fields["obs"]) * self.spec.num_players
        return Trajectory(
            obs=self._fields["obs"].reshape(held, *self.spec.observation.shape)[seats],
            action_mask=self._fields["action_mask"].reshape(held, self.spec.num_actions)[seats],
            index=index,
            acting=acting,
            terminated=terminated,
            truncated=truncated,
            first=(time == 0) & real & opens,
            global_state=dense("global_state"),
            action=action if isinstance(self.spec.action, Box) else action.astype(np.int64),
            reward=dense("reward")[:-1],
            extras={},
            seating=np.zeros(acting[:-1].shape, np.int64),
            complete=acting[:-1],
            recorded=0,
        )

    def state(self) -> Tensors:
        """Return the complete episodes and the pages that hold their rows; open episodes are left out."""
        start = self._oldest() // PAGE * PAGE
        at = self._positions(np.arange(start, self._next))
        state = {"next": np.array(self._next), "episodes": self._episodes}
        return state | {name: field[at] for name, field in self._fields.items()}

    def load_state(self, state: Tensors) -> None:
        """Restore what `state` returned."""
        rows, episodes = len(state["reward"]), np.asarray(state["episodes"])
        self.__init__(self.spec, self.capacity)  # type: ignore[misc]
        self._next = int(state.get("next", rows)) - rows  # checkpoints of format 1 count from their oldest row on
        self._forgotten = self._next // PAGE
        at = self._allocate(rows)
        for name, field in self._fields.items():
            field[at] = np.asarray(state[name])
        self._episodes = episodes.copy()

    def _close(self, first: NDArray[np.bool_], last: NDArray[np.bool_]) -> None:
        """Register the episodes that end in a recording [T, E] of the newest rows, and those that stay open."""
        num_envs = first.shape[1]
        if len(self._open) != num_envs or first[0].all():  # the environments were reset
            self._open = np.full(num_envs, -1)
        row = (self._next - first.size + np.arange(first.size)).reshape(first.shape)
        opened = np.maximum.accumulate(np.concatenate([self._open[None], np.where(first, row, -1)]))[1:]  # [T, E]
        ended = last & (opened >= 0)
        steps = (row[ended] - opened[ended]) // num_envs
        played = np.stack([opened[ended], np.full(len(steps), num_envs), steps], 1)
        self._episodes = np.concatenate([self._episodes, played[steps > 0]])[-self.capacity :]
        self._open = np.where(last[-1], -1, opened[-1])

    def _oldest(self) -> int:
        """Return the first row of the oldest episode."""
        return int(self._episodes[:, 0].min(initial=self._next))

    def _forget(self) -> None:
        """Free the pages on which no episode has rows."""
        live = min(self._oldest(), int(self._open[self._open >= 0].min(initial=self._next)))
        spare = live // PAGE - self._forgotten
        self._free += self._page[:spare].tolist()
        self._page = self._page[spare:]
        self._forgotten += spare

    def _allocate(self, count: int) -> NDArray[np.int64]:
        """Reserve the next `count` rows; return their positions in the fields [count]."""
        rows = np.arange(self._next, self._next + count)
        wanted = int(rows[-1]) // PAGE + 1 - self._forgotten - len(self._page) if count else 0
        while len(self._free) < wanted:
            self._grow()
        self._page = np.concatenate([self._page, np.array([self._free.pop() for _ in range(wanted)], np.int64)])
        self._next += count
        return self._positions(rows)

    def _grow(self) -> None:
        pages = len(self._fields["reward"]) // PAGE
        more = max(1, int(pages * GROWTH))
        for field in self._fields.values():
            # In place, so that the old and the new array are never in memory together.
            field.resize(((pages + more) * PAGE, *field.shape[1:]), refcheck=False)
        self._free += range(pages + more - 1, pages - 1, -1)

    def _positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of rows in the fields."""
        return self._page[rows // PAGE - self._forgotten] * PAGE + rows % PAGE


def _row(spec: Spec) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return the shape and the type of each field of a step."""
    seats = (spec.num_players,)
    action: tuple[tuple[int, ...], Any] = (seats, np.min_scalar_type(spec.num_actions))
    if isinstance(spec.action, Box):
        action = (*seats, spec.action.size), np.float32
    return {
        "obs": ((*seats, *spec.observation.shape), spec.observation.dtype),
        "action_mask": ((*seats, spec.num_actions), bool),
        "global_state": ((spec.global_state_size,), np.float32),
        "action": action,
        "reward": (seats, np.float32),
        "acting": (seats, bool),
        "terminated": (seats, bool),
        "truncated": (seats, bool),
    }
