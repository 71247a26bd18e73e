"""The episodes of training as they open and end, with who held each seat.

Axis letters: T new steps of a trajectory, E environments, N players, K episodes or parts of episodes.
"""

from dataclasses import dataclass

import numpy as np

from games import rounding
from games.arrays import Floats, Ints
from marl.rollout.seating import Seating
from marl.rollout.types import Trajectory


@dataclass(frozen=True)
class Ended:
    """The episodes that ended in a recording [K], in the order in which they ended."""

    seating: Seating  # [K, N] the roster entry that held each player
    returns: Floats  # [K, N] the undiscounted sum of rewards
    rounding: Floats  # [K] bound on the rounding error of the payments (games/rounding.py)
    length: Ints  # [K] steps


def opened(trajectory: Trajectory) -> Seating:
    """Return the seatings [K, N] of the episodes that opened in the new steps of a recording."""
    done = slice(trajectory.recorded, None)
    return trajectory.seating[done][trajectory.first[:-1][done] & trajectory.played[done]]


class Episodes:
    """Follow the episodes of a stretch from recording to recording; those still open at its end never end here."""

    def __init__(self, num_envs: int, num_players: int) -> None:
        self._open = np.zeros((num_players + 2, num_envs))  # [N + 2, E] what the open episodes have summed up so far

    def add(self, trajectory: Trajectory) -> Ended:
        """Return the episodes that ended in the new steps of a recording. Environments that are idle have none."""
        done, seen = slice(trajectory.recorded, None), slice(trajectory.recorded + 1, None)
        reward = trajectory.reward[done]
        step = trajectory.played[done] & ~trajectory.first[seen]  # [T, E] neither idle nor a reset
        ended = (trajectory.terminated[seen] | trajectory.truncated[seen]).all(2) & step
        # An environment's steps are adjacent numbers [N + 2, E, T]. A part ends with its episode or with the recording.
        summed = np.stack([*np.moveaxis(reward * step[..., None], 2, 0), rounding.of_payments(reward) * step, step])
        begins = np.concatenate([np.ones_like(ended[:1]), ended[:-1]]).T.reshape(-1)
        start = np.flatnonzero(begins)  # [K]
        sums = np.add.reduceat(summed.swapaxes(1, 2).reshape(len(summed), -1), start, axis=1)  # [N + 2, K]
        carried = np.flatnonzero(start % len(ended) == 0)  # [E] the part that goes on with the open episode
        sums[:, carried] += self._open
        last = np.append(carried[1:], len(start)) - 1  # [E]
        end = np.append(start[1:], ended.size) - 1  # [K] the last step of each part
        closed = ended.T.reshape(-1)[end]
        self._open = np.where(closed[last], 0, sums[:, last])
        env, time = np.divmod(end[closed], len(ended))
        order = np.argsort(time, kind="stable")
        sums = sums[:, closed][:, order]
        seating = trajectory.seating[done][time[order], env[order]]
        return Ended(seating, sums[:-2].T, sums[-2], sums[-1].astype(np.int64))
