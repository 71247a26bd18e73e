"""Search: simulate, expand and back up, for B games at once.

    one wave    in every game that has simulations left, `leaves` walks go down the tree, each to a position that
                nobody has judged, to an end, or to a position whose value is proven
                all positions that the walks have come to are judged in one call
                what they are worth is backed up

Where chance moves, its outcome is drawn by the walk's key. So a search is a function of its roots, its model, its keys,
and what an earlier one has left, and a game's result does not depend on its batch-mates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.keys import Keys, draw, fold
from marl.search.models import ExactModel, Model, Positions
from marl.search.reuse import Kept, kept
from marl.search.selection import Outlook, Rule, Scores, look, total
from marl.search.tree import CHANCE, END, NONE, Edges, Nodes, Path, Tree, Values


@dataclass(frozen=True)
class Found:
    """What a search of B roots came to; edges lie as the tree has them, [B, W] with `real` where there is one."""

    action: NDArray[np.int64]  # [B, W]
    real: NDArray[np.bool_]  # [B, W]
    visits: NDArray[np.int64]  # [B, W] those of earlier searches, where they were kept, included
    policy: Scores  # [B, W] what the search makes of them: the target of a policy
    best: NDArray[np.int64]  # [B] the best action
    value: Values  # [B, N] of the root, every player's return from here on
    simulations: NDArray[np.int64]  # [B] that were made

    def dense(self, rows: Scores, num_actions: int) -> Scores:
        """Return [B, W] of edges as [B, A] of actions."""
        out = np.zeros((len(rows), num_actions))
        game, place = np.nonzero(self.real)
        out[game, self.action[game, place]] = rows[game, place]
        return out


class Search:
    """One search of B games.

    `bounds` are those of a player's return, None: as far as the search has seen. The ends of `leaves` walks down a tree
    are judged together. `solve` backs up proven values, and takes a return of `win` for the best there is. `decided`
    stops a game when no other edge can become its root's most visited.
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

    def run(self, keys: Keys, budget: NDArray[np.int64], before: Kept | None = None) -> Found:
        """Search B positions, each by its own budget [B] of simulations; `keys` [B] are all the randomness.

        A root that is found in what an earlier search of its game has left, `before` [B], has visits already: its
        budget comes on top of them. Only an ExactModel says which position that is, and only a rule that asks how
        often edges were walked in all goes on from there: not Gumbel's schedule, which begins at 0.
        """
        tree, games = self.tree, np.arange(len(keys))
        low, high = self.bounds or (np.inf, -np.inf)
        self._low, self._high = np.full(len(keys), low), np.full(len(keys), high)  # of returns, [B]
        self._judging = fold(keys, 1)
        self.roots = tree.add_nodes(len(keys))
        self._settle(self.roots, self.model.begin(self.roots))
        fresh = games if before is None else self._go_on(before)
        if len(fresh):
            roots = self.roots[fresh]
            self._judge(roots, self._judging[fresh])
            tree.back_up([], roots)
            self._widen(fresh, tree.value[roots])
        self.rule.begin(tree, self.roots, budget, fold(keys, 2))
        made = np.zeros(len(keys), np.int64)
        while True:
            left = budget - made
            running = games[(left > 0) & ~tree.proven[self.roots] & ~self._is_decided(left)]
            if len(running) == 0:
                return self._found(made)
            walks = np.minimum(left[running], self.leaves)
            self._wave(running, walks, made)
            made[running] += walks

    def keep(self, actions: NDArray[np.int64]) -> Kept:
        """Return what this search leaves for the next ones of its games, in which `actions` [B] are played now."""
        assert isinstance(self.model, ExactModel), "what follows from an action is imagined elsewhere"
        return kept(self.tree, self.model.states, self.roots, actions)

    def _go_on(self, before: Kept) -> NDArray[np.int64]:
        """Let the roots be what earlier searches know of them; return the games in which they know nothing."""
        model, fresh = self.model, []
        assert isinstance(model, ExactModel), "what follows from an action is imagined elsewhere"
        for game, last in enumerate(before):
            again = last and last.at(model.states[game])
            if not again:
                fresh.append(game)
                continue
            rows = self.tree.graft(again.tree, np.arange(again.tree.num_nodes))
            model.states += again.states
            self.roots[game] = rows[0]
            self._widen(np.array([game]), self.tree.mean(rows).reshape(1, -1))
        return np.array(fresh, np.int64)

    def _wave(self, games: NDArray[np.int64], walks: NDArray[np.int64], made: NDArray[np.int64]) -> None:
        """Walk down the trees of some games, `walks` times each, judge what was found, and back it up."""
        tree = self.tree
        taken = []
        for n in range(int(walks.max())):
            walkers = games[walks > n]
            key = fold(self._judging[walkers], 1 + made[walkers] + n)
            path, leaf = self._walk(walkers, key)
            taken.append((walkers, path, leaf, key))
            for _, edge in path:
                tree.waiting[edge[edge != NONE]] += 1
        leaves = np.concatenate([leaf for _, _, leaf, _ in taken])
        keys = np.concatenate([key for _, _, _, key in taken])
        fresh = ~tree.judged[leaves]
        if fresh.any():
            nodes, first = np.unique(leaves[fresh], return_index=True)  # walks of one game may meet
            self._judge(nodes, keys[fresh][first])
        for walkers, path, leaf, _ in taken:
            for _, edge in path:
                tree.waiting[edge[edge != NONE]] -= 1
            tree.back_up(path, leaf)
            if self.solve:
                self._prove(path, leaf)
            if self.bounds is None:
                for node, edge in path:
                    on = edge != NONE
                    self._widen(walkers[on], tree.mean(node[on]))

    def _walk(self, games: NDArray[np.int64], keys: Keys) -> tuple[Path, Nodes]:
        """Go down from the roots of some games, each to a leaf; return the paths and the leaves."""
        tree = self.tree
        node = self.roots[games]
        path: Path = []
        depth = np.zeros(len(games), np.int64)
        going = np.arange(len(games))
        while len(going):
            arrived = []  # rows at the end of an edge that nobody has walked
            while len(going):
                edge = np.full(len(games), NONE)
                key = fold(keys[going], depth[going])
                edge[going] = taken = self._choose(node[going], games[going], key, at_root=not path)
                depth[going] += 1
                path.append((node.copy(), edge))
                child = tree.child[taken]
                arrived.append(going[child == NONE])
                going, child = going[child != NONE], child[child != NONE]
                node[going] = child
                going = going[tree.judged[child] & ~tree.proven[child]]
            rows = np.concatenate(arrived)
            if len(rows):
                node[rows] = self._expand(path, rows)
            going = np.sort(rows[tree.mover[node[rows]] == CHANCE])
        return path, node

    def _choose(self, nodes: Nodes, games: NDArray[np.int64], keys: Keys, *, at_root: bool) -> Edges:
        """Return the edge that a walk takes at each node."""
        tree = self.tree
        outlook = self._outlook(nodes, games)
        scores = self.rule.root_scores(tree, outlook, games) if at_root else self.rule.scores(tree, outlook)
        chance = np.flatnonzero(tree.mover[nodes] == CHANCE)
        if len(chance):
            probability = np.where(outlook.real[chance], tree.prior[outlook.edges[chance]], 0.0)
            drawn = draw(keys[chance], probability)
            scores[chance, drawn] = np.inf
        place = np.where(outlook.real, scores, -np.inf).argmax(1)
        edges: Edges = outlook.edges[np.arange(len(nodes)), place]
        return edges

    def _outlook(self, nodes: Nodes, games: NDArray[np.int64]) -> Outlook:
        """Return the edges of nodes as the players who move there see them, exact where they are proven."""
        tree, low, high = self.tree, self._low[games], self._high[games]
        outlook = look(tree, nodes, low, high)
        if not self.solve:
            return outlook
        child = tree.child[outlook.edges]
        known = outlook.real & (child != NONE) & tree.proven[child]
        row = np.nonzero(known)[0]
        worth = tree.reward[child[known]] + tree.value[child[known]]
        own = worth[np.arange(len(row)), np.maximum(tree.mover[nodes], 0)[row]]
        outlook.known[:] = known
        outlook.q[known] = (own - low[row]) / np.maximum(high - low, 1e-9)[row]
        return outlook

    def _expand(self, path: Path, rows: NDArray[np.int64]) -> Nodes:
        """Walk the last edges of some rows of a path for the first time; return the new nodes."""
        tree = self.tree
        parent, edge = np.zeros(len(rows), np.int64), np.full(len(rows), NONE)
        for nodes, edges in path:  # a row's last edge may lie at any depth
            taken = edges[rows] != NONE
            parent[taken], edge[taken] = nodes[rows[taken]], edges[rows[taken]]
        child = tree.add_nodes(len(rows))
        tree.child[edge] = child
        self._settle(child, self.model.step(parent, tree.action[edge], child))
        return child

    def _settle(self, nodes: Nodes, positions: Positions) -> None:
        """Write down what the rules say of new nodes."""
        tree = self.tree
        tree.mover[nodes], tree.reward[nodes] = positions.mover, positions.reward
        inner = positions.count > 0
        edges = tree.add_edges(nodes[inner], positions.count[inner], positions.action)
        tree.prior[edges] = positions.probability
        tree.judged[nodes] = positions.mover < 0  # what follows is worth nothing at an end; chance is seen through
        tree.proven[nodes] = positions.mover == END

    def _judge(self, nodes: Nodes, keys: Keys) -> None:
        """Ask the model what nodes are worth and which of their actions look good."""
        tree = self.tree
        logits, tree.value[nodes] = self.model.evaluate(nodes, tree.mover[nodes], keys)
        edges, real = tree.edges(nodes)
        logit = np.where(real, np.take_along_axis(logits, tree.action[edges], 1), -np.inf).astype(np.float64)
        weight = np.exp(logit - logit.max(1, keepdims=True))
        tree.logit[edges[real]] = logit[real]
        tree.prior[edges[real]] = (weight / total(weight))[real]
        tree.judged[nodes] = True

    def _widen(self, games: NDArray[np.int64], seen: Values) -> None:
        """Let the range of returns hold what was seen [B, N], where the game does not say it."""
        if self.bounds is None:
            self._low[games] = np.minimum(self._low[games], seen.min(1))
            self._high[games] = np.maximum(self._high[games], seen.max(1))

    def _prove(self, path: Path, leaf: Nodes) -> None:
        """Prove what follows from a walk's end: a win for who moves, or the best of edges that are all proven."""
        tree = self.tree
        rows = np.flatnonzero(tree.mover[leaf] == END)
        for nodes, edges in reversed(path):
            on = rows[edges[rows] != NONE]
            on = on[tree.proven[tree.child[edges[on]]] & ~tree.proven[nodes[on]]]
            node = nodes[on]
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
        """Return where no other edge of the root can catch up with the most visited."""
        if not self.decided:
            return np.zeros(len(left), bool)
        edges, real = self.tree.edges(self.roots)
        visits = np.sort(np.where(real, self.tree.taken[edges], 0), 1)
        return np.asarray(visits[:, -1] - (visits[:, -2] if visits.shape[1] > 1 else 0) > left)

    def _found(self, made: NDArray[np.int64]) -> Found:
        tree, games = self.tree, np.arange(len(made))
        outlook = self._outlook(self.roots, games)
        policy, best = self.rule.policy(tree, outlook), self.rule.best(tree, outlook)
        if self.solve:
            proven = tree.proven[self.roots]
            top = np.where(outlook.known, outlook.q, -1.0).max(1, keepdims=True)
            lost = outlook.known & (outlook.q <= 0)
            fits = np.where(proven[:, None], outlook.known & (outlook.q >= top), outlook.real & ~lost)
            fits = np.where(fits.any(1, keepdims=True), fits, outlook.real)
            policy = np.where(fits, policy + 1e-9, 0.0)
            policy /= total(policy)
            best = np.where(fits[games, best], best, policy.argmax(1))
        value = np.where(tree.proven[self.roots][:, None], tree.value[self.roots], tree.mean(self.roots))
        action = tree.action[outlook.edges]
        return Found(action, outlook.real, outlook.visits, policy, action[games, best], value, made)
