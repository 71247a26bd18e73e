"""The metrics of several updates, averaged."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Means:
    """Collect scalar metrics by name; each may be missing in some updates."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add the metrics of one update."""
        for name, value in metrics.items():
            self._values.setdefault(name, []).append(value)

    def result(self) -> dict[str, float]:
        """Return the mean of each metric over the updates that had it."""
        return {name: float(torch.stack(values).mean()) for name, values in self._values.items()}
