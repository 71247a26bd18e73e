"""Solvers of payoff tables: the equivariant network beside an MLP of its size, and the methods' CPU time and regret.

python -m tests.benchmarks.equilibria network     # docs/explanation/results.md has the tables
python -m tests.benchmarks.equilibria methods
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

from games.keys import fold_one, stream, uniform_one
from marl.equilibria import METHODS, solve
from marl.equilibria.equivariant import Affine, Equivariant, generator_of, larger_regret, random_games, train

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


def main(arguments: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("network", "methods"))
    parser.add_argument("--steps", type=int, default=5_000, help="of training a network")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = network(given.steps, given.seeds) if given.what == "network" else methods((10, 100, 300), given.seeds)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
