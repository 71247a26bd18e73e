"""Tree reuse: a search starts from the subtree of the player's last search in the same game.

A player's next position lies below the position of its last search. The subtree below it is kept with its visits,
values, priors and proofs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.contract import State
from marl.search.tree import NONE, Nodes, Tree

Subtrees = NDArray[np.object_]  # [B] Subtree, or None


@dataclass(frozen=True)
class Subtree:
    """A position, as row 0 of a tree, and what a search found out about the positions below it."""

    tree: Tree
    states: list[State]  # by rows

    def at(self, state: State) -> "Subtree | None":
        """Return the subtree of `state`, or None if the search did not reach it.

        Only the player's next decisions are candidates: the descent passes moves of others and chance, and stops at the
        player's own.
        """
        tree, player, wanted = self.tree, state.acting()[0], state.key()
        level = np.zeros(1, np.int64)
        while len(level):
            own = tree.mover[level] == player
            here = level[own]
            for node in here[np.argsort(-tree.visits[here], kind="stable")].tolist():
                if self.states[node].key() == wanted:
                    return subtree(tree, self.states, tree.below(np.array([node]))[0])
            edges, real = tree.edges(level[~own])
            child = tree.child[edges[real]]
            level = child[child != NONE]
        return None


def subtree(tree: Tree, states: Sequence[State], nodes: Nodes) -> Subtree:
    """Return the subtree of the given nodes of a tree, its root first; `states` are those of the tree's rows."""
    part = Tree(tree.num_players)
    part.graft(tree, nodes)
    return Subtree(part, [states[node] for node in nodes.tolist()])


def subtrees_after(tree: Tree, states: Sequence[State], roots: Nodes, actions: NDArray[np.int64]) -> Subtrees:
    """Return the subtrees after `actions` [B] at the roots of a search of B games; None for unvisited ones."""
    games = np.arange(len(roots))
    edges, real = tree.edges(roots)
    after = tree.child[edges[games, (real & (tree.action[edges] == actions[:, None])).argmax(1)]]
    left = np.full(len(roots), None)
    walked = games[after != NONE]
    nodes, root = tree.below(after[walked])
    for game, rows in zip(walked.tolist(), np.split(nodes, np.flatnonzero(np.diff(root)) + 1), strict=False):
        left[game] = subtree(tree, states, rows)
    return left
