"""The episodes of training as they open and end, with who held each seat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games import rounding
from marl.rollout.seating import Seating
from marl.rollout.types import Trajectory


@dataclass(frozen=True)
class Ended:
    """The episodes that ended in a recording [K], in the order in which they ended."""

    seating: Seating  # [K, N] the roster entry that held each player
    returns: NDArray[np.float64]  # [K, N] the undiscounted sum of rewards
    rounding: NDArray[np.float64]  # [K] bound on the rounding error of the payments (games/rounding.py)
    length: NDArray[np.int64]  # [K] steps


class Episodes:
    """Follow the episodes of a stretch from recording to recording; those still open at its end never end here."""

    def __init__(self, num_envs: int, num_players: int) -> None:
        self._returns = np.zeros((num_envs, num_players))  # [E, N] so far
        self._rounding = np.zeros(num_envs)  # [E]
        self._length = np.zeros(num_envs, np.int64)  # [E]

    def add(self, trajectory: Trajectory) -> tuple[Seating, Ended]:
        """Return the seatings [K, N] of the episodes that opened in the new steps of a recording, and those that ended.

        Environments that are idle have no episodes.
        """
        played = trajectory.played
        opened = trajectory.first[:-1] & played
        opened[: trajectory.recorded] = False
        over = np.asarray((trajectory.terminated | trajectory.truncated).all(2))[1:] & played
        ended = []
        for t in range(trajectory.recorded, len(trajectory.action)):
            first, reward = trajectory.first[t], trajectory.reward[t]
            for total in (self._returns, self._rounding, self._length):
                total[first] = 0
            self._returns += reward
            self._rounding += rounding.of_payments(reward)
            self._length += 1
            if over[t].any():
                envs = np.flatnonzero(over[t])
                sums = (total[envs] for total in (self._returns, self._rounding, self._length))
                ended.append((trajectory.seating[t, envs], *sums))
        nothing = (trajectory.seating[0, :0], self._returns[:0], self._rounding[:0], self._length[:0])
        return trajectory.seating[opened], Ended(*map(np.concatenate, zip(nothing, *ended, strict=True)))
