"""What passes between the rollout, the agents and the learners.

Axis letters: T time, E environments stepped together, N players, A actions, B rows of a batch, R recorded rows.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import State
from games.keys import Keys

Hidden = Any  # an agent's recurrent state: None, or anything that rows [B] index
Tensors = dict[str, Any]  # named tensors, as a checkpoint keeps them


@dataclass(frozen=True)
class View:
    """A row for every (environment, player) that one agent must decide for right now."""

    obs: NDArray[Any]  # [B, *O]
    action_mask: NDArray[np.bool_]  # [B, A]
    player: NDArray[np.int64]  # [B]
    row: NDArray[np.int64]  # [B] which seat this is, stable through an episode
    first: NDArray[np.bool_]  # [B] this is the player's first decision of its episode
    key: Keys  # [B] all randomness of this decision
    states: Callable[[], list[State]] | None = None  # clones of the positions; None where a game has none

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: int) -> "View":
        """Return one row alone, as a batch of one."""
        return self.rows(slice(index, index + 1))

    def rows(self, rows: slice) -> "View":
        """Return some rows, as a batch of their own."""
        states = self.states
        return View(
            self.obs[rows],
            self.action_mask[rows],
            self.player[rows],
            self.row[rows],
            self.first[rows],
            self.key[rows],
            None if states is None else lambda: states()[rows],
        )


@dataclass(frozen=True)
class Decision:
    """What an agent chose, and what its algorithm's update will want to know of it."""

    action: NDArray[Any]  # [B] int, or [B, D] float
    extras: dict[str, NDArray[Any]] = field(default_factory=dict)  # [B, ...] such as log_prob


@dataclass(frozen=True)
class Trajectory:
    """What was seen at t `[T+1, ...]` and what was done at t `[T, ...]`.

    Observations are stored where somebody needed them: rows [R], and `index` [T+1, E, N] into them, -1 elsewhere.
    Arrays are dense otherwise; entries of players who are not acting mean nothing.
    """

    obs: NDArray[Any]  # [R, *O]
    action_mask: NDArray[np.bool_]  # [R, A]
    index: NDArray[np.int64]  # [T+1, E, N] the row of the player's view, where acting or truncated; else -1
    acting: NDArray[np.bool_]  # [T+1, E, N]
    terminated: NDArray[np.bool_]  # [T+1, E, N]
    truncated: NDArray[np.bool_]  # [T+1, E, N]
    first: NDArray[np.bool_]  # [T+1, E]
    global_state: NDArray[np.float32]  # [T+1, E, S]
    action: NDArray[Any]  # [T, E, N] or [T, E, N, D]
    reward: NDArray[np.float32]  # [T, E, N] paid by the transition t -> t+1
    extras: dict[str, NDArray[Any]]  # [T, E, N, ...]
    seating: NDArray[np.int64]  # [T, E, N] the roster entry that held the player
    complete: NDArray[np.bool_]  # [T, E, N] a decision handed over now: its successor is known, and it was not before
    recorded: int  # the moments before this one were part of the trajectory before

    @property
    def steps(self) -> int:
        """Transitions of one environment that are new here; idle reset slots do not count."""
        return int((~self.first[self.recorded + 1 :]).sum())

    def learnable(self, mine: Collection[int]) -> NDArray[np.bool_]:
        """Return the mask of every loss [T, E, N]: decisions of the roster entries `mine`, each handed over once."""
        return self.complete & np.isin(self.seating, list(mine))
