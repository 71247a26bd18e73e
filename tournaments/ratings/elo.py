"""Ratings: Elo with intervals from the results of games. Pure functions.

Two players are rated by Davidson's model (davidson.py), with intervals clustered by seed (covariance.py).

Draws flatten the expected score near equality: its slope is E'(0) = 1 / (2 (2 + ν)), and 1/4 on the Elo curve. So the
displayed rating is

    R = K · 2 / (2 + ν) · θ        K = 400 / ln 10

Agents that no chain of games connects are in different parts and are never compared; η and ν belong to the game, and
all parts share them.

Games with more players, teams or general sums get mean payoffs (payoffs.py, metagame.py), and the reason for no Elo
(`refusal`).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from games.arrays import Floats, Ints
from games.errors import UserError
from marl.base.intervals import interval
from tournaments.ratings.covariance import Contrasts, Covariance, sandwich
from tournaments.ratings.davidson import PRIOR_SD, Counts, Fit, count, fit
from tournaments.records.results import Results, sum_by

K = 400 / math.log(10)


@dataclass(frozen=True)
class Rating:
    """One line of a leaderboard; `score` is the mean over games of 1 (won), ½ (drawn) or 0 (lost).

    `ci95` is the half width of the 95 % interval: infinite if the rating rests on one seed.
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
    """A part: agents that can be compared with each other, the best first.

    `one_sided`: some of its agents never scored against others, so only the prior limits their distance.
    """

    ratings: tuple[Rating, ...]
    one_sided: bool


@dataclass(frozen=True, eq=False)
class Ratings:
    """The result of `rate`. Arrays follow `agents`, in the leaderboard's order: by part, then the best first."""

    parts: list[Part]
    agents: tuple[str, ...]
    elo: Floats  # [n] relative to the part's mean, or to the anchor
    seeds: Floats  # [n] effective number of seeds on which `elo` rests
    covariance: Floats  # [n, n] of `elo`
    difference_se: Floats  # [n, n] standard error of Rᵢ − Rⱼ
    difference_seeds: Floats  # [n, n] effective number of seeds on which the difference rests
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

    @cached_property
    def difference_ci95(self) -> Floats:
        """Half width of the 95 % interval of Rᵢ − Rⱼ [n, n]; infinite if it rests on one seed."""
        return interval(self.difference_se, self.difference_seeds)

    @cached_property
    def superiority(self) -> Floats:
        """Likelihood of superiority [n, n]: that the row is stronger than the column, by Student's t of ΔR / SE.

        NaN across parts, and if the difference rests on one seed.
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

    The intervals are those of contrasts, C' = A C Aᵀ with A = I − 1wᵀ (w the mean, or the anchor): only the
    prior determines the common level of a part, which means nothing. The display scale 2 / (2 + ν) is taken as known.
    An agent is `prior_dominated` if its posterior SE is above 0.7 of the prior's, or if it is outside the largest group
    of its part in which every agent scored against every other, directly or through third parties. Raises UserError for
    an `anchor` that has not played, and as `fit` does.
    """
    if anchor is not None and anchor not in results.agents:
        raise UserError(
            f"expected the anchor to be an agent that has played, got '{anchor}'; name one of the leaderboard"
        )
    counts = count(results)
    fitted = fit(counts, prior_sd)
    n, part = len(results.agents), fitted.part
    scale = K * 2 / (2 + fitted.nu)
    member = np.arange(part.max(initial=-1) + 1)[:, None] == part  # [K, n]
    mean = Contrasts(member / member.sum(1, keepdims=True), part)
    shown = mean
    if anchor is not None:
        a = results.agents.index(anchor)
        level = mean.level.copy()
        level[part[a]] = np.arange(n) == a
        shown = Contrasts(level, part)
    elo = scale * shown.values(fitted.theta)
    spread = covariance(fitted, results)
    se, seeds = spread.contrasts(shown)
    ci95 = interval(scale * se, seeds)
    seat_se, seat_seeds = spread.of(n)
    difference_se, difference_seeds = spread.differences(n)
    dominated = _prior_dominated(fitted, mean)

    games, score = _scores(counts)
    order = sorted(range(n), key=lambda k: (part[k], -round(float(elo[k]), 6), results.agents[k]))
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
                prior_dominated=bool(dominated[k]),
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
        covariance=scale**2 * shown.covariance(spread.covariance[:n, :n])[table],
        difference_se=scale * difference_se[table],
        difference_seeds=difference_seeds[table],
        part=part[order],
        seat_advantage=scale * fitted.eta,
        seat_advantage_ci95=float(interval(np.array(scale * seat_se), seat_seeds)),
        draw_rate=float(counts.wdl[:, 1].sum() / max(counts.wdl.sum(), 1)),
        nu=fitted.nu,
        prior_sd=prior_sd,
        fit=fitted,
    )


def _finite(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None


def _prior_dominated(fitted: Fit, centred: Contrasts) -> NDArray[np.bool_]:
    """Return which agents' ratings, relative to the mean of their part, rest on the prior rather than on games [n]."""
    if fitted.prior_sd is None:
        return np.zeros(len(fitted.theta), bool)
    n = len(fitted.theta)
    posterior = centred.variance(fitted.inverse[:n, :n])
    prior = fitted.prior_sd**2 * centred.variance(np.eye(n))
    dominated: NDArray[np.bool_] = posterior >= 0.49 * prior  # a lone agent has 0 on both sides
    for which in np.unique(fitted.part):
        core, size = np.unique(fitted.core[fitted.part == which], return_counts=True)
        largest = core[size == size.max()]
        dominated |= (fitted.part == which) & ((fitted.core != largest[0]) | (len(largest) > 1))
    return dominated


def _scores(counts: Counts) -> tuple[Floats, Floats]:
    """Return each agent's games and mean score [n]; a game against itself is one game with a score of ½."""
    n, (i, j), (w, d, _) = len(counts.agents), counts.pairs.T, counts.wdl.T
    seat = np.where(i == j, 0.5, 1.0)
    total = counts.wdl.sum(1)
    games = sum_by(i, seat * total, n) + sum_by(j, seat * total, n)
    points = sum_by(i, seat * (w + d / 2), n) + sum_by(j, seat * (total - w - d / 2), n)
    return games, points / np.maximum(games, 1)


def refusal(num_players: int, payoff: str) -> str | None:
    """Return why a game gets no Elo, in one sentence; None if it gets Elo."""
    if payoff == "team":
        return "No Elo: the players are paid as a team, so no agent beats another."
    if payoff == "general_sum":
        return "No Elo: in a general-sum game, an agent paid more than its opponent need not be one that earns much."
    if num_players > 2:
        return f"No Elo yet: the game has {num_players} players, and ratings for more than two come later."
    if num_players < 2:
        return "No Elo: the game has one player, so there is nobody to beat."
    return None
