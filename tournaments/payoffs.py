"""Mean payoffs of each agent in each seat, for games without Elo."""

import math
from dataclasses import dataclass

import numpy as np

from marl.base.intervals import of_pulls
from tournaments.results import Results, sum_by


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


def mean_payoffs(results: Results) -> list[MeanPayoff]:
    """Return mean payoffs: for each agent, the best first, over all of its seats and then for each seat that it held.

    With n payoffs xᵢ and mean m, a seed's pull (intervals.py) is z_s = Σ_{i∈s} (xᵢ − m) / n.
    """
    num_games, num_players = results.seats.shape
    group = results.seats * (num_players + 1) + np.arange(num_players)  # [G, N] agent and seat
    overall = results.seats * (num_players + 1) + num_players
    known = ~np.isnan(results.payoffs)
    groups, payoff = np.concatenate([group[known], overall[known]]), np.tile(results.payoffs[known], 2)
    kinds = len(results.agents) * (num_players + 1)
    n = np.bincount(groups, minlength=kinds)
    mean = sum_by(groups, payoff, kinds) / np.maximum(n, 1)
    _, seed = np.unique(results.seeds, return_inverse=True)
    game = np.nonzero(known)[0]
    seeds = np.tile(seed[game], 2)
    num_seeds = int(seed.max(initial=-1)) + 1
    moment = groups * num_seeds + seeds
    pull = sum_by(moment, (payoff - mean[groups]) / n[groups], kinds * num_seeds).reshape(kinds, num_seeds)
    met = sum_by(moment, np.ones(len(moment)), kinds * num_seeds).reshape(kinds, num_seeds) > 0
    ci95 = of_pulls(pull, met.sum(1))
    played = np.unique(results.seats[known] * num_games + game)  # several seats of one game are one game
    games = np.bincount(played // max(num_games, 1), minlength=len(results.agents))

    def line(agent: int, seat: int) -> MeanPayoff:
        k = agent * (num_players + 1) + seat
        return MeanPayoff(
            agent=results.agents[agent],
            seat=None if seat == num_players else seat,
            mean=float(mean[k]) if n[k] else None,
            ci95=float(ci95[k]) if math.isfinite(ci95[k]) else None,
            games=int(games[agent] if seat == num_players else n[k]),
        )

    width = num_players + 1
    # Agents without a known payoff, since others forfeited their games, stand above those who forfeited.
    ranked = np.where(n > 0, mean, np.inf)[num_players::width].tolist()
    best_first = sorted(range(len(results.agents)), key=lambda a: (-round(ranked[a], 9), a))
    seats = [num_players, *range(num_players)]
    return [line(a, seat) for a in best_first for seat in seats if seat == num_players or n[a * width + seat]]
