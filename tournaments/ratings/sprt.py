"""A match between two agents: its score, its Elo, and the sequential probability ratio test that ends it early.

Results are counted, the worst first, by what the first agent scored, evenly spaced from 0 to 1:

    trinomial     lost, drawn, won                     of single games
    pentanomial   0, ¼, ½, ¾, 1                        of pairs of games: one seed from both seats

A pair is one observation: its games share their chance events, so the variance is that of pairs. Elo is logistic,
E = 1 / (1 + 10^(−Elo / 400)), or normalised by the deviation of a game, nElo = (s − ½) / σ · 800 / ln 10, of which a
match needs the same number of games whatever the share of draws.

The test (Wald 1945, https://doi.org/10.1214/aoms/1177731118) compares H0, the difference is `elo0`, with H1, it is
`elo1`, by the generalised log-likelihood ratio: both laws are the most likely ones under their hypothesis (Michel Van
den Bergh's notes, https://www.cantate.be/Fishtest/GSPRT_approximation.pdf). It ends outside (ln(β / (1 − α)),
ln((1 − β) / α)): then H1 is wrongly accepted with probability α, and H0 with probability β, up to the overshoot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from games.arrays import Floats
from marl.base.intervals import Z95

Model = Literal["logistic", "normalized", "bayesian"]
Decision = Literal["H0", "H1"]

NORMALIZED = 800 / math.log(10)  # nElo of one standard deviation of a game
EMPTY = 1e-3  # stands for a count of 0, so that every law has a likelihood
_EXACT = 1e-12


@dataclass(frozen=True)
class Match:
    """What a match says of the first agent's strength; ± are half widths of 95 % intervals by normal approximation."""

    score: float
    elo: float
    elo_ci95: float
    nelo: float
    nelo_ci95: float
    superiority: float  # the likelihood that the first agent is the stronger one


def _law(counts: Sequence[float]) -> tuple[float, Floats, Floats]:
    """Return the number of observations, their scores and their shares; a count of 0 is EMPTY."""
    if len(counts) not in (3, 5):
        raise ValueError(f"expected 3 counts of games or 5 of pairs, got {len(counts)}")
    filled = np.array([count or EMPTY for count in counts], np.float64)
    return float(filled.sum()), np.linspace(0, 1, len(counts)), filled / filled.sum()


def _moments(scores: Floats, law: Floats) -> tuple[float, float]:
    """Return the mean and the variance of a law."""
    mean = float(scores @ law)
    return mean, float((scores - mean) ** 2 @ law)


def score_of(elo: float) -> float:
    """Return the expected score at a difference of logistic Elo."""
    return 1 / (1 + 10 ** (-elo / 400))


def elo_of(score: float) -> float:
    """Return the difference of logistic Elo at an expected score; infinite at 0 and 1."""
    return 0.0 - 400 * math.log10(1 / score - 1) if 0 < score < 1 else math.copysign(math.inf, score - 0.5)


def match(counts: Sequence[float]) -> Match:
    """Return what a match of at least one game says. Raises ValueError for other than 3 or 5 counts, and for none."""
    if not sum(counts) > 0:
        raise ValueError("expected at least one game, got none")
    total, scores, law = _law(counts)
    plain = np.array(counts, np.float64) / sum(counts)
    mean, variance = _moments(scores, plain)
    if variance == 0:  # all results are the same
        mean, variance = _moments(scores, law)
    half = Z95 * math.sqrt(variance / total)
    games = len(counts) // 2  # of one observation
    return Match(
        score=mean,
        elo=elo_of(mean),
        elo_ci95=(elo_of(mean + half) - elo_of(mean - half)) / 2,
        nelo=NORMALIZED * (mean - 0.5) / math.sqrt(games * variance),
        nelo_ci95=NORMALIZED * Z95 / math.sqrt(games * total),
        superiority=float(ndtr((mean - 0.5) / math.sqrt(variance / total))),
    )


def llr(counts: Sequence[float], elo0: float, elo1: float, model: Model = "logistic") -> float:
    """Return the log-likelihood ratio of H1 to H0: of 3 counts of games, or of 5 of pairs; 0 without a game.

    "bayesian" is the model of BayesElo for 3 counts, whose draws are estimated from the counts. Raises ValueError for
    counts that the model does not take.
    """
    total, scores, law = _law(counts)
    if not sum(counts) > 0:
        return 0.0
    if model == "bayesian":
        return _bayesian(total, law, elo0, elo1)
    if model == "logistic":
        laws = [_with_mean(scores, law, score_of(elo)) for elo in (elo0, elo1)]
    else:
        deviations = math.sqrt(len(counts) // 2) / NORMALIZED  # of an observation, for each nElo
        laws = [_with_distance(scores, law, elo * deviations) for elo in (elo0, elo1)]
    return float(total * (law @ np.log(laws[1] / laws[0])))


def bounds(alpha: float, beta: float) -> tuple[float, float]:
    """Return the log-likelihood ratios at which H0 and H1 are accepted."""
    return math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)


def decision(ratio: float, alpha: float, beta: float) -> Decision | None:
    """Return which hypothesis a log-likelihood ratio accepts; None while the match goes on."""
    low, high = bounds(alpha, beta)
    return "H0" if ratio <= low else "H1" if ratio >= high else None


def _with_mean(scores: Floats, law: Floats, mean: float) -> Floats:
    """Return the most likely law with this mean."""
    return _tilted(scores - mean, law)


def _with_distance(scores: Floats, law: Floats, distance: float) -> Floats:
    """Return the most likely law whose mean is so many of its standard deviations above ½: by iteration.

    It begins at such a law, of uniform scores and so often the best one (or the worst one): elsewhere a step may find
    no law at a distance of a deviation or more.
    """
    uniform, end = np.full(len(law), 1 / len(law)), np.zeros(len(law))
    end[-1 if distance > 0 else 0] = 1.0
    _, variance = _moments(scores, uniform)
    a, b, c = (1 + distance**2) / 4, distance**2 * (1 / 4 - variance), distance**2 * variance
    often = (b + math.sqrt(b**2 + 4 * a * c)) / (2 * a)
    found = (1 - often) * uniform + often * end
    for _ in range(100):
        mean, variance = _moments(scores, found)
        deviation = math.sqrt(variance)
        slope = scores - 0.5 - distance * deviation * (1 + ((mean - scores) / deviation) ** 2) / 2
        before, found = found, _tilted(slope, law)
        if np.abs(found - before).max() < _EXACT:
            break
    return found


def _tilted(values: Floats, law: Floats) -> Floats:
    """Return the most likely law q under which the mean of `values` is 0: q = law / (1 + x · values)."""
    low, high = -1 / values.max(), -1 / values.min()
    margin = 1e-12 * (high - low)
    x = brentq(lambda x: float((law * values / (1 + x * values)).sum()), low + margin, high - margin, xtol=1e-14)
    return np.asarray(law / (1 + x * values))


def _bayesian(total: float, law: Floats, elo0: float, elo1: float) -> float:
    if len(law) != 3:
        raise ValueError("expected 3 counts of games for the model of BayesElo, got those of pairs")
    lost, _, won = law
    draw = 200 * math.log10((1 - lost) / lost * (1 - won) / won)

    def of(elo: float) -> Floats:
        wins, losses = score_of(elo - draw), score_of(-elo - draw)
        return np.array([losses, 1 - wins - losses, wins])

    return float(total * (law @ np.log(of(elo1) / of(elo0))))
