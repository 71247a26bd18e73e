"""The bootstrap: resamples of seeds, drawn with replacement, and the 95 % percentile interval."""

import numpy as np

from games.arrays import Floats, Ints
from games.keys import Keys, fold, uniform

RESAMPLES = 2_000
QUANTILES = 0.025, 0.975  # of a 95 % interval


def draws(key: int | Keys, seeds: int, resamples: int = RESAMPLES) -> Ints:
    """Return R drawings of as many seeds as there are, with replacement [R, S]."""
    return (uniform(fold(key, np.arange(resamples)), seeds) * seeds).astype(np.int64)


def multiplicities(drawn: Ints) -> Floats:
    """Return how often each of S seeds is drawn [R, S], by drawings [R, S]."""
    place = drawn + drawn.shape[1] * np.arange(len(drawn))[:, None]
    return np.bincount(place.ravel(), minlength=place.size).reshape(place.shape).astype(np.float64)


def bounds(resampled: Floats) -> tuple[Floats, Floats]:
    """Return the lower and the upper bound [...] of the 95 % interval, by the resamples of a statistic [R, ...]."""
    low, high = np.quantile(resampled, QUANTILES, axis=0)
    return low, high
