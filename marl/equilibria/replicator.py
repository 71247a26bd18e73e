"""Projected replicator dynamics (Lanctot et al. 2017, https://arxiv.org/abs/1711.00832, appendix C).

    dx_p[a]/dt = x_p[a] (g_p(x)[a] - x_p · g_p(x)),        projected onto x_p[a] >= γ

What comes out is the average of the path, which tends to an equilibrium in zero-sum games of two players; in
other games its regret says how near it came. Payoffs are scaled to [0, 1].
"""

import numpy as np

from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import project

EVERY = 100  # steps between two looks at the regret


def replicator(
    payoffs: Payoffs, *, regret: float = 0.01, steps: int = 10_000, step_size: float = 0.1, floor: float = 1e-6
) -> Strategies:
    """Follow the dynamics until no player's regret exceeds `regret` of the payoffs' range, at most `steps` steps.

    `floor` is γ, the least weight of a strategy.
    """
    payoffs = tables.scaled(payoffs)
    present = tables.uniform(payoffs)
    total = tuple(np.zeros_like(x) for x in present)
    for step in range(1, steps + 1):
        earned = tables.gains(payoffs, present)
        moved = (x + step_size * x * (g - x @ g) for x, g in zip(present, earned, strict=True))
        present = tuple(project(x, min(floor, 1 / len(x))) for x in moved)
        total = tuple(t + x for t, x in zip(total, present, strict=True))
        if step % EVERY == 0 and max(tables.regrets(payoffs, _normalised(total))) <= regret:
            break
    return _normalised(total)


def _normalised(weights: Strategies) -> Strategies:
    return tuple(w / w.sum() for w in weights)
