"""Results that tests of ratings make up: tables of games, and games drawn from known strengths."""

import math
from dataclasses import replace

import numpy as np

from tournaments.ratings.davidson import Counts, probabilities
from tournaments.ratings.elo import K
from tournaments.records.results import Result, Results

# Seat 0's wins, draws and losses of each ordered pair.
FOUR = {
    "AB": (6, 3, 1),
    "BA": (3, 4, 3),
    "AC": (7, 2, 1),
    "CA": (2, 3, 5),
    "AD": (9, 1, 0),
    "DA": (1, 2, 7),
    "BC": (5, 3, 2),
    "CB": (4, 2, 4),
    "BD": (6, 2, 2),
    "DB": (2, 3, 5),
    "CD": (6, 1, 3),
    "DC": (3, 3, 4),
}


def games(table, first_seed=0):
    """Write a table of counts as single games; both seatings of a pair use the same seeds."""
    return [
        Result((a, b), (payoff, -payoff), first_seed + k)
        for (a, b), (w, d, loss) in table.items()
        for k, payoff in enumerate([1.0] * w + [0.0] * d + [-1.0] * loss)
    ]


def select(results, where):
    """Return some of the games."""
    columns = ("seats", "payoffs", "seeds", "terminations")
    return replace(results, **{name: getattr(results, name)[where] for name in columns})


def counts_of(table):
    agents = tuple(sorted({agent for pair in table for agent in pair}))
    pairs = np.array([[agents.index(a), agents.index(b)] for a, b in table])
    return Counts(agents, pairs, np.array(list(table.values()), float))


def balanced(wins_a, wins_b, draws=0):
    """Return the counts of a pair whose results are the same from both seats."""
    return {"AB": (wins_a / 2, draws / 2, wins_b / 2), "BA": (wins_b / 2, draws / 2, wins_a / 2)}


def play(num_agents, seeds, rng, together=0.0):
    """Draw a round robin from the model; `together` correlates the seatings of a seed: 1 the same luck, −1 opposite."""
    theta = rng.normal(0, 0.8, num_agents)
    i, j = np.triu_indices(num_agents, 1)
    luck = rng.random((seeds, len(i)))
    shared = rng.random(luck.shape) < abs(together)
    other = np.where(shared, luck if together > 0 else 1 - luck, rng.random(luck.shape))
    seats = np.concatenate([np.tile(np.stack([i, j], 1), (seeds, 1)), np.tile(np.stack([j, i], 1), (seeds, 1))])
    p = probabilities(theta[seats[:, 0]] - theta[seats[:, 1]] + 0.2, math.log(0.6))
    draw = np.concatenate([luck.ravel(), other.ravel()])
    outcome = (draw > p[:, 0]).astype(int) + (draw > p[:, 0] + p[:, 1])
    results = Results(
        agents=tuple(f"agent {k:02}" for k in range(num_agents)),
        seats=seats,
        payoffs=np.stack([1.0 - outcome, outcome - 1.0], 1),
        seeds=np.tile(np.repeat(np.arange(seeds, dtype=np.uint64), len(i)), 2),
        terminations=np.full(len(seats), "finished"),
    )
    return (theta - theta.mean()) * K * 2 / 2.6, results
