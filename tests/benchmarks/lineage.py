"""What a prior along the checkpoints of one run gains and costs (`marl tournament rate --lineage`).

    python -m tests.benchmarks.lineage    # docs/how-to/tournaments.md has the table

20 checkpoints gain 15 ± 20 Elo at each step, and in every second row 400 more at one of them. They play a round robin
by Davidson's model. The error is the root mean square of the ratings' errors in Elo, over 60 tournaments.
"""

import math

import numpy as np

from games.arrays import Floats
from tests.benchmarks.coverage import LOG_NU, names, seatings
from tournaments.ratings.davidson import probabilities
from tournaments.ratings.elo import K, rate
from tournaments.ratings.model import Lineage
from tournaments.records.results import Results

STAGES, POOLS, SDS = 20, 60, (None, 25, 50, 100)
FLATNESS = (2 + math.exp(LOG_NU)) / 2


def pool(rng: np.random.Generator, seeds: int, jump: float) -> tuple[Floats, Results]:
    """Return the true Elo of the stages [n], and the results of their tournament."""
    gain = rng.normal(15, 20, STAGES - 1)
    gain[STAGES // 2] += jump
    elo = np.append(0, np.cumsum(gain))
    seats = np.tile(seatings(STAGES), (seeds, 1))
    p = probabilities((elo[seats[:, 0]] - elo[seats[:, 1]]) * FLATNESS / K, LOG_NU)
    outcome = (rng.random((len(p), 1)) > np.cumsum(p, 1)[:, :2]).sum(1)
    return elo - elo.mean(), Results(
        agents=names(STAGES),
        seats=seats,
        payoffs=np.stack([1.0 - outcome, outcome - 1.0], 1),
        seeds=np.repeat(np.arange(seeds, dtype=np.uint64), len(seatings(STAGES))),
        terminations=np.full(len(p), "finished"),
    )


def error(true: Floats, results: Results, sd: float | None) -> float:
    """Return the root mean square error of the ratings."""
    rated = rate(results, lineage=None if sd is None else Lineage((names(STAGES),), sd / K))
    return float(np.sqrt(np.mean((rated.elo[np.argsort(rated.agents)] - true) ** 2)))


def main() -> None:
    print("| seeds | one gain of 400 | " + " | ".join("without" if sd is None else str(sd) for sd in SDS) + " |")
    print("|--:|:--|" + "--:|" * len(SDS))
    for seeds in (2, 8, 40):
        for jump in (0.0, 400.0):
            rng = np.random.default_rng([seeds, int(jump)])
            errors = np.mean(
                [[error(*drawn, sd) for sd in SDS] for drawn in (pool(rng, seeds, jump) for _ in range(POOLS))], 0
            )
            print(
                f"| {seeds} | {'yes' if jump else 'no'} | " + " | ".join(f"{each:.1f}" for each in errors) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
