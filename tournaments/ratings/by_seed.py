"""Payoffs of two-player games by seed, from which any resample of the seeds is a payoff table."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats
from games.keys import stream
from marl.base.bootstrap import draws, multiplicities
from tournaments.ratings.matchups import Unit, sizes
from tournaments.records.results import Results, sum_by

RESAMPLES = 200
KEY = stream(0, "bootstrap")
_TOGETHER = 1 << 22  # numbers of tables that are made at a time


@dataclass(frozen=True, eq=False)
class BySeed:
    """What agents were paid against each other on each seed, both seatings together, and the size of these games."""

    paid: Floats  # [S, n, n] sums
    size: Floats  # [S, n, n] games or steps with a known payoff of the row agent

    @classmethod
    def of(cls, results: Results, unit: Unit = "game") -> "BySeed":
        """Sum the games of each seed; agents as in `results`."""
        n = len(results.agents)
        names, seed = np.unique(results.seeds, return_inverse=True)
        cell = seed[:, None] * n * n + results.seats @ np.array([[n, 1], [1, n]])  # [G, 2]
        known = ~np.isnan(results.payoffs)
        shape = len(names), n, n
        paid, size = np.where(known, results.payoffs, 0.0), sizes(results, unit)[:, None] * known
        total = len(names) * n * n
        return cls(*(sum_by(cell.ravel(), values.ravel(), total).reshape(shape) for values in (paid, size)))

    @property
    def payoff(self) -> Floats:
        """The mean payoff of the row agent against the column agent [n, n]; NaN where nothing was played."""
        return np.asarray(self._mean(np.ones((1, len(self.paid))))[0])

    def resampled(self, key: int = KEY, resamples: int = RESAMPLES) -> Iterator[Floats]:
        """Yield R payoff tables [n, n] of seeds that are drawn with replacement.

        A pair that has met on none of the drawn seeds keeps its mean over all seeds.
        """
        whole, times = self.payoff, multiplicities(draws(key, len(self.paid), resamples))
        together = max(1, _TOGETHER // max(whole.size, 1))
        for first in range(0, resamples, together):
            drawn = self._mean(times[first : first + together])
            yield from np.where(np.isnan(drawn), whole, drawn)

    def _mean(self, times: Floats) -> Floats:
        """Return payoffs [R, n, n] with each seed counted so many times [R, S]."""
        paid, size = (np.tensordot(times, table, 1) for table in (self.paid, self.size))
        return np.asarray(np.divide(paid, size, out=np.full(paid.shape, np.nan), where=size > 0))
