"""IPPO's responses to random play beside the exact best response; `python -m tests.benchmarks.responses`.

For each variant and seed a run of `opponents: {agents: [random], share: 1}`, and then its exact value in each seat, as
`marl evaluate --best-response --against random` has it: of its mode (greedy=true) and of its sampled policy, as a share
of the best response's. Times are CPU time of one thread, training alone.

    kuhn     Kuhn poker, 100,000 steps: the number of gradient steps, and the scale of the views
    leduc    Leduc poker, 2,000,000 steps: the same, the discount, and the variance of advantages
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import marl
from games.registry import make
from marl.agents.load import load_entrant
from marl.evaluation.exploitability import best_response
from marl.evaluation.tabular import behaviour_of
from marl.evaluation.tree import Tree

STEPS = {"minibatch_size": 512, "epochs": 8}  # 24 gradient steps an update, by default 4
RESPONSE = STEPS | {"learning_rate": 2e-3, "gamma": 1.0, "gae_lambda": 0.7, "entropy_coefficient": 0.02}
KUHN, LEDUC = ("openspiel:kuhn_poker", 100_000), ("openspiel:leduc_poker", 2_000_000)
VARIANTS: dict[str, tuple[tuple[str, int], dict[str, dict[str, Any]]]] = {
    "kuhn": (
        KUHN,
        {
            "the config": RESPONSE,
            "the config without a clip": RESPONSE | {"clip": 1000.0},
            "defaults": {},
            "minibatch_size: 512, epochs: 8": STEPS,
            "minibatch_size: 256": {"minibatch_size": 256},
            "learning_rate: 3e-4": {"learning_rate": 3e-4},
            "entropy_coefficient: 0.1": {"entropy_coefficient": 0.1},
            "standardised views": {"standardise_views": True},
        },
    ),
    "leduc": (
        LEDUC,
        {
            "the config": RESPONSE,
            "defaults": {},
            "minibatch_size: 512, epochs: 8": STEPS,
            "the config with gamma: 0.99": RESPONSE | {"gamma": 0.99},
            "the config with gae_lambda: 0.95": RESPONSE | {"gae_lambda": 0.95},
        },
    ),
}


def shares(
    tree: Tree, game: str, steps: int, settings: dict[str, Any], seed: int
) -> tuple[list[Any], list[Any], float]:
    """Train one run; return the shares that its mode and its policy reach, by seat, and the CPU-seconds of training."""
    with TemporaryDirectory() as folder:
        config = {
            "game": game,
            "algorithm": {"name": "ippo"} | settings,
            "steps": steps,
            "stretch": steps,
            "seed": seed,
            "opponents": {"agents": ["random"], "share": 1.0},
            "evaluation": {"panel": []},
        }
        start = time.process_time()
        newest = marl.train(config, run_dir=Path(folder) / "run", quiet=True)
        spent = time.process_time() - start
        random, *ours = (
            behaviour_of(tree, load_entrant(text, tree.spec).agent, 0, 2)
            for text in ("random", f"{newest}(greedy=true)", str(newest))
        )
    greedy, sampled = (best_response(tree, agent, random).share for agent in ours)
    return greedy, sampled, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=[*VARIANTS], choices=[*VARIANTS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", help="a variant's name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for name in options.games:
        (game, steps), variants = VARIANTS[name]
        tree = Tree(make(game, 1).spec, "this benchmark")
        for variant, settings in variants.items():
            if options.only not in (None, variant):
                continue
            found = [shares(tree, game, steps, settings, seed) for seed in seeds]
            greedy, sampled = (np.array([each[part] for each in found], float) for part in (0, 1))
            text = ", ".join(
                f"{what} {' / '.join(f'{low:.1%} to {high:.1%}' for low, high in zip(s.min(0), s.max(0), strict=True))}"
                for what, s in (("greedy", greedy), ("sampled", sampled))
            )
            print(f"{name}, {variant}: {text}; {np.median([each[2] for each in found]):.1f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
