"""How fast rankings of N players are rated: here, and by choix and openskill where they can be imported.

    pip install --target ../peers choix==0.4.1 openskill==6.2.0
    PYTHONPATH=../peers OMP_NUM_THREADS=1 python -m tests.benchmarks.rankings

200 agents of strengths N(0, 1) logits play 50,000 games of four. Times are CPU-seconds on one core, medians of --repeat
runs in which all alternate. `fit` finds the strengths and the effects of seats, `rate` the intervals, too; both begin
with the results as arrays. choix estimates the same model without seats (I-LSR, Maystre & Grossglauser 2015);
openskill is online, a pass over the games in their order; pyspiel.elo takes each pair of a game for a game of its own.
The last column is Spearman's correlation with the true strengths.

    python -m tests.benchmarks.rankings --memory --games 1_000_000

rates once, and prints the peak of the process's memory beside what it has before: the results, and what Python imports.
"""

import argparse
import importlib
import importlib.util
import itertools
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from games.arrays import Floats
from tournaments.ratings import plackett_luce
from tournaments.ratings.elo import rate
from tournaments.records.results import Results

Rater = Callable[[], Any]

MOST_DRAWN = 20_000  # games whose tables are drawn at a time


def pool(agents: int, games: int, players: int) -> tuple[Floats, Results]:
    """Return the true strengths [n], and the results of games drawn from them."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=agents)
    some = [min(MOST_DRAWN, games - first) for first in range(0, games, MOST_DRAWN)]
    seats = np.concatenate([np.argsort(rng.random((size, agents)), 1)[:, :players].copy() for size in some])
    arrival = rng.exponential(size=seats.shape) / np.exp(theta[seats] + np.linspace(0.3, -0.3, players))
    results = Results(
        agents=tuple(f"agent {k:03}" for k in range(agents)),
        seats=seats,
        payoffs=-np.argsort(np.argsort(arrival, 1), 1).astype(np.float64),
        seeds=np.arange(games, dtype=np.uint64) // 50,
        terminations=np.full(games, "finished"),
    )
    return theta, results


def raters(results: Results) -> dict[str, tuple[Rater, Callable[[Any], Floats]]]:
    """Return what to time, and how to read the strengths [n] from what it returns."""
    order = np.take_along_axis(results.seats, np.argsort(-results.payoffs, 1), 1)
    rankings, agents = order.tolist(), len(results.agents)
    found: dict[str, tuple[Rater, Callable[[Any], Floats]]] = {
        "here, fit": (lambda: plackett_luce.fit(*plackett_luce.rankings(results)), lambda fitted: fitted.theta),
        "here, rate": (lambda: rate(results), lambda rated: rated.elo[np.argsort(rated.agents)]),
    }
    if importlib.util.find_spec("pyspiel"):
        pyspiel = importlib.import_module("pyspiel")

        def pairwise() -> list[float]:
            wins = np.zeros((agents, agents), np.int64)
            for ahead, behind in itertools.combinations(range(order.shape[1]), 2):
                np.add.at(wins, (order[:, ahead], order[:, behind]), 1)
            return list(pyspiel.elo.compute_ratings_from_matrices(wins.tolist()))

        found["pyspiel.elo of pairs"] = (pairwise, np.array)
    if importlib.util.find_spec("choix"):
        choix = importlib.import_module("choix")
        found["choix.ilsr_rankings"] = (lambda: choix.ilsr_rankings(agents, rankings), lambda theta: theta)
    if importlib.util.find_spec("openskill"):
        model = importlib.import_module("openskill.models").PlackettLuce()

        def online() -> list[Any]:
            players = [model.rating() for _ in range(agents)]
            for table in rankings:
                for k, [player] in zip(table, model.rate([[players[k]] for k in table]), strict=True):
                    players[k] = player
            return players

        found["openskill PlackettLuce"] = (online, lambda players: np.array([player.mu for player in players]))
    return found


def measure_memory(results: Results) -> None:
    """Print the peak of the resident memory before and after the results are rated once, in MiB."""
    rate(results.where(np.arange(100)))  # imports what is imported late
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.process_time()
    rate(results)
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| rankings | before, MiB | peak, MiB | bytes a ranking | CPU-seconds |\n|--:|--:|--:|--:|--:|")
    each = (peak - before) * 2**20 / len(results)
    print(f"| {len(results):,} | {before:.0f} | {peak:.0f} | {each:.0f} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of ratings of rankings")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--games", type=int, default=50_000)
    parser.add_argument("--players", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="peak memory, of one rating")
    options = parser.parse_args()
    theta, results = pool(options.agents, options.games, options.players)
    if options.memory:
        measure_memory(results)
        return
    timed = raters(results)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    quality = {}
    for _ in range(options.repeat):
        for name, (rater, strengths) in timed.items():
            start = time.process_time()
            found = rater()
            seconds[name].append(time.process_time() - start)
            quality[name] = spearmanr(theta, strengths(found)).statistic
    print("| rated by | CPU-seconds | Spearman |\n|:--|--:|--:|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.2f} | {quality[name]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
