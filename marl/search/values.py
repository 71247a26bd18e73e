"""Expected returns of players, in units of the game and in units of networks.

A network's values are one number for each player in [-1, 1], the mover's first, then those of the players after it; for
a game without return bounds they are plain returns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec


def by_player(relative: NDArray[Any], movers: NDArray[np.int64]) -> NDArray[Any]:
    """Reorder values [..., N] that start with the mover's [...] to the order of the players."""
    place = (np.arange(relative.shape[-1]) - movers[..., None]) % relative.shape[-1]
    return np.take_along_axis(relative, place, -1)


def by_mover(values: NDArray[Any], movers: NDArray[np.int64]) -> NDArray[Any]:
    """Undo `by_player`."""
    place = (np.arange(values.shape[-1]) + movers[..., None]) % values.shape[-1]
    return np.take_along_axis(values, place, -1)


def scaled(value: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """Map returns from the game's return bounds to [-1, 1]."""
    low, high = spec.return_bounds or (-1.0, 1.0)
    return np.asarray(2 * (value - low) / max(high - low, 1e-9) - 1)


def unscaled(value: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """Undo `scaled`; for two players of a zero-sum game, make the values sum to the game's constant."""
    low, high = spec.return_bounds or (-1.0, 1.0)
    value = low + (value.astype(np.float64) + 1) * (high - low) / 2
    if spec.payoff == "zero_sum" and spec.num_players == 2:
        value = value - value.mean(1, keepdims=True) + (low + high) / 2
    return value


def half_range(spec: Spec) -> float:
    """Return half the range of returns, the unit in which rewards are learned."""
    low, high = spec.return_bounds or (-1.0, 1.0)
    return max(high - low, 1e-9) / 2
