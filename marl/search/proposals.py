"""Which actions agents propose at positions: those that they prefer, or else the one that they choose."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from marl.rollout.agent import Agent, preferences_of
from marl.rollout.types import AgentFailed, View
from marl.search.answers import answered


def propose(
    agents: Sequence[Agent], view: View, group: NDArray[np.int64], groups: int, width: int
) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Return at most `width` candidates of each group of rows, and how many proposals of each row were illegal [B].

    `group` [B] are the groups of the rows, which share their candidates: an agent's weights (its probabilities, or a
    softmax of its preferences) are summed over a group. Agents take turns: first the best action of each, then the
    second of each. Raises AgentFailed for a group without a legal proposal.
    """
    illegal, ranked = np.zeros(len(view), np.int64), []
    for agent in agents:
        weights, dropped = _weights(agent, view)
        illegal += dropped
        pooled = np.zeros((groups, weights.shape[1]))
        np.add.at(pooled, group, weights)
        order = np.argsort(-pooled, 1, kind="stable")
        count = (pooled > 0).sum(1).tolist()
        ranked.append([row[:n] for row, n in zip(order.tolist(), count, strict=True)])
    candidates = [_in_turn(lists)[:width] for lists in zip(*ranked, strict=True)]
    if not all(candidates):
        raise AgentFailed("illegal_action", "proposed no legal action at a position of its search")
    return candidates, illegal


def _weights(agent: Agent, view: View) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return an agent's weights of legal actions [B, A], which sum to 1 or are all 0, and its illegal proposals [B]."""
    mask = view.action_mask
    rank = preferences_of(agent)
    if rank is None:
        action = answered(agent.act(view, None)[0])
        liking = np.where(np.arange(mask.shape[1]) == action[:, None], 0.0, -np.inf)
        unknown = ~(liking > -np.inf).any(1)
    else:
        liking = np.asarray(rank(view, None), np.float64)
        unknown = np.zeros(len(view), bool)
    proposed = liking > -np.inf  # false for NaN too
    liking = np.where(proposed & mask, liking, -np.inf)
    best = liking.max(1, keepdims=True)
    weights = np.exp(liking - np.where(np.isfinite(best), best, 0.0))
    sums = weights.sum(1, keepdims=True)
    return weights / np.where(sums > 0, sums, 1), (proposed & ~mask).sum(1) + unknown


def _in_turn(lists: Sequence[Sequence[int]]) -> list[int]:
    """Return the entries of lists in turn, the first ones first, each once."""
    found = dict.fromkeys(entry for turn in zip_longest(*lists) for entry in turn)
    return [entry for entry in found if entry is not None]
