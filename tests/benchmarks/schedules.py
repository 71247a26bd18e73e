"""What schedules save, and how often their verdicts are wrong: synthetic agents of known strength, no networks.

    python -m tests.benchmarks.schedules active     # docs/explanation/results.md has the tables
    python -m tests.benchmarks.schedules sprt
    python -m tests.benchmarks.schedules best

`active`: games until a target is reached, over those of a round robin that is looked at after every seed until it
reaches the same target. `sprt` and `best`: how often the verdict is wrong, and after how many games it comes.
"""

import argparse
from collections.abc import Callable

import numpy as np

from tests.tournaments.synthetic import entry, in_order, played, simulate, spread
from tournaments.ratings.elo import rate
from tournaments.ratings.sprt import bounds, decision, llr
from tournaments.records.results import Results
from tournaments.schedules.active import ActiveConfig, EveryDifference, One, Target, Top
from tournaments.schedules.best import BestConfig
from tournaments.schedules.round_robin import RoundRobin

SEEDS = 2000  # of a pairing, at most


def round_robin_games(elo: dict[str, float], target: Target, draws: int) -> int:
    """Return the games of the shortest round robin that reaches a target."""
    agents = sorted(elo)
    schedule = RoundRobin("g", agents, 2, SEEDS, 0)
    results: Results | None = None
    for number, seed in enumerate(schedule.keys, start=1):
        new = [
            fixture
            for k, one in enumerate(agents)
            for other in agents[k + 1 :]
            for fixture in _both(one, other, seed)
        ]
        more = Results.of([played(fixture, elo, draws) for fixture in new])
        results = more if results is None else results.joined(more)
        if number >= 3 and not target.differences(rate(results), agents, number).any():
            return len(results)
    raise RuntimeError("the round robin does not reach the target")


def _both(one: str, other: str, seed: int):
    from tournaments.records.fixture import Fixture

    return [Fixture("g", (one, other), seed), Fixture("g", (other, one), seed)]


def active(agents: int, width: float, pools: int) -> None:
    targets: list[tuple[str, dict, Callable[[list[str]], Target]]] = [
        ("every difference ± 40 Elo", {"ci95": 40.0}, lambda ids: EveryDifference(40.0)),
        ("the best 3", {"top": 3, "ci95": 20.0}, lambda ids: Top(3, 20.0)),
        ("one agent ± 30 Elo", {"agent": "03", "ci95": 30.0}, lambda ids: One(3, 30.0)),
    ]
    print(f"| target ({agents} agents over {width:g} Elo) | round robin | active | share |")
    print("|:--|--:|--:|--:|")
    for name, settings, target in targets:
        elo = spread(agents, width)
        both = []
        for pool in range(pools):
            outcome, _ = simulate(ActiveConfig(**settings).schedule(entry(elo, SEEDS)), elo, pool)
            assert outcome.reached
            both.append((round_robin_games(elo, target(sorted(elo)), pool), outcome.facts["games"]))
        whole, some = np.array(both, float).T
        shares = some / whole
        error = shares.std(ddof=1) / np.sqrt(pools)
        print(f"| {name} | {whole.mean():.0f} | {some.mean():.0f} | {shares.mean():.2f} ± {error:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("active", "sprt", "best"))
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--agents", type=int, default=12)
    parser.add_argument("--width", type=float, default=400.0)
    options = parser.parse_args()
    if options.what == "active":
        active(options.agents, options.width, options.pools)


if __name__ == "__main__":
    main()
