"""Search where information is hidden, or where players move at the same time.

Each player has a tree of its own, whose nodes are what it can know: positions that it cannot tell apart are one node.
A simulation draws a position that the searching player cannot tell from the true one, and walks down it; whoever moves
chooses by the statistics of its own node, all movers of a step at once. So the search sees nothing that its player
could not know (information-set MCTS with many observers, Cowling, Powley and Whitehouse 2012,
https://doi.org/10.1109/TCIAIG.2012.2200894), and simultaneous moves are decoupled (Lanctot et al. 2014,
https://doi.org/10.1007/978-3-319-05428-5_3). Chance is drawn by key.

    Uct                 of a node's actions the one of the best upper bound: strong where a best action exists
    RegretMatching      mixes: where moves are simultaneous and nothing is hidden, the average of its strategies comes
                        near an equilibrium of a zero-sum game

Where something is hidden neither comes near one, however long it searches: what is drawn ignores what the others' moves
have said of it, and the others in the tree meet no other hand of the searcher than its own.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys, draw, draw_one, fold, fold_one, uniform, uniform_one
from marl.search.evaluators import Evaluator
from marl.search.search import Found
from marl.search.selection import Outlook, Scores, Uct, look, total
from marl.search.tree import NONE, Edges, Nodes, Tree

OF_LEAVES, OF_CHANCE = 1 << 20, 1 << 21  # branches of a simulation's key, beyond all depths


class Chooser(Protocol):
    """Choose among the actions of information nodes, and learn from what came of it."""

    def choose(self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        """Return the place of an edge of each node; `explores` [B]: it is this mover's turn to try things."""
        ...

    def learn(
        self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        """Take in that the edge at `place` [B] of each node paid `gain` [B], in [0, 1]."""
        ...

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        """Return what the visits of nodes amount to: probabilities [B, W]."""
        ...

    def best(self, tree: Tree, outlook: Outlook, keys: Keys) -> NDArray[np.int64]:
        """Return the place of the edge that each node should play."""
        ...


@dataclass
class DecoupledUct:
    """Every mover walks its own best upper bound; the most visited action is played."""

    rule: Uct = field(default_factory=Uct)

    def choose(self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        # Of actions that nobody has tried any may be the first: by key, or two movers would always try pairs.
        scores = np.where(
            outlook.visits > 0, self.rule.scores(tree, outlook), 1e9 + uniform(keys, outlook.real.shape[1])
        )
        place: NDArray[np.int64] = np.where(outlook.real, scores, -np.inf).argmax(1)
        return place

    def learn(
        self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        pass

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        return self.rule.policy(tree, outlook)

    def best(self, tree: Tree, outlook: Outlook, keys: Keys) -> NDArray[np.int64]:
        return self.rule.best(tree, outlook)


@dataclass
class RegretMatching:
    """Play actions in proportion to how much they are regretted (Hart and Mas-Colell 2000).

    One player explores in each simulation, by turns, and regrets; the others play what they have come to, and it is
    averaged: an answer to exploring opponents would not be an equilibrium. What the actions that were not played would
    have paid is estimated by importance sampling around the node's mean.
    """

    explore: float = 0.2  # share of uniform actions

    def __post_init__(self) -> None:
        self._regret, self._played = np.zeros(0), np.zeros(0)  # [K] of edges

    def _strategy(self, tree: Tree, outlook: Outlook) -> Scores:
        if len(self._regret) < len(tree.action):
            room = np.zeros(len(tree.action) - len(self._regret))
            self._regret, self._played = np.concatenate([self._regret, room]), np.concatenate([self._played, room])
        regret = np.where(outlook.real, np.maximum(self._regret[outlook.edges], 0), 0.0)
        return _shares(regret, outlook)

    def choose(self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], keys: Keys) -> NDArray[np.int64]:
        strategy = self._strategy(tree, outlook)
        played = outlook.real & ~explores[:, None]
        self._played[outlook.edges[played]] += strategy[played]
        explore = self.explore * explores[:, None]
        return draw(keys, (1 - explore) * strategy + explore * _uniform(outlook))

    def learn(
        self, tree: Tree, outlook: Outlook, explores: NDArray[np.bool_], place: NDArray[np.int64], gain: Scores
    ) -> None:
        strategy = self._strategy(tree, outlook)
        rows = np.arange(len(place))
        chosen = strategy[rows, place]
        surprise = (gain - outlook.value) / ((1 - self.explore) * chosen + self.explore / outlook.real.sum(1))
        regret = -np.where(outlook.real, (chosen * surprise)[:, None], 0.0)
        regret[rows, place] += surprise
        learned = outlook.real & explores[:, None]
        self._regret[outlook.edges[learned]] += regret[learned]

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        self._strategy(tree, outlook)
        played = np.where(outlook.real, self._played[outlook.edges], 0.0)
        return _shares(played, outlook)

    def best(self, tree: Tree, outlook: Outlook, keys: Keys) -> NDArray[np.int64]:
        """Drawn: the best reply to a mixed strategy is what its opponent waits for."""
        return draw(keys, self.policy(tree, outlook))


def _shares(weights: Scores, outlook: Outlook) -> Scores:
    """Return weights [B, W] as shares of their sums; uniform ones where all are 0."""
    sums = total(weights)
    return np.asarray(np.where(sums > 0, weights / np.where(sums > 0, sums, 1), _uniform(outlook)))


def _uniform(outlook: Outlook) -> Scores:
    return np.asarray(outlook.real / outlook.real.sum(1, keepdims=True))


class InformationSearch:
    """Search B positions, each for one player who is to move there."""

    def __init__(self, spec: Spec, evaluator: Evaluator, chooser: Chooser) -> None:
        self._spec, self._evaluator, self._chooser = spec, evaluator, chooser
        self.tree = Tree(spec.num_players)
        self._nodes: list[dict[Hashable, int]] = []  # of each game: what a player knows -> its node

    def run(self, states: Sequence[State], players: NDArray[np.int64], keys: Keys, budget: NDArray[np.int64]) -> Found:
        """Search for `players` [B], each by its own budget [B]; `keys` [B] are all the randomness."""
        tree, games = self.tree, len(states)
        self._nodes = [{} for _ in states]
        low, high = self._spec.return_bounds or (-1.0, 1.0)
        self._low, self._width = low, max(high - low, 1e-9)
        roots = self._find([(b, int(p), states[b]) for b, p in enumerate(players)])[0]
        for n in range(int(budget.max(initial=0))):
            rows = np.flatnonzero(budget > n)
            explorer = n % self._spec.num_players
            self._simulate(
                [states[b] for b in rows.tolist()], players[rows], rows, explorer, fold(fold(keys[rows], 1), n)
            )
        outlook = self._look(roots)
        best = self._chooser.best(tree, outlook, fold(keys, 2))
        action = tree.action[outlook.edges]
        policy = self._chooser.policy(tree, outlook)
        chosen = action[np.arange(games), best]
        return Found(action, outlook.real, outlook.visits, policy, chosen, tree.mean(roots), budget.copy())

    def _simulate(
        self, states: Sequence[State], players: NDArray[np.int64], games: Any, explorer: int, keys: Keys
    ) -> None:
        """Walk down one position of each game, judge where it leaves what is known, and credit the walk."""
        tree = self.tree
        walkers = [self._drawn(s, int(p), int(k)) for s, p, k in zip(states, players, keys, strict=True)]
        visits: list[tuple[NDArray[np.int64], Nodes, NDArray[np.int64]]] = []  # walkers, nodes and places taken
        gain = np.zeros((len(walkers), tree.num_players))
        going, depth = list(range(len(walkers))), 0
        while going:
            depth += 1
            for i in going:
                _settle(walkers[i], fold_one(fold_one(int(keys[i]), OF_CHANCE), depth))
            for i in going:
                if walkers[i].is_terminal():
                    gain[i] = walkers[i].returns()
            entries = [(i, p) for i in going if not walkers[i].is_terminal() for p in walkers[i].acting()]
            if not entries:
                break
            who = np.array([i for i, _ in entries])
            nodes, fresh = self._find([(int(games[i]), p, walkers[i]) for i, p in entries])
            leaving = np.isin(who, who[fresh])  # walkers who come to what one of the movers has not seen
            if leaving.any():
                self._judge(walkers, who[leaving], nodes[leaving], fold(keys, OF_LEAVES), gain)
                visits.append((who[leaving], nodes[leaving], np.full(int(leaving.sum()), NONE)))
            staying = ~leaving
            who, nodes = who[staying], nodes[staying]
            movers = tree.mover[nodes]
            key = fold(fold(keys[who], depth), movers)
            place = self._chooser.choose(tree, self._look(nodes), movers == explorer, key)
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
        own = (credit[np.arange(len(parent)), tree.mover[parent]] - self._low) / self._width
        self._chooser.learn(tree, self._look(parent), tree.mover[parent] == explorer, place[walked], own)
        tree.taken[edge] += 1
        tree.paid[edge] += credit
        tree.visits[nodes] += 1
        tree.total[nodes] += gain

    def _look(self, nodes: Nodes) -> Outlook:
        low = np.full(len(nodes), self._low)
        return look(self.tree, nodes, low, low + self._width)

    def _drawn(self, state: State, player: int, key: int) -> State:
        """Return a position which the player cannot tell from the true one."""
        if self._spec.perfect_information:
            return state.clone()
        return state.resample(player, key)  # type: ignore[attr-defined, no-any-return]

    def _find(self, wanted: Sequence[tuple[int, int, State]]) -> tuple[Nodes, NDArray[np.bool_]]:
        """Return the nodes of players in positions of games, and which of them have been made for it."""
        tree, found, fresh = self.tree, [], []
        for game, player, state in wanted:
            known = self._nodes[game]
            name = (player, state.information(player) if hasattr(state, "information") else state.key())
            if name not in known:
                known[name] = int(tree.add_nodes(1)[0])
                legal = state.legal_actions(player)
                node = np.array([known[name]])
                edges = tree.add_edges(node, np.array([len(legal)]), np.array(legal, np.int64))
                tree.prior[edges] = 1 / len(legal)
                tree.mover[node] = player
                fresh.append(True)
            else:
                fresh.append(False)
            found.append(known[name])
        return np.array(found, np.int64), np.array(fresh, bool)

    def _judge(self, walkers: Sequence[State], who: Any, nodes: Nodes, keys: Keys, gain: NDArray[np.float64]) -> None:
        """Ask what positions are worth, of the views of all who move there; the mean of what is said counts."""
        _, values = self._evaluator.evaluate([walkers[i] for i in who.tolist()], self.tree.mover[nodes], keys[who])
        worth = values + np.array([walkers[i].returns() for i in who.tolist()])
        said = np.bincount(who, minlength=len(gain))
        gain[who] = 0
        np.add.at(gain, who, worth / said[who][:, None])


def _settle(state: State, key: int) -> None:
    """Let chance move until somebody else does."""
    turn = 0
    while not state.acting() and not state.is_terminal():
        turn += 1
        state.apply_chance(draw_one(state.chance_outcomes(), uniform_one(fold_one(key, turn))))
