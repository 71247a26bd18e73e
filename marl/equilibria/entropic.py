"""Entropic fictitious play: each player moves towards its softened best response to the others' averages.

    x_p <- (1 - α_k) x_p + α_k softmax(g_p(x) / τ),        α_k = 1 / (k + 1)

Stochastic fictitious play (Fudenberg and Levine 1998, The Theory of Learning in Games, chapter 4); of distributions
over parameters, Chen, Ren and Wang 2023 (https://arxiv.org/abs/2202.05841). Its fixed points are logit equilibria at
the temperature τ. It converges in zero-sum games of two players and in potential games; regret tells elsewhere.
"""

import numpy as np

from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import softmax


def entropic(
    payoffs: Payoffs, *, temperature: float | None = None, steps: int = 10_000, tolerance: float = 1e-6
) -> Strategies:
    """Play until no player's softened response differs from its strategy by more than `tolerance`.

    `temperature` is in the unit of the payoffs; by default 1 % of the range of each player's payoffs.
    """
    heat = [0.01 * (tables.spread(tensor) or 1.0) if temperature is None else temperature for tensor in payoffs]
    present = tables.uniform(payoffs)
    for step in range(1, steps + 1):
        responses = tuple(softmax(g / τ) for g, τ in zip(tables.gains(payoffs, present), heat, strict=True))
        change = tuple(response - x for response, x in zip(responses, present, strict=True))
        if max(np.abs(c).max() for c in change) <= tolerance:
            break
        present = tuple(x + c / (step + 1) for x, c in zip(present, change, strict=True))
    return present
