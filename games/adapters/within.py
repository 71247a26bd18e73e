"""Check the values of an environment against the space that it declares: shape, type, range.

Nothing is cast silently: bytes cannot hold fractions or 300, and float32 cannot hold every whole number. Floats outside
their bounds do no harm here, and many environments declare wrong bounds: such floats are accepted, and recorded while
`watched`, which the conformance kit sets (games/check.py).
"""

from typing import Any

import gymnasium.spaces as spaces
import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-5  # relative rounding error allowed at a bound
_EXACT = 2**24  # float32 holds every whole number up to this one


class Within:
    """Check arrays against a space of arrays: Box, MultiBinary, Discrete or MultiDiscrete."""

    def __init__(self, space: Any) -> None:
        self._space, self._shape, self._dtype = space, space.shape, np.dtype(space.dtype)
        whole = self._dtype.kind in "biu"
        self._kinds = "biu" if whole else "biuf"
        low, high = _bounds(space)
        self.watched = False  # record the first float outside its bounds
        self.outside = ""  # that record: a verb and more, as in "holds 3, its space says ..."
        # An integer type all of whose values the space allows needs no check.
        full = np.iinfo(self._dtype) if self._dtype.kind in "iu" else None
        self._by_type = full is not None and bool((low <= full.min).all() and (high >= full.max).all())
        self._whole, self._bounded = whole, bool((np.isfinite(low) | np.isfinite(high)).any())
        self._rounds = whole and self._dtype.itemsize > 2 and bool((np.maximum(-low, high) > _EXACT).any())
        if not whole:
            low, high = low - _SLACK * np.maximum(1, abs(low)), high + _SLACK * np.maximum(1, abs(high))
        self._low, self._high = low, high
        # If all entries have the same bounds, comparing the array's extremes is cheaper than comparing each entry.
        self._alike = bool(low.size and (low == low.flat[0]).all() and (high == high.flat[0]).all())
        self._least, self._most = (float(low.flat[0]), float(high.flat[0])) if self._alike else (0.0, 0.0)

    def __call__(self, given: Any) -> NDArray[Any]:
        """Return a value of the space as an array; raises ValueError, in words that follow a subject, for any other."""
        array = np.asarray(given)
        if array.shape != self._shape or array.dtype.kind not in self._kinds:
            raise ValueError(f"is {array.dtype} {array.shape}, its space says {self._dtype} {self._shape}")
        if self._bounded and (self.watched or (self._whole and not (self._by_type and array.dtype == self._dtype))):
            self._check_bounds(array)
        if self._rounds and abs(array).max() > _EXACT:
            raise ValueError(f"holds {abs(array).max()}, and float32 holds whole numbers up to {_EXACT} exactly")
        return array

    def _check_bounds(self, array: NDArray[Any]) -> None:
        if self._alike:
            fits = array.min() >= self._least and array.max() <= self._most
        else:
            fits = bool(((array >= self._low) & (array <= self._high)).all())
        if fits:
            return
        outside = ~((array >= self._low) & (array <= self._high))
        low, high = (bound[outside].flat[0] for bound in _bounds(self._space))
        what = f"holds {array[outside].flat[0]}, its space says {low:g} to {high:g}"
        if self._whole:
            raise ValueError(what)
        self.watched, self.outside = False, what


def _bounds(space: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest value of each entry of a space."""
    if isinstance(space, spaces.Box):
        return space.low.astype(np.float64), space.high.astype(np.float64)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape), np.ones(space.shape)
    count = np.asarray(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n, np.float64)
    start = np.asarray(space.start, np.float64)
    return start, start + count - 1
