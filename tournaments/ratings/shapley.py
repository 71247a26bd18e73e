"""Who carries a team: Shapley values of a game in which coalitions of n members earn ν(S).

    φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (ν(S ∪ i) − ν(S))        Σ_i φ_i = ν(all) − ν(nobody)

Each size of a coalition weighs alike; coalitions drawn uniformly would give Banzhaf values instead. A coalition is a
number: bit i says whether member i is in. Up to 8 members all 2^n coalitions are evaluated. Beyond, a plan says which
coalitions are, so that they can be played side by side:

    stratified      Stratified SVARM (Kolpaczki et al. 2024, https://arxiv.org/abs/2302.00736). φ_i is the mean over
                    sizes of what coalitions of that size earn with i, minus what they earn without. One coalition
                    counts for all members. Sizes 0, 1, n − 1 and n are evaluated whole, and every size between has a
                    coalition with each member and one without before others are drawn. The game is centred first.
    permutations    Castro et al. 2009, https://doi.org/10.1016/j.cor.2008.04.004: members join one after another. The
                    baseline to which the former is compared (docs/explanation/results/tournaments.md).
"""

import math

import numpy as np

from games.arrays import Floats, Ints
from games.keys import fold_one, uniform_one

MOST_EXACT = 8  # members of whom all coalitions are evaluated


def members(coalitions: Ints, n: int) -> Ints:
    """Return who is in coalitions [C]: 0 or 1 [C, n]."""
    return np.asarray(coalitions)[:, None] >> np.arange(n) & 1


def exact(values: Floats, n: int) -> Floats:
    """Return the Shapley values [..., n] by what all coalitions earn [..., 2^n], in the order of their numbers."""
    inside = members(np.arange(1 << n), n).astype(bool)  # [2^n, n]
    size = inside.sum(1)
    chance = np.array([1 / (n * math.comb(n - 1, k)) for k in range(n)])  # of a coalition of k others
    weight = np.where(inside, chance[np.maximum(size - 1, 0)][:, None], -chance[np.minimum(size, n - 1)][:, None])
    return np.asarray(values @ weight)


def least_budget(n: int) -> int:
    """Return how many coalitions a stratified plan has at least."""
    return len(_known_sizes(n)) + len(_first(n, 0))


def stratified_plan(n: int, budget: int, key: int) -> Ints:
    """Return the coalitions [C] to evaluate, at least `least_budget`, and drawn by `key`.

    Sizes of the coalitions beyond the first are drawn in turn, each set of them in a new order; so all sizes have the
    same number of coalitions, but for one.
    """
    plan = _known_sizes(n) + _first(n, key)
    sizes: list[int] = []
    for draw in range(len(plan), budget):
        if n < 4:
            break  # all coalitions are known
        if not sizes:
            sizes = _shuffled(list(range(2, n - 1)), fold_one(fold_one(key, 1), draw))
        plan.append(_numbered(_shuffled(list(range(n)), fold_one(fold_one(key, 2), draw))[: sizes.pop()]))
    return np.array(plan, np.int64)


def stratified(coalitions: Ints, values: Floats, n: int) -> Floats:
    """Return estimates of the Shapley values [..., n] by what the coalitions of a plan [C] earn [..., C].

    What the sizes 0, 1, n − 1 and n tell is taken off before coalitions are averaged: with w_i the mean of what i adds
    to nobody and to all others, the values are w plus those of the game ν(S) − Σ_{i ∈ S} w_i, whose noise is smaller.
    Their sum is ν(all) − ν(nobody).
    """
    inside, everybody = members(coalitions, n), (1 << n) - 1
    place = {coalition: k for k, coalition in reversed(list(enumerate(coalitions.tolist())))}
    nobody, together = values[..., [place[0]]], values[..., [place[everybody]]]
    alone = values[..., [place[1 << i] for i in range(n)]] - nobody
    last = together - values[..., [place[everybody - (1 << i)] for i in range(n)]]
    known = (alone + last) / 2
    rest = values - nobody - known @ inside.T
    size, total = inside.sum(1), known * n
    for k in range(n):  # strata: k others with the member, and k others without
        for sign, some in (
            (1.0, (size == k + 1)[:, None] & (inside == 1)),
            (-1.0, (size == k)[:, None] & (inside == 0)),
        ):
            total = total + sign * (rest @ (some / some.sum(0)))
    found = total / n
    return np.asarray(found + (together - nobody - found.sum(-1, keepdims=True)) / n)


def permutations_plan(n: int, budget: int, key: int) -> Ints:
    """Return the coalitions [C] of members who join one after another, in orders drawn by `key`.

    Nobody and all come first, and are evaluated once; then n − 1 coalitions for each order.
    """
    plan = [0, (1 << n) - 1]
    for draw in range(max(1, (budget - 2) // (n - 1))):
        order = _shuffled(list(range(n)), fold_one(key, draw))
        plan += [_numbered(order[:length]) for length in range(1, n)]
    return np.array(plan, np.int64)


def by_permutations(coalitions: Ints, values: Floats, n: int) -> Floats:
    """Return estimates of the Shapley values [..., n] by what the coalitions of such a plan [C] earn [..., C]."""
    orders = (len(coalitions) - 2) // (n - 1)
    nobody, everybody = values[..., :1], values[..., 1:2]
    total = np.zeros((*values.shape[:-1], n))
    for order in range(orders):
        some = slice(2 + order * (n - 1), 2 + (order + 1) * (n - 1))
        chain = np.concatenate([[0], coalitions[some], [(1 << n) - 1]])
        earned = np.concatenate([nobody, values[..., some], everybody], -1)
        joined = np.log2(np.diff(chain)).astype(np.int64)
        total[..., joined] += np.diff(earned, axis=-1)
    return total / orders


def _known_sizes(n: int) -> list[int]:
    """Return the coalitions of the sizes 0, 1, n − 1 and n."""
    everybody = (1 << n) - 1
    singles = [1 << i for i in range(n)]
    return list(dict.fromkeys([0, everybody, *singles, *(everybody - one for one in singles)]))


def _first(n: int, key: int) -> list[int]:
    """Return coalitions of the sizes between, such that each size has one with each member, and one without."""
    found: list[int] = []
    everybody = (1 << n) - 1
    for size in range(2, n - 1):
        order = _shuffled(list(range(n)), fold_one(fold_one(key, 3), size))
        with_each = [_numbered(part) for part in _parts(order, size)]
        without = [everybody - _numbered(part) for part in _parts(order, n - size)]
        found += dict.fromkeys([*with_each, *without])
    return found


def _parts(order: list[int], size: int) -> list[list[int]]:
    """Cut an order into parts of a size; the last is filled up from the order's beginning."""
    twice = order + order
    return [twice[start : start + size] for start in range(0, len(order), size)]


def _numbered(some: list[int]) -> int:
    return sum(1 << i for i in some)


def _shuffled(items: list[int], key: int) -> list[int]:
    return [item for _, item in sorted((uniform_one(fold_one(key, k)), item) for k, item in enumerate(items))]
