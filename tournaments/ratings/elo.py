"""Ratings: Elo with intervals from the results of games. Pure functions.

Two players are rated by Davidson's model (davidson.py), more of them by that of Plackett & Luce (plackett_luce.py); the
intervals are clustered by seed (covariance.py).

Draws flatten the expected score of one player against another near equality: its slope is E'(0) = 1 / (2 (2 + ν)) in
Davidson's model, and 1/4 on the Elo curve. So the displayed rating is

    R = K · 4 E'(0) · θ        K = 400 / ln 10

Agents that no chain of games connects are in different parts and are never compared; the effects of seats and the
prevalence of draws belong to the game, and all parts share them.

Games of teams or general sums get payoffs (payoffs.py, matchups.py), and the reason for no Elo (`refusal`).
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
from tournaments.ratings import davidson, plackett_luce
from tournaments.ratings.covariance import Contrasts, Covariance, Spread, sandwich
from tournaments.ratings.model import PRIOR_SD, Fit, Lineage
from tournaments.records.results import Results

K = 400 / math.log(10)


@dataclass(frozen=True)
class Rating:
    """One line of a leaderboard; `score` is the mean over games of 1 (won), ½ (drawn) or 0 (lost).

    With more than two players it is the mean over the others of a game, and NaN where no other was compared with.
    `ci95` is the half width of the 95 % interval: infinite if the rating rests on one seed. Agents that cannot be told
    apart share a rank: `rank` is 1 + the agents of the part that are stronger beyond the 95 % interval of the
    difference; `rank_worst` is the number of the part's agents less those that are weaker beyond it.
    """

    agent: str
    rank: int
    rank_worst: int
    elo: float
    ci95: float
    games: int
    score: float
    part: int
    prior_dominated: bool

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON data; an infinite interval is null."""
        score = None if math.isnan(self.score) else round(self.score, 6)
        return vars(self) | {"elo": round(self.elo, 3), "ci95": _finite(self.ci95), "score": score}


@dataclass(frozen=True)
class Seat:
    """What a seat is worth relative to the mean of the others, and the half width of its 95 % interval."""

    elo: float
    ci95: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data; an infinite interval is null."""
        return {"elo": round(self.elo, 3), "ci95": _finite(self.ci95)}


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
    difference_ci95: Floats  # [n, n] half width of the 95 % interval of Rᵢ − Rⱼ; infinite if it rests on one seed
    part: Ints  # [n]
    seats: tuple[Seat, ...]
    prior_sd: float | None
    lineage: Lineage | None
    fit: Fit

    @property
    def ratings(self) -> list[Rating]:
        return [rating for part in self.parts for rating in part.ratings]

    @property
    def seat_advantage(self) -> float:
        """Elo that seat 0 is worth."""
        return self.seats[0].elo

    @property
    def seat_advantage_ci95(self) -> float:
        return self.seats[0].ci95

    @property
    def draw_rate(self) -> float:
        """The share of games drawn; with more than two players, of the comparisons of two in a game."""
        return self.fit.draw_rate

    @property
    def nu(self) -> float:
        """The prevalence of draws of two players."""
        return self.fit.nu

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
        two = len(self.seats) == 2
        worth = {"seat_advantage": self.seats[0].to_json()} if two else {"seats": [s.to_json() for s in self.seats]}
        data = {
            "rating_rule": "sign" if two else "rank",
            "ratings": [rating.to_json() for rating in self.ratings],
            "parts": [[r.agent for r in part.ratings] for part in self.parts],
            **worth,
            "draw_rate": round(self.draw_rate, 6),
            "prior_sd": self.prior_sd,
        }
        if self.lineage is not None:
            data["lineage"] = {"elo": round(K * self.lineage.sd, 3), "chains": [list(c) for c in self.lineage.chains]}
        return data


def rate(
    results: Results,
    *,
    prior_sd: float | None = PRIOR_SD,
    anchor: str | None = None,
    covariance: Covariance = sandwich,
    lineage: Lineage | None = None,
) -> Ratings:
    """Rate games: Elo relative to the mean of each part, or to `anchor`, which then stands at 0 ± 0.

    The intervals are those of contrasts, C' = A C Aᵀ with A = I − 1wᵀ (w the mean, or the anchor): only the
    prior determines the common level of a part, which means nothing. The display scale 4 E'(0) is taken as known.
    An agent is `prior_dominated` if its posterior SE is above 0.7 of the prior's, or if it is outside the largest group
    of its part in which every agent scored against every other, directly or through third parties. `lineage` says which
    agents are stages of one training run (model.py). Raises UserError for an `anchor` that has not played, and as `fit`
    does.
    """
    if anchor is not None and anchor not in results.agents:
        raise UserError(
            f"expected the anchor to be an agent that has played, got '{anchor}'; name one of the leaderboard"
        )
    fitted = _fit(results, prior_sd, lineage)
    n, part = len(results.agents), fitted.part
    scale = K / fitted.flatness
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
    difference_se, difference_seeds = spread.differences(n)
    difference_se = scale * difference_se
    difference_ci95 = interval(difference_se, difference_seeds)
    rank, rank_worst = _ranks(elo, difference_ci95, part)
    dominated = _prior_dominated(fitted, mean)

    games, score = fitted.scores()
    order = sorted(range(n), key=lambda k: (part[k], -round(float(elo[k]), 6), results.agents[k]))
    table = np.ix_(order, order)
    parts = []
    for which in range(int(part.max(initial=-1)) + 1):
        rows = [
            Rating(
                agent=results.agents[k],
                rank=int(rank[k]),
                rank_worst=int(rank_worst[k]),
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
        difference_se=difference_se[table],
        difference_seeds=difference_seeds[table],
        difference_ci95=difference_ci95[table],
        part=part[order],
        seats=_seats(fitted, spread, scale),
        prior_sd=prior_sd,
        lineage=lineage,
        fit=fitted,
    )


def _fit(results: Results, prior_sd: float | None, lineage: Lineage | None) -> Fit:
    """Fit the model for this number of players."""
    if results.seats.shape[1] == 2:
        return davidson.fit(davidson.count(results), prior_sd, lineage)
    return plackett_luce.fit(*plackett_luce.rankings(results), prior_sd, lineage)


def _seats(fitted: Fit, spread: Spread, scale: float) -> tuple[Seat, ...]:
    """Return what each seat is worth relative to the mean of the others."""
    se, seeds = spread.of(fitted.seat_weights)
    worth = scale * fitted.seat_effects
    return tuple(Seat(float(elo), float(half)) for elo, half in zip(worth, interval(scale * se, seeds), strict=True))


def _ranks(elo: Floats, difference_ci95: Floats, part: Ints) -> tuple[Ints, Ints]:
    """Return each agent's best and worst rank [n] in its part, by the 95 % intervals of differences."""
    together = part[:, None] == part[None, :]
    surely_above = together & (elo[:, None] - elo[None, :] > difference_ci95)
    return 1 + surely_above.sum(0), together.sum(0) - surely_above.sum(1)


def _finite(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None


def _prior_dominated(fitted: Fit, centred: Contrasts) -> NDArray[np.bool_]:
    """Return which agents' ratings, relative to the mean of their part, rest on the prior rather than on games [n]."""
    if fitted.prior.sd is None:
        return np.zeros(len(fitted.theta), bool)
    n = len(fitted.theta)
    posterior = centred.variance(fitted.inverse[:n, :n])
    prior = centred.variance(fitted.prior.covariance(n))
    dominated: NDArray[np.bool_] = posterior >= 0.49 * prior  # a lone agent has 0 on both sides
    for which in np.unique(fitted.part):
        core, size = np.unique(fitted.core[fitted.part == which], return_counts=True)
        largest = core[size == size.max()]
        dominated |= (fitted.part == which) & ((fitted.core != largest[0]) | (len(largest) > 1))
    return dominated


def refusal(num_players: int, payoff: str) -> str | None:
    """Return why a game gets no Elo, in a sentence; None if it gets Elo."""
    if payoff == "team":
        return "No Elo: the players are paid as a team, so no agent beats another."
    if payoff == "general_sum":
        return "No Elo: in a general-sum game, an agent paid more than its opponent need not be one that earns much."
    if num_players > plackett_luce.MOST_PLAYERS:
        return (
            f"No Elo: the game has {num_players} players, and rankings of at most {plackett_luce.MOST_PLAYERS} are "
            "rated."
        )
    if num_players < 2:
        return "No Elo: the game has one player, so there is nobody to beat."
    return None
