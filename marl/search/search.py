"""Search: simulate, expand and back up, for B games at once.

    one wave    in every game with simulations left, `leaves` walks go down the tree, each to a leaf: a position that is
                not evaluated yet, terminal, or proven
                all leaves are evaluated in one call
                their values are backed up

Outcomes of chance are drawn by the walk's key. So a search is a function of its roots, its model, its keys and the
subtrees it reuses, and the result of a game does not depend on the other games of its batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.keys import Keys, draw, fold
from marl.search.models import ExactModel, Model, Positions
from marl.search.reuse import Subtrees, subtrees_after
from marl.search.selection import EdgeStats, Rule, Scores, look, total
from marl.search.tree import CHANCE, END, NONE, Edges, Nodes, Path, Tree, Values

# Draws of a search's key.
EVALUATION = 1  # walks and evaluations
ROOT_NOISE = 2  # the rule's noise at the roots


@dataclass(frozen=True)
class SearchResult:
    """The result of a search of B roots, by their edges [B, W]; `real` is False for entries that pad a row."""

    action: NDArray[np.int64]  # [B, W]
    real: NDArray[np.bool_]  # [B, W]
    visits: NDArray[np.int64]  # [B, W] including those of reused subtrees
    policy: Scores  # [B, W] the search's policy, the target of a policy network
    best: NDArray[np.int64]  # [B] the best action
    value: Values  # [B, N] of the root, every player's return from here on
    simulations: NDArray[np.int64]  # [B] made

    def dense(self, rows: Scores, num_actions: int) -> Scores:
        """Map values of edges [B, W] to values of actions [B, A]; 0 for others."""
        out = np.zeros((len(rows), num_actions))
        game, place = np.nonzero(self.real)
        out[game, self.action[game, place]] = rows[game, place]
        return out


class Search:
    """One search of B games.

    `bounds` are those of a player's return; None: the range seen so far. The leaves of `leaves` walks per game are
    evaluated together. `solve` backs up proven values, with `win` the largest possible return. `decided` stops a game
    when no other edge of its root can become the most visited.
    """

    def __init__(
        self,
        model: Model,
        rule: Rule,
        *,
        bounds: tuple[float, float] | None,
        leaves: int = 1,
        solve: bool = False,
        win: float = np.inf,
        decided: bool = False,
    ) -> None:
        self.model, self.rule = model, rule
        self.bounds, self.leaves = bounds, leaves
        self.solve, self.win, self.decided = solve, win, decided
        self.tree = Tree(model.num_players)

    def run(self, keys: Keys, budget: NDArray[np.int64], before: Subtrees | None = None) -> SearchResult:
        """Search B positions, each with its own budget [B] of simulations; all randomness comes from `keys` [B].

        A root that is found in `before` [B], the subtree of an earlier search of its game, starts with the visits of
        that search; its budget is added to them. Only ExactModel supports tree reuse, and only rules that use the total
        visits of edges do: not Gumbel, whose schedule starts at 0 visits.
        """
        tree, games = self.tree, np.arange(len(keys))
        low, high = self.bounds or (np.inf, -np.inf)
        self._low, self._high = np.full(len(keys), low), np.full(len(keys), high)  # of returns, [B]
        self._evaluation_keys = fold(keys, EVALUATION)
        self.roots = tree.add_nodes(len(keys))
        self._store_positions(self.roots, self.model.begin(self.roots))
        fresh = games if before is None else self._reuse(before)
        if len(fresh):
            roots = self.roots[fresh]
            self._evaluate(roots, self._evaluation_keys[fresh])
            tree.back_up([], roots)
            self._widen(fresh, tree.value[roots])
        self.rule.begin(tree, self.roots, budget, fold(keys, ROOT_NOISE))
        made = np.zeros(len(keys), np.int64)
        while True:
            left = budget - made
            running = games[(left > 0) & ~tree.proven[self.roots] & ~self._is_decided(left)]
            if len(running) == 0:
                return self._result(made)
            walks = np.minimum(left[running], self.leaves)
            self._wave(running, walks, made)
            made[running] += walks

    def keep(self, actions: NDArray[np.int64]) -> Subtrees:
        """Return the subtrees below `actions` [B], which are played now, for the next searches of these games."""
        assert isinstance(self.model, ExactModel), "only ExactModel supports tree reuse"
        return subtrees_after(self.tree, self.model.states, self.roots, actions)

    def _reuse(self, before: Subtrees) -> NDArray[np.int64]:
        """Replace the roots by their subtrees of earlier searches; return the games that have none."""
        model, fresh = self.model, []
        assert isinstance(model, ExactModel), "only ExactModel supports tree reuse"
        for game, last in enumerate(before):
            known = last and last.at(model.states[game])
            if not known:
                fresh.append(game)
                continue
            rows = self.tree.graft(known.tree, np.arange(known.tree.num_nodes))
            model.states += known.states
            self.roots[game] = rows[0]
            self._widen(np.array([game]), self.tree.mean(rows).reshape(1, -1))
        return np.array(fresh, np.int64)

    def _wave(self, games: NDArray[np.int64], walks: NDArray[np.int64], made: NDArray[np.int64]) -> None:
        """Walk down the trees of some games, `walks` times each, evaluate the leaves, and back up their values."""
        tree = self.tree
        taken = []
        last = int(walks.max()) - 1
        for n in range(last + 1):
            walkers = games[walks > n]
            key = fold(self._evaluation_keys[walkers], 1 + made[walkers] + n)
            path, leaf = self._walk(walkers, key)
            taken.append((walkers, path, leaf, key))
            for _, _, edge in path if n < last else []:
                tree.pending[edge] += 1
        leaves = np.concatenate([leaf for _, _, leaf, _ in taken])
        keys = np.concatenate([key for _, _, _, key in taken])
        fresh = ~tree.evaluated[leaves]
        if fresh.any():
            nodes, first = np.unique(leaves[fresh], return_index=True)  # walks of one game may reach the same leaf
            self._evaluate(nodes, keys[fresh][first])
        for walkers, path, leaf, _ in taken:
            tree.back_up(path, leaf)
            if self.solve:
                self._prove(path, leaf)
            for walk, node, edge in path:
                tree.pending[edge] = 0
                if self.bounds is None:
                    self._widen(walkers[walk], tree.mean(node))

    def _walk(self, games: NDArray[np.int64], keys: Keys) -> tuple[Path, Nodes]:
        """Go down from the roots of some games, each to a leaf; return the paths and the leaves."""
        tree = self.tree
        node, last = self.roots[games], np.full(len(games), NONE)  # where each walk is, and the edge that it took last
        path: Path = []
        depth = np.zeros(len(games), np.int64)
        going = np.arange(len(games))
        while len(going):
            arrived = []  # walks whose last edge has no child yet
            while len(going):
                nodes = node[going]
                edges = self._choose(nodes, games[going], keys[going], depth[going], at_root=not path)
                path.append((going, nodes, edges))
                last[going] = edges
                depth[going] += 1
                child = tree.child[edges]
                goes_on = child != NONE
                arrived.append(going[~goes_on])
                going, child = going[goes_on], child[goes_on]
                node[going] = child
                going = going[tree.evaluated[child] & ~tree.proven[child]]
            walks = np.concatenate(arrived)
            if len(walks):
                node[walks] = self._expand(node[walks], last[walks])
            going = np.sort(walks[tree.mover[node[walks]] == CHANCE])
        return path, node

    def _choose(
        self, nodes: Nodes, games: NDArray[np.int64], keys: Keys, depth: NDArray[np.int64], *, at_root: bool
    ) -> Edges:
        """Return the edge that a walk takes at each node [B]; chance is drawn by the walk's key and depth."""
        tree = self.tree
        stats = self._stats(nodes, games)
        scores = self.rule.root_scores(tree, stats, games) if at_root else self.rule.scores(tree, stats)
        chance = np.flatnonzero(tree.mover[nodes] == CHANCE)
        if len(chance):
            probability = np.where(stats.real[chance], tree.prior[stats.edges[chance]], 0.0)
            drawn = draw(fold(keys[chance], depth[chance]), probability)
            scores[chance, drawn] = np.inf
        edges: Edges = tree.first[nodes] + np.where(stats.real, scores, -np.inf).argmax(1)
        return edges

    def _stats(self, nodes: Nodes, games: NDArray[np.int64]) -> EdgeStats:
        """Return the statistics of the nodes' edges for their movers, exact for proven ones."""
        tree = self.tree
        stats = look(tree, nodes, self._low[games], self._high[games])
        if not self.solve:
            return stats
        child = tree.child[stats.edges]
        known = stats.real & (child != NONE) & tree.proven[child]
        if known.any():
            row, child = np.nonzero(known)[0], child[known]
            own = (tree.reward[child] + tree.value[child])[np.arange(len(row)), stats.mover[row]]
            stats.known[:] = known
            stats.q[known] = (own - stats.low[row]) / stats.width[row]
        return stats

    def _expand(self, parents: Nodes, edges: Edges) -> Nodes:
        """Make the nodes at the end of edges of `parents`; return them."""
        tree = self.tree
        child = tree.add_nodes(len(edges))
        tree.child[edges] = child
        self._store_positions(child, self.model.step(parents, tree.action[edges], child))
        return child

    def _store_positions(self, nodes: Nodes, positions: Positions) -> None:
        """Store the positions of new nodes, and add their edges."""
        tree = self.tree
        tree.mover[nodes], tree.reward[nodes] = positions.mover, positions.reward
        inner = positions.count > 0
        edges = tree.add_edges(nodes[inner], positions.count[inner], positions.action)
        tree.prior[edges] = positions.probability
        tree.evaluated[nodes] = positions.mover < 0  # terminal nodes have value 0; chance needs no evaluation
        tree.proven[nodes] = positions.mover == END

    def _evaluate(self, nodes: Nodes, keys: Keys) -> None:
        """Store the model's values of nodes and the logits and priors of their edges."""
        tree = self.tree
        logits, tree.value[nodes] = self.model.evaluate(nodes, tree.mover[nodes], keys)
        edges, real = tree.edges(nodes)
        logit = np.where(real, logits[np.arange(len(nodes))[:, None], tree.action[edges]], -np.inf).astype(np.float64)
        weight = np.exp(logit - logit.max(1, keepdims=True))
        edges = edges[real]
        tree.logit[edges] = logit[real]
        tree.prior[edges] = (weight / total(weight))[real]
        tree.evaluated[nodes] = True

    def _widen(self, games: NDArray[np.int64], seen: Values) -> None:
        """Extend the range of returns by `seen` [B, N], for a game without return bounds."""
        if self.bounds is None:
            self._low[games] = np.minimum(self._low[games], seen.min(1))
            self._high[games] = np.maximum(self._high[games], seen.max(1))

    def _prove(self, path: Path, leaf: Nodes) -> None:
        """Prove nodes of the paths to terminal leaves: a win for the mover, or the best edge of proven edges."""
        tree = self.tree
        ended = tree.mover[leaf] == END
        if not ended.any():
            return
        for walk, node, edge in reversed(path):
            node = node[ended[walk] & tree.proven[tree.child[edge]] & ~tree.proven[node]]
            if len(node) == 0:
                continue
            edge, real = tree.edges(node)
            child = tree.child[edge]
            known = real & (child != NONE) & tree.proven[child]
            worth = tree.reward[child] + tree.value[child]  # [b, W, N]
            mover = tree.mover[node]
            own = np.where(known, np.take_along_axis(worth, np.maximum(mover, 0)[:, None, None], 2)[..., 0], -np.inf)
            best = own.argmax(1)
            value = worth[np.arange(len(node)), best]
            chance = mover == CHANCE
            value[chance] = total((np.where(known, tree.prior[edge], 0.0)[..., None] * worth)[chance])[:, 0]
            proven = (known | ~real).all(1) | (~chance & (own.max(1, initial=-np.inf) >= self.win))
            tree.value[node[proven]], tree.proven[node[proven]] = value[proven], True

    def _is_decided(self, left: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether no other edge of a root [B] can catch up with the most visited one."""
        if not self.decided:
            return np.zeros(len(left), bool)
        edges, real = self.tree.edges(self.roots)
        visits = np.sort(np.where(real, self.tree.taken[edges], 0), 1)
        return np.asarray(visits[:, -1] - (visits[:, -2] if visits.shape[1] > 1 else 0) > left)

    def _result(self, made: NDArray[np.int64]) -> SearchResult:
        tree, games = self.tree, np.arange(len(made))
        stats = self._stats(self.roots, games)
        policy, best = self.rule.policy(tree, stats), self.rule.best(tree, stats)
        if self.solve:
            proven = tree.proven[self.roots]
            top = np.where(stats.known, stats.q, -1.0).max(1, keepdims=True)
            lost = stats.known & (stats.q <= 0)
            fits = np.where(proven[:, None], stats.known & (stats.q >= top), stats.real & ~lost)
            fits = np.where(fits.any(1, keepdims=True), fits, stats.real)
            policy = np.where(fits, policy + 1e-9, 0.0)
            policy /= total(policy)
            best = np.where(fits[games, best], best, policy.argmax(1))
        value = np.where(tree.proven[self.roots][:, None], tree.value[self.roots], tree.mean(self.roots))
        action = tree.action[stats.edges]
        return SearchResult(action, stats.real, stats.visits, policy, action[games, best], value, made)
