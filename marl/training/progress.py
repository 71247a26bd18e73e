"""What a user sees of training episodes as they end: their returns and their lengths."""

from collections.abc import Mapping, Sequence

import numpy as np

from games.contract import Spec
from marl.rollout.training_episodes import Ended

EPISODES, LENGTH, RETURN = "rollout/episodes", "rollout/episode_length", "rollout/return_mean"
MOST_SHOWN = 4  # returns in a line of progress


def metrics_of(ended: Ended, spec: Spec, leaders: Sequence[int]) -> dict[str, float]:
    """Return the number of the episodes that ended, and their means if there are any.

    A seat counts if one of `leaders`, entries of the roster, holds it: the learner's present policies
    (`Learner.leaders`), neither its past selves nor opponents. An episode counts if one of its seats does. The means
    are of the episodes' lengths in steps and of their undiscounted returns: of the team; of each player, over the
    episodes in which its seat counts; or of each leader over its seats, if there are several leaders.
    """
    counted = np.isin(ended.seating, leaders)  # [K, N]
    episode = np.asarray(counted.any(1))
    metrics: dict[str, float] = {EPISODES: int(episode.sum())}
    if not episode.any():
        return metrics
    metrics[LENGTH] = float(ended.length[episode].mean())
    if spec.payoff == "team" or spec.num_players == 1:  # a team's players are all paid the same
        seats = {RETURN: (ended.returns[:, 0], episode)}
    elif len(leaders) > 1:
        seats = {f"{RETURN}.learner_{k}": (ended.returns, ended.seating == entry) for k, entry in enumerate(leaders)}
    else:
        seats = {f"{RETURN}.player_{p}": (ended.returns[:, p], counted[:, p]) for p in range(spec.num_players)}
    return metrics | {name: float(paid[held].mean()) for name, (paid, held) in seats.items() if held.any()}


def in_words(metrics: Mapping[str, float]) -> str:
    """Return the mean returns of a trajectory's episodes as a few words, the mean of many; empty if none ended."""
    means = [value for name, value in metrics.items() if name.split(".")[0] == RETURN]
    if len(means) > MOST_SHOWN:
        means = [float(np.mean(means))]
    return " ".join(["return", *(f"{mean:+.3g}" for mean in means)]) if means else ""
