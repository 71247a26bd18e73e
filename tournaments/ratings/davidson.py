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
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from games.arrays import Floats, Ints
from games.errors import UserError
from tournaments.records.results import Results, sum_by

PRIOR_SD = 2.0  # logits: 347 Elo
_SEAT_SD, _DRAW_MEAN, _DRAW_SD = 2.0, math.log(0.5), 2.0
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
class Fit:
    """The model's parameters x = (θ, η) or, where there are draws, (θ, η, ln ν): F of them."""

    counts: Counts
    theta: Floats  # [n] logits, mean 0 in each part
    eta: float
    nu: float
    log_likelihood: float  # of the results alone, without the prior
    prior_sd: float | None
    prior_precision: Floats  # [F]
    part: Ints  # [n] agents that some chain of games connects; 0 is the largest part
    core: Ints  # [n] agents that each reach the other along "scored against"
    inverse: Floats  # [F, F] inverse of the negative Hessian, prior included

    def probabilities(self, pairs: Ints) -> Floats:
        """Return P(win), P(draw), P(loss) [M, 3] of agents in seats 0 and 1 [M, 2]."""
        d = self.theta[pairs[:, 0]] - self.theta[pairs[:, 1]] + self.eta
        return probabilities(d, math.log(self.nu) if self.nu else -math.inf)


def probabilities(d: Floats, log_nu: float) -> Floats:
    """Return P(win), P(draw), P(loss) [M, 3] at differences d [M]: 1, νu and u² over their sum, with u = exp(−D/2)."""
    u, nu = np.exp(-np.clip(d, -_MOST, _MOST) / 2), math.exp(log_nu)
    win = 1 / (1 + u * (u + nu))
    lost = u * win
    return np.stack([win, nu * lost, u * lost]).T  # columns that are contiguous


def fit(counts: Counts, prior_sd: float | None = PRIOR_SD) -> Fit:
    """Find the maximum a posteriori; with `prior_sd=None` the maximum of the likelihood, without any prior.

    With N games of a pair, w, d and l of them won, drawn and lost, and p the model's probabilities, the derivatives are

        g_D = (w − l)/2 − N (p_w − p_l)/2                g_lnν = d − N p_d
        −H_DD = N [(p_w + p_l) − (p_w − p_l)²]/4         −H_D,lnν = −N p_d (p_w − p_l)/2
        −H_lnν,lnν = N p_d (1 − p_d)

    ν is 0 where no game was drawn. Raises UserError where the maximum of the likelihood is infinite.
    """
    if prior_sd is not None and not prior_sd > 0:
        raise UserError(f"expected a prior sd above 0 or none at all, got {prior_sd}")
    n, (i, j), games = len(counts.agents), counts.pairs.T, counts.wdl.sum(1)
    drawn = bool(counts.wdl[:, 1].any())
    part, core = _components(counts)
    if prior_sd is None and (not len(games) or len(np.unique(core)) > len(np.unique(part))):
        raise UserError(
            "expected every agent to have scored and lost points along some chain of games, got one-sided results, "
            "whose maximum likelihood is infinite; rate them with a prior"
        )
    free = n + 1 + drawn
    sd = np.array([prior_sd or math.inf] * n + [_SEAT_SD, _DRAW_SD])[:free]
    precision = np.zeros(free) if prior_sd is None else sd**-2.0
    centre = np.array([0.0] * (n + 1) + [_DRAW_MEAN])[:free]
    # Without a prior only contrasts within a part are known; this fixes each part's mean at 0 and does not change them.
    gauge = np.zeros((free, free))
    if prior_sd is None:
        gauge[:n, :n] = part[:, None] == part[None, :]

    w, draws, lost = np.ascontiguousarray(counts.wdl.T)

    def evaluate(x: Floats) -> tuple[Floats, float, float]:
        """Return the probabilities, the log-likelihood, and what is maximised: less the prior."""
        d, log_nu = x[i] - x[j] + x[n], x[n + 1] if drawn else -math.inf
        p = probabilities(d, log_nu)
        likelihood = games @ np.log(p[:, 0]) - (lost + draws / 2) @ d + (draws.sum() * log_nu if drawn else 0.0)
        return p, float(likelihood), float(likelihood - (precision * (x - centre) ** 2).sum() / 2)

    x = centre.copy()
    p, likelihood, height = evaluate(x)
    for _ in range(100):
        g_d = (w - lost) / 2 - games * (p[:, 0] - p[:, 2]) / 2
        g_draw = draws - games * p[:, 1]
        seats = sum_by(i, g_d, n) - sum_by(j, g_d, n)
        gradient = np.concatenate([seats, [g_d.sum(), g_draw.sum()]])[:free] - precision * (x - centre)
        hessian = fisher_information(n, counts.pairs, games, p)[:free, :free] + np.diag(precision) + gauge
        try:
            factor = cho_factor(hessian, overwrite_a=True)
        except np.linalg.LinAlgError:
            break
        step = cho_solve(factor, gradient)
        size = np.abs(step).max(initial=0.0)
        if size < 1e-9:
            inverse = cho_solve(factor, np.eye(free), overwrite_b=True)
            nu = math.exp(x[n + 1]) if drawn else 0.0
            return Fit(counts, x[:n], float(x[n]), nu, likelihood, prior_sd, precision, part, core, inverse)
        step *= min(1.0, 2.0 / size)
        before = height
        p, likelihood, height = evaluate(x + step)
        while height < before - 1e-9 * (1 + abs(before)):  # never downhill, whatever the starting point
            step /= 2
            p, likelihood, height = evaluate(x + step)
        x = x + step
    raise UserError(
        "expected ratings to settle within 100 Newton steps, got results that do not bound them (one seat always wins, "
        "or one seating was never played); rate them with a prior"
    )


def _components(counts: Counts) -> tuple[Ints, Ints]:
    """Return each agent's part, 0 being the largest, and its strongly connected component in "scored against"."""
    n, (i, j), (w, d, loss) = len(counts.agents), counts.pairs.T, counts.wdl.T
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    scored = np.concatenate([w + d, loss + d])
    graph = csr_matrix((scored, (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    graph.eliminate_zeros()
    part = connected_components(graph, connection="weak")[1]
    core = connected_components(graph, connection="strong")[1].astype(np.int64)
    size, first = np.bincount(part), dict[int, str]()
    for k, agent in zip(part.tolist(), counts.agents, strict=True):
        first[k] = min(agent, first.get(k, agent))
    rank = np.empty(len(size), np.int64)
    rank[sorted(range(len(size)), key=lambda k: (-size[k], first[k]))] = np.arange(len(size))
    return rank[part], core


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
