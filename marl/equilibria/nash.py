"""The Nash equilibrium of maximal entropy of a zero-sum game of two players: Nash averaging (Balduzzi et al. 2018,
https://arxiv.org/abs/1806.02643).

A zero-sum game may have many equilibria. A linear program ends at a vertex of their polytope, which one depends on the
order of the strategies. Of all optimal strategies the one with the highest entropy H is unique: to permute strategies
permutes it, and duplicates have equal weights. It is the limit for τ -> 0 of

    max over x of  min_j (M'x)_j + τ H(x)

and equal to it, but for terms of e^{-gap/τ}, as soon as τ is far below the gaps between what strategies earn (Cominetti
and San Martín 1994, https://doi.org/10.1007/BF01582220). We follow τ down from 1 to 1e-7 of the payoffs' range, by
Newton steps on the conditions of optimality

    τ log x = M y - ν        M'x = v + s        y_j s_j = μ        Σx = Σy = 1        x, y, s > 0

where y is the other player's strategy, s what its strategies lose, and μ, far below τ, goes to 0. With x eliminated a
step costs one linear system of as many unknowns as the other player has strategies. The steps are those of an
interior-point method for linear programs whose barrier is the entropy: 20 to 70 from start to end.

Strategies whose payoffs differ by less than about 1e-6 of the range count as equal.
"""

import numpy as np

from games.arrays import Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies

COLDEST = 1e-7  # the last τ, as a share of the payoffs' range
STEPS = 150
CONVERGED = 1e-6  # the largest relative change of a weight in the last step
REGRET = 1e-6  # as a share of the payoffs' range: what a solution may give away
NOTHING = 1e-12  # weights below it are 0
BOUNDARY = 0.95  # the largest share of the way to the boundary in one step


def nash(payoffs: Payoffs) -> Strategies:
    """Return the equilibrium of maximal entropy. Raises ValueError unless it is a zero-sum game of two players.

    If rounding errors keep the regret above 1e-6 of the payoffs' range, it is a vertex that a linear program finds.
    """
    matrix = tables.zero_sum(payoffs, "nash")
    matrix = (matrix - matrix.min()) / (tables.spread(matrix) or 1.0)
    try:
        found = most_entropy(matrix), most_entropy(1 - matrix.T)
        if tables.nash_conv((matrix, -matrix), found) <= REGRET:  # NaN is not
            return found
    except np.linalg.LinAlgError:
        pass
    return vertices(matrix)


def vertices(matrix: Floats) -> tuple[Floats, Floats]:
    """Return optimal strategies [A], [A'] by linear programming (HiGHS): max v with M'x >= v, and its dual.

    The payoffs are of the order of 1: HiGHS takes differences below 1e-7 for equal.
    """
    from scipy.optimize import linprog  # here: every process that loads agents imports this module, few solve programs

    rows, columns = matrix.shape
    bounds = [(0, None)] * rows + [(None, None)]
    for method in ("highs-ds", "highs-ipm"):
        found = linprog(
            np.append(np.zeros(rows), -1.0),
            A_ub=np.hstack([-matrix.T, np.ones((columns, 1))]),
            b_ub=np.zeros(columns),
            A_eq=np.append(np.ones(rows), 0.0)[None],
            b_eq=[1.0],
            bounds=bounds,
            method=method,
        )
        if found.status == 0:
            x, y = np.maximum(found.x[:rows], 0.0), np.maximum(-found.ineqlin.marginals, 0.0)
            return np.asarray(x / x.sum()), np.asarray(y / y.sum())
    raise ArithmeticError(f"no linear program solved a payoff matrix of shape {matrix.shape}: {found.message}")


def most_entropy(matrix: Floats) -> Floats:
    """Return the optimal strategy [A] of maximal entropy of the row player of a matrix with entries in [0, 1]."""
    rows, columns = matrix.shape
    log_x, y = np.full(rows, -np.log(rows)), np.full(columns, 1 / columns)
    x = np.exp(log_x)
    v = (x @ matrix).min() - 0.5
    s = x @ matrix - v
    τ, centring = 1.0, 0.05  # μ = centring * τ / columns
    for _ in range(STEPS):
        d_log_x, dy, ds, dv = _newton(matrix, log_x, y, s, v, τ, centring * τ / columns)
        share = min(_share(y, dy), _share(s, ds))
        log_x = _moved(log_x, d_log_x, share)
        y, s, v = y + share * dy, s + share * ds, v + share * dv
        x = np.exp(log_x)
        error = max(
            float(np.abs(np.where(d_log_x > 0, 1.0, x) * d_log_x).max()),
            float(np.abs(x @ matrix - v - s).max()),
            abs(float(x.sum()) - 1),
        )
        if τ == COLDEST and centring < 1e-5 and share >= BOUNDARY and error <= CONVERGED:
            break
        if share > 0.5:
            if τ == COLDEST:
                centring = max(1e-6, centring / 10)
            else:
                τ = max(COLDEST, τ * (0.1 if share > 0.9 else 0.3))
    x[x < NOTHING] = 0.0
    return np.asarray(x / x.sum())


def _newton(
    matrix: Floats, log_x: Floats, y: Floats, s: Floats, v: float, τ: float, μ: float
) -> tuple[Floats, Floats, Floats, float]:
    """Return the Newton step of log x, y, s and v; that of x is eliminated: dx = x/τ (M dy - dν + residual)."""
    x = np.exp(log_x)
    columns = len(y)
    missing = (1 - x.sum()) / x.sum()
    weight = x / τ
    mean = weight / weight.sum()
    stationarity = matrix @ y - τ * log_x
    stationarity -= mean @ stationarity  # which eliminates ν
    centred = matrix - mean @ matrix
    hessian = centred.T @ (weight[:, None] * centred)
    diagonal = np.einsum("jj->j", hessian)
    diagonal += s / y
    scale = float(diagonal.mean())
    hessian += scale / columns  # Σ dy is known: its direction needs no curvature of its own
    diagonal += 1e-14 * scale  # y is not unique where columns are alike
    right = μ / y - s - (x @ matrix * (1 + missing) - v - s) - centred.T @ (weight * stationarity)
    of_right, of_ones = np.linalg.solve(hessian, np.stack([right, np.ones(columns)], 1)).T
    dv = float((1 - y.sum() - of_right.sum()) / of_ones.sum())
    dy = of_right + dv * of_ones
    return (centred @ dy + stationarity) / τ + missing, dy, μ / y - s - s / y * dy, dv


def _share(positive: Floats, change: Floats) -> float:
    """Return the share of a step after which all numbers are still positive, at most 1."""
    falls = change < 0
    return float(min(1.0, (BOUNDARY * positive[falls] / -change[falls]).min(initial=1.0)))


def _moved(log_x: Floats, change: Floats, share: float) -> Floats:
    """Return log x after a share of a step: weights grow linearly, and those near 0 jump up to e^-20."""
    grown = log_x + np.log1p(share * np.maximum(change, 0.0))
    return np.where(change > 0, np.maximum(grown, np.minimum(log_x + share * change, -20.0)), log_x + share * change)
