"""Search for games with hidden information or simultaneous moves.

Each player has a tree of its own, whose nodes are information states: positions that it cannot tell apart are one node.
A simulation draws a position that the searching player cannot tell from the true one, and plays on from it; all movers
of a step choose at once, each by the statistics of its own node. So the search uses nothing that its player cannot know
(information-set MCTS with many observers, Cowling, Powley and Whitehouse 2012,
https://doi.org/10.1109/TCIAIG.2012.2200894), and simultaneous moves are decoupled (Lanctot et al. 2014,
https://doi.org/10.1007/978-3-319-05428-5_3). Chance is drawn by key.

    DecoupledUct        each mover takes the action with the best upper bound: strong if there is a best action
    RegretMatching      mixed strategies: for simultaneous moves without hidden information, its average strategy comes
                        near an equilibrium of a zero-sum game

With hidden information neither converges to an equilibrium: the positions that are drawn ignore what the other players'
moves reveal, and the other players in the tree only ever face the searcher's own hand.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys, draw, fold, fold_one, uniform
from marl.search.evaluators import Evaluator
from marl.search.sampling import drawn, settle
from marl.search.search import SearchResult
from marl.search.selection import EdgeStats, Scores, Uct, look, mean_value, total
from marl.search.tree import NONE, Edges, Nodes, Tree

# Draws of a search's key.
SIMULATIONS = 1  # the simulations
FINAL_ACTION = 2  # the action that is played
# Draws of a simulation's key besides those of its depths 1, 2, ...
OF_LEAVES, OF_CHANCE = 1 << 20, 1 << 21  # evaluations, outcomes of chance


class InformationRule(Protocol):
    """A selection rule for nodes of information states, which learns from the returns."""

    def choose(self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        """Return the index of an edge of each node [B]; `explores` [B]: whether its mover explores."""
        ...

    def learn(
        self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        """Learn from the scaled return `gain` [B], in [0, 1], of the edge at index `place` [B] of each node."""
        ...

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        """Return the resulting policy of nodes: probabilities [B, W]."""
        ...

    def best(self, tree: Tree, stats: EdgeStats, keys: Keys) -> NDArray[np.int64]:
        """Return the index of the edge to play at each node [B]."""
        ...


@dataclass
class DecoupledUct:
    """Every mover takes its own best upper bound; the most visited action is played."""

    rule: Uct = field(default_factory=Uct)

    def choose(self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        # Untried actions come first, in an order drawn by key: in a fixed order, two movers would try only some pairs.
        scores = np.where(stats.visits > 0, self.rule.scores(tree, stats), 1e9 + uniform(keys, stats.real.shape[1]))
        place: NDArray[np.int64] = np.where(stats.real, scores, -np.inf).argmax(1)
        return place

    def learn(
        self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        pass

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        return self.rule.policy(tree, stats)

    def best(self, tree: Tree, stats: EdgeStats, keys: Keys) -> NDArray[np.int64]:
        return self.rule.best(tree, stats)


@dataclass
class RegretMatching:
    """Play actions in proportion to their positive regret (Hart and Mas-Colell 2000).

    In each simulation one player, in turn, explores and updates its regrets; the others play their present strategies,
    which are averaged: replies to exploring opponents would not be an equilibrium. The values of actions that were not
    played are estimated by importance sampling, with the node's mean as the baseline.
    """

    explore: float = 0.2  # share of uniform actions

    def __post_init__(self) -> None:
        self._regret, self._played = np.zeros(0), np.zeros(0)  # [K] of edges

    def _strategy(self, tree: Tree, stats: EdgeStats) -> Scores:
        if len(self._regret) < len(tree.action):
            room = np.zeros(len(tree.action) - len(self._regret))
            self._regret, self._played = np.concatenate([self._regret, room]), np.concatenate([self._played, room])
        regret = np.where(stats.real, np.maximum(self._regret[stats.edges], 0), 0.0)
        return _shares(regret, stats)

    def choose(self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        strategy = self._strategy(tree, stats)
        played = stats.real & ~explores[:, None]
        self._played[stats.edges[played]] += strategy[played]
        explore = self.explore * explores[:, None]
        return draw(keys, (1 - explore) * strategy + explore * _uniform(stats))

    def learn(
        self, tree: Tree, stats: EdgeStats, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        strategy = self._strategy(tree, stats)
        rows = np.arange(len(place))
        chosen = strategy[rows, place]
        surprise = (gain - mean_value(tree, stats)) / ((1 - self.explore) * chosen + self.explore / stats.real.sum(1))
        regret = -np.where(stats.real, (chosen * surprise)[:, None], 0.0)
        regret[rows, place] += surprise
        learned = stats.real & explores[:, None]
        self._regret[stats.edges[learned]] += regret[learned]

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        self._strategy(tree, stats)
        played = np.where(stats.real, self._played[stats.edges], 0.0)
        return _shares(played, stats)

    def best(self, tree: Tree, stats: EdgeStats, keys: Keys) -> NDArray[np.int64]:
        """Sample from the policy: a deterministic choice could be exploited."""
        return draw(keys, self.policy(tree, stats))


def _shares(weights: Scores, stats: EdgeStats) -> Scores:
    """Normalise weights [B, W] to sum 1; uniform if all are 0."""
    sums = total(weights)
    return np.asarray(np.where(sums > 0, weights / np.where(sums > 0, sums, 1), _uniform(stats)))


def _uniform(stats: EdgeStats) -> Scores:
    return np.asarray(stats.real / stats.real.sum(1, keepdims=True))


class InformationSearch:
    """Search B positions, each for one of the players to move."""

    def __init__(self, spec: Spec, evaluator: Evaluator, rule: InformationRule) -> None:
        self._spec, self._evaluator, self._rule = spec, evaluator, rule
        self.tree = Tree(spec.num_players)
        self._nodes: list[dict[Hashable, int]] = []  # for each game: an information state -> its node

    def run(
        self, states: Sequence[State], players: NDArray[np.int64], keys: Keys, budget: NDArray[np.int64]
    ) -> SearchResult:
        """Search for `players` [B], each with its own budget [B]; all randomness comes from `keys` [B]."""
        tree, games = self.tree, len(states)
        self._nodes = [{} for _ in states]
        low, high = self._spec.return_bounds or (-1.0, 1.0)
        self._low, self._width = low, max(high - low, 1e-9)
        roots = self._find([(b, int(p), states[b]) for b, p in enumerate(players)])[0]
        for n in range(int(budget.max(initial=0))):
            rows = np.flatnonzero(budget > n)
            explorer = n % self._spec.num_players
            self._simulate(
                [states[b] for b in rows.tolist()],
                players[rows],
                rows,
                explorer,
                fold(fold(keys[rows], SIMULATIONS), n),
            )
        stats = self._look(roots)
        best = self._rule.best(tree, stats, fold(keys, FINAL_ACTION))
        action = tree.action[stats.edges]
        policy = self._rule.policy(tree, stats)
        chosen = action[np.arange(games), best]
        return SearchResult(action, stats.real, stats.visits, policy, chosen, tree.mean(roots), budget.copy())

    def _simulate(
        self, states: Sequence[State], players: NDArray[np.int64], games: NDArray[np.int64], explorer: int, keys: Keys
    ) -> None:
        """Play one simulation of each game to a new node, evaluate it, and back up its value."""
        tree = self.tree
        walkers = [drawn(self._spec, s, int(p), int(k)) for s, p, k in zip(states, players, keys, strict=True)]
        visits: list[tuple[NDArray[np.int64], Nodes, NDArray[np.int64]]] = []  # walkers, nodes and indices of edges
        gain = np.zeros((len(walkers), tree.num_players))
        going, depth = list(range(len(walkers))), 0
        while going:
            depth += 1
            for i in going:
                settle(walkers[i], fold_one(fold_one(int(keys[i]), OF_CHANCE), depth))
            for i in going:
                if walkers[i].is_terminal():
                    gain[i] = walkers[i].returns()
            entries = [(i, p) for i in going if not walkers[i].is_terminal() for p in walkers[i].acting()]
            if not entries:
                break
            who = np.array([i for i, _ in entries])
            nodes, fresh = self._find([(int(games[i]), p, walkers[i]) for i, p in entries])
            leaving = np.isin(who, who[fresh])  # walkers that reach a new node of one of the movers
            if leaving.any():
                self._evaluate(walkers, who[leaving], nodes[leaving], fold(keys, OF_LEAVES), gain)
                visits.append((who[leaving], nodes[leaving], np.full(int(leaving.sum()), NONE)))
            staying = ~leaving
            who, nodes = who[staying], nodes[staying]
            movers = tree.mover[nodes]
            key = fold(fold(keys[who], depth), movers)
            place = self._rule.choose(tree, self._look(nodes), movers == explorer, key)
            visits.append((who, nodes, place))
            going = sorted(set(who.tolist()))
            taken = tree.action[tree.first[nodes] + place]
            joint = {i: [0] * tree.num_players for i in going}
            for i, player, action in zip(who.tolist(), movers.tolist(), taken.tolist(), strict=True):
                joint[i][player] = action
            for i in going:
                walkers[i].apply(joint[i])
        for who, nodes, place in visits:
            self._credit(nodes, place, gain[who], explorer)

    def _credit(self, nodes: Nodes, place: NDArray[np.int64], gain: NDArray[np.float64], explorer: int) -> None:
        tree = self.tree
        walked = np.flatnonzero(place != NONE)
        parent, credit = nodes[walked], gain[walked]
        edge: Edges = tree.first[parent] + place[walked]
        paid = credit[np.arange(len(parent)), tree.mover[parent]]
        own = (paid - self._low) / self._width
        self._rule.learn(tree, self._look(parent), tree.mover[parent] == explorer, place[walked], own)
        tree.taken[edge] += 1
        tree.paid[edge] += paid
        tree.visits[nodes] += 1
        tree.total[nodes] += gain

    def _look(self, nodes: Nodes) -> EdgeStats:
        low = np.full(len(nodes), self._low)
        return look(self.tree, nodes, low, low + self._width)

    def _find(self, wanted: Sequence[tuple[int, int, State]]) -> tuple[Nodes, NDArray[np.bool_]]:
        """Return the nodes of (game, player, position) triples, and which of them are new."""
        tree, found, fresh = self.tree, [], []
        for game, player, state in wanted:
            known = self._nodes[game]
            information = (player, state.information(player) if hasattr(state, "information") else state.key())
            if information not in known:
                known[information] = int(tree.add_nodes(1)[0])
                actions = state.legal_actions(player)
                node = np.array([known[information]])
                edges = tree.add_edges(node, np.array([len(actions)]), np.array(actions, np.int64))
                tree.prior[edges] = 1 / len(actions)
                tree.mover[node] = player
                fresh.append(True)
            else:
                fresh.append(False)
            found.append(known[information])
        return np.array(found, np.int64), np.array(fresh, bool)

    def _evaluate(
        self, walkers: Sequence[State], who: NDArray[np.int64], nodes: Nodes, keys: Keys, gain: NDArray[np.float64]
    ) -> None:
        """Set `gain` to the evaluator's values of positions, averaged over the observations of their movers."""
        _, values = self._evaluator.evaluate([walkers[i] for i in who.tolist()], self.tree.mover[nodes], keys[who])
        worth = values + np.array([walkers[i].returns() for i in who.tolist()])
        movers = np.bincount(who, minlength=len(gain))
        gain[who] = 0
        np.add.at(gain, who, worth / movers[who][:, None])
