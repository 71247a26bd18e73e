"""Operations on distributions over strategies."""

import numpy as np

from games.arrays import Floats


def softmax(logits: Floats) -> Floats:
    """Return exp(logits) / Σ exp(logits)."""
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def project(point: Floats, floor: float = 0.0) -> Floats:
    """Return the nearest distribution to a point [A] with every weight at least `floor`.

    Subtract one number from all entries and cut at the floor, so that the rest sums to 1 (Held, Wolfe and Crowder 1974,
    https://doi.org/10.1007/BF01580223).
    """
    mass = max(0.0, 1 - floor * len(point))
    ordered = np.sort(point - floor)[::-1]
    excess = (np.cumsum(ordered) - mass) / np.arange(1, len(point) + 1)
    threshold = excess[np.flatnonzero(ordered >= excess)[-1]]
    return np.asarray(np.maximum(point - floor - threshold, 0.0) + floor)


def top_k(strategy: Floats, k: int) -> Floats:
    """Return a strategy [A] restricted to its `k` most likely entries, and to those as likely as the last of them."""
    least = np.sort(strategy)[::-1][min(k, len(strategy)) - 1]
    kept = np.where(strategy >= least, strategy, 0.0)
    return np.asarray(kept / kept.sum())
