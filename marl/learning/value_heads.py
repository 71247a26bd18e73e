"""Value heads: what a network predicts of a return y, and the loss that teaches it.

    scalar        the expected return v itself                   L = (v - y)²
    categorical   logits of K returns z_1 .. z_K, p = softmax    L = - sum_k q_k log p_k,  v = sum_k p_k z_k
                  q: the two z beside y, by distance             (Bellemare et al. 2017, https://arxiv.org/abs/1707.06887)
    hl_gauss      the same; q: a Gaussian around y, by bins      (Imani and White 2018, https://arxiv.org/abs/1806.04613;
                                                                 Farebrother et al. 2024, https://arxiv.org/abs/2403.03950)

The z are the centres of bins of equal width. What lies outside the range of returns is learned as the nearest end.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from games.contract import MOST_STEPS, Spec
from marl.base.schema import Frozen
from marl.learning.idle import Needs

HeadName = Literal["scalar", "categorical", "hl_gauss"]
SIGMA = 0.75  # of hl_gauss, in widths of a bin
MARGIN = 2  # bins of hl_gauss beyond each end of the range, for the Gaussians of returns near it
TOLERANCE = 0.5  # of a bin's width: a return that is no further outside counts as inside


class ValueHeadConfig(Frozen):
    """The settings of a value head."""

    value_head: HeadName = "scalar"
    value_bins: int = Field(51, ge=8, le=1024)  # K, of the other heads


def needs_of_head(config: ValueHeadConfig) -> Needs:
    """Return which settings only a distribution has (`marl.learning.idle`)."""
    return {"value_bins": (config.value_head != "scalar", "value_head: categorical or hl_gauss")}


class Scalar(nn.Module):
    """The expected return; predictions have the shape of the returns."""

    bins = 1

    def parted(self, outputs: Tensor) -> Tensor:
        """Return outputs [..., F] of a layer as predictions."""
        return outputs

    def mean(self, predicted: Tensor) -> Tensor:
        """Return the expected returns."""
        return predicted

    def loss(self, predicted: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each prediction, in the shape of the returns y."""
        return (predicted - y).square()

    def metrics(self, predicted: Tensor, y: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        """Return metrics of predictions of the returns y [...], with a `weight` [...] if given."""
        return {}


class Distribution(nn.Module):
    """Probabilities of K returns; predictions are logits [..., K] for returns [...]."""

    values: Tensor  # [K] z_1 .. z_K

    def __init__(self, bins: int, low: float, high: float, margin: int = 0) -> None:
        """Lay K bins: the centres of the first and last are `low` and `high`, but for `margin` bins beyond each."""
        super().__init__()
        self.bins, self.low, self.high = bins, low, high
        self.width = (high - low) / (bins - 1 - 2 * margin)
        values = low + self.width * (torch.arange(bins, dtype=torch.float64) - margin)
        self.register_buffer("values", values.float(), persistent=False)

    def parted(self, outputs: Tensor) -> Tensor:
        predicted: Tensor = outputs.unflatten(-1, (-1, self.bins))
        return predicted

    def mean(self, predicted: Tensor) -> Tensor:
        return (predicted.softmax(-1) * self.values).sum(-1)

    def loss(self, predicted: Tensor, y: Tensor) -> Tensor:
        return -(self.encode(y) * predicted.log_softmax(-1)).sum(-1)

    def metrics(self, predicted: Tensor, y: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        weight = torch.ones_like(y) if weight is None else weight.expand_as(y)
        beyond = (torch.maximum(self.low - y, y - self.high) > TOLERANCE * self.width).float()
        squared = (self.mean(predicted.detach()) - y).square()
        total = weight.sum().clamp_min(1)
        return {"value_error": (weight * squared).sum() / total, "clipped_targets": (weight * beyond).sum() / total}

    def encode(self, y: Tensor) -> Tensor:
        """Return probabilities q [..., K] that stand for returns [...]."""
        raise NotImplementedError

    def boundaries(self) -> Tensor:
        """Return the returns [K - 1] that part the bins."""
        return (self.values[1:] + self.values[:-1]) / 2


class Categorical(Distribution):
    """A return is learned as the two values beside it, whose mean it is."""

    def encode(self, y: Tensor) -> Tensor:
        return self.project(y[..., None], torch.ones_like(y)[..., None])

    def project(self, returns: Tensor, probs: Tensor) -> Tensor:
        """Project a distribution on any returns, with probabilities [..., J] of them, onto the K values (algorithm 1).

        The probability of a return is divided between the values beside it; one that is a value keeps all of it there.
        """
        place = ((returns - self.low) / self.width).clamp(0, self.bins - 1)
        below = place.floor()
        share = place - below  # of the upper value
        below = below.long()
        projected = probs.new_zeros(*probs.shape[:-1], self.bins)
        projected = projected.scatter_add(-1, below, probs * (1 - share))
        return projected.scatter_add(-1, (below + 1).clamp(max=self.bins - 1), probs * share)


class HlGauss(Distribution):
    """A return is learned as the masses of a Gaussian around it in the bins, which sum to 1."""

    edges: Tensor  # [K + 1]

    def __init__(self, bins: int, low: float, high: float, sigma: float = SIGMA) -> None:
        super().__init__(bins, low, high, MARGIN)
        self.sigma = sigma * self.width
        edges = low + self.width * (torch.arange(bins + 1, dtype=torch.float64) - MARGIN - 0.5)
        self.register_buffer("edges", edges.float(), persistent=False)

    def encode(self, y: Tensor) -> Tensor:
        y = y.clamp(self.low, self.high)
        below: Tensor = torch.special.ndtr((self.edges - y[..., None]) / self.sigma)
        return below.diff(dim=-1) / (below[..., -1:] - below[..., :1])


ValueHead = Scalar | Distribution
SCALAR = Scalar()


def value_head(config: ValueHeadConfig, bounds: Sequence[float]) -> ValueHead:
    """Build the head that a config names, for returns between two bounds."""
    if config.value_head == "scalar":
        return Scalar()
    kinds: dict[str, Any] = {"categorical": Categorical, "hl_gauss": HlGauss}
    head: Distribution = kinds[config.value_head](config.value_bins, *bounds)
    return head


def discounted_bounds(spec: Spec, gamma: float) -> tuple[float, float] | None:
    """Return the lowest and the highest discounted return of a game, as far as its return bounds say; None: they don't.

    A return that is paid n decisions later is worth γⁿ of it, so a lowest one above 0 becomes as small as γᴸ of it in
    an episode of L + 1 steps, and a highest one below 0 as near to 0.
    """
    if spec.return_bounds is None:
        return None
    least = gamma ** ((spec.max_length or MOST_STEPS) - 1)
    low, high = spec.return_bounds
    return low * (least if low > 0 else 1), high * (least if high < 0 else 1)


def uncovered(head: ValueHead, spec: Spec, gamma: float) -> list[str]:
    """Return the note on returns of a game that lie outside a head's range; none where it covers all that are known."""
    bounds = discounted_bounds(spec, gamma)
    if isinstance(head, Scalar) or bounds is None:
        return []
    beyond = max(head.low - bounds[0], bounds[1] - head.high)
    if beyond <= TOLERANCE * head.width:
        return []
    return [
        f"returns of '{spec.name}', discounted by gamma: {gamma:g}, are {bounds[0]:.4g} to {bounds[1]:.4g}, and the "
        f"values of value_head are {head.low:.4g} to {head.high:.4g}: what lies outside is learned as the nearest end; "
        "value_range sets them"
    ]
