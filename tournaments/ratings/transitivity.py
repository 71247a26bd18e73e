"""Whether Elo means anything in a pool: a test of the ratings' model against one strength for each pair of agents.

Davidson's model (davidson.py) gives each agent one strength, so that i beats k more often than it beats j if j beats k.
The saturated model gives each pair {i, j} a strength of its own beside: D_ij = θ_i − θ_j + η + γ_ij. With u_s [P] the
score of seed s for γ at the fit with γ = 0, and ψ = (θ, η, ln ν),

    e_s = u_γs − I_γψ I_ψψ⁻¹ u_ψs        E = Σ_s e_s        T = Σ_ij E_ij² / N_ij

The e_s are effective scores: an error in the fit of ψ does not move their mean (Neyman's C(α)). The games of a seed
share its luck, so seeds are the clusters. If the pool is transitive each e_s has the mean 0 and its sign may be
flipped: p is the share of random flips of seeds with at least this T (Hemerik, Goeman and Finos 2020,
https://doi.org/10.1111/rssb.12369). The χ² of the deviance would take games for independent, and a Wald test by a
sandwich covariance needs many more seeds than pairs.

E_ij / N_ij is the score of i against j, 1 for a win and ½ for a draw, minus what ratings predict. `misfit` is its root
mean square over games, with the noise of the seeds taken off: S/(S−1) · (T − Σ_s Σ_ij e_s,ij² / N_ij) / Σ N.

Agents of which one never scored against the other, even through third parties, can be put any distance apart: they are
in no cycle, and their games are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from games.arrays import Floats, Ints
from games.keys import fold, stream, uniform
from marl.base.intervals import MIN_SEEDS
from tournaments.ratings.davidson import Fit, count, fisher_information, fit
from tournaments.records.results import Results, sum_by

FLIPS = 1_999
LEVEL = 0.05  # of the test
MATTERS = 0.05  # a misfit from which on a warning is due: 5 points of 100, or 35 Elo between equals
_WEAK = 10.0  # logits: the standard deviation of a prior that decides nothing where the likelihood does
_CHUNK = 1 << 22  # numbers of flipped scores at a time


@dataclass(frozen=True)
class Transitivity:
    """Whether one strength for each agent explains the results of a pool.

    `p` is None where nothing can be tested: with fewer than 10 seeds, or without a loop of pairs that could disagree.
    """

    p: float | None
    misfit: float  # what pairs' scores typically differ by from what ratings predict, 0 to 1
    curl: float | None  # the share of cycles in the squares of the pairs' log-odds, noise included (Hodge)
    freedom: int  # pairs that could disagree with ratings: pairs minus strengths
    seeds: int
    cycle: tuple[str, ...]  # three agents of which each beats the next; the clearest such, or none

    @property
    def misleading(self) -> bool:
        """Whether ratings mislead: one strength for each agent is not enough (p < 0.05; a misfit of 0.05 or more)."""
        return self.p is not None and self.p < LEVEL and self.misfit >= MATTERS

    @property
    def sentence(self) -> str:
        """What the test found, in a sentence."""
        if self.p is None:
            if not self.freedom:
                return "No cycle is possible in these results: they put the agents in one order."
            return f"Whether the pool is transitive is not tested with fewer than {MIN_SEEDS} seeds; play more seeds."
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        size = f"scores of pairs typically differ by {100 * self.misfit:.1f} points of 100 from what ratings predict"
        if self.p >= LEVEL:
            return f"Nothing speaks against one strength for each agent ({p}; {size})."
        if self.misfit < MATTERS:
            return f"One strength for each agent does not explain all results ({p}), but nearly: {size}."
        if self.cycle:
            return f"Elo is misleading here: {' beats '.join([*self.cycle, self.cycle[0]])} ({p}; {size})."
        return (
            f"Elo is misleading here: one strength for each agent does not explain the results ({p}; {size}); no three "
            "agents beat each other in a cycle."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the test as JSON data."""
        return {
            "p": self.p,
            "misfit": round(self.misfit, 6),
            "curl": None if self.curl is None else round(self.curl, 6),
            "degrees_of_freedom": self.freedom,
            "seeds": self.seeds,
            "cycle": list(self.cycle),
            "misleading": self.misleading,
        }


def transitivity(results: Results, key: int = stream(0, "transitivity")) -> Transitivity:
    """Test whether a pool of two-player games is transitive; `key` draws the flips of seeds.

    Raises UserError for games of more than two players, as `count` does.
    """
    scores, table = _scores(results), score_table(results)
    cycles, cycle = curl(*table), tuple(results.agents[k] for k in _cycle(*table))
    if scores is None:
        return Transitivity(None, 0.0, cycles, 0, len(np.unique(results.seeds)), cycle)
    effective, games, freedom = scores
    seeds = len(effective)
    weighted = effective / np.sqrt(games)  # [S, P]
    total = float((weighted.sum(0) ** 2).sum())
    noise = float((weighted**2).sum())
    misfit = np.sqrt(max(0.0, total - noise) * seeds / max(seeds - 1, 1) / games.sum())
    p = _p_value(weighted, total, key) if seeds >= MIN_SEEDS else None
    return Transitivity(p, float(misfit), cycles, freedom, seeds, cycle)


def score_table(results: Results) -> tuple[Floats, Floats]:
    """Return scores of the row against the column, both seatings together, and games: [n, n] each; 0 for no games."""
    n = len(results.agents)
    won = 1 - results.outcome / 2
    (i, j) = results.seats.T
    points = sum_by(i * n + j, won, n * n) + sum_by(j * n + i, 1 - won, n * n)
    games = sum_by(i * n + j, np.ones(len(i)), n * n) + sum_by(j * n + i, np.ones(len(i)), n * n)
    score = np.divide(points, games, out=np.full(n * n, 0.5), where=games > 0)
    other = ~np.eye(n, dtype=bool)
    return score.reshape(n, n), games.reshape(n, n) * other


def curl(score: Floats, games: Floats) -> float | None:
    """Return the share of cycles in the log-odds A [n, n] of the pairs that have met: ‖A − grad r‖² / ‖A‖².

    r are the strengths that explain A best by least squares, each pair weighing alike (Jiang et al. 2011,
    https://doi.org/10.1007/s10107-010-0419-x). With half a game added to each side no log-odds are infinite.
    None where all of A is 0.
    """
    met = games > 0
    points = score * games
    odds = np.where(met, np.log((points + 0.5) / (games - points + 0.5)), 0.0)
    laplacian = np.diag(met.sum(1)) - met
    strength = np.linalg.pinv(laplacian.astype(np.float64)) @ odds.sum(1)
    rest = np.where(met, odds - (strength[:, None] - strength), 0.0)
    size = float((odds**2).sum())
    return float((rest**2).sum() / size) if size else None


def _cycle(score: Floats, games: Floats) -> tuple[int, ...]:
    """Return three agents of which each beats the next, such that the closest of these scores is as high as can be."""
    wins = np.where((games > 0) & (score > 0.5), score, 0.0)
    best, found = 0.0, tuple[int, ...]()
    for i, row in enumerate(wins):
        closest = np.minimum(np.minimum(row[:, None], wins), wins[:, i])  # [j, k]: i beats j beats k beats i
        if closest.size and closest.max() > best:
            j, k = np.unravel_index(int(closest.argmax()), closest.shape)
            best, found = float(closest.max()), (i, int(j), int(k))
    return found


def _scores(results: Results) -> tuple[Floats, Floats, int] | None:
    """Return effective scores by seed and pair [S, P], the games of each pair [P], and the degrees of freedom.

    None where no pairs could disagree with ratings.
    """
    core = fit(count(results), _WEAK).core
    (i, j) = results.seats.T
    within = results.where((core[i] == core[j]) & (i != j))
    fitted = fit(count(within), _WEAK)
    n, (i, j) = len(results.agents), within.seats.T
    pairs, pair = np.unique(np.minimum(i, j) * n + np.maximum(i, j), return_inverse=True)
    present = np.unique(within.seats)
    freedom = len(pairs) - (len(present) - len(np.unique(core[present])))
    if not freedom:
        return None
    _, seed = np.unique(within.seeds, return_inverse=True)
    return _effective(fitted, within, pair, seed), np.bincount(pair).astype(np.float64), freedom


def _effective(fitted: Fit, results: Results, pair: Ints, seed: Ints) -> Floats:
    """Return the effective scores of the pairs [S, P], by the pair and the seed of each game [G]."""
    n, seeds, width = len(fitted.theta), int(seed.max()) + 1, int(pair.max()) + 1
    (i, j), p = results.seats.T, fitted.probabilities(results.seats)
    edge = p[:, 0] - p[:, 2]
    first = np.where(i < j, 1.0, -1.0)  # γ is that of the agent with the lower number
    # The scores of a game for D and ln ν, and its information on them.
    g_d, g_nu = (1 - results.outcome - edge) / 2, (results.outcome == 1) - p[:, 1]
    dd, dn = (p[:, 0] + p[:, 2] - edge**2) / 4, -p[:, 1] * edge / 2

    def by_pair(values: Floats, size: int, index: Ints) -> Floats:
        return sum_by(index * width + pair, values, size * width).reshape(size, width)

    def by_agent(values: Floats, size: int, index: Ints) -> Floats:
        there, back = (sum_by(index * n + agent, values, size * n).reshape(size, n) for agent in (i, j))
        return there - back

    own = by_pair(first * g_d, seeds, seed)
    free = len(fitted.inverse)
    nuisance = np.concatenate([by_agent(g_d, seeds, seed), *(sum_by(seed, g, seeds)[:, None] for g in (g_d, g_nu))], 1)
    shared = np.concatenate(
        [by_agent(first * dd, width, pair), *(sum_by(pair, first * h, width)[:, None] for h in (dd, dn))], 1
    )  # [P, F] I_γψ
    information = fisher_information(n, results.seats, np.ones(len(p)), p)[:free, :free]
    correction = np.linalg.pinv(information, hermitian=True) @ shared[:, :free].T
    return np.asarray(own - nuisance[:, :free] @ correction)


def _p_value(weighted: Floats, total: float, key: int) -> float:
    """Return the share of flips of seeds, the identity among them, with at least this statistic."""
    seeds, pairs = weighted.shape
    if pairs > seeds:  # the lengths of sums of rows are those of sums of rows of this [S, S] matrix
        weighted = np.asarray(np.linalg.qr(weighted.T, mode="r")).T
    reached = 1
    for rows in _chunks(FLIPS, max(1, _CHUNK // seeds)):
        signs = np.where(uniform(fold(key, rows), seeds) < 0.5, -1.0, 1.0)  # [B, S]
        flipped = ((signs @ weighted) ** 2).sum(1)
        reached += int((flipped >= total * (1 - 1e-9)).sum())
    return reached / (FLIPS + 1)


def _chunks(count: int, size: int) -> Iterator[Ints]:
    return (np.arange(low, high) for low, high in pairwise([*range(0, count, size), count]))
