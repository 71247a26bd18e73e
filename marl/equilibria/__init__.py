"""Equilibria of payoff tables: pure functions of payoff tensors, on numpy and scipy (docs/reference/equilibria.md).

    solve(payoffs, method, **options)      a Solution by one of METHODS
    regrets, nash_conv                     how far a profile of strategies is from an equilibrium

`marl.equilibria.equivariant` is a network that maps payoffs to strategies; it alone needs torch.
"""

from marl.equilibria.methods import METHODS, Solution, solve
from marl.equilibria.payoffs import nash_conv, regrets

__all__ = ["METHODS", "Solution", "nash_conv", "regrets", "solve"]
