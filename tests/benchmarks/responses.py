"""IPPO's responses to random play beside the exact best response; `python -m tests.benchmarks.responses`.

For each variant and seed a run of `opponents: {agents: [random], share: 1}`, and then its exact value in each seat, as
`marl evaluate --best-response --against random` has it: of its mode (greedy=true) and of its sampled policy, as a share
of the best response's. Times are CPU time of one thread, training alone.

    kuhn     Kuhn poker, 100,000 steps: the number of gradient steps, and the scale of the views
    leduc    Leduc poker, 2,000,000 steps: the same, the discount, and the variance of advantages

The variant `standardised views` subtracts from each number of a view its mean in random play, and divides by its
deviation.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

import marl
from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.evaluation.exploitability import best_response
from marl.evaluation.tabular import behaviour_of
from marl.evaluation.tree import Tree
from marl.learning.networks import Network
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout
from marl.rollout.seating import self_play

STEPS = {"minibatch_size": 512, "epochs": 8}  # 24 gradient steps an update, by default 4
RESPONSE = STEPS | {"learning_rate": 2e-3, "gamma": 1.0, "gae_lambda": 0.7, "entropy_coefficient": 0.02}
STANDARDISED = "standardised views"
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
            STANDARDISED: {},
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


@contextmanager
def standardised(game: str) -> Iterator[None]:
    """Let all networks see standardised views."""
    venv, envs = make(game, 256), np.arange(256)
    agent = Random(venv.spec)
    carry = Carry(venv, [agent], fold(1, np.arange(1)), fold(2, envs))
    seen = torch.from_numpy(rollout(venv, [agent], self_play(len(envs), venv.spec.num_players), carry, 40).obs).float()
    mean, deviation = seen.mean(0), seen.std(0)
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0)
    features = Network.features

    def scaled(self: Network, obs: Tensor, *others: Any) -> Tensor:
        return features(self, (obs.float() - mean) * scale, *others)

    with patch.object(Network, "features", scaled):
        yield


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
            with standardised(game) if STANDARDISED in variant else patch.dict({}):
                found = [shares(tree, game, steps, settings, seed) for seed in seeds]
            greedy, sampled = (np.array([each[part] for each in found], float) for part in (0, 1))
            text = ", ".join(
                f"{what} {' / '.join(f'{low:.1%} to {high:.1%}' for low, high in zip(s.min(0), s.max(0), strict=True))}"
                for what, s in (("greedy", greedy), ("sampled", sampled))
            )
            print(f"{name}, {variant}: {text}; {np.median([each[2] for each in found]):.1f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
