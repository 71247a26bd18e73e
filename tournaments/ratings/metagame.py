"""The meta-game of a pool: each player chooses an agent, and is paid what that agent earns. Two-player games.

    M[i, j]        the mean payoff of agent i against agent j, both seatings together; 0 with itself in a zero-sum game
    Nash averaging p, the equilibrium of maximal entropy of a zero-sum M; agent i is rated (M p)_i
    α-rank         the share of time that evolution plays an agent, in the limit of strong selection (alpharank.py)
    gain           max_j M[j, i] − M[i, i]: what the best response in the pool gains if everybody else plays agent i. An
                   agent outside may gain more: it is a lower bound on how far agent i can be exploited

A copy of an agent changes no rating of Nash averaging (Balduzzi et al. 2018, https://arxiv.org/abs/1806.02643), and
shares the agent's weight; it does change α-rank. Both jump where payoffs are nearly equal, so their 95 % intervals are
of the bootstrap over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from games.arrays import Bools, Floats
from marl.base.bootstrap import bounds
from marl.base.intervals import MIN_SEEDS
from marl.equilibria.alpharank import of_one_population
from marl.equilibria.nash import nash
from tournaments.ratings.by_seed import RESAMPLES, BySeed
from tournaments.ratings.matchups import Matchups

MOST_AGENTS = 300  # of a meta-game
MOST_RESAMPLED = 60  # agents of which a meta-game is solved for every resample
IN_SUPPORT = 0.005  # a weight from which on an agent is shown as one of the equilibrium
_RARE = 1e-6  # how likely a mutant that earns less takes over, in the limit


@dataclass(frozen=True, eq=False)
class Solved:
    """What the meta-game's solvers say [..., n]: α-rank's shares, and Nash averaging's weights and ratings.

    The latter two are NaN where the game is not zero-sum.
    """

    alpha_rank: Floats
    nash: Floats
    rating: Floats


@dataclass(frozen=True, eq=False)
class Metagame:
    """The meta-game of n agents, by their payoffs."""

    agents: tuple[str, ...]
    payoff: Floats  # [n, n]
    zero_sum: bool
    unit: str
    best: Bools  # [n, n] whether the row is a best response in the pool to the column
    seeds: int
    _by_seed: BySeed = field(repr=False)

    @cached_property
    def solved(self) -> Solved:
        """The solutions [n]."""
        return solve(self.payoff, self.zero_sum)

    @cached_property
    def interval(self) -> tuple[Solved, Solved] | None:
        """The lower and the upper bounds of the solutions; None for fewer than 10 seeds, or more than 60 agents."""
        if self.seeds < MIN_SEEDS or len(self.agents) > MOST_RESAMPLED:
            return None
        each = [solve(made_whole(table, self.zero_sum), self.zero_sum) for table in self._by_seed.resampled()]
        names = ("alpha_rank", "nash", "rating")
        low, high = zip(*(bounds(np.stack([getattr(one, name) for one in each])) for name in names), strict=True)
        return Solved(*low), Solved(*high)

    @property
    def gain(self) -> Floats:
        """What the best response in the pool gains against each agent [n], at least 0."""
        return np.asarray(np.maximum(self.payoff.max(0) - np.diag(self.payoff), 0.0))

    @property
    def best_responses(self) -> list[list[str]]:
        """The best responses in the pool to each agent."""
        return [[self.agents[k] for k in np.flatnonzero(column)] for column in self.best.T]

    def to_json(self) -> dict[str, Any]:
        """Return the meta-game as JSON data; intervals are pairs of bounds, or null."""

        def bounded(name: str, k: int) -> dict[str, Any]:
            value = _known(getattr(self.solved, name)[k])
            ends = self.interval and [_known(getattr(end, name)[k]) for end in self.interval]
            return {name: value, f"{name}_interval": None if value is None else ends}

        names = ("alpha_rank", "nash", "rating")
        lines = [
            {"agent": agent}
            | {key: value for name in names for key, value in bounded(name, k).items()}
            | {"best_responses": self.best_responses[k], "exploitability_lower_bound": _known(self.gain[k])}
            for k, agent in enumerate(self.agents)
        ]
        resamples = RESAMPLES if self.interval else 0
        return {"unit": self.unit, "zero_sum": self.zero_sum, "resamples": resamples, "agents": lines}


def solve(payoff: Floats, zero_sum: bool) -> Solved:
    """Solve the meta-game in which the row agent is paid `payoff` [n, n]."""
    if not zero_sum:
        unknown = np.full(len(payoff), np.nan)
        return Solved(of_one_population(payoff), unknown, unknown)
    weights = nash((payoff, payoff.T))[0]
    return Solved(of_one_population(payoff, alpha=np.inf, inf_alpha_eps=_RARE), weights, payoff @ weights)


def metagame(table: Matchups, by_seed: BySeed, agents: Sequence[str], order: Sequence[str], zero_sum: bool) -> Metagame:
    """Return the meta-game of a complete payoff table (`incomplete`), with agents in an order.

    `agents` are those of `by_seed`.
    """
    place = [table.agents.index(agent) for agent in order]
    in_seeds = [list(agents).index(agent) for agent in order]
    paid, size = (part[:, in_seeds][:, :, in_seeds] for part in (by_seed.paid, by_seed.size))
    return Metagame(
        agents=tuple(order),
        payoff=made_whole(table.payoff[np.ix_(place, place)], zero_sum),
        zero_sum=zero_sum,
        unit=table.unit,
        best=table.best[np.ix_(place, place)],
        seeds=len(paid),
        _by_seed=BySeed(paid, size),
    )


def incomplete(table: Matchups, zero_sum: bool) -> str | None:
    """Return why a pool has no meta-game, in a sentence; None if it has one."""
    n = len(table.agents)
    unknown = np.isnan(table.payoff) & ~(zero_sum * np.eye(n, dtype=bool))
    if n < 2:
        return "A meta-game needs two agents that have met."
    if unknown.any():
        pairs = int(np.triu(unknown | unknown.T).sum())
        return f"The meta-game is left out. Pairings without a known payoff: {pairs}; a round robin plays all pairings."
    return None


def made_whole(payoff: Floats, zero_sum: bool) -> Floats:
    """Return payoffs [n, n] as those of a symmetric game: in a zero-sum game exactly minus their transpose."""
    if not zero_sum:
        return payoff
    known = np.nan_to_num(payoff)
    return np.asarray((known - known.T) / 2)


def _known(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 6)
