"""How often the ratings' 95 % intervals hold the truth, over synthetic pools whose truth is known.

    python -m tests.benchmarks.coverage                        # docs/explanation/results.md has the table
    python -m tests.benchmarks.coverage --pools 200 --seeds 5 --agents 2

Eight agents of four strengths, two of each, play a round robin in which every pairing plays the same seeds from both
seats, by Davidson's model. What the games of a seed share is the kind:

    independent    nothing
    seat luck      a seed's own seat effect, N(0, 1) logits
    agent by seed  an agent's luck on a seed, N(0, sd²) logits, against all its opponents and in both seats

The truth is what the ratings tend to with more and more seeds: the fit of the expected results. Coverage is the share
of all pairs of agents whose interval holds the true difference; false superiority the share of pairs of equal agents
for which the likelihood of superiority is outside [2.5 %, 97.5 %]. Both come with the Monte Carlo standard error over
pools, as pairs of one pool depend on each other.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tournaments.ratings.davidson import Counts, fit, probabilities
from tournaments.ratings.elo import rate
from tournaments.records.results import Results

SEAT, LOG_NU = 0.2, math.log(0.6)  # the seat effect, in logits, and draws
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


def seatings(agents: int) -> NDArray[np.int64]:
    """Return every ordered pair of agents [M, 2]."""
    return np.argwhere(~np.eye(agents, dtype=bool))


def truth(kind: Kind, agents: int) -> NDArray[np.float64]:
    """Return the differences of Elo [n, n] that the ratings tend to: expected results by Gauss-Hermite quadrature."""
    theta, pairs = strengths(agents), seatings(agents)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = math.sqrt(kind.seat**2 + 2 * kind.agent**2)
    gap = theta[pairs[:, 0]] - theta[pairs[:, 1]] + SEAT
    p = sum(w * probabilities(gap + spread * x, LOG_NU) for x, w in zip(nodes, weights / weights.sum(), strict=True))
    names = tuple(f"agent {k:02}" for k in range(agents))
    fitted = fit(Counts(names, pairs, 1e6 * np.asarray(p)), prior_sd=None)
    elo = 400 / math.log(10) * 2 / (2 + fitted.nu) * fitted.theta
    return np.asarray(elo[:, None] - elo[None, :])


def draw(kind: Kind, agents: int, seeds: int, key: Sequence[int]) -> Results:
    """Play one pool's tournament."""
    rng = np.random.default_rng(key)
    theta, pairs = strengths(agents), seatings(agents)
    luck = theta + kind.agent * rng.normal(size=(seeds, agents))  # [S, n]
    gap = luck[:, pairs[:, 0]] - luck[:, pairs[:, 1]] + SEAT + kind.seat * rng.normal(size=(seeds, 1))  # [S, M]
    p = probabilities(gap.ravel(), LOG_NU)
    u = rng.random(len(p))
    outcome = (u > p[:, 0]).astype(int) + (u > p[:, 0] + p[:, 1])
    return Results(
        agents=tuple(f"agent {k:02}" for k in range(agents)),
        seats=np.tile(pairs, (seeds, 1)),
        payoffs=np.stack([1.0 - outcome, outcome - 1.0], 1),
        seeds=np.repeat(np.arange(seeds, dtype=np.uint64), len(pairs)),
        terminations=np.full(len(p), "finished"),
    )


def measure(kind: Kind, agents: int, seeds: int, pools: int) -> Row:
    """Rate many pools and compare with the truth."""
    true = truth(kind, agents)
    upper, equal = np.triu_indices(agents, 1), np.arange(0, agents - 1, 2)
    covered, false, widths = [], [], []
    for pool in range(pools):
        rated = rate(draw(kind, agents, seeds, [KINDS.index(kind), agents, seeds, pool]))
        place = np.argsort(rated.agents)
        table = np.ix_(place, place)
        elo, half, above = rated.elo[place], rated.difference_ci95[table], rated.superiority[table]
        off = np.abs(elo[:, None] - elo[None, :] - true)
        covered.append((off <= half)[upper].mean())
        false.append((np.abs(above[equal, equal + 1] - 0.5) > 0.475).mean())
        widths.append(np.median(half[upper]))
    return Row(
        kind=kind.name,
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
    yield "| what a seed's games share | agents | seeds | coverage | false superiority | median ±95 %, Elo |"
    yield "|:--|--:|--:|--:|--:|--:|"
    for row in rows:
        coverage = f"{row.coverage:.4f} ± {row.coverage_se:.4f}"
        false = f"{100 * row.false_superiority:.2f} ± {100 * row.false_superiority_se:.2f} %"
        yield f"| {row.kind} | {row.agents} | {row.seeds} | {coverage} | {false} | {row.half_width:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the ratings' intervals over synthetic pools")
    parser.add_argument("--pools", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[60, 100])
    options = parser.parse_args()
    rows = (measure(kind, options.agents, seeds, options.pools) for kind in KINDS for seeds in options.seeds)
    for line in table(rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
