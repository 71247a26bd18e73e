"""Running moments, by which rewards, states and views are standardised: to mean 0 and deviation 1."""

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from games.contract import Spec
from marl.rollout.types import Tensors

Numbers = TypeVar("Numbers", NDArray[np.float64], Tensor)
LEAST_VARIANCE = 1e-8  # an element below it has never varied


def combined(mean: Numbers, variance: Numbers, count: Any, others: tuple[Numbers, Numbers, Any]) -> Any:
    """Return the mean, the variance and the count of two samples together, from those of each (Chan et al. 1979)."""
    their_mean, their_variance, their_count = others
    total, shift = count + their_count, their_mean - mean
    both = variance * count + their_variance * their_count
    whole = (both + shift * shift * count * their_count / total) / total
    return mean + shift * their_count / total, whole, total


class Standard:
    """The running mean and deviation of all samples so far."""

    def __init__(self, *shape: int) -> None:
        self.mean, self.variance, self.count = np.zeros(shape), np.ones(shape), 0.0

    def see(self, sample: NDArray[np.float32]) -> None:
        """Add samples [B, *shape]."""
        moments = sample.mean(0, dtype=np.float64), sample.var(0, dtype=np.float64), len(sample)
        self.mean, self.variance, self.count = combined(self.mean, self.variance, self.count, moments)

    def apply(self, sample: NDArray[np.float32], *, centre: bool = True) -> NDArray[np.float32]:
        """Return samples scaled to deviation 1 and, with `centre`, to mean 0.

        Elements that have never varied stay unchanged.
        """
        varies = self.variance > LEAST_VARIANCE
        mean, deviation = np.where(varies & centre, self.mean, 0), np.sqrt(np.where(varies, self.variance, 1))
        return ((sample - mean) / deviation).astype(np.float32)

    def state(self) -> Tensors:
        return {"mean": self.mean, "variance": self.variance, "count": np.array(self.count)}

    def load_state(self, state: Tensors) -> None:
        self.mean, self.variance = np.asarray(state["mean"]).copy(), np.asarray(state["variance"]).copy()
        self.count = float(state["count"])


class StandardInputs(nn.Module):
    """Standardise the inputs of a network [B, F]: (x - μ) / σ, between -10 and 10, for each input by itself.

    μ and σ are of all rows that `see` was given; before the first, inputs are cut at these limits alone. An input that
    has never varied is centred alone. `holds` [N, F] are the inputs that each player has: the others, its padding, are
    0, and count for nothing.
    """

    LIMIT = 10.0

    def __init__(self, size: int, holds: Tensor | None = None) -> None:
        super().__init__()
        for name, start in (("mean", torch.zeros), ("variance", torch.ones), ("count", torch.zeros)):
            self.register_buffer(name, start(size, dtype=torch.float64))
        self.mean: Tensor
        self.variance: Tensor
        self.count: Tensor
        self.holds: Tensor | None
        self.register_buffer("holds", holds, persistent=False)

    def forward(self, inputs: Tensor, player: Tensor) -> Tensor:
        deviation = torch.where(self.variance > LEAST_VARIANCE, self.variance, 1).sqrt()
        standard = ((inputs - self.mean.float()) / deviation.float()).clamp(-self.LIMIT, self.LIMIT)
        return standard if self.holds is None else standard * self.holds.index_select(0, player)

    @torch.no_grad()
    def see(self, inputs: Tensor, player: Tensor) -> None:
        """Learn from rows [B, F] of players [B]."""
        wide = inputs.double()
        held = torch.ones_like(wide) if self.holds is None else self.holds.index_select(0, player).double()
        count = held.sum(0)
        mean = (wide * held).sum(0) / count.clamp(min=1)
        variance = ((wide - mean).square() * held).sum(0) / count.clamp(min=1)
        seen = count > 0
        now = combined(
            self.mean[seen], self.variance[seen], self.count[seen], (mean[seen], variance[seen], count[seen])
        )
        for each, value in zip((self.mean, self.variance, self.count), now, strict=True):
            each[seen] = value


def held_by(spec: Spec) -> Tensor | None:
    """Return the numbers of a flat view that each player has [N, F], 1 or 0; None where no view is padded."""
    if not spec.observation_sizes:
        return None
    sizes = torch.tensor(spec.observation_sizes)
    return (torch.arange(int(np.prod(spec.observation.shape))) < sizes[:, None]).float()
