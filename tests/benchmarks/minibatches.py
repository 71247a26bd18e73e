"""What the size of IPPO's minibatches does at small games; `python -m tests.benchmarks.minibatches`.

For each game, size and seed one run of `ippo` with its defaults, but for the size. Kuhn, Leduc and spread are
self-play; at tic-tac-toe and connect four half of the games are against random. Printed are means over seeds with
their 95 % interval (Student's), and CPU-seconds of training, one thread.

    kuhn, leduc                  NashConv, exact by the game's tree: 0 is an equilibrium, more is worse
    tic_tac_toe, connect_four    the mean return against random, over both seats, 500 games in each
    spread                       the team's return, 200 episodes
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy import stats

import marl
from marl.agents.load import load_entrant
from marl.evaluation.exploitability import nash_conv

SIZES = (256, 512, 2048)
RANDOM = {"agents": ["random"], "share": 0.5}
GAMES: dict[str, dict[str, Any]] = {
    "kuhn": {"game": "openspiel:kuhn_poker", "steps": 100_000},
    "leduc": {"game": "openspiel:leduc_poker", "steps": 250_000},
    "tic_tac_toe": {"game": "openspiel:tic_tac_toe", "steps": 150_000, "opponents": RANDOM},
    "connect_four": {"game": "openspiel:connect_four", "steps": 100_000, "opponents": RANDOM},
    "spread": {"game": "spread", "wrappers": ["team_reward(how=sum)"], "steps": 80_000},
}


def result(name: str, size: int, seed: int) -> tuple[float, float]:
    """Train one run; return what its agent reaches, and the CPU-seconds of training."""
    with TemporaryDirectory() as folder:
        config = GAMES[name] | {
            "algorithm": {"name": "ippo", "minibatch_size": size},
            "stretch": GAMES[name]["steps"],
            "seed": seed,
            "evaluation": {"panel": []},
            "writers": [],
        }
        start = time.process_time()
        newest = str(marl.train(config, run_dir=Path(folder) / "run", quiet=True))
        spent = time.process_time() - start
        if name in ("kuhn", "leduc"):
            spec = marl.make(config["game"], 1).spec
            return nash_conv(load_entrant(newest, spec).agent, spec, 0, 2).nash_conv, spent
        if name == "spread":
            return float(np.mean(marl.evaluate(newest, against="self", seeds=200).return_mean)), spent
        return float(np.mean(marl.evaluate(newest, against="random", seeds=500).return_mean)), spent


def interval(found: list[float]) -> str:
    """Return the mean and Student's 95 % interval."""
    half = stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / len(found) ** 0.5
    return f"{np.mean(found):.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=[*GAMES], choices=[*GAMES])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| game | minibatch_size | result | by seed | CPU-s |\n| :-- | --: | --: | :-- | --: |", flush=True)
    for name in options.games:
        found: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
        for seed in range(options.seeds):
            for size in SIZES:  # by turns, as the load of the machine changes
                found[size].append(result(name, size, seed))
        for size, runs in found.items():
            reached, spent = ([run[part] for run in runs] for part in (0, 1))
            each = " ".join(f"{value:.3f}" for value in reached)
            print(f"| {name} | {size:,} | {interval(reached)} | {each} | {np.median(spent):.1f} |", flush=True)


if __name__ == "__main__":
    main()
