from itertools import combinations

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties import examples
from tournaments.schedules.pairings import largest_matching, pair_neighbours

graphs = st.integers(1, 6).flatmap(
    lambda half: st.tuples(st.just(2 * half), st.sets(st.sampled_from(list(combinations(range(2 * half), 2)))))
)


@given(graphs)
@settings(max_examples=examples(200))
def test_matchings_are_as_large_as_those_of_networkx(graph):
    places, edges = graph
    joined = {pair: pair in edges for pair in combinations(range(places), 2)}
    wanted = len(networkx.max_weight_matching(networkx.Graph(list(edges)), maxcardinality=True))
    assert largest_matching(range(places), joined) == wanted


@given(graphs)
@settings(max_examples=examples(100))
def test_no_pairing_is_repeated_that_could_be_avoided(graph):
    """As many pairs are new as there can be, and each place is paired once."""
    places, fresh = graph
    pairs = pair_neighbours(places, lambda i, j: 0 if (min(i, j), max(i, j)) in fresh else 1)
    assert sorted(place for pair in pairs for place in pair) == list(range(places))
    joined = {pair: pair in fresh for pair in combinations(range(places), 2)}
    assert sum(pair in fresh for pair in pairs) == largest_matching(range(places), joined)


def test_neighbours_meet():
    assert pair_neighbours(6, lambda i, j: 0) == [(0, 1), (2, 3), (4, 5)]
    met = {(0, 1), (2, 3)}
    assert pair_neighbours(4, lambda i, j: (min(i, j), max(i, j)) in met) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("places", [0, 2])
def test_few_places(places):
    assert pair_neighbours(places, lambda i, j: 3) == [(0, 1)][: places // 2]
