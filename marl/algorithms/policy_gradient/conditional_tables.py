"""The exact form of conditional MAPPO for small team games: every state and joint action is a cell of a table.

    π^m_{k+1} ∝ π^m_k exp(Q^{1:m} / β),    m = 1..n

with Q^{1:m}(s, a^{1:m}) the mean of Q over the actions of later players by their present policies (Zhao et al. 2023,
https://arxiv.org/abs/2305.04819). From uniform policies the return converges to that of the best joint policy: on
average over K updates it falls short by O(1 / √K) for β in proportion to √K (the paper's theorem). conditional_mappo.py
is the same with networks.

Axis letters: S states, A_m actions of player m.
"""

from collections.abc import Sequence

import numpy as np

from games.arrays import Floats

Policies = Sequence[Floats]  # of each player m: [S, A_1, ..., A_m], whose last axis sums to 1


def uniform(shape: Sequence[int]) -> Policies:
    """Return the uniform policies of a team, for tables [S, A_1, ..., A_n]."""
    return [np.full(shape[: m + 2], 1 / shape[m + 1]) for m in range(len(shape) - 1)]


def localised(q: Floats, policies: Policies) -> list[Floats]:
    """Return Q^{1:m} [S, A_1, ..., A_m] of m = 0..n, from Q [S, A_1, ..., A_n]; Q^{1:0} is V."""
    values = [q]
    for policy in reversed(policies):
        values.insert(0, (policy * values[0]).sum(-1))
    return values


def improve(q: Floats, policies: Policies, *, beta: float) -> Policies:
    """Return the next policies of a team whose present ones have the values Q [S, A_1, ..., A_n]."""
    better = []
    for policy, value in zip(policies, localised(q, policies)[1:], strict=True):
        with np.errstate(divide="ignore"):
            energy = np.log(policy) + value / beta
        weight = np.exp(energy - energy.max(-1, keepdims=True))
        better.append(weight / weight.sum(-1, keepdims=True))
    return better


def joint(policies: Policies) -> Floats:
    """Return the probabilities of joint actions [S, A_1, ..., A_n]."""
    product = np.ones(len(policies[0]))
    for policy in policies:
        product = product[..., None] * policy
    return product


def evaluate(reward: Floats, transition: Floats, policies: Policies, *, gamma: float) -> Floats:
    """Return Q [S, A_1, ..., A_n] of the policies of a team, by solving Bellman's equations.

    `reward` is [S, A_1, ..., A_n], `transition` [S, A_1, ..., A_n, S] the probability of each next state: 0 for all
    where the game ends.
    """
    states, chances = len(reward), joint(policies)
    acts = tuple(range(1, reward.ndim))
    moves = (chances[..., None] * transition).sum(acts)  # [S, S]
    value = np.linalg.solve(np.eye(states) - gamma * moves, (chances * reward).sum(acts))
    return np.asarray(reward + gamma * transition @ value)


def solve(
    reward: Floats, transition: Floats, *, gamma: float = 0.99, beta: float = 10.0, updates: int = 3000
) -> tuple[Policies, Floats]:
    """Return the policies of a team after so many updates from uniform ones, and V [S] of them.

    `reward` and `transition` are those of `evaluate`. A one-step game has one state, and a transition of zeros.
    """
    policies = uniform(reward.shape)
    for _ in range(updates):
        policies = improve(evaluate(reward, transition, policies, gamma=gamma), policies, beta=beta)
    return policies, localised(evaluate(reward, transition, policies, gamma=gamma), policies)[0]
