"""Cross-play in cooperative games: how well agents play with others that were trained apart from them.

    X[i, j]        the team's return with agent i in seat 0 and agent j in seat 1: the mean of what both are paid
    SP             mean_i X[i, i], self-play
    XP             mean_{i ≠ j} X[i, j], cross-play
    gap            SP − XP: what agents lose with strangers

Each agent comes from a training seed of its own, and only training seeds are independent: more games of the same agents
make no interval of the gap shorter. Its 95 % percentile bootstrap draws agents with replacement, each with its row and
its column (marl/base/bootstrap.py); an agent that is drawn twice is no stranger to itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats
from games.keys import stream
from marl.base.bootstrap import bounds, draws, multiplicities
from marl.base.intervals import Estimate, effective, interval, standard_error
from tournaments.ratings.table import Table


@dataclass(frozen=True)
class CrossPlay:
    """Self-play, cross-play and their gap, each [3]: the mean, and the bounds of its 95 % interval."""

    self_play: Floats
    cross_play: Floats
    gap: Floats


def team_returns(table: Table) -> Floats:
    """Return the team's return X [n, n] by the agents in seats 0 and 1; NaN where it is not known.

    In a team game it is what each player is paid.
    """
    return np.asarray((table.payoff[0] + table.payoff[1].T) / 2)


def cross_play(returns: Floats, key: int = stream(0, "bootstrap")) -> CrossPlay:
    """Return self-play, cross-play and gap of agents that were trained apart, by the team's returns X [n, n].

    Raises ValueError for fewer than 2 agents, and for returns that are not known.
    """
    n = len(returns)
    if n < 2 or not np.isfinite(returns).all():
        raise ValueError(f"expected known returns of 2 agents or more, got {n} agents")
    times = multiplicities(draws(key, n))  # [R, n]
    counts = np.concatenate([np.ones((1, n)), times[times.max(1) < n]])  # one agent alone has no cross-play
    own, others = np.diag(returns), returns * (1 - np.eye(n))
    pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    together = counts @ own / n, ((counts @ others) * counts).sum(1) / pairs
    return CrossPlay(*(_bounded(statistic) for statistic in (*together, together[0] - together[1])))


def _bounded(statistic: Floats) -> Floats:
    """Return the mean and its bounds [3], by a statistic of the agents and of their resamples [1 + R]."""
    return np.array([statistic[0], *bounds(statistic[1:])])


def with_strangers(table: Table, agents: Sequence[str], strangers: Sequence[str]) -> Floats:
    """Return the team's return of agents with strangers [n, m], over both seatings, by their digests."""
    returns = team_returns(table)
    rows, columns = ([table.agents.index(digest) for digest in some] for some in (agents, strangers))
    return np.asarray((returns[np.ix_(rows, columns)] + returns[np.ix_(columns, rows)].T) / 2)


def narrowed(learned: Floats, alone: Floats) -> Estimate:
    """Return by how much more agents earn with strangers [n, H] than others [m, H] do with the same H strangers.

    Each agent and each stranger is one observation: its pull on the difference is its share of the deviation. The
    interval is Student's, with the degrees of freedom that Satterthwaite 1946 gives to the sum of the three variances;
    infinite where there is one agent, or one stranger. Raises ValueError for returns that are not known.
    """
    if not (np.isfinite(learned).all() and np.isfinite(alone).all()):
        raise ValueError("expected known returns")
    paired = learned.mean(0) - alone.mean(0)  # [H]
    groups = [learned.mean(1), alone.mean(1), paired]
    counts = np.array([len(group) for group in groups])
    squares = np.array([(((group - group.mean()) / len(group)) ** 2).sum() for group in groups])
    variance = standard_error(squares, counts) ** 2  # [3]
    degrees = effective(variance.sum(), (variance**2 / np.maximum(counts - 1, 1)).sum())
    half = interval(np.sqrt(variance.sum()), degrees + 1) if (counts > 1).all() else np.inf
    return Estimate(float(paired.mean()), float(half))
