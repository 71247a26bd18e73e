"""Types of arrays, named by their content; the shape is given at each use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Views = NDArray[Any]  # observations, in the dtype of the Spec's `observation`
Actions = NDArray[Any]  # int64 where the Spec's `action` is Discrete, float32 where it is a Box
