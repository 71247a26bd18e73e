"""Settings of updates that change nothing, which shows when the first decisions are there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marl.algorithms.policy_gradient.ppo import PpoConfig


def of_updates(config: "PpoConfig", decisions: int) -> Iterator[str]:
    """Yield the note on minibatches that are larger than an update, which has so many decisions.

    In the only gradient step of an update the policy and the values are what they were before it, so nothing is
    clipped.
    """
    if config.minibatch_size <= decisions:
        return
    if config.epochs > 1:
        steps = f"an update has {config.epochs} gradient steps, one for each epoch"
    else:
        unused = ["clip", *(name for name in ("value_clip", "target_kl") if getattr(config, name) is not None)]
        steps = f"an update is one gradient step, and {', '.join(unused)} change nothing"
    yield (
        f"minibatch_size: {config.minibatch_size:,} is more than the {decisions:,} decisions of the first update: "
        f"{steps}; a smaller minibatch_size gives more"
    )
