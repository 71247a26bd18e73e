"""How often the ratings' 95 % intervals hold the truth, over synthetic pools whose truth is known.

    python -m tests.benchmarks.coverage                        # docs/explanation/results/tournaments.md has the table
    python -m tests.benchmarks.coverage --pools 200 --seeds 5 --agents 2
    python -m tests.benchmarks.coverage --players 2 3 4 --agents 6 --seeds 60

Eight agents of four strengths, two of each, play a round robin in which every pairing plays the same seeds in every
rotation of the seats, by Davidson's model; with more players by that of Plackett and Luce with ties of two. What the
games of a seed share is the kind:

    independent    nothing
    seat luck      a seed's own seat effects, whose differences are N(0, 1) logits
    agent by seed  an agent's luck on a seed, N(0, sd²) logits, against all its opponents and in both seats

The truth is what the ratings tend to with more and more seeds: the fit of the expected results. Coverage is the share
of all pairs of agents whose interval holds the true difference; false superiority the share of pairs of equal agents
for which the likelihood of superiority is outside [2.5 %, 97.5 %]. Both come with the Monte Carlo standard error over
pools, as pairs of one pool depend on each other.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert

from games.arrays import Floats
from tournaments.ratings.elo import K, rate
from tournaments.ratings.plackett_luce import Rankings, fit
from tournaments.records.results import Results

SEAT, LOG_NU = 0.2, math.log(0.6)  # the first seat's advantage over the last, in logits, and draws of two
NODES = {2: 40, 3: 16, 4: 8}  # of the quadrature in each dimension, by the number of players
LEVELS = (0.75, 0.25, -0.25, -0.75)  # strengths, in logits


@dataclass(frozen=True)
class Kind:
    """What the games of a seed share: the sd of its seat effect, and of each agent's luck on it, in logits."""

    name: str
    seat: float = 0.0
    agent: float = 0.0


KINDS = (
    Kind("independent"),
    Kind("seat luck", seat=1.0),
    Kind("agent by seed 0.5", agent=0.5),
    Kind("agent by seed 1", agent=1.0),
)


@dataclass(frozen=True)
class Row:
    """What was found for one kind and number of seeds, with Monte Carlo standard errors."""

    kind: str
    players: int
    agents: int
    seeds: int
    pools: int
    coverage: float
    coverage_se: float
    false_superiority: float
    false_superiority_se: float
    half_width: float  # median, in Elo


def strengths(agents: int) -> NDArray[np.float64]:
    """Return true strengths [n]: agents 0 and 1 are equal, so are 2 and 3, ..."""
    return np.array([LEVELS[k // 2 % len(LEVELS)] for k in range(agents)])


def seatings(agents: int, players: int = 2) -> NDArray[np.int64]:
    """Return every cyclic rotation of every pairing [M, N]: of two players, every ordered pair."""
    pairings = np.array(list(itertools.combinations(range(agents), players)))
    tables = np.concatenate([np.roll(pairings, turn, 1) for turn in range(players)])
    return tables[np.lexsort(tables.T[::-1])]


def outcomes(players: int) -> NDArray[np.int64]:
    """Return the rankings with at most two players on a place [O, N], by seat; of two: win, draw and loss."""
    rankings = (
        place
        for place in itertools.product(range(players), repeat=players)
        if set(place) == set(range(max(place) + 1)) and max(map(place.count, place)) <= 2
    )
    return np.array(sorted(rankings, key=lambda place: (place[0], *(-behind for behind in place[1:]))))


def likelihoods(worth: Floats) -> Floats:
    """Return the probability of each outcome [L, O] for log-worths by seat [L, N]: Davidson's and Luce's formula."""
    root, pairs = np.exp(worth / 2), np.array(list(itertools.combinations(range(worth.shape[1]), 2)))
    found = []
    for place in outcomes(worth.shape[1]):
        p = np.ones(len(worth))
        for stage in range(place.max() + 1):
            left, chosen = place >= stage, np.flatnonzero(place == stage)
            both = pairs[left[pairs].all(1)]
            total = (root[:, left] ** 2).sum(1) + math.exp(LOG_NU) * (root[:, both[:, 0]] * root[:, both[:, 1]]).sum(1)
            best = root[:, chosen[0]] * root[:, chosen[-1]]
            p *= (math.exp(LOG_NU) if len(chosen) == 2 else 1) * best / total
        found.append(p)
    return np.stack(found, 1)


def seat_effects(players: int) -> Floats:
    """Return the seats' effects in logits [N]."""
    return SEAT / 2 * np.linspace(1, -1, players)


def truth(kind: Kind, agents: int, players: int = 2) -> Floats:
    """Return the differences of Elo [n, n] that the ratings tend to: expected results by Gauss-Hermite quadrature."""
    theta, tables, place = strengths(agents), seatings(agents, players), outcomes(players)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[players])
    luck = np.stack(np.meshgrid(*[nodes] * players), -1).reshape(-1, players)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * players), 0).ravel()
    spread = math.sqrt(kind.seat**2 / 2 + kind.agent**2)
    expected = [weight @ likelihoods(theta[table] + seat_effects(players) + spread * luck) for table in tables]
    rankings = Rankings(
        agents=names(agents),
        seats=np.repeat(tables, len(place), 0),
        place=np.tile(place, (len(tables), 1)),
        forfeited=np.zeros(len(tables) * len(place), bool),
        count=1e6 * np.concatenate(expected),
    )
    fitted = fit(rankings, np.arange(len(rankings.count)), prior_sd=None)
    elo = K / fitted.flatness * fitted.theta
    return np.asarray(elo[:, None] - elo[None, :])


def names(agents: int) -> tuple[str, ...]:
    """Return the agents' names."""
    return tuple(f"agent {k:02}" for k in range(agents))


def draw(kind: Kind, agents: int, seeds: int, key: Sequence[int], players: int = 2) -> Results:
    """Play one pool's tournament."""
    rng = np.random.default_rng(key)
    tables, place = seatings(agents, players), outcomes(players)
    luck = strengths(agents) + kind.agent * rng.normal(size=(seeds, agents))  # [S, n]
    own = rng.normal(size=(seeds, 1, players - 1)) @ helmert(players)  # the differences of seats are N(0, 2)
    seat = seat_effects(players) + kind.seat / math.sqrt(2) * own
    p = likelihoods((luck[:, tables] + seat).reshape(-1, players))
    outcome = (rng.random((len(p), 1)) > np.cumsum(p, 1)[:, :-1]).sum(1)
    return Results(
        agents=names(agents),
        seats=np.tile(tables, (seeds, 1)),
        payoffs=-place[outcome].astype(np.float64),
        seeds=np.repeat(np.arange(seeds, dtype=np.uint64), len(tables)),
        terminations=np.full(len(p), "finished"),
    )


def measure(kind: Kind, agents: int, seeds: int, pools: int, players: int = 2) -> Row:
    """Rate many pools and compare with the truth."""
    true = truth(kind, agents, players)
    upper, equal = np.triu_indices(agents, 1), np.arange(0, agents - 1, 2)
    covered, false, widths = [], [], []
    for pool in range(pools):
        rated = rate(draw(kind, agents, seeds, [KINDS.index(kind), agents, seeds, pool], players))
        place = np.argsort(rated.agents)
        table = np.ix_(place, place)
        elo, half, above = rated.elo[place], rated.difference_ci95[table], rated.superiority[table]
        off = np.abs(elo[:, None] - elo[None, :] - true)
        covered.append((off <= half)[upper].mean())
        false.append((np.abs(above[equal, equal + 1] - 0.5) > 0.475).mean())
        widths.append(np.median(half[upper]))
    return Row(
        kind=kind.name,
        players=players,
        agents=agents,
        seeds=seeds,
        pools=pools,
        coverage=float(np.mean(covered)),
        coverage_se=float(np.std(covered) / math.sqrt(pools)),
        false_superiority=float(np.mean(false)),
        false_superiority_se=float(np.std(false) / math.sqrt(pools)),
        half_width=float(np.median(widths)),
    )


def table(rows: Iterator[Row]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| what a seed's games share | players | agents | seeds | coverage | false superiority | median ±95 %, Elo |"
    yield "|:--|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        coverage = f"{row.coverage:.4f} ± {row.coverage_se:.4f}"
        false = f"{100 * row.false_superiority:.2f} ± {100 * row.false_superiority_se:.2f} %"
        pools = f"{row.kind} | {row.players} | {row.agents} | {row.seeds}"
        yield f"| {pools} | {coverage} | {false} | {row.half_width:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the ratings' intervals over synthetic pools")
    parser.add_argument("--pools", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--players", type=int, nargs="+", default=[2], choices=sorted(NODES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[60, 100])
    options = parser.parse_args()
    rows = (
        measure(kind, options.agents, seeds, options.pools, players)
        for players in options.players
        for kind in KINDS
        for seeds in options.seeds
    )
    for line in table(rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
