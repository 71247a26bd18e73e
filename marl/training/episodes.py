"""Returns and lengths of training episodes, as they end.

Axis letters: T new steps of a trajectory, E environments, N players, K parts of episodes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from games.arrays import Floats
from games.contract import Spec
from marl.rollout.seating import EMPTY, Seating
from marl.rollout.types import Trajectory

EPISODES, LENGTH, RETURN = "rollout/episodes", "rollout/episode_length", "rollout/return_mean"
MOST_SHOWN = 4  # returns in a line of progress


class Episodes:
    """Sum the rewards and steps of the episodes of a stretch; report those that ended with each trajectory.

    A seat counts if one of `leaders` holds it: the learner's present policies, neither its past selves nor opponents.
    An episode counts if one of its seats does. Episodes that are open at the end of a stretch are never reported.
    """

    def __init__(self, spec: Spec, leaders: Sequence[int], num_envs: int) -> None:
        """`leaders` are entries of the roster, those of `Learner.leaders`."""
        self._leaders = list(leaders)
        self._one = spec.payoff == "team" or spec.num_players == 1  # a team's players are all paid the same
        self._open = np.zeros((spec.num_players + 1, num_envs))  # [N + 1, E] returns and length of open episodes so far

    def add(self, trajectory: Trajectory) -> dict[str, float]:
        """Return the number of the episodes that ended in the trajectory's new steps, and their means if there are any.

        The means are of the episodes' lengths in steps and of their undiscounted returns: of the team; of each player,
        over the episodes in which its seat counts; or of each leader over its seats, if there are several leaders.
        """
        sums, seating = self._ended(trajectory)
        counted = np.isin(seating, self._leaders)  # [N, K]
        episode = np.asarray(counted.any(0))
        metrics: dict[str, float] = {EPISODES: int(episode.sum())}
        if not episode.any():
            return metrics
        returns, length = sums[:-1], sums[-1]
        metrics[LENGTH] = float(length[episode].mean())
        if self._one:
            seats = {RETURN: (returns[0], episode)}
        elif len(self._leaders) > 1:
            seats = {f"{RETURN}.learner_{k}": (returns, seating == entry) for k, entry in enumerate(self._leaders)}
        else:
            seats = {f"{RETURN}.player_{p}": (returns[p], counted[p]) for p in range(len(returns))}
        return metrics | {name: float(paid[held].mean()) for name, (paid, held) in seats.items() if held.any()}

    def _ended(self, trajectory: Trajectory) -> tuple[Floats, Seating]:
        """Return the sums [N + 1, K] and the seating [N, K] of the episodes that ended; keep the sums of the others.

        Arrays are turned to [N, E, T], so that each part of an episode is a run of adjacent numbers; a part ends with
        its episode or with the trajectory.
        """
        done, seen = slice(trajectory.recorded, None), slice(trajectory.recorded + 1, None)
        reward = np.ascontiguousarray(trajectory.reward[done].T)
        seating = np.ascontiguousarray(trajectory.seating[done].T)
        over = np.ascontiguousarray((trajectory.terminated[seen] | trajectory.truncated[seen]).T)
        step = (seating != EMPTY).any(0) & ~trajectory.first[seen].T  # [E, T] neither idle nor a reset
        ended = over.all(0) & step  # [E, T]
        paid = np.concatenate([reward * step, step[None]], dtype=np.float64).reshape(len(self._open), -1)
        begins = np.concatenate([np.ones_like(ended[:, :1]), ended[:, :-1]], 1)
        start = np.flatnonzero(begins)  # [K]
        sums = np.add.reduceat(paid, start, axis=1)  # [N + 1, K]
        carried = np.flatnonzero(start % ended.shape[1] == 0)  # [E] the part that goes on with the open episode
        sums[:, carried] += self._open
        last = np.append(carried[1:], len(start)) - 1  # [E]
        end = np.append(start[1:], ended.size) - 1  # [K] the last step of each part
        closed = ended.reshape(-1)[end]
        self._open = np.where(closed[last], 0, sums[:, last])
        return sums[:, closed], seating.reshape(len(seating), -1)[:, end[closed]]


def in_words(metrics: Mapping[str, float]) -> str:
    """Return the mean returns of a trajectory's episodes as a few words, the mean of many; empty if none ended."""
    means = [value for name, value in metrics.items() if name.split(".")[0] == RETURN]
    if len(means) > MOST_SHOWN:
        means = [float(np.mean(means))]
    return " ".join(["return", *(f"{mean:+.3g}" for mean in means)]) if means else ""
