"""The covariance of the parameters of a fit: from the model alone, or clustered by seed.

The games of one seed share its chance events, so a seed is one observation (marl/base/intervals.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from games.arrays import Floats
from marl.base.intervals import MIN_SEEDS, Z95, effective, quantile
from tournaments.davidson import Fit, fisher_information
from tournaments.results import Results, outcomes

_MOST = 1 - 1e-6  # the largest share of the information on a parameter that one seed may hold


@dataclass(frozen=True, eq=False)
class Spread:
    """The covariance of parameters [F], and the weights of the seeds in it."""

    covariance: Floats  # [F, F]
    model: Floats  # [F, F] the covariance where every game is independent and the model holds
    added: Floats  # [F] Σ_s q_s, with q_s what seed s is expected to add to a parameter's variance (intervals.py)
    shared: Floats  # [F, F] Σ_s q_s q_sᵀ; 0 where every game is independent

    def of(self, contrasts: Floats) -> tuple[Floats, Floats]:
        """Return the standard errors of linear combinations [C, F], and their effective numbers of seeds [C]."""
        variance, model = (
            np.einsum("cf,fg,cg->c", contrasts, matrix, contrasts, optimize=True)
            for matrix in (self.covariance, self.model)
        )
        weight = contrasts**2
        return _standard_errors(variance, model, weight @ self.added, ((weight @ self.shared) * weight).sum(1))

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
    floor = np.where(seeds < MIN_SEEDS, (Z95 / quantile(seeds)) ** 2 * model, 0.0)
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
    n, free, counts = len(fitted.theta), len(fitted.inverse), fitted.counts
    one_sided = fitted.core[counts.pairs[:, 0]] != fitted.core[counts.pairs[:, 1]]
    p = fitted.probabilities(counts.pairs[one_sided])
    of_model = fisher_information(n, counts.pairs[one_sided], counts.wdl[one_sided].sum(1), p)[:free, :free]

    score, information = _by_seed(fitted, results)
    total = np.asarray(information.sum(0)).ravel() + fitted.prior_precision
    expected = np.divide(1.0, total, out=np.zeros(free), where=total > 0)  # variance, by the diagonal alone
    share = information.data * expected[information.indices]
    score.data /= np.sqrt(1 - np.minimum(share, _MOST))
    middle = (score.T @ score).toarray() + of_model + np.diag(fitted.prior_precision)
    information.data = share * expected[information.indices]  # q_s
    return Spread(
        covariance=fitted.inverse @ middle @ fitted.inverse,
        model=fitted.inverse,
        added=np.asarray(information.sum(0)).ravel(),
        shared=(information.T @ information).toarray(),
    )


def _by_seed(fitted: Fit, results: Results) -> tuple[csr_matrix, csr_matrix]:
    """Return each seed's scores, without those of one-sided results, and its information on each parameter [S, F]."""
    n, free = len(fitted.theta), len(fitted.inverse)
    _, seed = np.unique(results.seeds, return_inverse=True)
    (i, j), outcome, p = results.seats.T, outcomes(results), fitted.probabilities(results.seats)
    edge, mutual, distinct = p[:, 0] - p[:, 2], fitted.core[i] == fitted.core[j], (i != j).astype(np.float64)
    g = mutual * ((1 - outcome) - edge) / 2
    h = (p[:, 0] + p[:, 2] - edge**2) / 4
    columns = [i, j, np.full_like(i, n), np.full_like(i, n + 1)][: 2 + free - n]
    scores = [distinct * g, -distinct * g, g, mutual * ((outcome == 1) - p[:, 1])][: len(columns)]
    information = [distinct * h, distinct * h, h, p[:, 1] * (1 - p[:, 1])][: len(columns)]
    where = (np.tile(seed, len(columns)), np.concatenate(columns))
    shape = (int(seed.max(initial=-1)) + 1, free)
    return tuple(csr_matrix((np.concatenate(values), where), shape) for values in (scores, information))
