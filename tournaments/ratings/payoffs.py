"""Mean payoffs, clustered by seed: of any groups of games, and of each agent in each seat for games without Elo."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats, Ints
from marl.base.intervals import effective, interval, standard_error
from tournaments.records.results import Results, sum_by


@dataclass(frozen=True)
class MeanPayoff:
    """An agent's mean payoff in one seat, or over all of its seats (`seat` None), over games with a known payoff.

    `mean` is None without such a game; `ci95` is the half width of the 95 % interval, None with fewer than two seeds.
    """

    agent: str
    seat: int | None
    mean: float | None
    ci95: float | None
    games: int


@dataclass(frozen=True, eq=False)
class Means:
    """The mean payoffs of K groups of payoffs, clustered by seed; NaN for a group without any.

    With n payoffs xᵢ and mean m, a seed's pull (intervals.py) is z_s = Σ_{i∈s} (xᵢ − m) / n. There are P pulls, of
    each group on each of its seeds.
    """

    mean: Floats  # [K]
    error: Floats  # [K] standard errors; NaN with fewer than two seeds
    games: Ints  # [K] payoffs
    seeds: Ints  # [K]
    pull: Floats  # [P]
    pulled: Ints  # [P] the group of each
    by_seed: Ints  # [P] the number of its seed

    def error_of(self, weights: Floats) -> float:
        """Return the standard error of Σ_k weights_k mean_k, clustered by seed; NaN with fewer than two seeds.

        Groups that played the same seeds are not independent, so this is no sum of the squares of their errors.
        """
        weighs = weights[self.pulled] != 0
        seeds, place = np.unique(self.by_seed[weighs], return_inverse=True)
        pull = sum_by(place, (weights[self.pulled] * self.pull)[weighs], len(seeds))
        return float(standard_error((pull**2).sum(), np.array(len(seeds)))) if len(seeds) > 1 else math.nan

    def seeds_of(self, weights: Floats) -> float:
        """Return the effective number of seeds (intervals.py) of Σ_k weights_k mean_k.

        A seed is expected to add Σ_k (weights_k error_k)² / seeds_k, over the groups k that have played it. The number
        is infinite for means without an error.
        """
        each = np.nan_to_num((weights * self.error) ** 2) / np.maximum(self.seeds, 1)
        added = sum_by(self.by_seed, each[self.pulled], int(self.by_seed.max(initial=-1)) + 1)
        return float(effective(added.sum(), (added**2).sum()))

    @classmethod
    def of(cls, group: Ints, payoffs: Floats, seeds: NDArray[np.uint64], groups: int) -> "Means":
        """Collect P payoffs with their groups and seeds [P]; payoffs that are NaN are not known and left out."""
        known = ~np.isnan(payoffs)
        group, payoffs = group[known], payoffs[known]
        names, seed = np.unique(seeds[known], return_inverse=True)
        games = np.bincount(group, minlength=groups)
        mean = np.divide(sum_by(group, payoffs, groups), games, out=np.full(groups, np.nan), where=games > 0)
        moment, place = np.unique(group * len(names) + seed, return_inverse=True)  # a group on a seed
        of_group = moment // max(len(names), 1)
        pull = sum_by(place, (payoffs - mean[group]) / games[group], len(moment))
        met = np.bincount(of_group, minlength=groups)
        error = standard_error(sum_by(of_group, pull**2, groups), met)
        by_seed = moment % max(len(names), 1)
        return cls(mean, np.where(met > 1, error, np.nan), games, met, pull, of_group, by_seed)


def mean_payoffs(results: Results) -> list[MeanPayoff]:
    """Return mean payoffs: for each agent, the best first, over all its seats and then for each seat that it held."""
    num_games, num_players = results.seats.shape
    group = results.seats * (num_players + 1) + np.arange(num_players)  # [G, N] agent and seat
    overall = results.seats * (num_players + 1) + num_players
    seeds = np.tile(np.repeat(results.seeds, num_players), 2)
    groups = np.concatenate([group.ravel(), overall.ravel()])
    found = Means.of(groups, np.tile(results.payoffs.ravel(), 2), seeds, len(results.agents) * (num_players + 1))
    half = interval(np.nan_to_num(found.error), found.seeds)
    known = ~np.isnan(results.payoffs)
    game = np.nonzero(known)[0]
    played = np.unique(results.seats[known] * num_games + game)  # several seats of one game are one game
    games = np.bincount(played // max(num_games, 1), minlength=len(results.agents))

    def line(agent: int, seat: int) -> MeanPayoff:
        k = agent * (num_players + 1) + seat
        return MeanPayoff(
            agent=results.agents[agent],
            seat=None if seat == num_players else seat,
            mean=float(found.mean[k]) if found.games[k] else None,
            ci95=float(half[k]) if math.isfinite(half[k]) else None,
            games=int(games[agent] if seat == num_players else found.games[k]),
        )

    width = num_players + 1
    # Agents without a known payoff, since others forfeited their games, stand above those who forfeited.
    ranked = np.where(found.games > 0, found.mean, np.inf)[num_players::width].tolist()
    best_first = sorted(range(len(results.agents)), key=lambda a: (-round(ranked[a], 9), a))
    seats = [num_players, *range(num_players)]
    return [line(a, seat) for a in best_first for seat in seats if seat == num_players or found.games[a * width + seat]]
