"""Anchored extragradient: a last iterate with the best known rate, and a residual that says how near it is.

With F(x) = (-M x_1, M' x_0) and β_k = 1 / (k + 2), every step is pulled back towards the anchor, the start x^0 (Halpern
1967, https://doi.org/10.1090/S0002-9904-1967-11864-0):

    x^{k+½} = P[x^k - η F(x^k)     + β_k (x^0 - x^k)]
    x^{k+1} = P[x^k - η F(x^{k+½}) + β_k (x^0 - x^k)]

P projects onto both simplices (Cai, Oikonomou and Zheng 2022, https://arxiv.org/abs/2206.05248; without constraints,
Yoon and Ryu 2021, https://arxiv.org/abs/2102.07922). The residual |x - P[x - F(x)]| is 0 at an equilibrium only, and
falls as 1/k.
"""

import numpy as np

from games.arrays import Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import project


def extragradient(payoffs: Payoffs, *, residual: float = 1e-4, steps: int = 50_000) -> Strategies:
    """Step until the residual, with payoffs scaled to [0, 1], is at most `residual`; at most `steps` steps.

    Raises ValueError unless it is a zero-sum game of two players.
    """
    matrix = tables.zero_sum(payoffs, "extragradient")
    matrix = matrix / (tables.spread(matrix) or 1.0)
    step_size = 0.5 / (float(np.linalg.norm(matrix - matrix.mean(), 2)) or 1.0)
    anchor = present = tables.uniform(payoffs)
    for k in range(steps):
        field = _field(matrix, present)
        if _residual(present, field) <= residual:
            break
        pulled = tuple(x + (start - x) / (k + 2) for x, start in zip(present, anchor, strict=True))
        half = _projected(pulled, field, step_size)
        present = _projected(pulled, _field(matrix, half), step_size)
    return present


def _field(matrix: Floats, x: Strategies) -> Strategies:
    """Return F(x) of each player: the negative of its gains."""
    return -matrix @ x[1], matrix.T @ x[0]


def _projected(point: Strategies, field: Strategies, step_size: float) -> Strategies:
    return tuple(project(x - step_size * f) for x, f in zip(point, field, strict=True))


def _residual(x: Strategies, field: Strategies) -> float:
    moved = _projected(x, field, 1.0)
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(x, moved, strict=True))))
