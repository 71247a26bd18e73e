"""Statistics of learning curves and of final scores over several seeds.

The estimate is the interquartile mean over seeds, its interval the 95 % percentile bootstrap that resamples whole runs
within a game (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264; a plot has one game, so one stratum). Fewer than
4 seeds have no quartiles: they are shown as their mean, with the range from the lowest to the highest.

Aggregates and performance profiles are of normalised scores [S, G], S runs of one method at each of G games, as the
same paper defines them. Their intervals resample runs within each game (stratified bootstrap).
Axis letters: S seeds, G points of a curve or games, R resamples, X places of a profile.
"""

from collections.abc import Callable

import numpy as np

from games.arrays import Floats
from games.keys import fold, stream
from marl.base.bootstrap import bounds, draws

QUARTILED = 4  # the smallest number of seeds with quartiles


def estimate(values: Floats) -> tuple[Floats, Floats | None, Floats | None]:
    """Return the estimate over seeds, and its lower and upper bound, of values [S, G]; one seed has no bounds."""
    if len(values) == 1:
        return values[0], None, None
    if len(values) < QUARTILED:
        return values.mean(0), values.min(0), values.max(0)
    return iqm(values), *bootstrap(values, stream(0, "bootstrap"))


def iqm(values: Floats) -> Floats:
    """Return the interquartile mean over the first axis: the mean without the ⌊n/4⌋ lowest and highest of n."""
    quarter = len(values) // 4
    return np.asarray(np.sort(values, axis=0)[quarter : len(values) - quarter].mean(0))


def bootstrap(values: Floats, key: int) -> tuple[Floats, Floats]:
    """Return the bounds [G] of the 95 % percentile interval of the IQM of values [S, G].

    Seeds are drawn with replacement, the same ones at every step: a run is resampled whole.
    """
    chosen = draws(key, len(values))
    return bounds(np.stack([iqm(column[chosen.T]) for column in values.T], 1))  # [R, G]


def median(scores: Floats) -> Floats:
    """Return the median over games of the mean over runs, of scores [..., S, G]."""
    return np.asarray(np.median(scores.mean(-2), -1))


def iqm_of_all(scores: Floats) -> Floats:
    """Return the interquartile mean over all runs of all games, of scores [..., S, G]."""
    return iqm(np.moveaxis(scores.reshape(*scores.shape[:-2], -1), -1, 0))


def mean(scores: Floats) -> Floats:
    """Return the mean over games and runs, of scores [..., S, G]."""
    return np.asarray(scores.mean((-2, -1)))


def optimality_gap(scores: Floats) -> Floats:
    """Return by how much scores [..., S, G] fall short of 1 on average; beyond 1 nothing is gained."""
    return np.asarray(1 - np.minimum(scores, 1).mean((-2, -1)))


AGGREGATES: dict[str, Callable[[Floats], Floats]] = {
    "median": median,
    "IQM": iqm_of_all,
    "mean": mean,
    "optimality gap": optimality_gap,
}


def profile(scores: Floats, at: Floats) -> Floats:
    """Return the share of scores [..., S, G], over all runs and games, above each of `at` [X]: [..., X]."""
    return np.stack([(scores > place).mean((-2, -1)) for place in at], -1)


def interval(statistic: Callable[[Floats], Floats], scores: Floats) -> tuple[Floats, Floats] | None:
    """Return the bounds of the 95 % percentile interval of a statistic of scores [S, G]; one run has none."""
    if len(scores) < 2:
        return None
    return bounds(statistic(resampled(scores)))


def resampled(scores: Floats) -> Floats:
    """Return resamples [R, S, G] of scores [S, G]: within each game runs are drawn with replacement, independently."""
    key = stream(0, "bootstrap")
    games = [column[draws(fold(key, g), len(scores))] for g, column in enumerate(scores.T)]
    return np.stack(games, -1)
