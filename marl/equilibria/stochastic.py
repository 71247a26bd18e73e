"""Nash equilibria by stochastic optimisation (Gemp, Marris and Piliouras 2024, https://arxiv.org/abs/2310.06689).

With τ the temperature and Π the projection onto the tangent space of the simplex, Π[g] = g - mean(g),

    ∇_p(x) = g_p(x) - τ (log x_p + 1)
    L(x)   = Σ_p |Π ∇_p(x)|²

is 0 at the equilibrium of the game with entropy τ, and bounds the regret as τ -> 0. Where payoffs are measured, let a
and b be two independent samples of all of them:

    L^(x)  = Σ_p Π ∇_p^a(x) · Π ∇_p^b(x)

is an unbiased estimate; one sample used twice is not, as it adds the variance of the gradient: its minimum drifts to
strategies whose payoffs vary little. With H_pq = d∇_p / dx_q, the gradient of L^ is

    dL^/dx_q = Σ_p  (H_pq^a)' Π ∇_p^b + (H_pq^b)' Π ∇_p^a,        H_pp = -τ diag(1 / x_p)

Strategies are softmaxes of logits, which Adam moves, while τ falls in stages. Payoffs are scaled to [0, 1]. Any number
of players, any sum. Deviation from the paper: all players' strategies enter exactly, none is sampled.
"""

from collections.abc import Callable, Sequence

import numpy as np

from games.arrays import Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies
from marl.equilibria.simplex import softmax

Samples = Callable[[int], tuple[Payoffs, Payoffs]]  # by the number of the step: two independent samples
TEMPERATURES = (1.0, 0.3, 0.1, 0.03, 0.01)
NEAR_0 = 1e-40  # a logarithm's argument is at least this


def stochastic(
    payoffs: Payoffs,
    *,
    second: Sequence[Floats] | None = None,
    temperatures: Sequence[float] = TEMPERATURES,
    steps: int = 1_000,
    learning_rate: float = 0.05,
    start: Strategies | None = None,
) -> Strategies:
    """Descend from `start` (uniform by default), `steps` steps at each temperature.

    `second` is another measurement of the same payoffs, by games of other seeds.
    """
    a = tables.scaled(payoffs)
    b = a
    if second is not None:
        other = tables.checked(second)
        if other[0].shape != payoffs[0].shape:
            raise ValueError(f"expected a second sample of shape {payoffs[0].shape}, got {other[0].shape}")
        b = tuple((o - p.min()) / (tables.spread(p) or 1.0) for o, p in zip(other, payoffs, strict=True))
    begin = tables.uniform(payoffs) if start is None else start
    return descend(lambda step: (a, b), begin, temperatures=temperatures, steps=steps, learning_rate=learning_rate)


def descend(
    samples: Samples,
    start: Strategies,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    steps: int = 1_000,
    learning_rate: float = 0.05,
) -> Strategies:
    """Descend the estimates of the loss that `samples` gives for each step; payoffs are of the order of 1."""
    logits = [np.log(np.maximum(x, 1e-6)) for x in start]
    first, second = [np.zeros_like(z) for z in logits], [np.zeros_like(z) for z in logits]
    for step in range(len(temperatures) * steps):
        x = tuple(softmax(z) for z in logits)
        slopes = gradient(*samples(step), x, temperatures[step // steps])
        for p, slope in enumerate(slopes):
            of_logits = x[p] * (slope - x[p] @ slope)
            first[p] = 0.9 * first[p] + 0.1 * of_logits
            second[p] = 0.999 * second[p] + 0.001 * of_logits**2
            mean, square = first[p] / (1 - 0.9 ** (step + 1)), second[p] / (1 - 0.999 ** (step + 1))
            logits[p] = logits[p] - learning_rate * mean / (np.sqrt(square) + 1e-8)
    return tuple(softmax(z) for z in logits)


def loss(a: Payoffs, b: Payoffs, x: Strategies, temperature: float) -> float:
    """Return the estimate L^ by two samples."""
    pairs = zip(_tangent(a, x, temperature), _tangent(b, x, temperature), strict=True)
    return float(sum(of_a @ of_b for of_a, of_b in pairs))


def gradient(a: Payoffs, b: Payoffs, x: Strategies, temperature: float) -> Strategies:
    """Return the gradient of L^ by each player's strategy: [A_p] for each player."""
    of_a = _tangent(a, x, temperature)
    of_b = of_a if b is a else _tangent(b, x, temperature)
    slopes = []
    for q in range(len(x)):
        slope = -temperature / np.maximum(x[q], NEAR_0) * (of_a[q] + of_b[q])
        for p in range(len(x)):
            if p != q:
                slope = slope + tables.seen(a[p], x, q, p) @ of_b[p] + tables.seen(b[p], x, q, p) @ of_a[p]
        slopes.append(slope)
    return tuple(slopes)


def _tangent(payoffs: Payoffs, x: Strategies, temperature: float) -> Strategies:
    """Return Π ∇_p of each player."""
    slopes = (
        g - temperature * np.log(np.maximum(strategy, NEAR_0))
        for g, strategy in zip(tables.gains(payoffs, x), x, strict=True)
    )
    return tuple(slope - slope.mean() for slope in slopes)
