"""Settings that change nothing in a run: notes name them, since whoever set them expects an effect."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from games.contract import Discrete, Spec

if TYPE_CHECKING:
    from marl.algorithms.policy_gradient.ppo import PpoConfig


def of_networks(config: "PpoConfig", spec: Spec, *, convolutions: bool) -> Iterator[str]:
    """Yield the note on settings that are not at their defaults and that the networks do not use, if there are any.

    `convolutions`: whether the networks have any.
    """
    needs = {
        "hidden_size": (config.recurrent, "recurrent: true"),
        "chunk_length": (config.recurrent, "recurrent: true"),
        "channels": (convolutions, "encoder: cnn"),
        "initial_log_std": (not isinstance(spec.action, Discrete), "continuous actions"),
    }
    fields = type(config).model_fields
    idle = [
        f"{name} (needs {what})"
        for name, (used, what) in needs.items()
        if not used and getattr(config, name) != fields[name].default
    ]
    if idle:
        yield f"settings that change nothing here: {', '.join(idle)}"


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
