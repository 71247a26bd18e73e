"""The methods by their names, and what a solution is."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from games.arrays import Floats
from marl.equilibria import payoffs as tables
from marl.equilibria.alpharank import alpharank
from marl.equilibria.entropic import entropic
from marl.equilibria.extragradient import extragradient
from marl.equilibria.ipo import ipo_md, online_ipo
from marl.equilibria.nash import nash
from marl.equilibria.nash_md import nash_md
from marl.equilibria.payoffs import Strategies
from marl.equilibria.rectified import rectified
from marl.equilibria.replicator import replicator
from marl.equilibria.simple import last, uniform
from marl.equilibria.stochastic import stochastic

Method = Callable[..., Strategies]  # of checked payoffs, and options by keyword
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "nash": nash,
        "uniform": uniform,
        "last": last,
        "replicator": replicator,
        "alpharank": alpharank,
        "stochastic": stochastic,
        "nash_md": nash_md,
        "online_ipo": online_ipo,
        "ipo_md": ipo_md,
        "entropic": entropic,
        "extragradient": extragradient,
        "rectified": rectified,
    }
)


@dataclass(frozen=True, eq=False)
class Solution:
    """A profile of strategies, and how good it is by the payoffs that it was found from."""

    strategies: Strategies  # [A_p] for each player
    values: tuple[float, ...]  # what each player earns
    regrets: tuple[float, ...]  # what each player would gain by its best response, at least 0

    @property
    def nash_conv(self) -> float:
        """The sum of the regrets."""
        return sum(self.regrets)


def solve(payoffs: Sequence[Floats], method: str = "nash", **options: Any) -> Solution:
    """Return what a method finds for `payoffs[p][a_0, ..., a_{N-1}]`: what player p earns in each profile.

    A game of two seats has payoffs [A_0, A_1] for both: if M is the first player's, the second's is -M in a zero-sum
    game. Raises ValueError, in one sentence, for a NaN (an unknown cell), an unknown method or option, and payoffs that
    the method does not solve. The payoffs are not changed.
    """
    if method not in METHODS:
        raise ValueError(f"expected a method among {', '.join(METHODS)}, got '{method}'")
    _check_options(method, options)
    given = tables.checked(payoffs)
    strategies = METHODS[method](given, **options)
    return Solution(strategies, tables.values(given, strategies), tables.regrets(given, strategies))


def _check_options(method: str, options: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(METHODS[method]).parameters if name != "payoffs"]
    for name in options:
        if name not in known:
            raise ValueError(f"expected options of '{method}' among {', '.join(known) or 'none'}, got '{name}'")
