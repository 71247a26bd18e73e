"""Returns over each player's own decisions: turns, simultaneous moves, deaths and truncation are one case.

A player decides at some steps and waits at others. What it is paid while it waits belongs to its last decision:

    r̄ₖ = sum of the rewards from its decision k until its decision k+1
    δₖ = r̄ₖ + γ V(oₖ₊₁) − V(oₖ)
    Aₖ = δₖ + γ λ Aₖ₊₁                      (Schulman et al. 2016, https://arxiv.org/abs/1506.02438, eq. 16)

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
) -> Floats:
    """Return the advantages [T, E, N] of decisions; 0 where a player is not acting, or the successor is not known yet.

    `value`, `acting`, `terminated`, `truncated` are [T+1, E, N] (what was seen), `reward` [T, E, N] is paid by
    t -> t+1, `first` is [T+1, E]. `value` is read where a player is acting or truncated only.
    """
    advantage = np.zeros_like(reward)
    v_next = np.where(acting[-1], value[-1], 0.0).astype(np.float32)
    a_next = np.zeros_like(v_next)
    piled = np.zeros_like(v_next)
    known = acting[-1]  # the player's next decision, or its end, lies inside the recording
    for t in reversed(range(len(reward))):
        end = terminated[t + 1] | truncated[t + 1] | first[t + 1][:, None]  # nothing beyond an end reaches back
        known = known | end
        v_end = np.where(truncated[t + 1] & ~terminated[t + 1], value[t + 1], 0.0)
        v_next = np.where(end, v_end, v_next)
        a_next = np.where(end, 0.0, a_next)
        piled = np.where(end, 0.0, piled) + reward[t]
        delta = piled + gamma * v_next - value[t]
        # Without a successor there is no delta: the sum of the decisions before ends ahead of it, at its value.
        advantage[t] = np.where(acting[t] & known, delta + gamma * gae_lambda * a_next, 0.0)
        v_next = np.where(acting[t], value[t], v_next)
        a_next = np.where(acting[t], advantage[t], a_next)
        piled = np.where(acting[t], 0.0, piled)
        known = known | acting[t]
    return advantage


def td_lambda(
    value: Floats, decided: Mask, reward: Floats, length: NDArray[np.int64], *, gamma: float, td_lambda: float
) -> Floats:
    """Return the TD(λ) targets [T, K, M] of whole episodes: one of a team's decisions, or of each player's own.

        r̄ₖ = sum of the rewards from decision k until decision k+1
        Gₖ = r̄ₖ + γ ((1 − λ) Vₖ₊₁ + λ Gₖ₊₁)          (Sutton and Barto 2018, eq. 12.20)

    `value`, `decided` are [T+1, K, M], `reward` [T, K, M] is paid by t -> t+1, `length` [K] in steps. The value at an
    episode's end is what it is bootstrapped from: 0 where it terminated. Entries where nothing was decided mean
    nothing.
    """
    played = (np.arange(len(reward))[:, None] < length)[..., None]  # [T, K, 1]
    if td_lambda == 0 and (decided[:-1] | ~played).all():
        return reward + np.float32(gamma) * value[1:]
    target = np.zeros_like(reward)
    ahead = np.zeros_like(value[0])
    piled = np.zeros_like(ahead)
    for t in reversed(range(len(reward))):
        ends = (length == t + 1)[:, None]
        ahead = np.where(ends, value[t + 1], ahead)
        piled = np.where(ends, 0, piled) + reward[t]
        target[t] = piled + gamma * ahead
        ahead = np.where(decided[t], value[t] + td_lambda * (target[t] - value[t]), ahead)
        piled = np.where(decided[t], 0, piled)
    return target
