"""Bounds on the rounding error of returns, and the one comparison of returns that allows for it.

A payment r is a float32 (`TimeStep.reward`); a return is the float64 sum of a player's payments. Returns that the rules
make equal differ after rounding: three gains of 0.1 and a loss of 0.3 sum to -7e-9. The difference of any two returns
of a game of T steps is off by at most

    Σ 2⁻²³ |r| over the payments of all players that are not whole  +  2⁻⁵² T · scale

The first term bounds the conversion to float32, 2⁻²⁴ |r|, and one more rounding of that size where the game computes in
float32. A whole payment below 2²⁰ counts as exact: rounding turns another number into a whole one only by chance.
The second term bounds the game's own float64 sums, which round at each step: `scale` is the largest number that they
reach, by the Spec's `return_bounds` (at least 1), or 2²⁰ where no bounds are known.
"""

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec

FLOAT32, FLOAT64 = 2.0**-23, 2.0**-52  # machine epsilon: the spacing of the numbers just above 1
MODERATE = 2.0**20


def of_payments(reward: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rounding bound of one step's payments [..., N], summed over the players [...]."""
    size = np.abs(reward.astype(np.float64))
    exact = (size < MODERATE) & (size == np.floor(size))
    inexact: NDArray[np.float64] = np.where(exact, 0.0, size).sum(-1)
    return FLOAT32 * inexact


def of_sums(spec: Spec, length: int) -> float:
    """Return the rounding bound of the sums that a game computes itself in `length` steps."""
    scale = MODERATE if spec.return_bounds is None else max(1.0, *map(abs, spec.return_bounds))
    return FLOAT64 * length * scale


def sign(gap: float | NDArray[np.float64], rounding: float | NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the sign of a difference of returns: 1 or -1 above its rounding bound, 0 within it."""
    return np.where(np.abs(gap) <= rounding, 0, np.sign(gap)).astype(np.int64)
