"""Search trees of many games in shared arrays, with a row for each node and for each edge.

    node      a position: its mover, and the statistics of its visits
    edge      a legal action, or an outcome of chance, at a node; the edges of a node are consecutive rows

A node has an edge for each legal action only, so a game with 4,000 actions costs no more than its legal ones. Values
are vectors with a number for each player: no signs are flipped, and three players, or payoffs that do not sum to zero,
need no special case.

Axis letters: B games, N players, M nodes, K edges, W the widest node of a batch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]  # [B] rows of nodes
Edges = NDArray[np.int64]  # rows of edges
Values = NDArray[np.float64]  # [..., N] one number for each player
Walks = NDArray[np.int64]  # indices of walks in [0, B)
Path = list[tuple[Walks, Nodes, Edges]]  # by depth: the walks that go on, their nodes, and the edges that they take

CHANCE, END = -1, -2  # movers that are no players: chance, and nobody, at a terminal node
NONE = -1  # no node, or no edge

OF_NODES = ("mover", "first", "count", "visits", "total", "value", "reward", "evaluated", "proven")
OF_EDGES = ("action", "prior", "logit", "taken", "pending", "paid", "child")


class Tree:
    """Nodes and edges of many games; rows are only added, and keep their numbers."""

    def __init__(self, num_players: int) -> None:
        self.num_players = num_players
        self.num_nodes = self.num_edges = 0
        # Of nodes.
        self.mover = np.zeros(0, np.int64)  # [M] the player who moves, CHANCE or END
        self.first = np.zeros(0, np.int64)  # [M] its first edge
        self.count = np.zeros(0, np.int64)  # [M] the number of its edges
        self.visits = np.zeros(0, np.int64)  # [M]
        self.total = np.zeros((0, num_players))  # [M, N] sum over visits of the return from the node on
        self.value = np.zeros((0, num_players))  # [M, N] the evaluator's value; 0 at a terminal node
        self.reward = np.zeros((0, num_players))  # [M, N] reward of the step into the node
        self.evaluated = np.zeros(0, bool)  # [M] it has a value, and its edges have priors: walks go on from here
        self.proven = np.zeros(0, bool)  # [M] `value` is the return under best play
        # Of edges.
        self.action = np.zeros(0, np.int64)  # [K] action, or outcome of chance
        self.prior = np.zeros(0)  # [K] probability by the policy, or of chance; sums to 1 over a node's edges
        self.logit = np.zeros(0)  # [K] of the policy
        self.taken = np.zeros(0, np.int64)  # [K] visits through the edge
        self.pending = np.zeros(0, np.int64)  # [K] walks through the edge whose leaf is not evaluated yet
        self.paid = np.zeros(0)  # [K] sum over visits of the mover's return from the edge on; player 0's at chance
        self.child = np.zeros(0, np.int64)  # [K] NONE until a walk makes it

    def add_nodes(self, count: int) -> Nodes:
        """Add nodes without visits and edges; return their rows."""
        start, self.num_nodes = self.num_nodes, self.num_nodes + count
        if self.num_nodes > len(self.mover):
            self._grow(OF_NODES, self.num_nodes)
        return np.arange(start, self.num_nodes)

    def add_edges(self, nodes: Nodes, count: NDArray[np.int64], action: NDArray[np.int64]) -> Edges:
        """Add the edges of nodes, `count` each; `action` lists them node by node; return the edges' rows."""
        start, self.num_edges = self.num_edges, self.num_edges + int(count.sum())
        if self.num_edges > len(self.action):
            self._grow(OF_EDGES, self.num_edges)
        self.first[nodes] = start + np.cumsum(count) - count
        self.count[nodes] = count
        self.action[start : self.num_edges] = action
        self.child[start : self.num_edges] = NONE
        return np.arange(start, self.num_edges)

    def edges(self, nodes: Nodes) -> tuple[Edges, NDArray[np.bool_]]:
        """Return the edges of nodes [B, W], padded with the node's last edge, and where they are real [B, W]."""
        place = np.arange(int(self.count[nodes].max(initial=1)))
        count = self.count[nodes][:, None]
        return self.first[nodes][:, None] + np.minimum(place, count - 1), place < count

    def mean(self, nodes: Nodes) -> Values:
        """Return the mean return from nodes on [B, N]; the evaluator's value counts as the first visit."""
        return self.total[nodes] / np.maximum(self.visits[nodes], 1)[:, None]

    def below(self, nodes: Nodes) -> tuple[Nodes, NDArray[np.int64]]:
        """Return the nodes of the B subtrees of `nodes`, roots included, and the index in [0, B) of each node's root.

        The nodes of a subtree are consecutive, parents first, in an order that does not depend on other subtrees.
        """
        level, root = nodes, np.arange(len(nodes))
        levels, roots = [level], [root]
        while len(level):
            edges, real = self.edges(level)
            child = np.where(real, self.child[edges], NONE)
            row, place = np.nonzero(child != NONE)
            level, root = child[row, place], root[row]
            levels.append(level)
            roots.append(root)
        found, root = np.concatenate(levels), np.concatenate(roots)
        order = np.lexsort((found, root))  # parents have smaller numbers than children
        return found[order], root[order]

    def graft(self, source: "Tree", nodes: Nodes) -> Nodes:
        """Copy nodes of another tree with their edges and statistics; return their new rows, in order.

        An edge to a node that is not copied has no child.
        """
        old, real = source.edges(nodes)
        old = old[real]
        rows = self.add_nodes(len(nodes))
        edges = self.add_edges(rows, source.count[nodes], source.action[old])
        for name in set(OF_NODES) - {"first"}:
            getattr(self, name)[rows] = getattr(source, name)[nodes]
        for name in set(OF_EDGES) - {"child"}:
            getattr(self, name)[edges] = getattr(source, name)[old]
        number = np.full(source.num_nodes + 1, NONE)  # the new row of each node; the last entry is for NONE
        number[nodes] = rows
        self.child[edges] = number[source.child[old]]
        return rows

    def back_up(self, path: Path, leaf: Nodes) -> None:
        """Add the values of leaves [B] to the nodes and edges of their paths, for B games."""
        gain = self.value[leaf]
        self.visits[leaf] += 1
        self.total[leaf] += gain
        for walk, node, edge in reversed(path):
            gain[walk] = credit = self.reward[self.child[edge]] + gain[walk]
            self.taken[edge] += 1
            self.paid[edge] += credit[np.arange(len(walk)), np.maximum(self.mover[node], 0)]
            self.visits[node] += 1
            self.total[node] += credit

    def _grow(self, names: Sequence[str], rows: int) -> None:
        """Make room for `rows` in some arrays: at least double them, with zeros."""
        for name in names:
            array: NDArray[Any] = getattr(self, name)
            grown = np.zeros((max(rows, 2 * len(array), 1024), *array.shape[1:]), array.dtype)
            grown[: len(array)] = array
            setattr(self, name, grown)
