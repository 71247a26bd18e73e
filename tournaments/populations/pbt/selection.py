"""Population-based training: truncation selection (Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846).

    fitness[i]     the mean over seeds of returns[i, s]; all members play the same seeds
    rank           the ⌈n/5⌉ of the lowest fitness meet the ⌈n/5⌉ of the highest, each one that is drawn by key
    exploit        it copies the learner of the one that it meets, if their difference is real
    explore        copied or not, its settings are resampled or perturbed (priors.py)

Deviation: the paper copies whatever the difference. A member that copies nobody here explores its own settings, or
where all are equally bad nothing would be tried. Here it copies if the interval of the paired differences d_s =
returns[parent, s] − returns[child, s] excludes 0. The two are chosen by these returns, as the furthest apart of
n(n − 1)/2 pairs, so the interval is that of α over so many (Bonferroni): of members that do not differ, none copies
in a round with a probability of at least 1 − α, where mean differences are normal. (Of eight such members, 95 %
intervals would let three copy in ten meetings; these let one copy in a hundred.)

Pure functions of returns and keys.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats
from games.keys import fold_one, uniform_one
from marl.base.intervals import MIN_SEEDS, Estimate, estimate

FIFTH = 5
ALPHA = 0.05  # the probability that any member of those that do not differ copies, in each round


@dataclass(frozen=True)
class Meeting:
    """A member of the lowest fifth and one of the highest, by their places, and how much more the second earns."""

    child: int
    parent: int
    difference: Estimate
    diverged: bool = False  # the child: it cannot go on with its own settings

    @property
    def copies(self) -> bool:
        """Whether the child copies the parent, as it diverged or the difference is real."""
        return self.diverged or self.difference.mean > self.difference.interval


def fitness(returns: Floats) -> list[Estimate]:
    """Return the fitness of each member with its 95 % interval, by its returns [n, S] on S seeds."""
    return [estimate(row) for row in returns]


def meetings(returns: Floats, key: int, diverged: Collection[int] = ()) -> list[Meeting]:
    """Return which members meet, the lowest first, by their returns [n, S] on the same S seeds.

    Of members with equal fitness the earlier one ranks lower. Those that diverged, by their places, rank lowest, and
    all of them meet one that did not. Raises ValueError for returns that are not finite, for fewer than 2 members or
    MIN_SEEDS seeds, and where all diverged.
    """
    n, seeds = returns.shape
    if n < 2 or seeds < MIN_SEEDS or not np.isfinite(returns).all():
        raise ValueError(f"expected finite returns of 2 members or more on {MIN_SEEDS} seeds or more, got {n}, {seeds}")
    if len(diverged) >= n:
        raise ValueError("expected a member that did not diverge")
    by_fitness = np.argsort(returns.mean(1), kind="stable").tolist()
    some = -(-n // FIFTH)
    lowest = sorted(by_fitness, key=lambda place: place not in diverged)[: max(some, len(diverged))]
    highest = [place for place in by_fitness if place not in diverged][-some:]
    alpha = ALPHA / (n * (n - 1) / 2)
    met = [highest[int(uniform_one(fold_one(key, child)) * len(highest))] for child in lowest]
    return [
        Meeting(child, parent, estimate(returns[parent] - returns[child], alpha), child in diverged)
        for child, parent in zip(lowest, met, strict=True)
    ]
