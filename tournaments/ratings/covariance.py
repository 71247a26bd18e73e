"""The covariance of the parameters of a fit: from the model alone, or clustered by seed.

The games of one seed share its chance events, so a seed is one observation (marl/base/intervals.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from games.arrays import Floats, Ints
from marl.base.intervals import MIN_SEEDS, Z95, effective, quantile
from tournaments.ratings.davidson import Fit, fisher_information
from tournaments.records.results import Results, sum_by

_MOST = 1 - 1e-6  # the largest share of the information on a parameter that one seed may hold


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

    def of(self, parameter: int) -> tuple[float, float]:
        """Return the standard error of a parameter, and its effective number of seeds."""
        numbers = (self.covariance.diagonal(), self.model.diagonal(), self.added, self.shared.diagonal())
        se, seeds = _standard_errors(*(number[[parameter]] for number in numbers))
        return float(se[0]), float(seeds[0])

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
    n, free, counts = len(fitted.theta), len(fitted.inverse), fitted.counts
    one_sided = fitted.core[counts.pairs[:, 0]] != fitted.core[counts.pairs[:, 1]]
    p = fitted.probabilities(counts.pairs[one_sided])
    of_model = fisher_information(n, counts.pairs[one_sided], counts.wdl[one_sided].sum(1), p)[:free, :free]

    score, information = _by_seed(fitted, results)
    total = information.sum() + fitted.prior_precision
    expected = np.divide(1.0, total, out=np.zeros(free), where=total > 0)  # variance, by the diagonal alone
    share = information.scaled(expected)
    middle = score.over(share).squared() + of_model + np.diag(fitted.prior_precision)
    q = share.scaled(expected)
    return Spread(
        covariance=fitted.inverse @ middle @ fitted.inverse,
        model=fitted.inverse,
        added=q.sum(),
        shared=q.squared(),
    )


@dataclass(frozen=True, eq=False)
class _BySeed:
    """A number for each seed and parameter [S, F]: agents' where they played, those of the game in every seed."""

    agents: csr_matrix  # [S, n]
    game: Floats  # [S, F − n]

    def sum(self) -> Floats:
        """Return the sum over seeds [F]."""
        return np.concatenate([np.asarray(self.agents.sum(0)).ravel(), self.game.sum(0)])

    def scaled(self, factor: Floats) -> "_BySeed":
        """Return the numbers times a factor of each parameter [F]."""
        n = self.agents.shape[1]
        return _BySeed(self._with(self.agents.data * factor[self.agents.indices]), self.game * factor[n:])

    def over(self, share: "_BySeed") -> "_BySeed":
        """Return the numbers, each over √(1 − its seed's share of the information)."""
        agents, game = (np.sqrt(1 - np.minimum(part, _MOST)) for part in (share.agents.data, share.game))
        return _BySeed(self._with(self.agents.data / agents), self.game / game)

    def squared(self) -> Floats:
        """Return Σ_s x_s x_sᵀ [F, F]."""
        n, free = self.agents.shape[1], self.agents.shape[1] + self.game.shape[1]
        square = np.empty((free, free))
        square[:n, :n] = (self.agents.T @ self.agents).toarray()
        square[:n, n:] = self.agents.T @ self.game
        square[n:, :n] = square[:n, n:].T
        square[n:, n:] = self.game.T @ self.game
        return square

    def _with(self, data: Floats) -> csr_matrix:
        return csr_matrix((data, self.agents.indices, self.agents.indptr), self.agents.shape)


def _by_seed(fitted: Fit, results: Results) -> tuple[_BySeed, _BySeed]:
    """Return each seed's scores, without those of one-sided results, and its information on each parameter."""
    n, of_game = len(fitted.theta), len(fitted.inverse) - len(fitted.theta)
    _, seed = np.unique(results.seeds, return_inverse=True)
    seeds = int(seed.max(initial=-1)) + 1
    (i, j), p = results.seats.T, fitted.probabilities(results.seats)
    edge, mutual, distinct = p[:, 0] - p[:, 2], fitted.core[i] == fitted.core[j], i != j
    g = mutual * ((1 - results.outcome) - edge) / 2
    h = (p[:, 0] + p[:, 2] - edge**2) / 4
    both = distinct * (g + 1j * h)  # the score and the information of an agent, summed together
    agents = _summed(np.tile(seed, 2), np.concatenate([i, j]), np.concatenate([both, -both.conj()]), (seeds, n))
    scores = [g, mutual * ((results.outcome == 1) - p[:, 1])]
    information = [h, p[:, 1] * (1 - p[:, 1])]
    score, known = (
        np.stack([sum_by(seed, column, seeds) for column in columns], 1)[:, :of_game]
        for columns in (scores, information)
    )
    return (
        _BySeed(csr_matrix((agents.data.real, agents.indices, agents.indptr), agents.shape), score),
        _BySeed(csr_matrix((agents.data.imag, agents.indices, agents.indptr), agents.shape), known),
    )


def _summed(row: Ints, column: Ints, values: Floats, shape: tuple[int, int]) -> csr_matrix:
    """Return the sums of the values with the same row and column; quickly where most places have one."""
    size = shape[0] * shape[1]
    if size > len(values):
        return csr_matrix((values, (row, column)), shape)
    place = row * shape[1] + column
    return csr_matrix((sum_by(place, values.real, size) + 1j * sum_by(place, values.imag, size)).reshape(shape))
