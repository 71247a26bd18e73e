"""Solvers of payoff tables: the equivariant network beside an MLP of its size, and the methods' CPU time and regret.

python -m tests.benchmarks.equilibria network     # docs/explanation/results/equilibria.md has the tables
python -m tests.benchmarks.equilibria methods
python -m tests.benchmarks.equilibria stages      # stage games in batches beside scipy's linear program
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from games.keys import fold, fold_one, stream, uniform, uniform_one
from marl.equilibria import METHODS, solve
from marl.equilibria.equivariant import Affine, Equivariant, generator_of, larger_regret, random_games, train
from marl.equilibria.stage import regret_matching
from tests.benchmarks.timing import medians

ACTIONS, GAMES, TESTED = 3, 500, 2_000


class Perceptron(nn.Module):
    """The same map by two layers of 128 on the flat table: 19,718 weights; the equivariant network has 19,009."""

    def __init__(self, key: int) -> None:
        super().__init__()
        draw = generator_of(key)
        sizes = (2 * ACTIONS**2, 128, 128, 2 * ACTIONS)
        layers = [Affine(inputs, outputs, draw) for inputs, outputs in pairwise(sizes)]
        self.body = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def forward(self, payoffs: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.body(payoffs.flatten(1))
        return logits[:, :ACTIONS].softmax(1), logits[:, ACTIONS:].softmax(1)


def network(steps: int, seeds: int) -> Iterator[str]:
    yield "| seed | equivariant: training, test | MLP: training, test | ratio of test regrets | CPU-s |"
    yield "|--:|--:|--:|--:|--:|"
    for seed in range(seeds):
        games = random_games(stream(seed, "games"), GAMES, ACTIONS, ACTIONS)
        tested = random_games(stream(seed, "test games"), TESTED, ACTIONS, ACTIONS)
        found, seconds = [], []
        for solver in (Equivariant(stream(seed, "weights")), Perceptron(stream(seed, "weights"))):
            begun = time.process_time()
            train(solver, games, seed, steps=steps)
            seconds.append(time.process_time() - begun)
            with torch.no_grad():
                found.append([larger_regret(some, *solver(some)).mean().item() for some in (games, tested)])
        (own, test), (mlp_own, mlp_test) = found
        yield (
            f"| {seed} | {own:.4f}, {test:.4f} | {mlp_own:.4f}, {mlp_test:.4f} | {test / mlp_test:.2f} | "
            f"{seconds[0]:.0f}, {seconds[1]:.0f} |"
        )


def table(size: int, key: int) -> np.ndarray:
    """Return a symmetric zero-sum game [size, size]: a skill with normal noise, as a measured table would have."""
    draw = np.array([[uniform_one(fold_one(key, size * i + j)) for j in range(size)] for i in range(size)])
    skill = np.linspace(-1, 1, size)
    noisy = skill[:, None] - skill + 2 * (draw - draw.T)
    return np.asarray(noisy)


def by_linear_program(matrix: np.ndarray) -> None:
    size = len(matrix)
    linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.hstack([-matrix.T, np.ones((size, 1))]),
        b_ub=np.zeros(size),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * size + [(None, None)],
    )


def methods(sizes: tuple[int, ...], repeats: int) -> Iterator[str]:
    yield "| method | " + " | ".join(f"{size}: CPU-ms, NashConv" for size in sizes) + " |"
    yield "|:--|" + "--:|" * len(sizes)
    for method in METHODS:
        cells = []
        for size in sizes:
            spent, convs = [], []
            for key in range(repeats):
                matrix = table(size, key)
                begun = time.process_time()
                solution = solve((matrix, -matrix), method)
                spent.append(1000 * (time.process_time() - begun))
                convs.append(solution.nash_conv / (matrix.max() - matrix.min()))
            cells.append(f"{statistics.median(spent):.1f}, {statistics.median(convs):.1e}")
        yield f"| {method} | " + " | ".join(cells) + " |"
    cells = []
    for size in sizes:
        spent = []
        for key in range(repeats):
            matrix = table(size, key)
            begun = time.process_time()
            by_linear_program(matrix)
            spent.append(1000 * (time.process_time() - begun))
        cells.append(f"{statistics.median(spent):.1f}")
    yield "| (a vertex, by `linprog`) | " + " | ".join(cells) + " |"


def stages(batch: int, by_program: int) -> Iterator[str]:
    """Games with payoffs in [-1, 1): `batch` of them in one call, and some of them by linear programs."""
    yield "| actions | mean gap | regret matching+, games a CPU-s | `linprog`, games a CPU-s | ratio |"
    yield "|--:|--:|--:|--:|--:|"
    for size in (2, 3, 6, 10):
        payoffs = 2 * uniform(fold(size, np.arange(batch * size**2))).reshape(batch, size, size) - 1

        def matched(payoffs: np.ndarray = payoffs) -> int:
            return len(regret_matching(payoffs).values)

        def programmed(payoffs: np.ndarray = payoffs) -> int:
            for matrix in payoffs[:by_program]:
                by_linear_program(matrix)
            return by_program

        own, scipys = medians(matched, programmed)
        gap = regret_matching(payoffs).gaps.mean()
        yield f"| {size} | {gap:.4f} | {own:,.0f} | {scipys:,.0f} | {own / scipys:.0f} |"


def main(arguments: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("network", "methods", "stages"))
    parser.add_argument("--steps", type=int, default=5_000, help="of training a network")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = {
        "network": lambda: network(given.steps, given.seeds),
        "methods": lambda: methods((10, 100, 300), given.seeds),
        "stages": lambda: stages(512, 64),
    }
    for row in rows[given.what]():
        print(row, flush=True)


if __name__ == "__main__":
    main()
