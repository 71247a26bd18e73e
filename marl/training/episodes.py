"""Returns and lengths of training episodes, as they end.

Axis letters: T new steps of a trajectory, E environments, N players, K parts of episodes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from games.arrays import Floats
from games.contract import Spec
from marl.rollout.seating import Seating
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
        self._open = np.zeros((num_envs, spec.num_players + 1))  # [E, N + 1] returns and length of open episodes so far

    def add(self, trajectory: Trajectory) -> dict[str, float]:
        """Return the number of the episodes that ended in the trajectory's new steps, and their means if there are any.

        The means are of the episodes' lengths in steps and of their undiscounted returns: of the team; of each player,
        over the episodes in which its seat counts; or of each leader over its seats, if there are several leaders.
        """
        sums, seating = self._ended(trajectory)
        counted = np.isin(seating, self._leaders)  # [K, N]
        episode = np.asarray(counted.any(1))
        metrics: dict[str, float] = {EPISODES: int(episode.sum())}
        if not episode.any():
            return metrics
        returns, length = sums[:, :-1], sums[:, -1]
        metrics[LENGTH] = float(length[episode].mean())
        if self._one:
            seats = {RETURN: (returns[:, :1], episode[:, None])}
        elif len(self._leaders) > 1:
            seats = {f"{RETURN}.learner_{k}": (returns, seating == entry) for k, entry in enumerate(self._leaders)}
        else:
            players = range(returns.shape[1])
            seats = {f"{RETURN}.player_{p}": (returns[:, p], counted[:, p]) for p in players}
        return metrics | {name: float(paid[held].mean()) for name, (paid, held) in seats.items() if held.any()}

    def _ended(self, trajectory: Trajectory) -> tuple[Floats, Seating]:
        """Return the sums [K, N + 1] and the seating [K, N] of the episodes that ended; keep the sums of the others."""
        done, seen = slice(trajectory.recorded, None), slice(trajectory.recorded + 1, None)
        step = trajectory.played[done] & ~trajectory.first[seen]  # [T, E] neither idle nor a reset
        ended = (trajectory.terminated[seen] | trajectory.truncated[seen]).all(2) & step  # [T, E]
        paid = np.concatenate([trajectory.reward[done] * step[..., None], step[..., None]], 2, dtype=np.float64)
        # By environment, so that each episode is a run of rows; a part ends with its episode or with the trajectory.
        begins = np.concatenate([np.ones_like(ended[:1]), ended[:-1]]).T  # [E, T]
        start = np.flatnonzero(begins)  # [K]
        sums = np.add.reduceat(paid.swapaxes(0, 1).reshape(-1, paid.shape[2]), start)  # [K, N + 1]
        carried = np.flatnonzero(start % len(ended) == 0)  # [E] the part that goes on with the open episode
        sums[carried] += self._open
        last = np.append(carried[1:], len(start)) - 1  # [E]
        env, t = np.divmod(np.append(start[1:], ended.size) - 1, len(ended))  # [K] the last step of each part
        over = ended[t, env]
        self._open = np.where(over[last, None], 0, sums[last])
        return sums[over], trajectory.seating[done][t[over], env[over]]


def in_words(metrics: Mapping[str, float]) -> str:
    """Return the mean returns of a trajectory's episodes as a few words, the mean of many; empty if none ended."""
    means = [value for name, value in metrics.items() if name.split(".")[0] == RETURN]
    if len(means) > MOST_SHOWN:
        means = [float(np.mean(means))]
    return " ".join(["return", *(f"{mean:+.3g}" for mean in means)]) if means else ""
