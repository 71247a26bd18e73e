"""Online IPO and IPO-MD: Nash-MD's equilibrium as the minimum of a loss on log-policies (Calandriello et al. 2024,
https://arxiv.org/abs/2403.08635).

P[y, y'] is the probability that y is preferred to y', μ a reference policy, τ the temperature. Pairs y, y' are drawn
from m ∝ π^{1-β} μ^β, through which no gradient flows:

    L(π) = E[(h(y) - h(y') - (P[y, y'] - ½) / τ)²],        h = log π - log μ

β = 0 is online IPO, whose fixed point π ∝ μ exp(P π / τ) is that of Nash-MD; 0 < β < 1 is IPO-MD, whose fixed point is
another. For networks there is `loss`. For a table the gradient by h is exact,

    dL/dh(y) = 4 m(y) (h(y) - m·h - ((P m)(y) - ½) / τ)

and is followed divided by 4 m(y), so that rare strategies move as fast as frequent ones.
"""

from typing import Any

import numpy as np

from games.arrays import Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import softmax


def loss(log_ratio: Any, log_ratio_other: Any, preference: Any, temperature: float) -> Any:
    """Return the loss of pairs (arrays or tensors [B]): h(y), h(y') and P[y, y'] or an unbiased estimate of it."""
    return ((log_ratio - log_ratio_other - (preference - 0.5) / temperature) ** 2).mean()


def online_ipo(
    payoffs: Payoffs,
    *,
    temperature: float | None = None,
    steps: int = 50_000,
    tolerance: float = 1e-9,
    reference: Floats | None = None,
    start: Floats | None = None,
) -> Strategies:
    """Return the fixed point of online IPO: `ipo_md` with `beta` 0."""
    return ipo_md(
        payoffs,
        beta=0.0,
        temperature=temperature,
        steps=steps,
        tolerance=tolerance,
        reference=reference,
        start=start,
    )


def ipo_md(
    payoffs: Payoffs,
    *,
    beta: float = 0.25,
    temperature: float | None = None,
    steps: int = 50_000,
    tolerance: float = 1e-9,
    reference: Floats | None = None,
    start: Floats | None = None,
) -> Strategies:
    """Descend until no weight changes by more than `tolerance` in a step, at most `steps` steps.

    `temperature` is in the unit of the payoffs; by default 1 % of their range. `reference` and `start` [A] are uniform
    by default. Raises ValueError unless it is a symmetric zero-sum game of two players.
    """
    method = "ipo_md" if beta else "online_ipo"
    preference = tables.zero_sum(payoffs, method)
    if not tables.symmetric(payoffs):
        raise ValueError(f"expected a game that is the same from both seats for '{method}', got another; use 'nash_md'")
    size = tables.spread(preference) or 1.0
    τ = 0.01 * size if temperature is None else temperature
    η = 0.1 * τ / size
    uniform = tables.uniform(payoffs)[0]
    log_μ = np.log(uniform if reference is None else reference)
    present = uniform if start is None else start
    h = np.log(present) - log_μ
    for _ in range(steps):
        m = softmax((1 - beta) * np.log(present) + beta * log_μ)
        h = h - η * (h - m @ h - preference @ m / τ)  # a symmetric zero-sum game is worth 0: P - ½ without the ½
        after = softmax(log_μ + h)
        change = float(np.abs(after - present).max())
        present = after
        if change <= tolerance:
            break
    return present, present.copy()
