"""When a mean is known: bounds that hold however often one looks.

Whoever looks after every game and stops at the first convincing mean is wrong far more often than an interval for one
look says. The bound here holds for all numbers of observations at once (a confidence sequence by the law of the
iterated logarithm: Howard et al. 2021, https://doi.org/10.1214/20-AOS1991): with probability 1 − α the mean of
n independent observations in [0, 1] is within r(n) of the true mean for every n ≥ 1,

    r(n) = 1.7 · ½ · √[(ln ln 2n + 0.72 ln(10.4 / α)) / n]
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from games.arrays import Floats

Verdict = Literal["above", "below", "open", "undecided"]

DEVIATION = 0.5  # the largest standard deviation in [0, 1], and what Hoeffding's lemma takes


def radius(n: ArrayLike, alpha: float) -> Floats:
    """Return r(n) [...] for numbers of observations [...]; infinite for none. `alpha` is the chance of an error."""
    n = np.asarray(n, np.float64)
    known = np.maximum(n, 1.0)
    found = 1.7 * DEVIATION * np.sqrt((np.log(np.log(2 * known)) + 0.72 * math.log(10.4 / alpha)) / known)
    return np.where(n > 0, found, np.inf)


def verdict(
    mean: float, n: int, threshold: float, alpha: float, at_least: int = 1, at_most: int | None = None
) -> Verdict:
    """Return whether the true mean is above or below a threshold, by the mean of n observations in [0, 1].

    "open": more observations are needed, at least `at_least`. "undecided": `at_most` of them did not decide it; the
    mean is then only an estimate. The chance that "above" or "below" is ever said wrongly is at most `alpha`.
    """
    if n >= max(at_least, 1):
        bound = float(radius(n, alpha))
        if mean - bound > threshold:
            return "above"
        if mean + bound < threshold:
            return "below"
    return "undecided" if at_most is not None and n >= at_most else "open"
