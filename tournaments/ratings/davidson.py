"""Davidson's model of a game of two players with draws, with one seat effect η (i holds seat 0, j holds seat 1):

    D = θᵢ − θⱼ + η        Z = exp(D/2) + exp(−D/2) + ν
    P(win) = exp(D/2) / Z        P(draw) = ν / Z        P(loss) = exp(−D/2) / Z

    Davidson 1970, https://doi.org/10.1080/01621459.1970.10481082; with ν = 0 it is Bradley & Terry 1952.

The log-likelihood is concave in (θ, η, ln ν); Newton's method finds the maximum a posteriori under

    θᵢ ~ N(0, σ₀²)        η ~ N(0, 2²)        ln ν ~ N(ln ½, 2²)

A prior is needed where results are one-sided: the maximum of the likelihood is finite if and only if every agent can
be reached from every other along "scored against" (Ford 1957, https://doi.org/10.2307/2308513).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from games.arrays import Floats, Ints
from tournaments.ratings import model
from tournaments.ratings.model import PRIOR_SD, BySeed, Lineage, Prior
from tournaments.records.results import Results, sum_by

_MOST = 700.0  # a larger difference is no other probability, and its exponential is no float


@dataclass(frozen=True, eq=False)
class Counts:
    """Wins, draws and losses of each ordered pair of agents, from seat 0's view; counts may be fractions."""

    agents: tuple[str, ...]
    pairs: Ints  # [M, 2] agent in seat 0, agent in seat 1
    wdl: Floats  # [M, 3]


def count(results: Results) -> Counts:
    """Sum the games of each ordered pair."""
    n = len(results.agents)
    cell = (results.seats[:, 0] * n + results.seats[:, 1]) * 3 + results.outcome
    wdl = np.bincount(cell, minlength=3 * n * n).reshape(-1, 3).astype(np.float64)
    played = np.flatnonzero(wdl.sum(1))
    return Counts(results.agents, np.stack([played // max(n, 1), played % max(n, 1)], 1), wdl[played])


@dataclass(frozen=True, eq=False)
class Fit(model.Fit):
    """The model's parameters x = (θ, η) or, where there are draws, (θ, η, ln ν): F of them."""

    counts: Counts
    eta: float
    prevalence: float

    @property
    def nu(self) -> float:
        return self.prevalence

    @property
    def flatness(self) -> float:
        return (2 + self.nu) / 2

    @property
    def draw_rate(self) -> float:
        wdl = self.counts.wdl
        return float(wdl[:, 1].sum() / max(wdl.sum(), 1))

    @property
    def seat_weights(self) -> Floats:
        weights = np.zeros((2, len(self.inverse)))
        weights[:, len(self.theta)] = [1.0, -1.0]
        return weights

    @property
    def seat_effects(self) -> Floats:
        return np.array([self.eta, -self.eta])

    def probabilities(self, pairs: Ints) -> Floats:
        """Return P(win), P(draw), P(loss) [M, 3] of agents in seats 0 and 1 [M, 2]."""
        d = self.theta[pairs[:, 0]] - self.theta[pairs[:, 1]] + self.eta
        return probabilities(d, math.log(self.nu) if self.nu else -math.inf)

    def scores(self) -> tuple[Floats, Floats]:
        """Return each agent's games and mean score [n]; a game against itself is one game with a score of ½."""
        n, (i, j), (w, d, _) = len(self.theta), self.counts.pairs.T, self.counts.wdl.T
        seat = np.where(i == j, 0.5, 1.0)
        total = self.counts.wdl.sum(1)
        games = sum_by(i, seat * total, n) + sum_by(j, seat * total, n)
        points = sum_by(i, seat * (w + d / 2), n) + sum_by(j, seat * (total - w - d / 2), n)
        return games, points / np.maximum(games, 1)

    def by_seed(self, results: Results) -> tuple[BySeed, BySeed]:
        n, of_game = len(self.theta), len(self.inverse) - len(self.theta)
        seed, seeds = model.numbered(results.seeds)
        (i, j), p = results.seats.T, self.probabilities(results.seats)
        edge, mutual, distinct = p[:, 0] - p[:, 2], self.core[i] == self.core[j], i != j
        g = mutual * ((1 - results.outcome) - edge) / 2
        h = (p[:, 0] + p[:, 2] - edge**2) / 4
        both = distinct * (g + 1j * h)  # the score and the information of an agent, summed together
        scores = [g, mutual * ((results.outcome == 1) - p[:, 1])]
        information = [h, p[:, 1] * (1 - p[:, 1])]
        score, known = (
            np.stack([sum_by(seed, column, seeds) for column in columns], 1)[:, :of_game]
            for columns in (scores, information)
        )
        both = np.concatenate([both, -both.conj()])
        agents = model.summed(np.tile(seed, 2), np.concatenate([i, j]), both, (seeds, n))
        return BySeed.pair(agents, score, known)

    def one_sided(self) -> Floats:
        pairs, free = self.counts.pairs, len(self.inverse)
        one_sided = self.core[pairs[:, 0]] != self.core[pairs[:, 1]]
        games, p = self.counts.wdl[one_sided].sum(1), self.probabilities(pairs[one_sided])
        return fisher_information(len(self.theta), pairs[one_sided], games, p)[:free, :free]


def probabilities(d: Floats, log_nu: float) -> Floats:
    """Return P(win), P(draw), P(loss) [M, 3] at differences d [M]: 1, νu and u² over their sum, with u = exp(−D/2)."""
    u, nu = np.exp(-np.clip(d, -_MOST, _MOST) / 2), math.exp(log_nu)
    win = 1 / (1 + u * (u + nu))
    lost = u * win
    return np.stack([win, nu * lost, u * lost]).T  # columns that are contiguous


def fit(counts: Counts, prior_sd: float | None = PRIOR_SD, lineage: Lineage | None = None) -> Fit:
    """Find the maximum a posteriori; with `prior_sd=None` the maximum of the likelihood, without any prior.

    With N games of a pair, w, d and l of them won, drawn and lost, and p the model's probabilities, the derivatives are

        g_D = (w − l)/2 − N (p_w − p_l)/2                g_lnν = d − N p_d
        −H_DD = N [(p_w + p_l) − (p_w − p_l)²]/4         −H_D,lnν = −N p_d (p_w − p_l)/2
        −H_lnν,lnν = N p_d (1 − p_d)

    ν is 0 where no game was drawn. Raises UserError where the maximum of the likelihood is infinite.
    """
    n, (i, j), games = len(counts.agents), counts.pairs.T, counts.wdl.sum(1)
    drawn = bool(counts.wdl[:, 1].any())
    prior = Prior.of(prior_sd, counts.agents, 1, int(drawn), lineage)
    part, core = _components(counts)
    free = n + 1 + drawn
    # Without a prior only contrasts within a part are known; this fixes each part's mean at 0 and does not change them.
    gauge = np.zeros((free, free))
    if prior_sd is None:
        model.require_bounded(part, core)
        gauge[:n, :n] = part[:, None] == part[None, :]

    w, draws, lost = np.ascontiguousarray(counts.wdl.T)

    def evaluate(x: Floats) -> tuple[tuple[Floats, float], float]:
        """Return the probabilities with the log-likelihood, and what is maximised: less the prior."""
        d, log_nu = x[i] - x[j] + x[n], x[n + 1] if drawn else -math.inf
        p = probabilities(d, log_nu)
        likelihood = games @ np.log(p[:, 0]) - (lost + draws / 2) @ d + (draws.sum() * log_nu if drawn else 0.0)
        return (p, float(likelihood)), float(likelihood) - prior.loss(x)

    def derivatives(x: Floats, found: tuple[Floats, float]) -> tuple[Floats, Floats]:
        p, _ = found
        g_d = (w - lost) / 2 - games * (p[:, 0] - p[:, 2]) / 2
        g_draw = draws - games * p[:, 1]
        seats = sum_by(i, g_d, n) - sum_by(j, g_d, n)
        gradient = np.concatenate([seats, [g_d.sum(), g_draw.sum()]])[:free] - prior.pull(x)
        return gradient, fisher_information(n, counts.pairs, games, p)[:free, :free] + prior.matrix + gauge

    x, (_, likelihood), inverse = model.maximise(prior.centre, evaluate, derivatives)
    nu = math.exp(x[n + 1]) if drawn else 0.0
    return Fit(x[:n], likelihood, prior, part, core, inverse, counts, float(x[n]), nu)


def _components(counts: Counts) -> tuple[Ints, Ints]:
    n, (i, j), (w, d, loss) = len(counts.agents), counts.pairs.T, counts.wdl.T
    scored = np.concatenate([w + d, loss + d])
    return model.components(
        counts.agents, csr_matrix((scored, (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    )


def fisher_information(n: int, pairs: Ints, games: Floats, p: Floats) -> Floats:
    """Return the negative Hessian of the log-likelihood [n+2, n+2] in (θ, η, ln ν)."""
    edge = p[:, 0] - p[:, 2]
    dd = games * ((p[:, 0] + p[:, 2]) - edge**2) / 4
    dn = -games * p[:, 1] * edge / 2
    return _assemble(n, pairs, dd, dd, dn, dd, dn, games * p[:, 1] * (1 - p[:, 1]))


def _assemble(n: int, pairs: Ints, aa: Floats, ab: Floats, ac: Floats, bb: Floats, bc: Floats, cc: Floats) -> Floats:
    """Sum the products of vectors a (eᵢ − eⱼ) + b e_η + c e_lnν, given their coefficients' products [M]: [n+2, n+2]."""
    i, j = pairs.T
    matrix = np.zeros((n + 2, n + 2))
    between = sum_by(i * n + j, aa, n * n).reshape(n, n)
    matrix[:n, :n] = np.diag(sum_by(i, aa, n) + sum_by(j, aa, n)) - between - between.T
    matrix[:n, n] = matrix[n, :n] = sum_by(i, ab, n) - sum_by(j, ab, n)
    matrix[:n, n + 1] = matrix[n + 1, :n] = sum_by(i, ac, n) - sum_by(j, ac, n)
    matrix[n:, n:] = [[bb.sum(), bc.sum()], [bc.sum(), cc.sum()]]
    return matrix
