"""Returns over each player's own decisions: the same code for turns, simultaneous moves, deaths and truncation.

A player decides at some steps and waits at others. Rewards while it waits belong to its last decision:

    r̄ₖ = sum of γⁱ r from its decision k until its decision k+1, i decisions of its team after decision k
    δₖ = r̄ₖ + γᵐ V(oₖ₊₁) − V(oₖ)
    Aₖ = δₖ + γᵐ λ Aₖ₊₁                     (Schulman et al. 2016, https://arxiv.org/abs/1506.02438, eq. 16)

with m decisions of its team from decision k until decision k+1: i = 0 and m = 1 without a team. A team decides at each
step at which a member acts. So all members discount what the team is paid alike. If only own decisions counted, the
dead would discount nothing, and dying would pay where later rewards are positive.

The sum stops where the player terminated (V = 0) and bootstraps where the recording was truncated (V of the last view).
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


def gae(
    value: Floats,
    reward: Floats,
    acting: Mask,
    terminated: Mask,
    truncated: Mask,
    first: Mask,
    *,
    gamma: float,
    gae_lambda: float,
    team: bool = False,
) -> Floats:
    """Return the advantages [T, E, N] of decisions; 0 if the player is not acting or its successor is not known yet.

    `value`, `acting`, `terminated`, `truncated` are [T+1, E, N] (what was seen), `reward` [T, E, N] is paid by
    t -> t+1, `first` is [T+1, E]. `value` is read only where a player is acting or truncated. `team` says that all
    players are one team, which is paid alike.
    """
    end = terminated[1:] | truncated[1:] | first[1:, :, None]  # [T, E, N] later episodes do not reach back
    v_end = np.where(truncated[1:] & ~terminated[1:], value[1:], 0.0)
    advantage = np.zeros_like(reward)
    if not (acting[:-1] & ~acting[1:] & ~end).any():  # each decision is followed at once by the next one or the end
        goes_on = acting[:-1] & ~end
        a_next = np.zeros(reward.shape[1:], np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite ends the run
            delta = np.where(acting[:-1], reward + gamma * np.where(end, v_end, value[1:]) - value[:-1], 0.0)
            for t in reversed(range(len(reward))):
                later = np.where(goes_on[t], gamma * gae_lambda * a_next, 0.0)
                a_next = np.add(delta[t], later, out=advantage[t])
        return advantage
    waits = acting.any(2, keepdims=True) & ~acting & team  # [T+1, E, N] while others of its team decide
    v_next = np.where(acting[-1], value[-1], 0.0).astype(np.float32)
    a_next = np.zeros_like(v_next)
    pending = np.zeros_like(v_next)  # rewards since the player's next decision, backwards
    known = acting[-1]  # the player's next decision, or the end, is inside the recording
    for t in reversed(range(len(reward))):
        known = known | end[t]
        v_next = np.where(end[t], v_end[t], v_next)
        a_next = np.where(end[t], 0.0, a_next)
        pending = np.where(end[t], 0.0, pending) + reward[t]
        delta = pending + gamma * v_next - value[t]
        # A decision without a successor has no delta; earlier decisions bootstrap from its value.
        advantage[t] = np.where(acting[t] & known, delta + gamma * gae_lambda * a_next, 0.0)
        discount = np.where(waits[t], np.float32(gamma), np.float32(1))
        v_next = np.where(acting[t], value[t], discount * v_next)
        a_next = np.where(acting[t], advantage[t], discount * a_next)
        pending = np.where(acting[t], 0.0, discount * pending)
        known = known | acting[t]
    return advantage


def td_lambda(
    value: Floats, decided: Mask, reward: Floats, length: NDArray[np.int64], *, gamma: float, td_lambda: float
) -> Floats:
    """Return the TD(λ) targets [T, K, M] of K whole episodes: M = 1 for a team, or M = N for each of its players.

        r̄ₖ = sum of γⁱ r from decision k until decision k+1, i decisions of the team after decision k
        Gₖ = r̄ₖ + γᵐ ((1 − λ) Vₖ₊₁ + λ Gₖ₊₁)         (Sutton and Barto 2018, eq. 12.20)

    `value`, `decided` are [T+1, K, M], `reward` [T, K, M] is paid by t -> t+1, `length` [K] in steps. The value at the
    end of an episode is the bootstrap value: 0 if it terminated. Entries without a decision are meaningless.
    """
    played = (np.arange(len(reward))[:, None] < length)[..., None]  # [T, K, 1]
    if td_lambda == 0 and (decided[:-1] | ~played).all():
        return reward + np.float32(gamma) * value[1:]
    waits = decided.any(2, keepdims=True) & ~decided  # [T+1, K, M] while others of the team decide
    target = np.zeros_like(reward)
    g_next = np.zeros_like(value[0])
    pending = np.zeros_like(g_next)
    for t in reversed(range(len(reward))):
        ends = (length == t + 1)[:, None]
        g_next = np.where(ends, value[t + 1], g_next)
        pending = np.where(ends, 0, pending) + reward[t]
        target[t] = pending + gamma * g_next
        discount = np.where(waits[t], np.float32(gamma), np.float32(1))
        g_next = np.where(decided[t], value[t] + td_lambda * (target[t] - value[t]), discount * g_next)
        pending = np.where(decided[t], 0, discount * pending)
    return target
