"""Search trees of many games, side by side in arrays: one row a node, one row an edge.

    node      a position: who moves there, what its visits were worth
    edge      a legal action, or an outcome of chance, at a node; the edges of a node lie together

A node's edges are the actions that are legal there and no more, so that a game of 4,000 actions costs what its
positions offer. Values are vectors, a number for each player: no sign is flipped anywhere, and three players, or
payoffs that do not sum to zero, are no special case.

Axis letters: B games, N players, M nodes, K edges, W the widest node of a batch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]  # [B] rows of nodes
Edges = NDArray[np.int64]  # rows of edges
Values = NDArray[np.float64]  # [..., N] a number for each player
Path = list[tuple[Nodes, Edges]]  # nodes and the edges taken there [B], by depth; NONE where a walk had arrived before

CHANCE, END = -1, -2  # who moves, where no player does
NONE = -1  # a node that has not been made, an edge that was not taken

OF_NODES = ("mover", "first", "count", "visits", "total", "value", "reward", "judged", "proven")
OF_EDGES = ("action", "prior", "logit", "taken", "waiting", "paid", "child")


class Tree:
    """Nodes and edges of many games; rows are only ever added, and keep their numbers."""

    def __init__(self, num_players: int) -> None:
        self.num_players = num_players
        self.num_nodes = self.num_edges = 0
        # Of nodes.
        self.mover = np.zeros(0, np.int64)  # [M] the player who moves, CHANCE or END
        self.first = np.zeros(0, np.int64)  # [M] the first of its edges
        self.count = np.zeros(0, np.int64)  # [M] how many edges it has
        self.visits = np.zeros(0, np.int64)  # [M]
        self.total = np.zeros((0, num_players))  # [M, N] the sum over visits of the return from here on
        self.value = np.zeros((0, num_players))  # [M, N] what the evaluator said; 0 at an end
        self.reward = np.zeros((0, num_players))  # [M, N] paid on the way in
        self.judged = np.zeros(0, bool)  # [M] walks go on from here: it has its value, and its edges their priors
        self.proven = np.zeros(0, bool)  # [M] the return under best play is known, and is `value`
        # Of edges.
        self.action = np.zeros(0, np.int64)  # [K] or the outcome of chance
        self.prior = np.zeros(0)  # [K] of the policy, or of chance; sums to 1 over a node's edges
        self.logit = np.zeros(0)  # [K] of the policy
        self.taken = np.zeros(0, np.int64)  # [K] visits through this edge
        self.waiting = np.zeros(0, np.int64)  # [K] walks through it whose leaf has not been judged yet
        self.paid = np.zeros((0, num_players))  # [K, N] the sum over visits of the return from the edge on
        self.child = np.zeros(0, np.int64)  # [K] NONE until it has been walked

    def add_nodes(self, count: int) -> Nodes:
        """Make nodes that nobody has visited and that have no edges; return their rows."""
        start, self.num_nodes = self.num_nodes, self.num_nodes + count
        for name in OF_NODES:
            setattr(self, name, _grown(getattr(self, name), self.num_nodes))
        return np.arange(start, self.num_nodes)

    def add_edges(self, nodes: Nodes, count: NDArray[np.int64], action: NDArray[np.int64]) -> Edges:
        """Give nodes their edges, `count` each, their actions one after the other; return the edges' rows."""
        start, self.num_edges = self.num_edges, self.num_edges + int(count.sum())
        for name in OF_EDGES:
            setattr(self, name, _grown(getattr(self, name), self.num_edges))
        self.first[nodes] = start + np.cumsum(count) - count
        self.count[nodes] = count
        edges = np.arange(start, self.num_edges)
        self.action[edges] = action
        self.child[edges] = NONE
        return edges

    def edges(self, nodes: Nodes) -> tuple[Edges, NDArray[np.bool_]]:
        """Return the edges of nodes [B, W], each row filled up with its node's last edge, and which are real [B, W]."""
        place = np.arange(int(self.count[nodes].max(initial=1)))
        count = self.count[nodes][:, None]
        return self.first[nodes][:, None] + np.minimum(place, count - 1), place < count

    def mean(self, nodes: Nodes) -> Values:
        """Return the mean return from nodes on [B, N]; the evaluator's word is the first of the visits."""
        return self.total[nodes] / np.maximum(self.visits[nodes], 1)[:, None]

    def below(self, nodes: Nodes) -> tuple[Nodes, NDArray[np.int64]]:
        """Return the nodes of B subtrees, their roots `nodes` included, and the place in [0, B) of each one's root.

        A subtree's nodes lie together, each before those below it, in an order that other subtrees do not change.
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
        order = np.lexsort((found, root))  # a node is made before those below it
        return found[order], root[order]

    def graft(self, source: "Tree", nodes: Nodes) -> Nodes:
        """Take over nodes of another tree, all that is known of them and of their edges; return their rows, in order.

        An edge to a node that is not taken over is one that nobody has walked to its end.
        """
        old, real = source.edges(nodes)
        old = old[real]
        rows = self.add_nodes(len(nodes))
        edges = self.add_edges(rows, source.count[nodes], source.action[old])
        for name in set(OF_NODES) - {"first"}:
            getattr(self, name)[rows] = getattr(source, name)[nodes]
        for name in set(OF_EDGES) - {"child"}:
            getattr(self, name)[edges] = getattr(source, name)[old]
        number = np.full(source.num_nodes + 1, NONE)  # what a node is called here; the last place is that of NONE
        number[nodes] = rows
        self.child[edges] = number[source.child[old]]
        return rows

    def back_up(self, path: Path, leaf: Nodes) -> None:
        """Credit the nodes and edges of B paths, of B games, with what their leaves [B] were worth."""
        gain = self.value[leaf].copy()
        self.visits[leaf] += 1
        self.total[leaf] += gain
        for node, edge in reversed(path):
            on = np.flatnonzero(edge != NONE)
            node, edge = node[on], edge[on]
            gain[on] = credit = self.reward[self.child[edge]] + gain[on]
            self.taken[edge] += 1
            self.paid[edge] += credit
            self.visits[node] += 1
            self.total[node] += credit


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the array with room for `rows`, at least doubled where it has to grow; what is new is 0."""
    if rows <= len(array):
        return array
    grown = np.zeros((max(rows, 2 * len(array), 1024), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
