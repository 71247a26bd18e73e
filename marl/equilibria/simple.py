"""The two meta-strategies that need no payoffs: fictitious play and self-play in the loop of PSRO (Lanctot et al. 2017,
https://arxiv.org/abs/1711.00832)."""

import numpy as np

from marl.equilibria import payoffs as tables
from marl.equilibria.payoffs import Payoffs, Strategies


def uniform(payoffs: Payoffs) -> Strategies:
    """Return equal weights on all strategies."""
    return tables.uniform(payoffs)


def last(payoffs: Payoffs) -> Strategies:
    """Return all weight on each player's last strategy."""
    return tuple(np.eye(size)[-1] for size in payoffs[0].shape)
