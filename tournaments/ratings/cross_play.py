"""Cross-play in cooperative games: how well agents play with others that were trained apart from them.

    X[i, j]        the team's return with agent i in seat 0 and agent j in seat 1: the mean of what both are paid
    SP             mean_i X[i, i], self-play
    XP             mean_{i ≠ j} X[i, j], cross-play
    gap            SP − XP: what agents lose with strangers

Each agent comes from a training seed of its own, and only training seeds are independent: more games of the same agents
make no interval of the gap shorter. Its 95 % percentile bootstrap draws agents with replacement, each with its row and
its column (marl/base/bootstrap.py); an agent that is drawn twice is no stranger to itself.

Agents of one algorithm with other training seeds are a family; families meet in cross-play, too. Agents that play
together nearly as well as with themselves share a convention (Hu et al. 2021, https://arxiv.org/abs/2103.04000).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from games.arrays import Floats, Ints
from games.keys import fold_one, stream
from marl.base.bootstrap import bounds, draws, multiplicities
from marl.base.intervals import Estimate, effective, interval, standard_error
from marl.equilibria.payoffs import ROUNDING
from tournaments.ratings.table import Table

_SEED = re.compile(r"seed[-_=]?\d+")
_CHECKPOINT = re.compile(r"/checkpoints/\d+")
_BOUNDED = 3  # agents from which on a family has an interval: two are always drawn together


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


@dataclass(frozen=True, eq=False)
class Meeting:
    """Two families of agents, or one, and what their teams earn together, over both seatings.

    In one family these are pairs of agents of different training seeds. Bounds are NaN where a family has fewer than 3.
    """

    families: tuple[str, str]
    mean: float
    low: float
    high: float
    teams: int  # pairs of agents


@dataclass(frozen=True, eq=False)
class Family:
    """Agents that differ by their training seed alone, with self-play, cross-play and gap; None with one agent.

    The bounds of their intervals are NaN with two agents.
    """

    name: str
    agents: tuple[str, ...]
    self_play: float
    found: CrossPlay | None


@dataclass(frozen=True, eq=False)
class Partnerships:
    """Who plays well with whom, in a team game of two players."""

    agents: tuple[str, ...]
    returns: Floats  # [n, n] by the agents in seats 0 and 1
    families: tuple[Family, ...]
    meetings: tuple[Meeting, ...]  # of each two families, and of one with itself
    worst: tuple[tuple[str, float], ...]  # [n] each agent's worst partner, and the return with it over both seatings
    convention: Ints  # [n] agents of one number play together nearly as well as with themselves

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON data."""

        def bounded(numbers: Floats) -> list[float | None]:
            return [round(float(number), 9) if np.isfinite(number) else None for number in numbers]

        return {
            "agents": list(self.agents),
            "returns": [bounded(row) for row in self.returns],
            "families": [
                {"family": one.name, "agents": list(one.agents), "self_play_mean": round(one.self_play, 9)}
                | {name: one.found and bounded(values) for name, values in _statistics(one.found).items()}
                for one in self.families
            ],
            "meetings": [
                {"families": list(one.families), "mean": round(one.mean, 9), "teams": one.teams}
                | {"interval": bounded(np.array([one.low, one.high])) if np.isfinite(one.low) else None}
                for one in self.meetings
            ],
            "worst_partners": [
                {"agent": agent, "partner": partner, "return": round(paid, 9)}
                for agent, (partner, paid) in zip(self.agents, self.worst, strict=True)
            ],
            "conventions": [
                [agent for agent, own in zip(self.agents, self.convention, strict=True) if own == number]
                for number in range(int(self.convention.max(initial=-1)) + 1)
            ],
        }


def partnerships(table: Table, families: Sequence[str], key: int = stream(0, "bootstrap")) -> Partnerships:
    """Return who plays well with whom, by a complete table of n agents and the families [n] that they belong to.

    Raises ValueError for returns that are not known.
    """
    returns = team_returns(table)
    n = len(returns)
    if n < 2 or not np.isfinite(returns).all():
        raise ValueError(f"expected known returns of 2 agents or more, got {n} agents")
    names = list(dict.fromkeys(families))
    members = [np.flatnonzero([family == name for family in families]) for name in names]
    together = (returns + returns.T) / 2
    others = np.where(np.eye(n, dtype=bool), np.inf, together)
    worst = others.argmin(1)
    return Partnerships(
        agents=table.agents,
        returns=returns,
        families=tuple(
            Family(
                name,
                tuple(table.agents[k] for k in some),
                float(np.diag(returns)[some].mean()),
                _within(returns[np.ix_(some, some)], key) if len(some) > 1 else None,
            )
            for name, some in zip(names, members, strict=True)
        ),
        meetings=tuple(_meetings(together, names, members, key)),
        worst=tuple((table.agents[k], float(together[row, k])) for row, k in enumerate(worst)),
        convention=conventions(returns),
    )


def _within(returns: Floats, key: int) -> CrossPlay:
    """Return self-play, cross-play and gap of a family; two agents have no bounds."""
    found = cross_play(returns, key)
    if len(returns) >= _BOUNDED:
        return found
    means = (found.self_play[0], found.cross_play[0], found.gap[0])
    return CrossPlay(*(np.array([mean, np.nan, np.nan]) for mean in means))


def _statistics(found: CrossPlay | None) -> dict[str, Floats]:
    nothing = np.full(3, np.nan)
    if found is None:
        return {"self_play": nothing, "cross_play": nothing, "gap": nothing}
    return {"self_play": found.self_play, "cross_play": found.cross_play, "gap": found.gap}


def _meetings(together: Floats, names: Sequence[str], members: Sequence[Ints], key: int) -> Iterator[Meeting]:
    """Yield what agents of each two families earn together, and of one with itself.

    Each family's agents are drawn for themselves. Families of one size share their drawings.
    """
    sizes = np.array([len(some) for some in members])
    drawn_in = [size for size in np.unique(sizes).tolist() if size >= _BOUNDED]
    times = [{size: multiplicities(draws(fold_one(key, place), size)) for size in drawn_in} for place in range(2)]
    for a, one in enumerate(members):
        if len(one) > 1:
            mean, low, high = _within(together[np.ix_(one, one)], key).cross_play
            yield Meeting((names[a], names[a]), float(mean), float(low), float(high), len(one) * (len(one) - 1) // 2)
        lows, highs = np.full((2, len(members)), np.nan)
        others = drawn_in if len(one) >= _BOUNDED else ()
        paid = times[0][len(one)] @ together[one] if others else together[:0]  # [R, n] summed over who is drawn
        for size in others:
            which = a + 1 + np.flatnonzero(sizes[a + 1 :] == size)
            if len(which):
                columns = np.stack([members[b] for b in which.tolist()])  # [F, size]
                summed = np.einsum("rfs,rs->rf", paid[:, columns], times[1][size])
                lows[which], highs[which] = bounds(summed / (len(one) * size))
        for b in range(a + 1, len(members)):
            between = together[np.ix_(one, members[b])]
            yield Meeting((names[a], names[b]), float(between.mean()), float(lows[b]), float(highs[b]), between.size)


def best_response_proximity(returns: Floats, best: Floats) -> Floats:
    """Return BR-Prox [n, n]: what agent i earns with partner j as a share of what j's best response earns with it.

    `returns` X [n, n] are the team's, and `best` [n] what a best response earns with each agent over both seats; NaN
    where it is not known, as where it is not above 0 and there is no share (ZSC-Eval: Wang et al. 2024,
    https://arxiv.org/abs/2310.05208).
    """
    together = (returns + returns.T) / 2
    return together / np.where(best > 0, best, np.nan)


def conventions(returns: Floats) -> Ints:
    """Return the number of each agent's convention [n], by the team's returns X [n, n].

    The distance of two agents is what they lose together: the better self-play minus the mean of their two seatings.
    Agents are joined by average linkage while the distance is at most half of the largest; numbers count up in the
    order of the agents. All agents share one convention where nobody loses anything.
    """
    own, together = np.diag(returns), (returns + returns.T) / 2
    distance = np.maximum(np.maximum(own[:, None], own) - together, 0.0)
    np.fill_diagonal(distance, 0.0)
    largest = float(distance.max(initial=0.0))
    if len(returns) < 2 or largest <= ROUNDING * float(np.abs(returns).max()):
        return np.zeros(len(returns), np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage  # loads half of scipy

    pairs = distance[np.triu_indices(len(returns), 1)]
    found = fcluster(linkage(pairs, "average"), largest / 2, "distance")
    number = {int(cluster): k for k, cluster in enumerate(dict.fromkeys(found.tolist()))}
    return np.array([number[int(cluster)] for cluster in found], np.int64)


def families_of(references: Sequence[str]) -> list[str]:
    """Return the family of each agent: its reference without the number of its training seed.

    The number stands behind the word "seed", as in the folders that `marl sweep` makes: `runs/x/members/seed-3`. The
    step of a checkpoint counts only where several of one run play, since runs of other seeds may end a few steps apart.
    """
    runs = [_CHECKPOINT.sub("", reference) for reference in references]
    known = (run if runs.count(run) == 1 else text for run, text in zip(runs, references, strict=True))
    return [_SEED.sub("seed-*", text) for text in known]
