"""Rectified Nash: each strategy meets the opponents that it beats or ties with (Balduzzi et al. 2019,
https://arxiv.org/abs/1901.08106, algorithm 4).

With (σ_0, σ_1) the Nash equilibrium of maximal entropy and v its value, strategy i of the first player meets

    p_j ∝ σ_1[j] [M_ij >= v]

and likewise for the second player. v is 0 in symmetric games, as in the paper. A strategy that holds its own against
nobody meets all opponents with equal probability.
"""

from collections.abc import Sequence

import numpy as np

from games.arrays import Bools, Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.nash import nash
from marl.equilibria.payoffs import Payoffs, Strategies

NOBODY = 1e-10  # a sum of weights below which there is no opponent


def rectified(payoffs: Payoffs) -> Strategies:
    """Return whom each player plays when a base is drawn from the Nash equilibrium and meets its opponents.

    Raises ValueError unless it is a zero-sum game of two players. `opponents` has the weights of each base.
    """
    matrix = tables.zero_sum(payoffs, "rectified")
    first, second = nash(payoffs)
    met_by_first, met_by_second = _opponents(matrix, first, second)
    return second @ met_by_second, first @ met_by_first


def opponents(payoffs: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the weights of the opponents of each strategy of the first player [A_0, A_1], of the second [A_1, A_0].

    Raises ValueError as `rectified` and `checked` do.
    """
    payoffs = tables.checked(payoffs)
    return _opponents(tables.zero_sum(payoffs, "rectified"), *nash(payoffs))


def _opponents(matrix: Floats, first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return the weights by the equilibrium (`first`, `second`)."""
    value, rounding = float(first @ matrix @ second), 1e-6 * tables.spread(matrix)  # the accuracy of `nash`
    above = matrix - value
    return _met(above >= -rounding, second), _met((above <= rounding).T, first)


def _met(holds: Bools, weights: Floats) -> Floats:
    """Return the weights [B] of those against which each base holds its own [A, B]; uniform where there are none."""
    met = np.where(holds, weights, 0.0)
    total = met.sum(1, keepdims=True)
    return np.where(total < NOBODY, 1 / len(weights), met / np.maximum(total, NOBODY))
