"""Nash-MD: mirror descent whose opponent is pulled towards a reference (Munos et al. 2023,
https://arxiv.org/abs/2312.00886, section 6).

With μ_p the reference of player p, τ the temperature and η the step size,

    m_p ∝ x_p^{1-ητ} μ_p^{ητ}          x_p <- m_p exp(η g_p(m)) / Σ

For small η the last iterate tends to the equilibrium of the game regularised by τ KL(x_p, μ_p), which is
x_p ∝ μ_p exp(g_p(x) / τ). The paper's game is symmetric: g(x)[y] = P(y ≻ x), the probability that y is preferred. Here
both players of any zero-sum game move at once, which is the same if it is symmetric. Without the pull (τ = 0) the last
iterate circles outwards.
"""

import numpy as np

from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import softmax


def nash_md(
    payoffs: Payoffs,
    *,
    temperature: float | None = None,
    step_size: float | None = None,
    steps: int = 50_000,
    tolerance: float = 1e-9,
    reference: Strategies | None = None,
    start: Strategies | None = None,
) -> Strategies:
    """Descend until no weight changes by more than `tolerance` in a step, at most `steps` steps.

    `temperature` and 1 / `step_size` are in the unit of the payoffs; by default 1 % of their range, and the range
    divided by 10. `reference` and `start` are uniform by default. Raises ValueError unless it is a zero-sum game of two
    players.
    """
    matrix = tables.zero_sum(payoffs, "nash_md")
    size = tables.spread(matrix) or 1.0
    τ = 0.01 * size if temperature is None else temperature
    η = 0.1 / size if step_size is None else step_size
    log_reference = [np.log(μ) for μ in reference or tables.uniform(payoffs)]
    present = start or tables.uniform(payoffs)
    for _ in range(steps):
        logits = [(1 - η * τ) * np.log(x) + η * τ * log_μ for x, log_μ in zip(present, log_reference, strict=True)]
        first, second = (softmax(mixture) for mixture in logits)
        after = softmax(logits[0] + η * (matrix @ second)), softmax(logits[1] - η * (first @ matrix))
        change = max(float(np.abs(a - b).max()) for a, b in zip(after, present, strict=True))
        present = after
        if change <= tolerance:
            break
    return present
