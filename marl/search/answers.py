"""What agents answer while another looks ahead with them, checked: the failure of a part is that of the whole."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marl.rollout.types import AgentFailed, Decision, View


def answered(decision: Decision) -> NDArray[np.int64]:
    """Return the actions of a decision [B]; raises the AgentFailed of the first row that has failed."""
    if decision.failed:
        raise decision.failed[min(decision.failed)]
    return np.asarray(decision.action)


def legal_choices(decision: Decision, view: View) -> NDArray[np.int64]:
    """Return the actions of a decision [B]; raises AgentFailed for a failure, and for an action that is illegal."""
    chosen = answered(decision)
    known = (chosen >= 0) & (chosen < view.action_mask.shape[1])
    legal = known & view.action_mask[np.arange(len(view)), np.where(known, chosen, 0).astype(np.int64)]
    if not legal.all():
        raise AgentFailed("illegal_action", f"chose {chosen[legal.argmin()]} while it looked ahead")
    return chosen.astype(np.int64)


def expectations(values: ArrayLike) -> NDArray[np.float64]:
    """Return what players expect [B]; raises AgentFailed for a value that is not finite."""
    expected = np.asarray(values, np.float64)
    finite = np.isfinite(expected)
    if not finite.all():
        raise AgentFailed("agent_error", f"expected {expected[finite.argmin()]} while it looked ahead")
    return expected
