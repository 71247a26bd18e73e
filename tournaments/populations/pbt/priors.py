"""The values that settings may have in population-based training, their first ones, and how they are explored.

    {log: [1e-4, 3e-3]}     drawn evenly in the logarithm
    {uniform: [0, 1]}       drawn evenly
    {choice: [8, 16, 32]}   one of these, in this order

A setting is explored as in Jaderberg et al. 2017: with probability ¼ it is drawn again, else multiplied or divided by
1.2, or replaced by a neighbour in its list. It stays within its range. A whole number is rounded, and changes by at
least 1 unless it is at the end of its range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from games.keys import fold_one, stream, uniform_one

AGAIN = 0.25  # the probability that a setting is drawn again
FACTOR = 1.2


class Prior(Protocol):
    """The values that a setting may have."""

    def draw(self, u: float) -> Any:
        """Return the value at the quantile `u` in [0, 1)."""

    def beside(self, value: Any, up: bool) -> Any:
        """Return a value near another one, above or below it; at the end of the range, the end."""

    def has(self, value: Any) -> bool:
        """Return whether it is one of the values."""

    @property
    def ends(self) -> Sequence[Any]:
        """The values between which, or of which, the others are."""


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, drawn evenly or evenly in the logarithm; `whole` ones only, or all."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, u: float) -> float:
        end = self.high + 1 if self.whole else self.high  # whole numbers are rounded down
        value = self.low * (end / self.low) ** u if self.log else self.low + u * (end - self.low)
        return self._within(int(value // 1) if self.whole else value)

    def beside(self, value: float, up: bool) -> float:
        changed = value * FACTOR if up else value / FACTOR
        if self.whole:
            changed = round(changed)
            if changed == value:
                changed += 1 if up == (value >= 0) else -1
        return self._within(changed)

    def has(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def ends(self) -> Sequence[float]:
        return self.low, self.high

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values, in their order."""

    values: Sequence[Any]

    def draw(self, u: float) -> Any:
        return self.values[int(u * len(self.values))]

    def beside(self, value: Any, up: bool) -> Any:
        place = self.values.index(value) + (1 if up else -1)
        return self.values[min(max(place, 0), len(self.values) - 1)]

    def has(self, value: Any) -> bool:
        return value in self.values

    @property
    def ends(self) -> Sequence[Any]:
        return self.values


def drawn(priors: Mapping[str, Prior], key: int) -> dict[str, Any]:
    """Return a value for each setting, drawn from its prior."""
    return {name: prior.draw(uniform_one(stream(key, name))) for name, prior in priors.items()}


def explored(priors: Mapping[str, Prior], settings: Mapping[str, Any], key: int) -> dict[str, Any]:
    """Return settings that have been explored: each by itself, by key."""
    return {name: _explore(prior, settings[name], stream(key, name)) for name, prior in priors.items()}


def _explore(prior: Prior, value: Any, key: int) -> Any:
    again, way, quantile = (uniform_one(fold_one(key, draw)) for draw in range(3))
    return prior.draw(quantile) if again < AGAIN else prior.beside(value, up=way < 0.5)
