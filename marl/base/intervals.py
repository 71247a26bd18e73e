"""Intervals, of 95 % by default, from the spread over seeds, for mean payoffs, payoff tables and ratings.

The games of one seed share its chance events, and an agent's luck on a seed is part of all its games there. So a seed
is one observation, and only seeds are independent. With z_s the pull of seed s on a number (its share of the number's
deviation from the truth, as the results show it) and G seeds,

    SE² = G/(G − 1) · Σ_s z_s²        interval: ± t(0.975, G − 1) · SE

Where seeds do not weigh alike, as one agent has played few of them, G is their effective number: with q_s the variance
that seed s is expected to add to the number,

    G = (Σ q_s)² / Σ q_s²        (as Satterthwaite 1946 counts degrees of freedom, https://doi.org/10.2307/3002019)

One seed shows no spread: its interval is infinite. Fewer than `MIN_SEEDS` seeds may be alike by chance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.arrays import Floats, Ints

MIN_SEEDS = 10
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A number, and the half width of its interval."""

    mean: float
    interval: float


def quantile(seeds: ArrayLike, alpha: float = 0.05) -> Floats:
    """Return Student's t(1 − alpha/2, G − 1) for effective numbers of seeds G [...].

    It is infinite where the number rounds to one seed.
    """
    from scipy.special import stdtrit  # here: who plays games imports this module too, and scipy takes a while

    seeds = np.asarray(seeds, np.float64)
    return np.asarray(stdtrit(seeds - 1, 1 - alpha / 2, out=np.full(seeds.shape, np.inf), where=seeds >= 1.5))


def interval(se: Floats, seeds: ArrayLike, alpha: float = 0.05) -> Floats:
    """Return the half widths of intervals [...] that miss the truth with probability `alpha`.

    They are infinite where the effective number of seeds rounds to one.
    """
    factor = quantile(seeds, alpha)
    return np.where(np.isinf(factor), np.inf, np.where(np.isinf(factor), 0.0, factor) * se)


def standard_error(squares: Floats, seeds: Ints) -> Floats:
    """Return the standard errors [...] of numbers by Σ z_s² [...]; 0 with one seed, which shows no spread."""
    return np.asarray(np.sqrt(squares * seeds / np.maximum(seeds - 1, 1)))


def of_pulls(pull: Floats, seeds: Ints, alpha: float = 0.05) -> Floats:
    """Return the half widths [...], as `interval` does, for numbers on which `seeds` [...] seeds pull [..., S]."""
    return interval(standard_error((pull**2).sum(-1), seeds), seeds, alpha)


def estimate(values: Floats, alpha: float = 0.05) -> Estimate:
    """Return the mean of the values of seeds [S], with its interval."""
    mean, seeds = values.mean(), np.array(len(values))
    return Estimate(float(mean), float(of_pulls((values - mean) / seeds, seeds, alpha)))


def effective(total: Floats, squares: Floats) -> Floats:
    """Return effective numbers of seeds [...] by Σ q_s and Σ q_s² [...]; infinite where the squares are 0."""
    found = np.divide(total**2, squares, out=np.full(total.shape, np.inf), where=squares > 0)
    return np.asarray(np.round(found, 9))  # seeds that weigh alike are a whole number, whatever the order of sums
