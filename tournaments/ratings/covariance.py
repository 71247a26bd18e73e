"""The covariance of the parameters of a fit: from the model alone, or clustered by seed.

The games of one seed share its chance events, so a seed is one observation (marl/base/intervals.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats, Ints
from marl.base.intervals import MIN_SEEDS, Z95, effective, quantile
from tournaments.ratings.model import Fit
from tournaments.records.results import Results


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Numbers relative to a level of their part: y_i = x_i − Σ_f level[part_i, f] x_f.

    All numbers of a part have one level, so nothing here takes n³ operations.
    """

    level: Floats  # [K, n] the weights of each part's level
    part: Ints  # [n]

    def values(self, x: Floats) -> Floats:
        """Return y [n] of numbers x [n]."""
        return np.asarray(x - (self.level @ x)[self.part])

    def covariance(self, matrix: Floats) -> Floats:
        """Return the covariance of y [n, n] by that of x [n, n]."""
        shared, common = self._levels(matrix)
        return np.asarray(matrix - shared[self.part] - shared[self.part].T + common[np.ix_(self.part, self.part)])

    def variance(self, matrix: Floats) -> Floats:
        """Return the variance of y [n] by the covariance of x [n, n]."""
        (shared, common), own = self._levels(matrix), np.arange(len(self.part))
        return np.asarray(matrix.diagonal() - 2 * shared[self.part, own] + common[self.part, self.part])

    def squared(self) -> tuple[Floats, Floats]:
        """Return the squares of the weights of x in y: those of the levels [K, n], and what one's own has more [n]."""
        return self.level**2, 1 - 2 * self.level[self.part, np.arange(len(self.part))]

    def _levels(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return the covariance of the levels with x [K, n], and with each other [K, K]."""
        shared = self.level @ matrix
        return shared, shared @ self.level.T


@dataclass(frozen=True, eq=False)
class Spread:
    """The covariance of parameters [F], and the weights of the seeds in it."""

    covariance: Floats  # [F, F]
    model: Floats  # [F, F] the covariance where every game is independent and the model holds
    added: Floats  # [F] Σ_s q_s, with q_s what seed s is expected to add to a parameter's variance (intervals.py)
    shared: Floats  # [F, F] Σ_s q_s q_sᵀ; 0 where every game is independent

    def of(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the standard errors [K] of sums of parameters with weights [K, F], and their numbers of seeds [K]."""
        variance, model = (((weights @ matrix) * weights).sum(1) for matrix in (self.covariance, self.model))
        squared = weights**2
        return _standard_errors(variance, model, squared @ self.added, ((squared @ self.shared) * squared).sum(1))

    def contrasts(self, contrasts: Contrasts) -> tuple[Floats, Floats]:
        """Return the standard errors of contrasts of the first n parameters, and their numbers of seeds [n]."""
        n, part = len(contrasts.part), contrasts.part
        level, own = contrasts.squared()
        shared = level @ self.shared[:n, :n]  # [K, n]
        squares = (shared * level).sum(1)[part] + own * (
            2 * shared[part, np.arange(n)] + own * self.shared.diagonal()[:n]
        )
        added = (level @ self.added[:n])[part] + own * self.added[:n]
        variance, model = (contrasts.variance(matrix[:n, :n]) for matrix in (self.covariance, self.model))
        return _standard_errors(variance, model, added, squares)

    def differences(self, n: int) -> tuple[Floats, Floats]:
        """Return the standard errors of the differences of the first n parameters, and their numbers of seeds [n, n].

        A parameter's difference from itself is 0, with standard error 0.
        """

        def pairwise(matrix: Floats, sign: int) -> Floats:
            own = np.diag(matrix)[:n]
            return own[:, None] + own[None, :] + 2 * sign * matrix[:n, :n]

        variance, model = pairwise(self.covariance, -1), pairwise(self.model, -1)
        others = 1 - np.eye(n)
        added = others * (self.added[:n, None] + self.added[None, :n])
        return _standard_errors(variance, model, added, others * pairwise(self.shared, 1))


def _standard_errors(variance: Floats, model: Floats, added: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Return standard errors and effective numbers of seeds [...].

    Where seeds are fewer than MIN_SEEDS, the interval is no shorter than that of the model.
    """
    seeds = effective(added, squares)
    few = seeds < MIN_SEEDS
    floor = np.zeros(seeds.shape)
    floor[few] = (Z95 / quantile(seeds[few])) ** 2 * model[few]
    return np.sqrt(np.maximum(np.maximum(variance, floor), 0.0)), seeds


Covariance = Callable[[Fit, Results], Spread]


def hessian(fitted: Fit, results: Results) -> Spread:
    """Return the inverse of the negative Hessian [F, F]: right where every game is independent and the model holds."""
    return Spread(fitted.inverse, fitted.inverse, np.diag(fitted.inverse), np.zeros_like(fitted.inverse))


def sandwich(fitted: Fit, results: Results) -> Spread:
    """Return the spread of the parameters [F], clustered by seed.

        C = H⁻¹ (Σ_s v_s v_sᵀ + Λ) H⁻¹        v_s = u_s / √(1 − h_s / h)

    u_s is the sum of the scores of a seed's games. All pairings play the same seeds, and an agent's luck on a seed
    affects all its opponents: only seeds are independent (Liang & Zeger 1986, https://doi.org/10.1093/biomet/73.1.13).
    The residuals of a fit are smaller than the errors; v_s corrects for the share h_s / h that a seed has in the
    information on each parameter: the correction CR2 by the diagonal of the information alone (Bell & McCaffrey 2002,
    https://www150.statcan.gc.ca/n1/en/catalogue/12-001-X20020029058). With S seeds that weigh alike it is the factor
    S / (S − 1) of intervals.py.
    Λ, the prior's precision, is in H and in the middle term: if the model holds, C is the posterior's covariance H⁻¹.

    Results between agents of which one never scored against the other, even through third parties, do not show their
    spread (ten wins in ten games look as certain as a thousand): the model's information takes their place.
    """
    score, information = fitted.by_seed(results)
    total = information.sum() + fitted.prior.diagonal
    expected = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)  # variance, by the diagonal alone
    share = information.scaled(expected)
    middle = score.over(share).squared() + fitted.one_sided() + fitted.prior.matrix
    q = share.scaled(expected)
    return Spread(
        covariance=fitted.inverse @ middle @ fitted.inverse,
        model=fitted.inverse,
        added=q.sum(),
        shared=q.squared(),
    )
