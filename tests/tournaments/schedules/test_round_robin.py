import hashlib
import tracemalloc
from collections import Counter
from itertools import combinations, islice, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from tests.properties import examples
from tests.tournaments.eager import pieces, round_robin
from tournaments.records.fixture import Fixture
from tournaments.schedules.pieces import batches, by_pairing
from tournaments.schedules.round_robin import RoundRobin, cell
from tournaments.schedules.rounds import SEEDS_AT_A_TIME

agents = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=3, max_size=6, unique=True)


def test_id_is_the_hash_of_the_canonical_json():
    written = '{"agents":["b","a"],"game":"openspiel:tic_tac_toe","seed":18446744073709551615}'
    fixture = Fixture("openspiel:tic_tac_toe", ("b", "a"), 2**64 - 1)
    assert fixture.id == hashlib.sha256(written.encode()).hexdigest()
    written = '{"agents":["b","a"],"game":"openspiel:tic_tac_toe","opening_moves":2,"seed":18446744073709551615}'
    fixture = Fixture("openspiel:tic_tac_toe", ("b", "a"), 2**64 - 1, opening_moves=2)
    assert fixture.id == hashlib.sha256(written.encode()).hexdigest()
    written = '{"agents":["b","a"],"game":"openspiel:tic_tac_toe","max_steps":5,"seed":18446744073709551615}'
    fixture = Fixture("openspiel:tic_tac_toe", ("b", "a"), 2**64 - 1, max_steps=5)
    assert fixture.id == hashlib.sha256(written.encode()).hexdigest()


def test_order():
    fixtures = round_robin("g", ["b", "a", "c"], 2, seeds=2, seed=0)
    assert [f.agents for f in fixtures[:6]] == [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")]
    assert len({f.seed for f in fixtures[:6]}) == 1 and len({f.seed for f in fixtures}) == 2


@given(agents, st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**63))
@settings(max_examples=examples(50))
def test_balance(agents, num_players, seeds, seed):
    fixtures = round_robin("g", agents, num_players, seeds, seed)
    assert len({f.id for f in fixtures}) == len(fixtures)
    assert all(0 <= f.seed < 2**64 for f in fixtures)
    tables = Counter((frozenset(f.agents), f.seed) for f in fixtures)
    assert set(tables.values()) == {num_players} and len({seed for _, seed in tables}) == seeds
    assert {table for table, _ in tables} == {frozenset(table) for table in combinations(agents, num_players)}
    held = Counter((agent, seat) for f in fixtures for seat, agent in enumerate(f.agents))
    assert len(held) == len(agents) * num_players and len(set(held.values())) == 1


@given(agents, st.integers(2, 3), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=examples(50))
def test_growth_changes_nothing(agents, num_players, seeds, seed):
    small = round_robin("g", agents, num_players, seeds, seed)
    assert small == round_robin("g", agents[::-1], num_players, seeds, seed)
    assert round_robin("g", agents, num_players, seeds + 2, seed)[: len(small)] == small
    assert {f.id for f in small} < {f.id for f in round_robin("g", [*agents, "zzzz"], num_players, seeds, seed)}


def test_fewer_agents_than_players():
    fixtures = round_robin("g", ["a", "b"], 4, seeds=1, seed=0)
    assert len(set(fixtures)) == len(fixtures) == 14  # rotations of aaaa, aaab, aabb, abbb, bbbb
    assert {f.agents for f in fixtures if len(set(f.agents)) == 1} == {("a",) * 4, ("b",) * 4}


def test_self_play():
    fixtures = round_robin("g", ["b", "a"], 2, seeds=2, seed=0, self_play=True)
    assert [f.agents for f in fixtures] == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] * 2  # a mirror game once


@given(agents, st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=examples(30))
def test_self_play_adds_fixtures_and_changes_none(agents, seeds, seed):
    apart, whole = (round_robin("g", agents, 2, seeds, seed, self_play=flag) for flag in (False, True))
    assert [f for f in whole if len(set(f.agents)) == 2] == apart
    assert sorted(f.agents[0] for f in whole if len(set(f.agents)) == 1) == sorted(agents * seeds)


def test_bad_input():
    with pytest.raises(UserError, match="once"):
        RoundRobin("g", ["a", "b", "a"], 2, 1, 0)
    with pytest.raises(UserError, match="at least 2 agents"):
        RoundRobin("g", ["a"], 2, 1, 0)
    with pytest.raises(UserError, match="one seed"):
        RoundRobin("g", ["a", "b"], 2, 0, 0)


fields = st.integers(1, 4).flatmap(
    lambda players: st.tuples(
        st.just(players), st.integers(min(players, 2), 7 if players < 4 else 5), st.sampled_from([1, 2, 8, 9, 17])
    )
)


@given(fields, st.booleans(), st.sampled_from([1, 2, 5, 16, 40, 256]), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_what_is_played_is_what_a_list_of_all_would_be(field, self_play, size, data):
    """The same fixtures in the same pieces and order, with foreign agents and without."""
    players, count, seeds = field
    agents = [f"{k:02}" for k in range(count)]
    foreign = data.draw(st.sets(st.sampled_from(agents), max_size=3))
    whole = round_robin("g", agents, players, seeds, 3, self_play, opening_moves=2, max_steps=5)
    schedule = RoundRobin("g", agents[::-1], players, seeds, 3, self_play, opening_moves=2, max_steps=5)
    assert list(batches(schedule.blocks(size, foreign), size, foreign)) == pieces(whole, size, foreign)
    assert len(schedule) == len(whole)
    tables = {fixture.agents for fixture in whole}
    assert {table for table in product(agents, repeat=players) if schedule.seats(table)} == tables
    assert not schedule.seats(("elsewhere",) * players) and not schedule.seats(agents[:1] * (players + 1))


def test_what_is_played_of_a_part_is_in_the_order_of_the_whole():
    """Where games are stored already, the others keep their order, in pieces that are not too large."""
    schedule = RoundRobin("g", [f"{k:02}" for k in range(9)], 2, seeds=20, seed=0)
    whole = [fixture for block in schedule.blocks(30) for fixture in block]
    left = [fixture for fixture in whole if int(fixture.id, 16) % 3]
    found = list(batches(([f for f in block if int(f.id, 16) % 3] for block in schedule.blocks(30)), 30))
    assert [fixture for piece in found for fixture in piece] == left and max(map(len, found)) <= 30
    assert len(found) < 2 * len(left) / 30


def test_the_first_pieces_of_twenty_million_games():
    """What is kept grows with the agents, and neither with the pairs nor with the seeds."""
    agents = [f"{k:064x}" for k in range(1000)]
    tracemalloc.start()
    try:
        schedule = RoundRobin("g", agents, 2, seeds=20, seed=0)
        first = list(islice(batches(schedule.blocks(256), 256), 3))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(schedule) == 19_980_000 and [len({a for f in p for a in f.agents}) for p in first] == [4, 8, 8]
    assert most < 2_000_000


def test_a_cell_is_a_part_of_the_round_robin():
    whole = round_robin("g", ["a", "b", "c"], 2, seeds=5, seed=4, self_play=True, opening_moves=1, max_steps=9)
    for one, other in (("a", "c"), ("c", "a"), ("b", "b")):
        found = cell("g", one, other, range(5), 4, opening_moves=1, max_steps=9)
        assert found == [fixture for fixture in whole if set(fixture.agents) == {one, other}]
    assert cell("g", "a", "b", range(2, 4), 4) == cell("g", "a", "b", range(5), 4)[4:8]
    assert cell("g", "a", "b", range(0), 4) == []


def test_fixtures_by_pairing():
    fixtures = cell("g", "a", "f", range(2), 0) + cell("g", "b", "a", range(2), 0) + cell("g", "f", "b", range(1), 0)
    blocks = by_pairing(fixtures, apart={"f"})
    assert [block[0].pairing for block in blocks] == [("a", "b"), ("a", "f"), ("b", "f")]
    assert sorted(f.id for block in blocks for f in block) == sorted(f.id for f in fixtures)
    assert [len(piece) for piece in batches(blocks, 5, {"f"})] == [4, 4, 2]  # those with "f" are apart


@given(agents, st.integers(1, 3), st.integers(1, 12), st.integers(1, 20))
@settings(max_examples=examples(50), deadline=None)
def test_batches_are_a_partition(agents, num_players, seeds, size):
    fixtures = round_robin("g", agents, num_players, seeds, seed=0)
    pieces = list(batches(RoundRobin("g", agents, num_players, seeds, seed=0).blocks(size), size))
    assert sorted(f.id for piece in pieces for f in piece) == sorted(f.id for f in fixtures)
    assert all(0 < len(piece) <= size for piece in pieces) and (len(pieces) - 1) * size < 3 * len(fixtures)
    turns = [
        [f.seed for f in fixtures[:: len(fixtures) // seeds]].index(f.seed) // SEEDS_AT_A_TIME
        for p in pieces
        for f in p
    ]
    assert turns == sorted(turns)  # so many seeds of all pairings, then the next


@pytest.mark.parametrize(
    ("count", "seeds", "most"), [(24, 1, 24), (24, 8, 8), (24, 100, 12), (200, 1, 24), (2, 500, 2)]
)
def test_batches_are_of_few_agents(count, seeds, most):
    """In the order of the seeds a batch of 256 would have all of 24 agents, and 130 of 200."""
    schedule = RoundRobin("g", [f"{k:03d}" for k in range(count)], 2, seeds, seed=0)
    pieces = list(batches(schedule.blocks(256), 256))
    assert max(len({agent for f in piece for agent in f.agents}) for piece in pieces) <= most
    assert len(pieces) <= 2 + 1.3 * len(schedule) / 256


def test_batches_of_nothing():
    assert list(batches([], 256)) == list(batches([[], []], 256)) == []
