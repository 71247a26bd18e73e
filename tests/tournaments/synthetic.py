"""Synthetic games: agents of known strength, no networks. A game's result is a hash of its fixture."""

import numpy as np

from games.keys import fold_one, uniform_one
from tournaments.records.results import Result, Results
from tournaments.schedules.rounds import Entry, Rules

SEAT, DRAWN = 20.0, 0.25  # Elo of the first seat; the share of draws between equal agents


def entry(agents, seeds=50, num_players=2, payoff="zero_sum", seed=0):
    """Return the entry of agents whose ids are their names."""

    def find(key, references):
        return list(references)

    rules = Rules("g", num_players, seed)
    return Entry(rules, tuple(agents), {agent: agent for agent in agents}, seeds, payoff, find)


def spread(agents, width):
    """Return the strengths of so many agents, evenly spread over `width` Elo, by name."""
    return {f"{k:02d}": float(elo) for k, elo in enumerate(np.linspace(-width / 2, width / 2, agents))}


def played(fixture, elo, draws=0, length=1):
    """Return the result of a game of two: by Davidson's model, or of more: the best of noisy strengths wins."""
    key = fold_one(int(fixture.id[:16], 16), draws)
    if len(fixture.agents) > 2:
        noisy = [
            elo[agent] - 174 * np.log(-np.log(uniform_one(fold_one(key, seat)) + 1e-12))
            for seat, agent in enumerate(fixture.agents)
        ]
        place = np.argsort(np.argsort(-np.array(noisy)))
        return Result(fixture.agents, tuple(float(len(noisy) - 1 - 2 * p) for p in place), fixture.seed, length=length)
    one, other = fixture.agents
    half, nu = (elo[one] - elo[other] + SEAT) / 2 / 173.7, 2 * DRAWN / (1 - DRAWN)
    # D is in logits of Davidson's scale, on which the display's factor makes this the slope of Elo.
    half *= (2 + nu) / 2
    win, loss = np.exp(half), np.exp(-half)
    u = uniform_one(key) * (win + loss + nu)
    paid = 1.0 if u < win else -1.0 if u < win + loss else 0.0
    return Result(fixture.agents, (paid, -paid), fixture.seed, length=length)


def simulate(schedule, elo, draws=0, length=lambda fixture: 1):
    """Go through a schedule with synthetic games; return its outcome and the fixtures of each round."""
    rounds, fixtures = schedule.rounds(), []
    try:
        round = next(rounds)
        while True:
            fixtures.append([fixture for block in round.blocks(7) for fixture in block])
            results = Results.of([played(f, elo, draws, length(f)) for f in fixtures[-1]])
            round = rounds.send(lambda results=results: in_order(results))
    except StopIteration as end:
        return end.value, fixtures


def in_order(results):
    """Return results as a store reads them: in the order of seeds and seats."""
    return results.where(np.lexsort((*results.seats.T[::-1], results.seeds)))
