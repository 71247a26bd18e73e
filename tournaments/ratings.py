"""Who is stronger: the outcomes of games, in; Elo with intervals, out. Pure functions, nothing kept.

Two players. Davidson's model of a game with draws, with one seat effect η (i holds seat 0, j holds seat 1):

    D = θᵢ − θⱼ + η        Z = exp(D/2) + exp(−D/2) + ν
    P(win) = exp(D/2) / Z        P(draw) = ν / Z        P(loss) = exp(−D/2) / Z

    Davidson 1970, https://doi.org/10.1080/01621459.1970.10481082; with ν = 0 it is Bradley & Terry 1952.

The log-likelihood is concave in (θ, η, ln ν); Newton's method finds the maximum a posteriori under

    θᵢ ~ N(0, σ₀²)        η ~ N(0, 2²)        ln ν ~ N(ln ½, 2²)

A prior is needed where results are one-sided: the maximum of the likelihood is finite if and only if every agent can
be reached from every other along "scored against" (Ford 1957, https://doi.org/10.2307/2308513).

Draws flatten the expected score near equality: E'(0) = 1 / (2 (2 + ν)), where the Elo curve has 1/4. What is shown is

    R = K · 2 / (2 + ν) · θ        K = 400 / ln 10

Agents that no chain of games connects are in different parts and are never compared; η and ν belong to the game, and
all parts share them.

Games with more players, teams or general sums get mean payoffs, and a reason (`refusal`); see also metagame.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.special import stdtr

from games import rounding
from games.errors import UserError
from marl.base.intervals import MIN_SEEDS, Z95, Floats, effective, interval, of_pulls, quantile

Ints = NDArray[np.int64]

K = 400 / math.log(10)
PRIOR_SD = 2.0  # logits: 347 Elo
FORFEITS = ("illegal_action", "agent_error", "timeout", "left")  # terminations

_SEAT_SD, _DRAW_MEAN, _DRAW_SD = 2.0, math.log(0.5), 2.0
_MOST = 1 - 1e-6  # of the information on a parameter that one seed may hold


@dataclass(frozen=True)
class Result:
    """One game: the agents and their payoffs by seat, the seed that it was played from, how it ended, its steps.

    `rounding` bounds the rounding error of the difference of two payoffs (games/rounding.py); NaN where not known.
    `offenders` are the seats that broke the game off; none where that is not known.
    """

    agents: tuple[str, ...]
    payoffs: tuple[float, ...]
    seed: int
    termination: str = "finished"
    length: int = 1
    rounding: float = math.nan
    offenders: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Results:
    """Many games of one game, by columns."""

    agents: tuple[str, ...]
    seats: Ints  # [G, N] indices into `agents`
    payoffs: Floats  # [G, N]; NaN where a game says nothing of a player, because another broke it off
    seeds: NDArray[np.uint64]  # [G]
    terminations: NDArray[np.str_]  # [G]
    lengths: Ints | None = None  # [G] steps, where they are known
    rounding: Floats | None = None  # [G] bound on the rounding error of payoffs' differences; NaN where not known
    offenders: NDArray[np.bool_] | None = None  # [G, N] who broke off the game; a forfeit without any does not say who

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Results":
        """Gather single results; agents in the order of their names."""
        agents = sorted({agent for result in results for agent in result.agents})
        index = {agent: k for k, agent in enumerate(agents)}
        num_players = len(results[0].agents) if results else 2
        seat = range(num_players)
        return cls(
            agents=tuple(agents),
            seats=np.array([[index[a] for a in r.agents] for r in results], np.int64).reshape(-1, num_players),
            payoffs=np.array([r.payoffs for r in results], np.float64).reshape(-1, num_players),
            seeds=np.array([r.seed for r in results], np.uint64),
            terminations=np.array([r.termination for r in results], np.str_),
            lengths=np.array([r.length for r in results], np.int64),
            rounding=np.array([r.rounding for r in results], np.float64),
            offenders=np.array([[s in r.offenders for s in seat] for r in results], bool).reshape(-1, num_players),
        )

    def __len__(self) -> int:
        return len(self.seats)


def rounding_of(results: Results, largest: float | None = None) -> Floats:
    """Return each game's bound on the rounding error of payoffs' differences [G].

    Stores of versions 1 and 2 keep none. Their games are taken to have paid `largest` at each step, in float32: the
    largest payoff of all games, unless it is given. Payoffs that are whole numbers are taken to be exact.
    """
    lengths = np.ones(len(results)) if results.lengths is None else results.lengths
    if largest is None:
        largest = float(np.nanmax(np.abs(results.payoffs), initial=0.0))
    whole = (np.isnan(results.payoffs) | (results.payoffs == np.round(results.payoffs))).all(1)
    assumed = np.where(whole, 0.0, rounding.FLOAT32 * largest * lengths)
    return assumed if results.rounding is None else np.where(np.isnan(results.rounding), assumed, results.rounding)


def offended(results: Results) -> NDArray[np.bool_]:
    """Return who broke off which game [G, N].

    Stores of versions 1 and 2 do not say who: of a forfeit without offenders it is whoever was paid the least.
    """
    forfeited = np.isin(results.terminations, FORFEITS)[:, None]
    known = np.zeros(results.payoffs.shape, bool) if results.offenders is None else results.offenders
    above_least = results.payoffs - np.nanmin(results.payoffs, 1, keepdims=True, initial=np.inf)
    paid_least = above_least <= rounding_of(results)[:, None]
    return forfeited & np.where(known.any(1, keepdims=True), known, paid_least)


def settle(results: Results, zero_sum: bool) -> Results:
    """Return the results with the worst return for who broke off a game: the least that was paid in any of them.

    For games whose bounds are not known. What had been paid by then says little: a game broken off early loses less.
    If zero-sum, the others share what the offenders lose, and a game that all broke off keeps its payoffs.
    """
    lost = offended(results)
    worst = np.nanmin(results.payoffs, initial=np.inf)
    if not zero_sum:
        return replace(results, payoffs=np.where(lost, worst, results.payoffs))
    offenders = lost.sum(1, keepdims=True)  # [G, 1]
    others = lost.shape[1] - offenders
    gain = -worst * offenders / np.maximum(others, 1)
    settled = np.where(lost, worst, gain)
    return replace(results, payoffs=np.where((offenders > 0) & (others > 0), settled, results.payoffs))


@dataclass(frozen=True, eq=False)
class Counts:
    """Wins, draws and losses of each ordered pair of agents, from seat 0's view; counts may be fractions."""

    agents: tuple[str, ...]
    pairs: Ints  # [M, 2] agent in seat 0, agent in seat 1
    wdl: Floats  # [M, 3]


def outcomes(results: Results) -> Ints:
    """Return seat 0's outcome of each two-player game [G]: 0 a win, 1 a draw, 2 a loss.

    A game is a draw where its payoffs differ by no more than rounding can have moved them.
    """
    if results.payoffs.shape[1] != 2:
        raise UserError(f"expected two-player games to compare payoffs, got {results.payoffs.shape[1]} players")
    if not np.isfinite(results.payoffs).all():
        raise UserError(
            "expected payoffs that are finite numbers, got a payoff that is not; correct or remove that game"
        )
    gap = results.payoffs[:, 0] - results.payoffs[:, 1]
    return 1 - rounding.sign(gap, rounding_of(results))


def count(results: Results) -> Counts:
    """Sum the games of each ordered pair."""
    n = len(results.agents)
    outcome = outcomes(results)
    cell = (results.seats[:, 0] * n + results.seats[:, 1]) * 3 + outcome
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
    """Return P(win), P(draw), P(loss) [M, 3] at differences d [M]."""
    logits = np.stack([d / 2, np.full_like(d, log_nu), -d / 2], 1)
    weight = np.exp(logits - np.maximum(np.abs(d) / 2, log_nu)[:, None])
    return weight / weight.sum(1, keepdims=True)


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
    # Without a prior only contrasts within a part are known; this fixes each part's mean at 0 and leaves them alone.
    gauge = np.zeros((free, free))
    if prior_sd is None:
        gauge[:n, :n] = part[:, None] == part[None, :]

    def split(x: Floats) -> tuple[Floats, Floats, float]:
        """Return the probabilities, their logarithms (0 where nothing was counted), and the log-likelihood."""
        p = probabilities(x[i] - x[j] + x[n], x[n + 1] if drawn else -math.inf)
        with np.errstate(divide="ignore"):
            log_p = np.where(counts.wdl > 0, np.log(p), 0.0)
        return p, log_p, float((counts.wdl * log_p).sum())

    def objective(x: Floats) -> float:
        return split(x)[2] - float((precision * (x - centre) ** 2).sum()) / 2

    x = centre.copy()
    for _ in range(100):
        p, _, _ = split(x)
        g_d = (counts.wdl[:, 0] - counts.wdl[:, 2]) / 2 - games * (p[:, 0] - p[:, 2]) / 2
        g_draw = counts.wdl[:, 1] - games * p[:, 1]
        seats = _sum(i, g_d, n) - _sum(j, g_d, n)
        gradient = np.concatenate([seats, [g_d.sum(), g_draw.sum()]])[:free] - precision * (x - centre)
        hessian = _information(n, counts.pairs, games, p)[:free, :free] + np.diag(precision) + gauge
        try:
            step = cho_solve(cho_factor(hessian), gradient)
        except np.linalg.LinAlgError:
            break
        size = np.abs(step).max(initial=0.0)
        if size < 1e-9:
            inverse = cho_solve(cho_factor(hessian), np.eye(free))
            nu = math.exp(x[n + 1]) if drawn else 0.0
            return Fit(counts, x[:n], float(x[n]), nu, split(x)[2], prior_sd, precision, part, core, inverse)
        step *= min(1.0, 2.0 / size)
        before = objective(x)
        while objective(x + step) < before - 1e-9 * (1 + abs(before)):  # never downhill, whatever the starting point
            step /= 2
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
    size, first = np.bincount(part), [min(np.array(counts.agents)[part == k]) for k in range(part.max() + 1)]
    rank = np.empty(len(size), np.int64)
    rank[sorted(range(len(size)), key=lambda k: (-size[k], first[k]))] = np.arange(len(size))
    return rank[part], core


def _information(n: int, pairs: Ints, games: Floats, p: Floats) -> Floats:
    """Return the negative Hessian of the log-likelihood [n+2, n+2] in (θ, η, ln ν)."""
    edge = p[:, 0] - p[:, 2]
    dd = games * ((p[:, 0] + p[:, 2]) - edge**2) / 4
    dn = -games * p[:, 1] * edge / 2
    return _assemble(n, pairs, dd, dd, dn, dd, dn, games * p[:, 1] * (1 - p[:, 1]))


def _assemble(n: int, pairs: Ints, aa: Floats, ab: Floats, ac: Floats, bb: Floats, bc: Floats, cc: Floats) -> Floats:
    """Sum the products of vectors a (eᵢ − eⱼ) + b e_η + c e_lnν, given their coefficients' products [M]: [n+2, n+2]."""
    i, j = pairs.T
    width = n + 2
    cells = np.concatenate([i * width + i, j * width + j, i * width + j, j * width + i])
    matrix = _sum(cells, np.concatenate([aa, aa, -aa, -aa]), width * width).reshape(width, width)
    matrix[:n, n] = matrix[n, :n] = _sum(i, ab, n) - _sum(j, ab, n)
    matrix[:n, n + 1] = matrix[n + 1, :n] = _sum(i, ac, n) - _sum(j, ac, n)
    matrix[n:, n:] = [[bb.sum(), bc.sum()], [bc.sum(), cc.sum()]]
    return matrix


def _sum(index: Ints, values: Floats, size: int) -> Floats:
    """Add up the values that have the same index [size]."""
    return np.bincount(index, values, size).astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class Spread:
    """How sure the parameters of a fit are [F], and how many seeds say so."""

    covariance: Floats  # [F, F]
    model: Floats  # [F, F] the covariance where every game is independent and the model holds
    added: Floats  # [F] Σ_s q_s, with q_s what seed s is expected to add to a parameter's variance (spread.py)
    shared: Floats  # [F, F] Σ_s q_s q_sᵀ; 0 where every game is independent

    def of(self, contrasts: Floats) -> tuple[Floats, Floats]:
        """Return the standard errors of linear combinations [C, F], and their effective numbers of seeds [C]."""
        variance, model = (
            np.einsum("cf,fg,cg->c", contrasts, matrix, contrasts, optimize=True)
            for matrix in (self.covariance, self.model)
        )
        weight = contrasts**2
        return _shown(variance, model, weight @ self.added, ((weight @ self.shared) * weight).sum(1))

    def differences(self, n: int) -> tuple[Floats, Floats]:
        """Return the standard errors of the differences of the first n parameters, and their numbers of seeds [n, n].

        A parameter differs from itself by 0, for sure.
        """

        def apart(matrix: Floats, sign: int) -> Floats:
            own = np.diag(matrix)[:n]
            return own[:, None] + own[None, :] + 2 * sign * matrix[:n, :n]

        others = 1 - np.eye(n)
        added = others * (self.added[:n, None] + self.added[None, :n])
        return _shown(apart(self.covariance, -1), apart(self.model, -1), added, others * apart(self.shared, 1))


def _shown(variance: Floats, model: Floats, added: Floats, squares: Floats) -> tuple[Floats, Floats]:
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

    u_s is the sum of the scores of a seed's games. All pairings play the same seeds, and an agent's luck on a seed is
    met by all its opponents: seeds alone are independent (Liang & Zeger 1986, https://doi.org/10.1093/biomet/73.1.13).
    The residuals of a fit are smaller than the errors; v_s corrects for the share h_s / h that a seed has in the
    information on each parameter: the correction CR2 by the diagonal of the information alone (Bell & McCaffrey 2002,
    https://www150.statcan.gc.ca/n1/en/catalogue/12-001-X20020029058). With S seeds that weigh alike it is the factor
    S / (S − 1) of spread.py.
    Λ, the prior's precision, is in H and between the two: where the model holds, C is the posterior's covariance H⁻¹.

    Results between agents of which one never scored against the other, even through third parties, cannot show their
    spread (ten wins in ten games look as sure as a thousand): they give the model's information instead.
    """
    n, free, counts = len(fitted.theta), len(fitted.inverse), fitted.counts
    one_sided = fitted.core[counts.pairs[:, 0]] != fitted.core[counts.pairs[:, 1]]
    p = fitted.probabilities(counts.pairs[one_sided])
    borrowed = _information(n, counts.pairs[one_sided], counts.wdl[one_sided].sum(1), p)[:free, :free]

    score, information = _by_seed(fitted, results)
    total = np.asarray(information.sum(0)).ravel() + fitted.prior_precision
    expected = np.divide(1.0, total, out=np.zeros(free), where=total > 0)  # variance, by the diagonal alone
    share = information.data * expected[information.indices]
    score.data /= np.sqrt(1 - np.minimum(share, _MOST))
    between = (score.T @ score).toarray() + borrowed + np.diag(fitted.prior_precision)
    information.data = share * expected[information.indices]  # q_s
    return Spread(
        covariance=fitted.inverse @ between @ fitted.inverse,
        model=fitted.inverse,
        added=np.asarray(information.sum(0)).ravel(),
        shared=(information.T @ information).toarray(),
    )


def _by_seed(fitted: Fit, results: Results) -> tuple[csr_matrix, csr_matrix]:
    """Return each seed's scores, without those of one-sided results, and its information on each parameter [S, F]."""
    n, free = len(fitted.theta), len(fitted.inverse)
    _, seed = np.unique(results.seeds, return_inverse=True)
    (i, j), outcome, p = results.seats.T, outcomes(results), fitted.probabilities(results.seats)
    edge, shown, apart = p[:, 0] - p[:, 2], fitted.core[i] == fitted.core[j], (i != j).astype(np.float64)
    g = shown * ((1 - outcome) - edge) / 2
    h = (p[:, 0] + p[:, 2] - edge**2) / 4
    columns = [i, j, np.full_like(i, n), np.full_like(i, n + 1)][: 2 + free - n]
    scores = [apart * g, -apart * g, g, shown * ((outcome == 1) - p[:, 1])][: len(columns)]
    information = [apart * h, apart * h, h, p[:, 1] * (1 - p[:, 1])][: len(columns)]
    where = (np.tile(seed, len(columns)), np.concatenate(columns))
    shape = (int(seed.max(initial=-1)) + 1, free)
    return tuple(csr_matrix((np.concatenate(values), where), shape) for values in (scores, information))


@dataclass(frozen=True)
class Rating:
    """One line of a leaderboard; `score` is the mean of 1, ½ and 0.

    `ci95` is the half width of the 95 % interval: infinite where one seed alone says something of the agent.
    """

    agent: str
    elo: float
    ci95: float
    games: int
    score: float
    part: int
    prior_dominated: bool

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON data; an infinite interval is null."""
        return vars(self) | {"elo": round(self.elo, 3), "ci95": _finite(self.ci95), "score": round(self.score, 6)}


@dataclass(frozen=True)
class Part:
    """Agents that can be compared, the best first.

    `one_sided`: some agents of it never scored against others, so their distance is held by the prior alone.
    """

    ratings: tuple[Rating, ...]
    one_sided: bool


@dataclass(frozen=True, eq=False)
class Ratings:
    """What `rate` found. Arrays follow `agents`, which are in the leaderboard's order: by part, then the best first."""

    parts: list[Part]
    agents: tuple[str, ...]
    elo: Floats  # [n] relative to the part's mean, or to the anchor
    seeds: Floats  # [n] effective number of seeds that say something of `elo`
    covariance: Floats  # [n, n] of `elo`
    difference_se: Floats  # [n, n] standard error of Rᵢ − Rⱼ
    difference_seeds: Floats  # [n, n] effective number of seeds that say something of it
    part: Ints  # [n]
    seat_advantage: float  # Elo that seat 0 is worth
    seat_advantage_ci95: float
    draw_rate: float  # the share of games drawn
    nu: float
    prior_sd: float | None
    fit: Fit

    @property
    def ratings(self) -> list[Rating]:
        return [rating for part in self.parts for rating in part.ratings]

    @property
    def difference_ci95(self) -> Floats:
        """Half width of the 95 % interval of Rᵢ − Rⱼ [n, n]; infinite where one seed alone says something of it."""
        return interval(self.difference_se, self.difference_seeds)

    @cached_property
    def superiority(self) -> Floats:
        """Likelihood of superiority [n, n]: that the row is stronger than the column, by Student's t of ΔR / SE.

        NaN across parts, and where one seed alone says something of the difference.
        """
        gap, se = self.elo[:, None] - self.elo[None, :], self.difference_se
        ratio = np.divide(gap, se, out=np.zeros_like(gap), where=se > 0)
        known = (self.part[:, None] == self.part[None, :]) & np.isfinite(self.difference_ci95)
        return np.where(known, stdtr(np.maximum(self.difference_seeds - 1, 0.5), ratio), np.nan)

    def difference(self, agent: str, other: str) -> tuple[float, float]:
        """Return R(agent) − R(other) and the half width of its 95 % interval; refuses agents of different parts."""
        i, j = self.agents.index(agent), self.agents.index(other)
        if self.part[i] != self.part[j]:
            raise UserError(f"expected agents that games connect, got '{agent}' and '{other}'; play games between them")
        return float(self.elo[i] - self.elo[j]), float(self.difference_ci95[i, j])

    def to_json(self) -> dict[str, Any]:
        """Return the ratings as JSON data."""
        return {
            "rating_rule": "sign",
            "ratings": [rating.to_json() for rating in self.ratings],
            "parts": [[r.agent for r in part.ratings] for part in self.parts],
            "seat_advantage": {"elo": round(self.seat_advantage, 3), "ci95": _finite(self.seat_advantage_ci95)},
            "draw_rate": round(self.draw_rate, 6),
            "prior_sd": self.prior_sd,
        }


def rate(
    results: Results,
    *,
    prior_sd: float | None = PRIOR_SD,
    anchor: str | None = None,
    covariance: Covariance = sandwich,
) -> Ratings:
    """Rate two-player games: Elo relative to the mean of each part, or to `anchor`, which then stands at 0 ± 0.

    The intervals are those of contrasts, C' = A C Aᵀ with A = I − 1wᵀ (w the mean, or the anchor): the common level of
    a part is held by the prior alone and means nothing. The display scale 2 / (2 + ν) is taken as known.
    An agent is `prior_dominated` where its posterior SE is above 0.7 of the prior's, or where it is outside the largest
    group of its part in which each scored against each other, even through third parties.
    """
    if anchor is not None and anchor not in results.agents:
        raise UserError(
            f"expected the anchor to be an agent that has played, got '{anchor}'; name one of the leaderboard"
        )
    counts = count(results)
    fitted = fit(counts, prior_sd)
    n, part = len(results.agents), fitted.part
    scale = K * 2 / (2 + fitted.nu)
    together = part[:, None] == part[None, :]  # [n, n]
    mean = together / np.maximum(together.sum(1, keepdims=True), 1)
    weight = mean.copy()
    if anchor is not None:
        a = results.agents.index(anchor)
        weight[part == part[a]] = np.eye(n)[a]
    elo = scale * (fitted.theta - weight @ fitted.theta)
    contrasts = np.zeros((n + 1, len(fitted.inverse)))  # the ratings and the seat effect, by the parameters
    contrasts[:n, :n], contrasts[n, n] = scale * (np.eye(n) - weight), scale
    spread = covariance(fitted, results)
    se, seeds = spread.of(contrasts)
    ci95 = interval(se, seeds)
    difference_se, difference_seeds = spread.differences(n)
    held = _prior_dominated(fitted, np.eye(n) - mean)

    games, score = _scores(counts)
    order = sorted(range(n), key=lambda k: (part[k], -round(elo[k], 6), results.agents[k]))
    table = np.ix_(order, order)
    parts = []
    for which in range(int(part.max(initial=-1)) + 1):
        rows = [
            Rating(
                agent=results.agents[k],
                elo=float(elo[k]),
                ci95=float(ci95[k]),
                games=round(games[k]),
                score=float(score[k]),
                part=which,
                prior_dominated=bool(held[k]),
            )
            for k in order
            if part[k] == which
        ]
        parts.append(Part(tuple(rows), one_sided=len(np.unique(fitted.core[part == which])) > 1))
    return Ratings(
        parts=parts,
        agents=tuple(results.agents[k] for k in order),
        elo=elo[order],
        seeds=seeds[order],
        covariance=(contrasts @ spread.covariance @ contrasts.T)[table],
        difference_se=scale * difference_se[table],
        difference_seeds=difference_seeds[table],
        part=part[order],
        seat_advantage=scale * fitted.eta,
        seat_advantage_ci95=float(ci95[n]),
        draw_rate=float(counts.wdl[:, 1].sum() / max(counts.wdl.sum(), 1)),
        nu=fitted.nu,
        prior_sd=prior_sd,
        fit=fitted,
    )


def _finite(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None


def _prior_dominated(fitted: Fit, centred: Floats) -> NDArray[np.bool_]:
    """Return which agents' ratings the prior holds rather than the games [n]; `centred` is I − P, [n, n]."""
    if fitted.prior_sd is None:
        return np.zeros(len(fitted.theta), bool)
    n = len(fitted.theta)
    posterior = np.einsum("ij,jk,ik->i", centred, fitted.inverse[:n, :n], centred, optimize=True)
    prior = fitted.prior_sd**2 * (centred**2).sum(1)
    held = posterior >= 0.49 * prior  # a lone agent has 0 on both sides
    for which in np.unique(fitted.part):
        core, size = np.unique(fitted.core[fitted.part == which], return_counts=True)
        largest = core[size == size.max()]
        held |= (fitted.part == which) & ((fitted.core != largest[0]) | (len(largest) > 1))
    return held


def _scores(counts: Counts) -> tuple[Floats, Floats]:
    """Return each agent's games and mean score [n]; a game against itself is one game with a score of ½."""
    n, (i, j), (w, d, _) = len(counts.agents), counts.pairs.T, counts.wdl.T
    seat = np.where(i == j, 0.5, 1.0)
    total = counts.wdl.sum(1)
    games = _sum(i, seat * total, n) + _sum(j, seat * total, n)
    points = _sum(i, seat * (w + d / 2), n) + _sum(j, seat * (total - w - d / 2), n)
    return games, points / np.maximum(games, 1)


@dataclass(frozen=True)
class MeanPayoff:
    """An agent's mean payoff in one seat, or over all of its seats (`seat` None), in the games that say one.

    `mean` is None without such a game; `ci95` is the half width of the 95 % interval, None with fewer than two seeds.
    """

    agent: str
    seat: int | None
    mean: float | None
    ci95: float | None
    games: int


def mean_payoffs(results: Results) -> list[MeanPayoff]:
    """Return mean payoffs: for each agent, the best first, over all of its seats and then for each seat that it held.

    With n payoffs xᵢ and mean m, a seed's pull (spread.py) is z_s = Σ_{i∈s} (xᵢ − m) / n.
    """
    num_games, num_players = results.seats.shape
    group = results.seats * (num_players + 1) + np.arange(num_players)  # [G, N] agent and seat
    overall = results.seats * (num_players + 1) + num_players
    known = ~np.isnan(results.payoffs)
    groups, payoff = np.concatenate([group[known], overall[known]]), np.tile(results.payoffs[known], 2)
    kinds = len(results.agents) * (num_players + 1)
    n = np.bincount(groups, minlength=kinds)
    mean = _sum(groups, payoff, kinds) / np.maximum(n, 1)
    _, seed = np.unique(results.seeds, return_inverse=True)
    game = np.nonzero(known)[0]
    seeds = np.tile(seed[game], 2)
    num_seeds = int(seed.max(initial=-1)) + 1
    moment = groups * num_seeds + seeds
    pull = _sum(moment, (payoff - mean[groups]) / n[groups], kinds * num_seeds).reshape(kinds, num_seeds)
    met = _sum(moment, np.ones(len(moment)), kinds * num_seeds).reshape(kinds, num_seeds) > 0
    ci95 = of_pulls(pull, met.sum(1))
    played = np.unique(results.seats[known] * num_games + game)  # several seats of one game are one game
    games = np.bincount(played // max(num_games, 1), minlength=len(results.agents))

    def line(agent: int, seat: int) -> MeanPayoff:
        k = agent * (num_players + 1) + seat
        return MeanPayoff(
            agent=results.agents[agent],
            seat=None if seat == num_players else seat,
            mean=float(mean[k]) if n[k] else None,
            ci95=float(ci95[k]) if math.isfinite(ci95[k]) else None,
            games=int(games[agent] if seat == num_players else n[k]),
        )

    width = num_players + 1
    earned = np.where(n > 0, mean, np.inf)[num_players::width].tolist()  # the unknown stand above who broke off games
    best_first = sorted(range(len(results.agents)), key=lambda a: (-round(earned[a], 9), a))
    seats = [num_players, *range(num_players)]
    return [line(a, seat) for a in best_first for seat in seats if seat == num_players or n[a * width + seat]]


def refusal(num_players: int, payoff: str) -> str | None:
    """Return why a game gets no Elo, in one sentence; None where it gets one."""
    if payoff == "team":
        return "No Elo: the players are paid as a team, so no agent beats another."
    if payoff == "general_sum":
        return "No Elo: in a general-sum game, comparing payoffs would put first who spoils most, not who earns most."
    if num_players > 2:
        return f"No Elo yet: the game has {num_players} players, and ratings for more than two come later."
    if num_players < 2:
        return "No Elo: the game has one player, so there is nobody to beat."
    return None
