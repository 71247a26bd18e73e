"""Multidimensional Elo (mElo_2k, Balduzzi et al. 2018, https://arxiv.org/abs/1806.02643): strengths and cycles.

    D_ij = r_i − r_j + η + Σ_k (c_i,2k c_j,2k+1 − c_i,2k+1 c_j,2k)        E_ij = 1 / (1 + e^−D_ij)

E is the expected score of i in the first seat against j: 1 for a win, ½ for a draw. Each agent has a strength r and 2k
coordinates c; i beats j by them if it stands a quarter turn behind j. A normal prior, of standard deviation 2 logits on
r and 1 on c, keeps all finite. More parameters fit better whatever the truth is, so what counts is the loss on seeds
that were left out (`held_out`), beside that of Davidson's model on the same seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from games.arrays import Floats
from games.keys import fold, stream, uniform
from marl.base.intervals import Estimate, estimate
from tournaments.ratings.davidson import count, fit
from tournaments.ratings.model import PRIOR_SD
from tournaments.records.results import Results, sum_by

FOLDS = 5
MOST_AGENTS = 60
_CYCLE_SD = 1.0
_LEAST = 1e-9  # an expected score has so much at least, and so much at most below 1


@dataclass(frozen=True, eq=False)
class Melo:
    """The strengths r [n] and the coordinates c [n, 2k] of a fit, and the seat effect η."""

    strength: Floats
    coordinates: Floats
    eta: float

    @property
    def advantage(self) -> Floats:
        """D of the row in the first seat against the column [n, n], without the seat effect."""
        return np.asarray(self.strength[:, None] - self.strength + _turned(self.coordinates) @ self.coordinates.T)

    def to_json(self, agents: Sequence[str]) -> dict[str, Any]:
        """Return the fit as JSON data, by agent."""
        lines = zip(agents, self.strength.tolist(), self.coordinates.tolist(), strict=True)
        return {
            "agents": [
                {"agent": agent, "strength": round(r, 6), "coordinates": [round(x, 6) for x in c]}
                for agent, r, c in lines
            ]
        }


@dataclass(frozen=True)
class HeldOut:
    """Log-losses of expected scores on seeds that were not fitted; the gain is Davidson's minus that of mElo."""

    davidson: float
    melo: float
    gain: Estimate  # over seeds

    def to_json(self) -> dict[str, Any]:
        """Return the losses as JSON data."""
        half = round(self.gain.interval, 6) if np.isfinite(self.gain.interval) else None
        return {
            "davidson": round(self.davidson, 6),
            "melo": round(self.melo, 6),
            "gain": round(self.gain.mean, 6),
            "ci95": half,
        }


def melo(results: Results, cycles: int = 1, key: int = stream(0, "melo")) -> Melo:
    """Fit strengths and `cycles` pairs of coordinates to two-player games; `key` draws where the search begins."""
    n, width = len(results.agents), 2 * cycles
    counts = count(results)
    (i, j), (w, d, lost) = counts.pairs.T, counts.wdl.T
    games, points = w + d + lost, w + d / 2
    precision = np.concatenate([np.full(n, PRIOR_SD**-2), np.full(n * width, _CYCLE_SD**-2), [PRIOR_SD**-2]])

    def loss(x: Floats) -> tuple[float, Floats]:
        r, c, eta = x[:n], x[n:-1].reshape(n, width), x[-1]
        turned = _turned(c)
        difference = r[i] - r[j] + eta + (turned[i] * c[j]).sum(1)
        value = games @ np.logaddexp(0, difference) - points @ difference
        slope = games / (1 + np.exp(-difference)) - points  # [M]
        slopes = sum_by(i * n + j, slope, n * n).reshape(n, n)
        skew = slopes - slopes.T
        gradient = np.concatenate([skew.sum(1), -_turned(skew @ c).ravel(), [slope.sum()]])
        return float(value + (precision * x**2).sum() / 2), gradient + precision * x

    start = np.zeros(len(precision))
    start[n:-1] = uniform(fold(key, np.arange(n * width))) - 0.5
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2_000, "gtol": 1e-7, "ftol": 1e-13})
    return Melo(found.x[:n], found.x[n:-1].reshape(n, width), float(found.x[-1]))


def _turned(c: Floats) -> Floats:
    """Return coordinates [n, 2k] each pair of which is turned by a quarter: (a, b) becomes (−b, a)."""
    turned = np.empty_like(c)
    turned[:, 0::2], turned[:, 1::2] = -c[:, 1::2], c[:, 0::2]
    return turned


def held_out(results: Results, cycles: int = 1) -> HeldOut | None:
    """Return the losses of both models on seeds that they were not fitted to, in folds; None with fewer than 2 seeds.

    The loss of a game with score s is −s log E − (1 − s) log(1 − E).
    """
    names, seed = np.unique(results.seeds, return_inverse=True)
    folds = min(FOLDS, len(names))
    if folds < 2:
        return None
    (i, j), score = results.seats.T, 1 - results.outcome / 2
    expected = np.empty((2, len(results)))
    for fold_number in range(folds):
        left_out = seed % folds == fold_number
        known = results.where(~left_out)
        one = fit(count(known))
        p = one.probabilities(results.seats[left_out])
        expected[0, left_out] = p[:, 0] + p[:, 1] / 2
        other = melo(known, cycles)
        difference = (other.advantage + other.eta)[i[left_out], j[left_out]]
        expected[1, left_out] = 1 / (1 + np.exp(-difference))
    expected = np.clip(expected, _LEAST, 1 - _LEAST)
    losses = -(score * np.log(expected) + (1 - score) * np.log(1 - expected))
    by_seed = np.stack([sum_by(seed, loss, len(names)) for loss in losses]) / np.bincount(seed)  # [2, S]
    davidson, melo_ = losses.mean(1).tolist()
    return HeldOut(davidson, melo_, estimate(by_seed[0] - by_seed[1]))
