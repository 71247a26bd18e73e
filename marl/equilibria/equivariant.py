"""A network that maps payoffs of two players to strategies, whatever the order of their strategies (Marris et al. 2022,
https://arxiv.org/abs/2210.09257; Duan et al. 2023, https://proceedings.mlr.press/v202/duan23b.html).

Every cell (i, j) of the payoffs [2, A, B] has features c_ij, at first both players' payoffs. A layer mixes them with
their means over the row, the column and the table, by weights that all cells share:

    c'_ij = relu(W [c_ij, mean_j c_ij, mean_i c_ij, mean_ij c_ij] + b)        row logits_i = w · mean_j c'_ij + b

The column player's logits are those of the row player in the game seen from the other side, (u_1', u_0'). So permuting
strategies permutes the answer, exchanging players exchanges it, and one network takes tables of any size. It is trained
without labels, on the mean over games of the larger regret of the two players. What it cannot do: choose one of several
equilibria that a symmetry of the game maps on each other. In a game of coordination, diag(1, 1), it says (½, ½).

torch is imported here alone: nothing else in the room imports this module.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from games.keys import fold, stream
from games.keys import uniform as uniform_of
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies


class Solver(Protocol):
    """Maps payoffs [G, 2, A, B] to strategies of the row players [G, A] and of the column players [G, B]."""

    def __call__(self, payoffs: Tensor) -> tuple[Tensor, Tensor]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


class Equivariant(nn.Module):
    """The network, with initial weights drawn from a key."""

    def __init__(self, key: int, *, width: int = 48, layers: int = 3) -> None:
        super().__init__()
        draw = generator_of(key)
        sizes = [2] + [width] * layers
        self.layers = nn.ModuleList(Affine(4 * inputs, outputs, draw) for inputs, outputs in pairwise(sizes))
        self.head = Affine(width, 1, draw)

    def forward(self, payoffs: Tensor) -> tuple[Tensor, Tensor]:
        return self._row_strategies(payoffs), self._row_strategies(payoffs.flip(1).transpose(2, 3))

    def _row_strategies(self, payoffs: Tensor) -> Tensor:
        cells = payoffs.permute(0, 2, 3, 1)  # [G, A, B, F]
        for layer in self.layers:
            means = (cells.mean(2, keepdim=True), cells.mean(1, keepdim=True), cells.mean((1, 2), keepdim=True))
            mixed = [cells, *(mean.expand_as(cells) for mean in means)]
            cells = layer(torch.cat(mixed, 3)).relu()
        logits: Tensor = self.head(cells.mean(2)).squeeze(2)
        return logits.softmax(1)


class Affine(nn.Module):
    """A linear layer whose initial weights are normal with variance 2 / inputs (He et al. 2015), drawn by `draw`."""

    def __init__(self, inputs: int, outputs: int, draw: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, generator=draw) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def generator_of(key: int) -> torch.Generator:
    """Return a generator that begins at a key."""
    return torch.Generator().manual_seed(key >> 1)


def random_games(key: int, count: int, rows: int, columns: int) -> Tensor:
    """Return games [count, 2, rows, columns] with payoffs that are independent and uniform in [0, 1)."""
    drawn = uniform_of(fold(key, np.arange(count)), 2 * rows * columns)
    return torch.tensor(drawn, dtype=torch.float32).view(count, 2, rows, columns)


def larger_regret(games: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the larger of both players' regrets in each game [G], by strategies [G, A] and [G, B]."""
    of_rows = (games[:, 0] @ columns[:, :, None]).squeeze(2)
    of_columns = (rows[:, None] @ games[:, 1]).squeeze(1)
    regrets = [gains.amax(1) - (gains * x).sum(1) for gains, x in ((of_rows, rows), (of_columns, columns))]
    return torch.maximum(*regrets)


def train(
    solver: Solver,
    games: Tensor,
    key: int,
    *,
    steps: int = 5_000,
    batch: int = 64,
    learning_rate: float = 1e-3,
    on_step: Callable[[int, float], None] | None = None,
) -> None:
    """Train a solver on games [G, 2, A, B] with payoffs in [0, 1]; the games of each step are drawn by the key."""
    draw = generator_of(stream(key, "batches"))
    adam = torch.optim.Adam(solver.parameters(), lr=learning_rate)
    for step in range(steps):
        chosen = games[torch.randint(len(games), (batch,), generator=draw)]
        loss = larger_regret(chosen, *solver(chosen)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if on_step:
            on_step(step, loss.item())


def guess(solver: Solver, payoffs: Payoffs) -> Strategies:
    """Return what a solver says of payoffs [A, B] of two players, which are scaled to [0, 1] before.

    It is a start for `stochastic`: `solve(payoffs, "stochastic", start=guess(solver, payoffs))`. Raises ValueError
    unless the payoffs are known, of two players.
    """
    given = tables.scaled(tables.checked(payoffs))
    if len(given) != 2:
        raise ValueError(f"expected two players for the equivariant network, got {len(given)}; start from uniform")
    with torch.no_grad():
        found = solver(torch.tensor(np.stack(given), dtype=torch.float32)[None])
    said = tuple(x[0].double().numpy() for x in found)
    return tuple(x / x.sum() for x in said)
