"""Selection: which edge a walk takes, and what the visits of a root amount to.

    Uct       UCB1 on trees (Kocsis and Szepesvári 2006, https://doi.org/10.1007/11871842_29): no policy is asked
    Puct      AlphaZero's (Silver et al. 2018, https://doi.org/10.1126/science.aar6404, supplement): Q + U
    Gumbel    Gumbel AlphaZero's (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO): sequential
              halving at the root, completed Q below it; improves its policy from 2 simulations on

Q of an edge is that of the player who moves there, scaled so that the range of returns is [-1, 1] (Puct) or [0, 1]
(Gumbel). An edge that was walked in this wave and not yet judged counts as a visit that paid the least.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.keys import Keys, fold, uniform
from marl.search.tree import Edges, Nodes, Tree

Scores = NDArray[np.float64]  # [B, W] of the edges of B nodes
Real = NDArray[np.bool_]  # [B, W] which of them are edges, and which only fill the row up


@dataclass(frozen=True)
class Outlook:
    """What a rule looks at: the edges of nodes [B, W], as the player who moves sees them."""

    nodes: Nodes
    edges: Edges  # [B, W]
    real: Real
    visits: NDArray[np.int64]  # [B, W] walks through each edge, those under way included; 0 where there is none
    q: Scores  # [B, W] in [0, 1]; of edges without visits: nothing
    known: Real  # [B, W] q is exact: what follows has been proven
    value: Scores  # [B] of the node itself, in [0, 1]: the mean over its visits
    said: Scores  # [B] what the evaluator said of it, in [0, 1]


def total(rows: Scores) -> Scores:
    """Return the sums of rows [B, 1, ...], the same however far rows are filled up with zeros: added up one by one."""
    return np.cumsum(rows, 1)[:, -1:]


def look(tree: Tree, nodes: Nodes, low: Scores, high: Scores) -> Outlook:
    """Return the edges of nodes [B] as the players who move there see them; returns lie in [low, high] [B]."""
    edges, real = tree.edges(nodes)
    mover = np.maximum(tree.mover[nodes], 0)
    waiting = tree.waiting[edges]
    visits = np.where(real, tree.taken[edges] + waiting, 0)
    width = np.maximum(high - low, 1e-9)
    paid = tree.paid[edges, mover[:, None]] + waiting * low[:, None]
    q = (paid / np.maximum(visits, 1) - low[:, None]) / width[:, None]
    rows = np.arange(len(nodes))
    value, said = ((worth[rows, mover] - low) / width for worth in (tree.mean(nodes), tree.value[nodes]))
    return Outlook(nodes, edges, real, visits, q, np.zeros_like(real), value, said)


class Rule(Protocol):
    """Choose edges, at the root and below, and sum a search up."""

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        """Prepare for the search of B roots, of `budget` [B] simulations each; the roots have been expanded."""
        ...

    def scores(self, tree: Tree, outlook: Outlook) -> Scores:
        """Return how much each edge wants to be walked, at nodes below the roots."""
        ...

    def root_scores(self, tree: Tree, outlook: Outlook, games: NDArray[np.int64]) -> Scores:
        """The same at the roots of `games`."""
        ...

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        """Return what a search makes of its roots' edges: probabilities [B, W]."""
        ...

    def best(self, tree: Tree, outlook: Outlook) -> NDArray[np.int64]:
        """Return the place in [0, W) of each root's best edge."""
        ...


@dataclass
class MostVisited:
    """A search is summed up by how often it walked each edge."""

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        pass

    def scores(self, tree: Tree, outlook: Outlook) -> Scores:
        raise NotImplementedError

    def root_scores(self, tree: Tree, outlook: Outlook, games: NDArray[np.int64]) -> Scores:
        return self.scores(tree, outlook)

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        weights = np.where(outlook.visits.any(1, keepdims=True), outlook.visits, outlook.real)
        return np.asarray(weights / total(weights))

    def best(self, tree: Tree, outlook: Outlook) -> NDArray[np.int64]:
        """The most visited; of equals the one of the better Q."""
        place: NDArray[np.int64] = np.where(outlook.real, outlook.visits + outlook.q / 2, -np.inf).argmax(1)
        return place


@dataclass
class Uct(MostVisited):
    """Q + c sqrt(ln N / n), Q in [-1, 1]; edges without visits first."""

    c: float = 2**0.5

    def scores(self, tree: Tree, outlook: Outlook) -> Scores:
        explore = self.c * np.sqrt(np.log(outlook.visits.sum(1) + 1)[:, None] / np.maximum(outlook.visits, 1))
        scores = 2 * outlook.q - 1 + np.where(outlook.known, 0.0, explore)
        return np.where(outlook.visits > 0, scores, np.inf)


@dataclass
class Puct(MostVisited):
    """Q + c P sqrt(N) / (1 + n), c = c_init + log((N + c_base + 1) / c_base); N counts the visits of the node."""

    c_init: float = 1.25
    c_base: float = 19652
    noise: float = 0.0  # share of Dirichlet's noise in the priors at the root
    alpha: float = 0.0  # of that noise; 0: ten by the number of actions

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        if self.noise == 0:
            return
        for root, key in zip(roots.tolist(), keys.tolist(), strict=True):
            edges = slice(tree.first[root], tree.first[root] + tree.count[root])
            alpha = self.alpha or 10 / tree.count[root]
            drawn = np.random.default_rng(key).dirichlet(np.full(tree.count[root], alpha))
            tree.prior[edges] = (1 - self.noise) * tree.prior[edges] + self.noise * drawn

    def scores(self, tree: Tree, outlook: Outlook) -> Scores:
        of_node = outlook.visits.sum(1)[:, None] + 1
        c = self.c_init + np.log((of_node + self.c_base + 1) / self.c_base)
        explore = c * tree.prior[outlook.edges] * np.sqrt(of_node) / (1 + outlook.visits)
        q = np.where(outlook.visits > 0, outlook.q, outlook.value[:, None])
        return np.asarray(2 * q - 1 + np.where(outlook.known, 0.0, explore))


@dataclass
class Gumbel:
    """Sequential halving over the root's `considered` best actions by Gumbel's top-k; argmax π' - n / (1 + N) below.

    σ(q) = (c_visit + max n) c_scale q, with q in [0, 1].
    """

    considered: int = 16
    c_visit: float = 50
    c_scale: float = 1.0
    noise: float = 1.0  # scale of Gumbel's noise; 0 when strength is asked for

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        edges, real = tree.edges(roots)
        noise = -np.log(-np.log(uniform(fold(keys, 1), edges.shape[1]) + 1e-300) + 1e-300)
        self._noise = self.noise * noise  # [B, W]
        self._schedule = [  # visits that the next edge to be walked has had, by simulations so far
            schedule(min(self.considered, count), simulations)
            for count, simulations in zip(real.sum(1).tolist(), budget.tolist(), strict=True)
        ]

    def scores(self, tree: Tree, outlook: Outlook) -> Scores:
        visits = outlook.visits
        return np.asarray(self.improved(tree, outlook) - visits / (1 + visits.sum(1))[:, None])

    def root_scores(self, tree: Tree, outlook: Outlook, games: NDArray[np.int64]) -> Scores:
        visits = outlook.visits
        due = np.array([self._schedule[g][n] for g, n in zip(games.tolist(), visits.sum(1).tolist(), strict=True)])
        wanted = self._noise[games, : visits.shape[1]] + tree.logit[outlook.edges] + self.sigma(tree, outlook)
        return np.where(visits == due[:, None], wanted, -1e300)

    def policy(self, tree: Tree, outlook: Outlook) -> Scores:
        return self.improved(tree, outlook)

    def best(self, tree: Tree, outlook: Outlook) -> NDArray[np.int64]:
        """Of the most visited the one that the root would walk next."""
        visits = np.where(outlook.real, outlook.visits, -1)
        wanted = self._noise[:, : visits.shape[1]] + tree.logit[outlook.edges] + self.sigma(tree, outlook)
        place: NDArray[np.int64] = np.where(visits == visits.max(1, keepdims=True), wanted, -np.inf).argmax(1)
        return place

    def improved(self, tree: Tree, outlook: Outlook) -> Scores:
        """Return π' = softmax(logits + σ(completed q))."""
        logits = tree.logit[outlook.edges] + self.sigma(tree, outlook)
        logits = np.where(outlook.real, logits, -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / total(weights))

    def sigma(self, tree: Tree, outlook: Outlook) -> Scores:
        """Return σ of q, completed: edges without visits have v_mix, the evaluator's word mixed with what is known."""
        visits = outlook.visits
        prior = np.where(visits > 0, tree.prior[outlook.edges], 0.0)
        walks, known = visits.sum(1), total(prior)[:, 0]
        seen = total(prior * outlook.q)[:, 0] / np.where(known > 0, known, 1)
        mixed = (outlook.said + walks * seen) / (1 + walks)
        q = np.where(visits > 0, outlook.q, mixed[:, None])
        return np.asarray((self.c_visit + visits.max(1))[:, None] * self.c_scale * q)


def schedule(considered: int, simulations: int) -> list[int]:
    """Return, for each simulation, how many visits the edge has had that sequential halving walks next.

    As mctx has it: each round visits the edges left equally often, and keeps the better half.
    """
    if considered <= 1:
        return list(range(simulations))
    rounds = math.ceil(math.log2(considered))
    due: list[int] = []
    visits, left = 0, considered
    while len(due) < simulations:
        for _ in range(max(1, simulations // (rounds * left))):
            due += [visits] * left
            visits += 1
        left = max(2, left // 2)
    return due[:simulations]
