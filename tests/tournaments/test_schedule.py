import hashlib
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from tests.properties import examples
from tournaments.schedule import ROUND, Fixture, batches, round_robin

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
        round_robin("g", ["a", "b", "a"], 2, 1, 0)
    with pytest.raises(UserError, match="at least 2 agents"):
        round_robin("g", ["a"], 2, 1, 0)
    with pytest.raises(UserError, match="one seed"):
        round_robin("g", ["a", "b"], 2, 0, 0)


@given(agents, st.integers(1, 3), st.integers(1, 12), st.integers(1, 20))
@settings(max_examples=examples(50))
def test_batches_are_a_partition(agents, num_players, seeds, size):
    fixtures = round_robin("g", agents, num_players, seeds, seed=0)
    pieces = batches(fixtures, size)
    assert sorted(f.id for piece in pieces for f in piece) == sorted(f.id for f in fixtures)
    assert all(0 < len(piece) <= size for piece in pieces) and (len(pieces) - 1) * size < 3 * len(fixtures)
    turns = [[f.seed for f in fixtures[:: len(fixtures) // seeds]].index(f.seed) // ROUND for p in pieces for f in p]
    assert turns == sorted(turns)  # so many seeds of all pairings, then the next


@pytest.mark.parametrize(
    ("count", "seeds", "most"), [(24, 1, 24), (24, 8, 8), (24, 100, 12), (200, 1, 24), (2, 500, 2)]
)
def test_batches_are_of_few_agents(count, seeds, most):
    """In the order of the round robin a batch of 256 would have all of 24 agents, and 130 of 200."""
    fixtures = round_robin("g", [f"{k:03d}" for k in range(count)], 2, seeds, seed=0)
    pieces = batches(fixtures, 256)
    assert max(len({agent for f in piece for agent in f.agents}) for piece in pieces) <= most
    assert len(pieces) <= 2 + 1.3 * len(fixtures) / 256


def test_batches_of_nothing():
    assert batches([], 256) == []
