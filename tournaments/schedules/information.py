"""Which games say most: the expected reduction of the variance of some differences of ratings, for the steps they cost.

A game of agents i and j says p (1 − p) / K² of their difference, in squared Elo⁻¹, with p the expected score and
K = 400 / ln 10. A table of N agents says that of each of its pairs, times 4 (N − H_N) / (N (N − 1)), with
H_N = 1 + ½ + ... + 1/N: what a ranking by Plackett and Luce says of equal agents. With the information Λ of all games
so far, C = Λ⁻¹, and L the Laplacian of the differences that are asked for, w more of it on i and j reduces the sum of
their variances by

    w aᵀ L a / (1 + w (eᵢ − eⱼ)ᵀ a)        a = C (eᵢ − eⱼ)

(Sherman & Morrison 1950). Draws, seats and shared luck change all pairs alike; the intervals that end a schedule
are those of the ratings, not of this model.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from games.arrays import Floats
from tournaments.ratings.elo import K
from tournaments.ratings.model import PRIOR_SD

LUMPS = 64  # a round's games are chosen in at most so many lumps of one table each


class Information:
    """What games say of n agents whose Elo [n] is estimated."""

    def __init__(self, elo: Floats, num_players: int) -> None:
        p = 1 / (1 + np.exp(-(elo[:, None] - elo[None, :]) / K))
        harmonic = sum(1 / k for k in range(1, num_players + 1))
        ranking = 4 * (num_players - harmonic) / (num_players * (num_players - 1))
        self._pair = ranking * p * (1 - p) / K**2  # [n, n] of one game
        self._known = np.eye(len(elo)) / (PRIOR_SD * K) ** 2
        self._players = num_players

    def add(self, games: Mapping[tuple[int, ...], float]) -> None:
        """Add numbers of games by the agents at the table."""
        for table, count in games.items():
            for i, j in combinations(table, 2):
                w = count * self._pair[i, j]
                self._known[[i, j], [i, j]] += w
                self._known[[i, j], [j, i]] -= w

    def choose(
        self,
        differences: Floats,
        cost: Floats,
        seeds: int,
        left: Callable[[tuple[int, ...]], int],
        seated: int | None = None,
    ) -> dict[tuple[int, ...], int]:
        """Return how many of so many `seeds` each table of agents plays next, in every rotation of its seats.

        `differences` [n, n] weigh those whose variances are to fall; `cost` [n] is that of a game for each agent.
        `left` says how many seeds a table has left. An agent that is `seated` is at every table.
        """
        laplacian = np.diag(differences.sum(1)) - differences
        covariance: Floats = np.linalg.inv(self._known).astype(np.float64)
        chosen: dict[tuple[int, ...], int] = {}
        lump = max(1, seeds // LUMPS)
        while seeds > 0:
            gain = self._gain(covariance, laplacian) / (cost[:, None] + cost[None, :])
            table = self._best(gain, lambda table: left(table) - chosen.get(table, 0), seated)
            if table is None:
                break
            count = min(lump, seeds, left(table) - chosen.get(table, 0))
            chosen[table] = chosen.get(table, 0) + count
            seeds -= count
            for i, j in combinations(table, 2):
                w = count * self._players * self._pair[i, j]
                a = covariance[i] - covariance[j]
                covariance -= np.outer(a, a) * (w / (1 + w * (a[i] - a[j])))
        return chosen

    def _gain(self, covariance: Floats, laplacian: Floats) -> Floats:
        """Return what a seed of each pair takes from the sum of the variances [n, n]; −∞ on the diagonal."""
        w = self._players * self._pair
        moved = covariance @ laplacian @ covariance
        squares, variance = (m.diagonal()[:, None] + m.diagonal()[None, :] - 2 * m for m in (moved, covariance))
        gain = w * squares / (1 + w * variance)
        np.fill_diagonal(gain, -math.inf)
        return np.asarray(gain)

    def _best(self, gain: Floats, left: Callable[[tuple[int, ...]], int], seated: int | None) -> tuple[int, ...] | None:
        """Return the table with the largest gain that has seeds left: a pair, filled up one by one; None: none has."""
        n = len(gain)
        gain = np.round(np.where(gain > 0, gain, 0) / (gain.max() or 1), 9)  # ties are none of the processor's
        for pair in np.argsort(-gain, axis=None, kind="stable").tolist():
            i, j = divmod(pair, n)
            if i >= j or (seated is not None and seated not in (i, j)):
                continue
            for table in self._filled((i, j), gain):
                if left(table) > 0:
                    return table
        return None

    def _filled(self, pair: tuple[int, int], gain: Floats) -> Iterator[tuple[int, ...]]:
        """Yield tables with a pair, the best first: all seats but the last go to who gains most with those seated."""
        table = [*pair]
        while len(table) < self._players:
            more = gain[table].sum(0)
            more[table] = -math.inf
            best_first = np.argsort(-more, kind="stable")[: len(gain) - len(table)].tolist()
            if len(table) == self._players - 1:
                yield from (tuple(sorted([*table, last])) for last in best_first)
                return
            table.append(best_first[0])
        yield pair


def ring(agents: int, num_players: int) -> Sequence[tuple[int, ...]]:
    """Return tables of neighbours in a ring of agents, each table once: they connect all."""
    tables = (tuple(sorted((first + k) % agents for k in range(num_players))) for first in range(agents))
    return list(dict.fromkeys(tables))
