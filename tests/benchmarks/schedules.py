"""What schedules save, and how often their verdicts are wrong: synthetic agents of known strength, no networks.

    python -m tests.benchmarks.schedules active     # docs/explanation/results/tournaments.md has the tables
    python -m tests.benchmarks.schedules sprt
    python -m tests.benchmarks.schedules best

`active`: games until a target is reached, over those of a round robin that is looked at as often until it
reaches the same target. `sprt` and `best`: how often the verdict is wrong, and after how many games it comes.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from games.keys import fold_one, stream
from tests.tournaments.synthetic import DRAWN, entry, played, simulate, spread
from tournaments.ratings.elo import rate
from tournaments.ratings.sprt import NORMALIZED, decision, llr, score_of
from tournaments.records.fixture import Fixture
from tournaments.records.results import Results
from tournaments.schedules.active import ActiveConfig, EveryDifference, One, Target, Top
from tournaments.schedules.best import BestConfig
from tournaments.schedules.round_robin import RoundRobin

SEEDS = 2000  # of a pairing, at most
ROUND = 16  # seeds between two looks


def round_robin_games(elo: dict[str, float], target: Target, draws: int) -> int:
    """Return the games of the shortest round robin that reaches a target."""
    agents = sorted(elo)
    schedule = RoundRobin("g", agents, 2, SEEDS, 0)
    results: Results | None = None
    before, looks = 0, 0
    for number, seed in enumerate(schedule.keys, start=1):
        new = [
            fixture for k, one in enumerate(agents) for other in agents[k + 1 :] for fixture in _both(one, other, seed)
        ]
        more = Results.of([played(fixture, elo, draws) for fixture in new])
        results = more if results is None else results.joined(more)
        looked = number >= 3 and len(results) >= 1.1 * before
        if looked:
            before, looks = len(results), looks + 1
        if looked and not target.differences(rate(results), agents, looks).any():
            return len(results)
    raise RuntimeError("the round robin does not reach the target")


def _both(one: str, other: str, seed: int) -> list[Fixture]:
    return [Fixture("g", (one, other), seed), Fixture("g", (other, one), seed)]


def active(agents: int, width: float, pools: int) -> None:
    targets: list[tuple[str, dict, Callable[[list[str]], Target]]] = [
        ("every difference ± 40 Elo", {"ci95": 40.0}, lambda ids: EveryDifference(40.0)),
        ("the best 3", {"top": 3, "ci95": 20.0}, lambda ids: Top(3, 20.0)),
        ("one agent ± 30 Elo", {"agent": "03", "ci95": 30.0}, lambda ids: One(3, "03", 30.0)),
    ]
    print(f"| target ({agents} agents over {width:g} Elo) | round robin | active | share | coverage |")
    print("|:--|--:|--:|--:|--:|")
    for name, settings, target in targets:
        elo = spread(agents, width)
        both, held = [], []
        for pool in range(pools):
            outcome, fixtures = simulate(ActiveConfig(**settings).schedule(entry(elo, SEEDS)), elo, pool)
            assert outcome.reached
            held.append(_coverage(elo, [fixture for round in fixtures for fixture in round], pool))
            both.append((round_robin_games(elo, target(sorted(elo)), pool), outcome.facts["games"]))
        whole, some = np.array(both, float).T
        shares = some / whole
        error = shares.std(ddof=1) / np.sqrt(pools)
        true = f"{np.mean(held):.3f} ± {np.std(held, ddof=1) / np.sqrt(pools):.3f}"
        print(
            f"| {name} | {whole.mean():.0f} | {some.mean():.0f} | {shares.mean():.2f} ± {error:.2f} | {true} |",
            flush=True,
        )


def _coverage(elo: dict[str, float], fixtures: list[Fixture], pool: int) -> float:
    """Return the share of all pairs of agents whose 95 % interval, at the end, holds the true difference."""
    ratings = rate(Results.of([played(fixture, elo, pool) for fixture in fixtures]))
    true = np.array([elo[agent] for agent in ratings.agents])
    off = np.abs((ratings.elo[:, None] - ratings.elo[None, :]) - (true[:, None] - true[None, :]))
    pairs = np.triu_indices(len(true), 1)
    return float((off <= ratings.difference_ci95)[pairs].mean())


def sprt(pools: int) -> None:
    """The share of matches with a wrong verdict, and the games of a match."""
    print("| test | true Elo | model | H1 accepted | games, mean |")
    print("|:--|--:|:--|--:|--:|")
    for model in ("logistic", "normalized"):
        for elo0, elo1, true in ((0, 20, 0), (0, 20, 20), (0, 20, 10), (-10, 30, -10), (-10, 30, 30)):
            laws = _pair_law(true)
            accepted, games = [], []
            for pool in range(pools):
                draw = np.random.Generator(np.random.Philox(fold_one(stream(0, "sprt"), pool)))
                counts, verdict = np.zeros(5), None
                while verdict is None:
                    counts += draw.multinomial(ROUND, laws)
                    verdict = decision(llr(counts.tolist(), *_bounds(elo0, elo1, model), model), 0.05, 0.05)
                accepted.append(verdict == "H1")
                games.append(2 * counts.sum())
            share = float(np.mean(accepted))
            error = np.sqrt(share * (1 - share) / pools)
            print(
                f"| [{elo0}, {elo1}] | {true} | {model} | {share:.4f} ± {error:.4f} | {np.mean(games):.0f} |",
                flush=True,
            )


def _bounds(elo0: float, elo1: float, model: str) -> tuple[float, float]:
    """Return the hypotheses in the units of a model: the normalised Elo of the laws whose logistic Elo is given."""
    if model == "logistic":
        return elo0, elo1
    low, high = (_normalized(elo) for elo in (elo0, elo1))
    return low, high


def _normalized(elo: float) -> float:
    law, scores = _pair_law(elo), np.linspace(0, 1, 5)
    mean = law @ scores
    return float(NORMALIZED * (mean - 0.5) / np.sqrt(2 * ((scores - mean) ** 2 @ law)))


def _pair_law(elo: float) -> NDArray[np.float64]:
    """Return the chances that an agent scores 0, ¼, ½, ¾ and 1 in a pair of games whose first seat is worth SEAT Elo.

    The seat effect is chosen so that the mean over both seats is exactly the score of `elo`.
    """
    score = score_of(elo)
    first, second = _game_law(score + 0.06), _game_law(score - 0.06)
    return np.convolve(first, second)


def _game_law(score: float) -> NDArray[np.float64]:
    """Return the chances of a loss, a draw and a win with this expected score."""
    drawn = 4 * DRAWN * score * (1 - score)
    return np.array([1 - score - drawn / 2, drawn, score - drawn / 2])


def best(pools: int) -> None:
    """The share of wrong verdicts of successive elimination, and its games beside those of the whole round robin."""
    print("| population | wrong | games, mean | said in the last one |")
    print("|:--|--:|--:|--:|")
    pools_of = {
        "8 agents over 400 Elo": spread(8, 400.0),
        "4 equal agents": spread(4, 0.0),
        "2 equal agents above 6, 200 Elo apart": {f"{k}": 0.0 if k < 2 else -200.0 for k in range(8)},
    }
    config = BestConfig(delta=60.0, round=64)
    for name, elo in pools_of.items():
        wrong, games = [], []
        for pool in range(pools):
            schedule = config.schedule(entry(elo, 4096))
            outcome, fixtures = simulate(schedule, elo, pool)
            top = max(elo.values())
            wrong.append(not any(elo[agent] == top for agent in outcome.facts["best"]))
            games.append(sum(map(len, fixtures)))
        share = float(np.mean(wrong))
        print(f"| {name} | {share:.3f} | {np.mean(games):.0f} | {outcome.text} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("active", "sprt", "best"))
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--agents", type=int, default=12)
    parser.add_argument("--width", type=float, default=400.0)
    options = parser.parse_args()
    if options.what == "active":
        active(options.agents, options.width, options.pools)
    elif options.what == "sprt":
        sprt(options.pools)
    else:
        best(options.pools)


if __name__ == "__main__":
    main()
