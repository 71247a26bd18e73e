"""A round robin as one list, and the pieces in which it is played; tournaments/schedules/ makes them while it plays."""

from itertools import combinations, combinations_with_replacement, groupby

from games.keys import fold_one, stream
from tournaments.records.fixture import Fixture
from tournaments.schedules.rounds import SEEDS_AT_A_TIME


def round_robin(game, agents, num_players, seeds, seed, self_play=False, opening_moves=0, max_steps=None):
    """Return the fixtures of a round robin, ordered by seed, then pairing, then rotation."""
    pairings = combinations_with_replacement if self_play or len(agents) < num_players else combinations
    tables = [
        tuple(table[(seat + turn) % num_players] for seat in range(num_players))
        for table in pairings(sorted(agents), num_players)
        for turn in range(num_players)
    ]
    tables = list(dict.fromkeys(tables))
    keys = [fold_one(stream(seed, "fixtures"), k) for k in range(seeds)]
    return [Fixture(game, table, key, opening_moves, max_steps) for key in keys for table in tables]


def pieces(fixtures, size, foreign=()):
    """Return fixtures in pieces; those of foreign agents come last, apart by the foreign agents that are seated."""
    groups = {frozenset(): []}
    for fixture in fixtures:
        groups.setdefault(frozenset(foreign).intersection(fixture.agents), []).append(fixture)
    return [piece for group in groups.values() for piece in _pieces(group, size)]


def _pieces(fixtures, size):
    turn = {seed: k // SEEDS_AT_A_TIME for k, seed in enumerate(dict.fromkeys(fixture.seed for fixture in fixtures))}
    pairings = {(turn[fixture.seed], tuple(sorted(fixture.agents))) for fixture in fixtures}
    agents = sorted({agent for _, pairing in pairings for agent in pairing})
    games = len(fixtures) / max(1, len(pairings))
    players = max((len(fixture.agents) for fixture in fixtures), default=1)
    block_size = max(1, int((size / max(1, games)) ** (1 / players)))
    block = {agent: k // block_size for k, agent in enumerate(agents)}

    def company(fixture):
        return turn[fixture.seed], *sorted(block[agent] for agent in fixture.agents)

    ordered = sorted(fixtures, key=lambda fixture: (company(fixture), sorted(fixture.agents)))
    found = [[]]
    for _, games_of_blocks in groupby(ordered, company):
        queue = list(games_of_blocks)
        if len(found[-1]) + len(queue) > size:
            found += [queue[start : start + size] for start in range(0, len(queue), size)]
        else:
            found[-1] += queue
    return [piece for piece in found if piece]
