"""Statistics of a learning curve over several seeds.

The estimate is the interquartile mean over seeds, its interval the 95 % percentile bootstrap that resamples whole runs
within a game (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264; a plot has one game, so one stratum). Fewer than
4 seeds have no quartiles: they are shown as their mean, with the range from the lowest to the highest.
"""

import numpy as np

from games.arrays import Floats
from games.keys import fold, stream, uniform

QUARTILED = 4  # the smallest number of seeds with quartiles
RESAMPLES = 2_000


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
    seeds = len(values)
    draws = (uniform(fold(key, np.arange(RESAMPLES)), seeds) * seeds).astype(np.int64)  # [R, S]
    resampled = np.stack([iqm(column[draws.T]) for column in values.T])  # [G, R]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return low, high
