"""Randomness by key: a 64-bit number names one decision or one episode, and all its randomness is a hash of it.

There is no generator: a draw depends on its key alone, never on earlier draws. So an episode does not depend on the
number of environments, on the other episodes of its batch, or on the number of worker processes.

The hash is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195), applied
twice per fold.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MASK = (1 << 64) - 1
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
# The same, and the shifts, as arrays without axes: with numpy's scalars a fold of few keys takes twice as long.
_U_GOLDEN, _U_MIX_1, _U_MIX_2 = (np.array(number, np.uint64) for number in (_GOLDEN, _MIX_1, _MIX_2))
_U11, _U27, _U30, _U31 = (np.array(bits, np.uint64) for bits in (11, 27, 30, 31))


def mix(z: int) -> int:
    """Scatter one 64-bit number (a bijection)."""
    z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
    return z ^ (z >> 31)


def fold_one(key: int, data: int) -> int:
    """Return the key for `data` under `key`: the scalar twin of `fold`."""
    return mix((mix((key + _GOLDEN) & _MASK) ^ (data & _MASK)) + _GOLDEN & _MASK)


def uniform_one(key: int) -> float:
    """Draw one number in [0, 1): the scalar twin of `uniform`."""
    return (mix((key + _GOLDEN) & _MASK) >> 11) * 2.0**-53


def draw_one(outcomes: Sequence[tuple[int, float]], u: float) -> int:
    """Return the outcome at the quantile `u` in [0, 1) of (outcome, probability) pairs: inverse transform sampling."""
    total = 0.0
    for outcome, probability in outcomes:
        total += probability
        if u < total:
            return outcome
    return outcomes[-1][0]  # rounding: the probabilities sum to slightly less than one


def stream(seed: int, name: str) -> int:
    """Return the key of a named stream of a seed: environments, agents, learner, ..."""
    return fold_one(seed, zlib.crc32(name.encode()))


def _mix(z: Keys) -> Keys:
    z = z ^ (z >> _U30)
    z *= _U_MIX_1
    z ^= z >> _U27
    z *= _U_MIX_2
    z ^= z >> _U31
    return z


def fold(key: Any, data: Any) -> Keys:
    """Return the key for each `data` under each `key`; they broadcast, and may be integers of any width."""
    key = np.atleast_1d(np.asarray(key, dtype=np.uint64))
    data = np.atleast_1d(np.asarray(data).astype(np.uint64))
    return _mix((_mix(key + _U_GOLDEN) ^ data) + _U_GOLDEN)


def uniform(key: Keys, n: int | None = None) -> NDArray[np.float64]:
    """Draw numbers in [0, 1): one for each key `[B]`, or `n` for each `[B, n]`."""
    if n is not None:
        key = fold(key[:, None], np.arange(n, dtype=np.uint64)[None, :])
    return (_mix(key + _U_GOLDEN) >> _U11).astype(np.float64) * 2.0**-53


def normal(key: Keys, n: int) -> NDArray[np.float64]:
    """Draw `n` numbers of the standard normal distribution for each key: [B] -> [B, n].

    By inverse transform sampling, from the middle of each of the 2^53 steps of `uniform`: the largest is about 8.2.
    """
    from scipy.special import ndtri  # here: most games and agents need no normal numbers, and scipy takes a while

    drawn: NDArray[np.float64] = ndtri(uniform(key, n) + 2.0**-54)
    return drawn


def streams(seeds: Keys, *names: str) -> Keys:
    """Return the keys [B, names] of named streams of each of `seeds` [B]: the vector twin of `stream`."""
    return fold(seeds[:, None], [zlib.crc32(name.encode()) for name in names])


def choose(key: Keys, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Draw the index of one true entry of each row of `mask` [B, A], uniformly."""
    count = mask.sum(1)
    nth = (uniform(key) * count).astype(np.int64)
    chosen: NDArray[np.int64] = (np.cumsum(mask, 1) > nth[:, None]).argmax(1)
    return chosen


def draw(key: Keys, probabilities: NDArray[Any]) -> NDArray[np.int64]:
    """Draw an index from each row of `probabilities` [B, A], which need not sum to 1, by inverse transform sampling."""
    cumulative = probabilities.cumsum(1, dtype=np.float64)
    return np.asarray((cumulative > (uniform(key) * cumulative[:, -1])[:, None]).argmax(1))
