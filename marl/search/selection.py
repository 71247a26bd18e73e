"""Selection rules: the edge that a walk takes, and the policy that follows from a root's visits.

    Uct       UCB1 on trees (Kocsis and Szepesvári 2006, https://doi.org/10.1007/11871842_29), without priors
    Puct      AlphaZero's (Silver et al. 2018, https://doi.org/10.1126/science.aar6404, supplement): Q + U
    Gumbel    Gumbel AlphaZero's (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO): sequential
              halving at the root, completed Q below it; improves its policy from 2 simulations on

Q of an edge is that of the player who moves there, scaled so that the range of returns is [-1, 1] (Puct) or [0, 1]
(Gumbel). A walk in this wave whose leaf is not evaluated yet counts as a visit with the lowest return (virtual loss).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.keys import Keys, fold, uniform
from marl.search.tree import Edges, Nodes, Tree

GUMBEL_NOISE = 1  # draw of a rule's key: the noise at the root

Scores = NDArray[np.float64]  # [B, W] of the edges of B nodes
Real = NDArray[np.bool_]  # [B, W] True for edges, False for entries that pad the row


@dataclass(frozen=True)
class EdgeStats:
    """The statistics of the edges of B nodes [B, W], for the player who moves there."""

    nodes: Nodes
    mover: NDArray[np.int64]  # [B] the player who moves there; player 0 at chance
    edges: Edges  # [B, W]
    real: Real
    visits: NDArray[np.int64]  # [B, W] walks through each edge, pending ones included; 0 in padding
    q: Scores  # [B, W] in [0, 1]; undefined for edges without visits
    known: Real  # [B, W] q is exact: the child is proven
    low: Scores  # [B] the lowest return
    width: Scores  # [B] the range of returns

    def scaled(self, worth: Scores) -> Scores:
        """Scale returns of the nodes' movers [B] to [0, 1]."""
        return (worth - self.low) / self.width


def total(rows: Scores) -> Scores:
    """Return the sums of rows [B, 1, ...], added one by one: padding with zeros does not change the rounding."""
    return np.cumsum(rows, 1)[:, -1:]


def look(tree: Tree, nodes: Nodes, low: Scores, high: Scores) -> EdgeStats:
    """Return the statistics of the edges of nodes [B] for their movers; returns lie in [low, high] [B]."""
    edges, real = tree.edges(nodes)
    pending = tree.pending[edges]
    visits = np.where(real, tree.taken[edges] + pending, 0)
    width = np.maximum(high - low, 1e-9)
    paid = tree.paid[edges] + pending * low[:, None]
    q = (paid / np.maximum(visits, 1) - low[:, None]) / width[:, None]
    mover = np.maximum(tree.mover[nodes], 0)
    return EdgeStats(nodes, mover, edges, real, visits, q, np.zeros_like(real), low, width)


def mean_value(tree: Tree, stats: EdgeStats) -> Scores:
    """Return the mean over the visits of nodes [B], for their movers, in [0, 1]."""
    return stats.scaled(tree.total[stats.nodes, stats.mover] / np.maximum(tree.visits[stats.nodes], 1))


def evaluator_value(tree: Tree, stats: EdgeStats) -> Scores:
    """Return the evaluator's values of nodes [B], for their movers, in [0, 1]."""
    return stats.scaled(tree.value[stats.nodes, stats.mover])


class Rule(Protocol):
    """Choose edges, at the root and below, and derive the policy of a search."""

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        """Prepare for a search of B expanded roots, with `budget` [B] simulations each."""
        ...

    def scores(self, tree: Tree, stats: EdgeStats) -> Scores:
        """Return the scores of edges [B, W] at nodes below the roots; a walk takes the highest."""
        ...

    def root_scores(self, tree: Tree, stats: EdgeStats, games: NDArray[np.int64]) -> Scores:
        """The same at the roots of `games`."""
        ...

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        """Return the search's policy at its roots: probabilities [B, W]."""
        ...

    def best(self, tree: Tree, stats: EdgeStats) -> NDArray[np.int64]:
        """Return the index in [0, W) of each root's best edge."""
        ...


@dataclass
class MostVisited:
    """The policy of a search is proportional to the visits of the edges."""

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        pass

    def scores(self, tree: Tree, stats: EdgeStats) -> Scores:
        raise NotImplementedError

    def root_scores(self, tree: Tree, stats: EdgeStats, games: NDArray[np.int64]) -> Scores:
        return self.scores(tree, stats)

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        weights = np.where(stats.visits.any(1, keepdims=True), stats.visits, stats.real)
        return np.asarray(weights / total(weights))

    def best(self, tree: Tree, stats: EdgeStats) -> NDArray[np.int64]:
        """Return the most visited edge; of equals the one with the higher Q."""
        place: NDArray[np.int64] = np.where(stats.real, stats.visits + stats.q / 2, -np.inf).argmax(1)
        return place


@dataclass
class Uct(MostVisited):
    """Q + c sqrt(ln N / n), Q in [-1, 1]; edges without visits first."""

    c: float = 2**0.5

    def scores(self, tree: Tree, stats: EdgeStats) -> Scores:
        explore = self.c * np.sqrt(np.log(stats.visits.sum(1) + 1)[:, None] / np.maximum(stats.visits, 1))
        scores = 2 * stats.q - 1 + np.where(stats.known, 0.0, explore)
        return np.where(stats.visits > 0, scores, np.inf)


@dataclass
class Puct(MostVisited):
    """Q + c P sqrt(N) / (1 + n), c = c_init + log((N + c_base + 1) / c_base); N counts the visits of the node."""

    c_init: float = 1.25
    c_base: float = 19652
    noise: float = 0.0  # share of Dirichlet noise in the priors at the root
    alpha: float = 0.0  # of that noise; 0: 10 / number of actions

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        if self.noise == 0:
            return
        for root, key in zip(roots.tolist(), keys.tolist(), strict=True):
            edges = slice(tree.first[root], tree.first[root] + tree.count[root])
            alpha = self.alpha or 10 / tree.count[root]
            drawn = np.random.default_rng(key).dirichlet(np.full(tree.count[root], alpha))
            tree.prior[edges] = (1 - self.noise) * tree.prior[edges] + self.noise * drawn

    def scores(self, tree: Tree, stats: EdgeStats) -> Scores:
        of_node = stats.visits.sum(1)[:, None] + 1
        c = self.c_init + np.log((of_node + self.c_base + 1) / self.c_base)
        explore = c * tree.prior[stats.edges] * np.sqrt(of_node) / (1 + stats.visits)
        q = np.where(stats.visits > 0, stats.q, mean_value(tree, stats)[:, None])
        return np.asarray(2 * q - 1 + np.where(stats.known, 0.0, explore))


@dataclass
class Gumbel:
    """Sequential halving at the root over the `considered` best by Gumbel top-k; below it, argmax π' - n / (1 + N).

    σ(q) = (c_visit + max n) c_scale q, with q in [0, 1].
    """

    considered: int = 16
    c_visit: float = 50
    c_scale: float = 1.0
    noise: float = 1.0  # scale of Gumbel noise; 0 in evaluation

    def begin(self, tree: Tree, roots: Nodes, budget: NDArray[np.int64], keys: Keys) -> None:
        edges, real = tree.edges(roots)
        noise = -np.log(-np.log(uniform(fold(keys, GUMBEL_NOISE), edges.shape[1]) + 1e-300) + 1e-300)
        self._noise = self.noise * noise  # [B, W]
        self._schedule = [  # by simulations so far: the visits of the edge to walk next
            schedule(min(self.considered, count), simulations)
            for count, simulations in zip(real.sum(1).tolist(), budget.tolist(), strict=True)
        ]

    def scores(self, tree: Tree, stats: EdgeStats) -> Scores:
        visits = stats.visits
        return np.asarray(self.improved(tree, stats) - visits / (1 + visits.sum(1))[:, None])

    def root_scores(self, tree: Tree, stats: EdgeStats, games: NDArray[np.int64]) -> Scores:
        visits = stats.visits
        due = np.array([self._schedule[g][n] for g, n in zip(games.tolist(), visits.sum(1).tolist(), strict=True)])
        wanted = self._noise[games, : visits.shape[1]] + tree.logit[stats.edges] + self.sigma(tree, stats)
        return np.where(visits == due[:, None], wanted, -1e300)

    def policy(self, tree: Tree, stats: EdgeStats) -> Scores:
        return self.improved(tree, stats)

    def best(self, tree: Tree, stats: EdgeStats) -> NDArray[np.int64]:
        """Return the edge, among the most visited, that the root would walk next."""
        visits = np.where(stats.real, stats.visits, -1)
        wanted = self._noise[:, : visits.shape[1]] + tree.logit[stats.edges] + self.sigma(tree, stats)
        place: NDArray[np.int64] = np.where(visits == visits.max(1, keepdims=True), wanted, -np.inf).argmax(1)
        return place

    def improved(self, tree: Tree, stats: EdgeStats) -> Scores:
        """Return π' = softmax(logits + σ(completed q))."""
        logits = tree.logit[stats.edges] + self.sigma(tree, stats)
        logits = np.where(stats.real, logits, -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / total(weights))

    def sigma(self, tree: Tree, stats: EdgeStats) -> Scores:
        """Return σ of the completed q: edges without visits get v_mix, the evaluator's value mixed with known q."""
        visits = stats.visits
        prior = np.where(visits > 0, tree.prior[stats.edges], 0.0)
        walks, known = visits.sum(1), total(prior)[:, 0]
        seen = total(prior * stats.q)[:, 0] / np.where(known > 0, known, 1)
        mixed = (evaluator_value(tree, stats) + walks * seen) / (1 + walks)
        q = np.where(visits > 0, stats.q, mixed[:, None])
        return np.asarray((self.c_visit + visits.max(1))[:, None] * self.c_scale * q)


def schedule(considered: int, simulations: int) -> list[int]:
    """Return, for each simulation of sequential halving, the visits of the edge that it walks next.

    As in mctx: each round visits the remaining edges equally often, and keeps the better half.
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
