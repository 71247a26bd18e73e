"""Many games, one table: each game is a voter that ranks the agents which have played it.

    n_ab            games in which agent a stands above agent b, and half of those in which they are equal
    maximal lottery the equilibrium of maximal entropy of the margins n_ab − n_ba (Fishburn 1984): no other mixture of
                    agents is preferred to it by more votes. An agent that beats every other in votes has all weight.
    VasE            agents with weight in the lottery come first, then those in the lottery of the others, and so on
                    (Lanctot et al. 2023, https://arxiv.org/abs/2312.03121)
    SCO             ratings that minimise the votes against them, Σ_{a≻b} n_ab σ((θ_b − θ_a) / τ): a smooth Kemeny
                    ranking (soft Condorcet optimisation, Lanctot et al. 2024, https://arxiv.org/abs/2411.00119)

Elo of such votes can put an agent first that loses the vote against another; these do not.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from games.arrays import Floats, Ints
from marl.equilibria.nash import nash

LONGEST = 100.0  # SCO's ratings lie between 0 and this
TEMPERATURE = 1.0
WEIGHT = 1e-6  # a lottery's weight from which on an agent is in it
_STAGES = (32.0, 8.0, 2.0)  # temperatures before the last, for the loss is not convex


def votes(scores: Floats) -> Floats:
    """Return votes n_ab [n, n] by scores of G games [G, n]; an agent without a score (NaN) is not ranked there."""
    above = (scores[:, :, None] > scores[:, None, :]) + 0.5 * (scores[:, :, None] == scores[:, None, :])
    count = above.sum(0)
    np.fill_diagonal(count, 0.0)
    return np.asarray(count, np.float64)


def maximal_lottery(count: Floats) -> Floats:
    """Return the maximal lottery [n] of votes [n, n]; of several, the one of maximal entropy."""
    margin = count - count.T
    return nash((margin, -margin))[0]


def levels(count: Floats) -> Ints:
    """Return the place of each agent [n], from 0, by lotteries one after another; agents of one lottery share it."""
    place, left = np.full(len(count), -1), np.arange(len(count))
    level = 0
    while len(left):
        inside = maximal_lottery(count[np.ix_(left, left)]) > WEIGHT
        place[left[inside]] = level
        left, level = left[~inside], level + 1
    return place


def soft_condorcet(count: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Return SCO's ratings [n] of votes [n, n], between 0 and 100; the search begins at the shares of votes won."""
    total = (count + count.T).sum(1)
    theta = LONGEST * np.divide(count.sum(1), total, out=np.full(len(count), 0.5), where=total > 0)

    def loss(x: Floats, at: float) -> tuple[float, Floats]:
        against = expit((x[None, :] - x[:, None]) / at)
        slope = count * against * (1 - against) / at
        return float((count * against).sum()), slope.sum(0) - slope.sum(1)

    for at in (*_STAGES, temperature):
        found = minimize(loss, theta, (at,), jac=True, method="L-BFGS-B", bounds=[(0, LONGEST)] * len(theta))
        theta = found.x
    return np.asarray(theta)
