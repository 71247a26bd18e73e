"""The payoff table of a two-player game without Elo: the mean payoff of each agent against each.

M[i, j] is the mean payoff of agent i against agent j, both seatings together; M[i, i] is self-play. Payoffs are per
game, or per step as in papers on social dilemmas: with x_k the payoff of game k, and d_k = 1 or its number of steps,

    M = Σ x / Σ d        z_s = Σ_{k∈s} (x_k − M d_k) / Σ d

z_s is the pull of seed s (marl/base/intervals.py derives the interval). The pool is all agents with
equal probability, the agent itself included (Axelrod 1984): a payoff against the pool is the mean of a row, and so are
a seed's pulls on it.

If one player forfeits a game, the other's payoff may be NaN; it is left out of all sums.

How well two players fare together, with the mean payoffs u = (M[i, j], M[j, i]), is a number for each taste:

    utilitarian    u_1 + u_2, the sum (`welfare`)
    Nash product   √((u_1 − c)(u_2 − c)), with c the least mean payoff of the table, which is stated beside it
    egalitarian    min(u_1, u_2)
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from games import rounding
from games.arrays import Floats, Ints
from games.errors import UserError
from marl.base.intervals import of_pulls
from tournaments.records.results import FORFEITS, Results, rounding_of

Unit = Literal["game", "step"]


@dataclass(frozen=True)
class Standing:
    """One line of a leaderboard by payoff. None if nothing was played; `ci95` is None with fewer than two seeds."""

    agent: str
    payoff: float | None  # against the pool
    ci95: float | None  # half width of its 95 % interval
    self_play: float | None
    cross_play: float | None  # the mean against each other agent
    welfare: float | None  # sum of both players' payoffs, against the pool
    nash_welfare: float | None  # the mean of the Nash products of its pairings
    egalitarian: float | None  # the mean of what the worse paid player of its pairings earns
    games: int
    best_responses: list[str]  # the agents with the highest payoff against this agent


@dataclass(frozen=True, eq=False)
class Matchups:
    """Payoffs of the row agent against the column agent, per `unit`; agents in the order of payoff against the pool.

    NaN if nothing was played; intervals are NaN with fewer than two seeds.
    """

    unit: Unit
    agents: tuple[str, ...]
    payoff: Floats  # [n, n]
    ci95: Floats  # [n, n] half width of the 95 % interval
    welfare_ci95: Floats  # [n, n]
    games: Ints  # [n, n] with a known payoff of the row agent
    pool: Floats  # [n] payoff against the pool: the mean of the row, over the agents that it has played
    pool_ci95: Floats  # [n]
    rounding: float  # payoffs of one column, or against the pool, that differ by less are equal

    @property
    def welfare(self) -> Floats:
        """Social welfare [n, n]: the sum of both players' payoffs."""
        return self.payoff + self.payoff.T

    @property
    def least(self) -> float:
        """The least mean payoff, from which Nash products are counted; NaN where none is known."""
        return float(np.nanmin(self.payoff)) if (self.games > 0).any() else np.nan

    @property
    def nash_welfare(self) -> Floats:
        """The Nash product [n, n]: the geometric mean of both players' payoffs above `least`."""
        above = np.maximum(self.payoff - self.least, 0.0)
        return np.asarray(np.sqrt(above * above.T))

    @property
    def egalitarian(self) -> Floats:
        """What the worse paid of both players earns [n, n]."""
        return np.asarray(np.minimum(self.payoff, self.payoff.T))

    @property
    def best(self) -> NDArray[np.bool_]:
        """Where the row is a best response to the column, by the means [n, n]; several rows if they are equal."""
        known = np.where(self.games > 0, self.payoff, -np.inf)
        return np.asarray((self.games > 0) & (known >= known.max(0, initial=-np.inf) - self.rounding))

    @property
    def best_against_pool(self) -> list[str]:
        """The agents with the highest payoff against the pool."""
        most = np.nanmax(self.pool, initial=-np.inf)
        return [agent for agent, payoff in zip(self.agents, self.pool, strict=True) if payoff >= most - self.rounding]

    @property
    def missing(self) -> int:
        """The number of pairings without a game, self-play included."""
        return int(np.triu(self.games + self.games.T == 0).sum())

    @property
    def standings(self) -> list[Standing]:
        """The leaderboard, the best first."""
        others = (self.games > 0) & ~np.eye(len(self.agents), dtype=bool)
        cross_play = _row_mean(self.payoff, others)
        fares = (self.welfare, self.nash_welfare, self.egalitarian)
        welfare, nash_welfare, egalitarian = (_row_mean(fare, ~np.isnan(self.welfare)) for fare in fares)
        return [
            Standing(
                agent=agent,
                payoff=_known(self.pool[i]),
                ci95=_known(self.pool_ci95[i]),
                self_play=_known(self.payoff[i, i]),
                cross_play=_known(cross_play[i]),
                welfare=_known(welfare[i]),
                nash_welfare=_known(nash_welfare[i]),
                egalitarian=_known(egalitarian[i]),
                games=int(self.games[i].sum()),
                best_responses=[other for other, best in zip(self.agents, self.best[:, i], strict=True) if best],
            )
            for i, agent in enumerate(self.agents)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON data."""
        names = ("payoff", "ci95", "welfare", "welfare_ci95", "nash_welfare", "egalitarian")
        tables = {name: getattr(self, name) for name in names}
        return {
            "unit": self.unit,
            "standings": [vars(standing) for standing in self.standings],
            "best_against_pool": self.best_against_pool,
            "least": _known(self.least),
            "agents": list(self.agents),
            "games": self.games.tolist(),
        } | {name: [[_known(cell) for cell in row] for row in table] for name, table in tables.items()}


def matchups(results: Results, unit: Unit = "game") -> Matchups:
    """Return the payoff table of two-player games; raises UserError for other games.

    Per step, a forfeit counts as many steps as the longest game, since its payoff is that of a whole game.
    """
    if results.seats.shape[1] != 2:
        raise UserError(f"expected two-player games for a payoff table, got {results.seats.shape[1]} players")
    n = len(results.agents)
    _, seed = np.unique(results.seeds, return_inverse=True)
    seeds = int(seed.max(initial=-1)) + 1
    cell = results.seats @ np.array([[n, 1], [1, n]])  # [G, 2] the pairing from each seat's view
    known = ~np.isnan(results.payoffs)  # [G, 2]
    size = sizes(results, unit)[:, None] * known  # [G, 2]
    paid = np.where(known, results.payoffs, 0.0)
    total = _sum(cell, size, n * n)
    payoff = np.divide(_sum(cell, paid, n * n), total, out=np.full(n * n, np.nan), where=total > 0)
    deviation = np.divide(paid - payoff[cell] * size, total[cell], out=np.zeros_like(size), where=known)  # [G, 2]
    moment = cell * seeds + seed[:, None]  # [G, 2] the pairing and the seed
    pull = _sum(moment, deviation, n * n * seeds).reshape(n, n, seeds)
    met = _sum(moment, known, n * n * seeds).reshape(n, n, seeds) > 0
    both = met & met.transpose(1, 0, 2)
    mirror = cell[:, :1] == cell[:, 1:]  # [G, 1] self-play: half a game for each seat
    games = _sum(cell, np.where(mirror, 0.5, known), n * n).reshape(n, n).astype(np.int64)
    payoff = payoff.reshape(n, n)
    pool = _row_mean(payoff, games > 0)
    pool_ci95 = _interval(pull.sum(1) / np.maximum((games > 0).sum(1, keepdims=True), 1), met.any(1).sum(1))
    # Agents without a known payoff, since others forfeited their games, stand above those who forfeited.
    ranked = np.where(np.isnan(pool), np.inf, pool).tolist()
    order = sorted(range(n), key=lambda k: (-round(ranked[k], 9), results.agents[k]))
    table = np.ix_(order, order)
    return Matchups(
        unit=unit,
        agents=tuple(results.agents[k] for k in order),
        payoff=payoff[table],
        ci95=_interval(pull, met.sum(2))[table],
        welfare_ci95=_interval(pull + pull.transpose(1, 0, 2), both.sum(2))[table],
        games=games[table],
        pool=pool[order],
        pool_ci95=pool_ci95[order],
        rounding=_rounding(results, size),
    )


def sizes(results: Results, unit: Unit) -> Floats:
    """Return the size of each game in `unit` [G]: 1, or its number of steps."""
    if unit == "game":
        return np.ones(len(results))
    assert results.lengths is not None, "payoffs per step need the games' lengths"
    forfeited = np.isin(results.terminations, FORFEITS)
    return np.where(forfeited, results.lengths.max(initial=0), results.lengths).astype(np.float64)


def _sum(index: Ints, values: Floats, size: int) -> Floats:
    """Add up the values [G, 2] that have the same index [size]."""
    return np.bincount(index.ravel(), values.ravel(), size).astype(np.float64, copy=False)


def _row_mean(table: Floats, shown: NDArray[np.bool_]) -> Floats:
    """Return the mean of each row's shown cells [n]; NaN where it has none."""
    total, cells = np.where(shown, table, 0.0).sum(1), shown.sum(1)
    return np.asarray(np.divide(total, cells, out=np.full(len(table), np.nan), where=cells > 0))


def _rounding(results: Results, size: Floats) -> float:
    """Return a bound on the rounding error of a mean payoff: that of the games, and that of the sums over them."""
    largest = np.nanmax(np.abs(results.payoffs), initial=0.0)
    bound = rounding_of(results) + rounding.FLOAT64 * len(results) * largest
    return float((bound / np.maximum(size.max(1), 1)).max(initial=0.0))


def _interval(pull: Floats, seeds: Ints) -> Floats:
    """Return the half widths of 95 % intervals [...] by seeds' pulls [..., S]; NaN with fewer than two seeds."""
    half = of_pulls(pull, seeds)
    return np.where(np.isfinite(half), half, np.nan)


def _known(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 9)
