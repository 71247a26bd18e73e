"""Reuse: what a search leaves for the next one of the same game.

A player that must move again stands below the position in which it moved last, where its search has been. The part of
that tree below the new position goes on as it is: visits, values, priors, what was proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.contract import State
from marl.search.tree import NONE, Nodes, Tree

Kept = NDArray[np.object_]  # [B] Known, or None


@dataclass(frozen=True)
class Known:
    """What is known of a position, and of those below it: a tree whose row 0 it is."""

    tree: Tree
    states: list[State]  # by rows

    def at(self, state: State) -> "Known | None":
        """Return what is known of the position at which the player who moves in `state` moves next, if it is that one.

        Only there is looked: its own moves end the way down, those of the others and of chance are on it.
        """
        tree, player, wanted = self.tree, state.acting()[0], state.key()
        level = np.zeros(1, np.int64)
        while len(level):
            own = tree.mover[level] == player
            here = level[own]
            for node in here[np.argsort(-tree.visits[here], kind="stable")].tolist():
                if self.states[node].key() == wanted:
                    return known(tree, self.states, tree.below(np.array([node]))[0])
            edges, real = tree.edges(level[~own])
            child = tree.child[edges[real]]
            level = child[child != NONE]
        return None


def known(tree: Tree, states: Sequence[State], nodes: Nodes) -> Known:
    """Return what is known of nodes of a tree, the first of which is above the others; `states` are by its rows."""
    part = Tree(tree.num_players)
    part.graft(tree, nodes)
    return Known(part, [states[node] for node in nodes.tolist()])


def kept(tree: Tree, states: Sequence[State], roots: Nodes, actions: NDArray[np.int64]) -> Kept:
    """Return what a search of B games knows of the positions after `actions` [B] at its roots; None where nothing."""
    games = np.arange(len(roots))
    edges, real = tree.edges(roots)
    after = tree.child[edges[games, (real & (tree.action[edges] == actions[:, None])).argmax(1)]]
    left = np.full(len(roots), None)
    walked = games[after != NONE]
    nodes, root = tree.below(after[walked])
    for game, rows in zip(walked.tolist(), np.split(nodes, np.flatnonzero(np.diff(root)) + 1), strict=False):
        left[game] = known(tree, states, rows)
    return left
