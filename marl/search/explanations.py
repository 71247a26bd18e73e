"""What searches tell of their choices: visits, policy, value, and the principal line."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from marl.rollout.types import Explanation
from marl.search.search import Search, SearchResult
from marl.search.tree import NONE, Tree

Line = tuple[int, ...]  # actions, the first at the root


def explanations(
    result: SearchResult,
    chosen: NDArray[np.int64],
    players: NDArray[np.int64],
    num_actions: int,
    lines: Sequence[Line] | None = None,
) -> list[Explanation]:
    """Explain the choice of `chosen` [B] by `players` [B]; `lines` [B] are principal lines, if there are any."""
    policy = result.dense(result.policy, num_actions)
    visits = result.dense(result.visits.astype(np.float64), num_actions)
    values = result.value[np.arange(len(players)), players].tolist()
    rows = zip(chosen.tolist(), policy, values, visits.astype(np.int64), lines or [()] * len(chosen), strict=True)
    return [Explanation(*row) for row in rows]


def principal_lines(search: Search, chosen: NDArray[np.int64]) -> list[Line]:
    """Return what a search of B roots expects after `chosen` [B], these first; a line ends before chance."""
    tree = search.tree
    found = []
    for root, action in zip(search.roots.tolist(), chosen.tolist(), strict=True):
        edge = next(edge for edge in _edges(tree, root) if tree.action[edge] == action)
        found.append((action, *_expected(tree, int(tree.child[edge]))))
    return found


def _expected(tree: Tree, node: int) -> Iterator[int]:
    """Yield the most visited actions from a node on; at a proven one, the best of its proven edges."""
    while node != NONE and tree.mover[node] >= 0:
        walked = [edge for edge in _edges(tree, node) if tree.child[edge] != NONE]
        if not walked:
            return
        mover = tree.mover[node]
        if tree.proven[node]:
            own = tree.reward[:, mover] + tree.value[:, mover]
            worth = {edge: own[tree.child[edge]] for edge in walked if tree.proven[tree.child[edge]]}
        else:
            worth = {edge: tree.taken[edge] for edge in walked}
        best = max(worth, key=worth.__getitem__)
        yield int(tree.action[best])
        node = int(tree.child[best])


def _edges(tree: Tree, node: int) -> range:
    first = int(tree.first[node])
    return range(first, first + int(tree.count[node]))
