"""What tells right values from wrong ones that agree with each other: metrics of one batch.

The loss compares values with targets that are made of values, so it is small, too, where all of them are wrong. The
λ = 1 return of the recorded rewards contains a value at one place only, where an episode was truncated.
"""

import torch
from torch import Tensor

EVERY = 20  # updates between two batches that are diagnosed


def of_values(value: Tensor, lagging: Tensor, returns: Tensor) -> dict[str, Tensor]:
    """Compare the values [B] of the actions taken with the target networks' [B] and with the λ = 1 returns [B]."""
    error = value - returns
    spread, spread_of_returns = value - value.mean(), returns - returns.mean()
    scale = (spread.square().mean() * spread_of_returns.square().mean()).sqrt()
    return {
        "q_deviation": spread.square().mean().sqrt(),
        "return_error": error.mean(),
        "return_rmse": error.square().mean().sqrt(),
        "return_correlation": (spread * spread_of_returns).mean() / scale.clamp(min=1e-12),
        "target_lag": (value - lagging).mean(),
    }


def action_gap(values: Tensor, action_mask: Tensor) -> Tensor:
    """Return the mean difference of the best and the second-best legal action's value.

    `values`, `action_mask` are [B, A]. Rows with a single legal action do not count; 0 if there are no others.
    """
    best = values.masked_fill(~action_mask, -torch.inf).topk(min(2, values.shape[1]), 1).values
    gap = best[:, 0] - best[:, -1] if best.shape[1] > 1 else best.new_full((len(best),), torch.inf)
    gap = gap[gap.isfinite()]
    return gap.sum() / max(1, len(gap))
