from itertools import combinations

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties import examples
from tournaments.schedules.pairings import largest_matching, pair_neighbours, size_of

graphs = st.integers(1, 6).flatmap(
    lambda half: st.tuples(st.just(2 * half), st.sets(st.sampled_from(list(combinations(range(2 * half), 2)))))
)


def neighbours(places, edges):
    return [[j for j in range(places) if (min(i, j), max(i, j)) in edges] for i in range(places)]


def size_of_networkx(edges):
    return len(networkx.max_weight_matching(networkx.Graph(list(edges)), maxcardinality=True))


@given(graphs)
@settings(max_examples=examples(200))
def test_matchings_are_as_large_as_those_of_networkx(graph):
    places, edges = graph
    mate = largest_matching(neighbours(places, edges))
    assert all(w < 0 or (mate[w] == v and (min(v, w), max(v, w)) in edges) for v, w in enumerate(mate))
    assert size_of(mate) == size_of_networkx(edges)


@given(graphs)
@settings(max_examples=examples(100))
def test_no_pairing_is_repeated_that_could_be_avoided(graph):
    """As many pairs are new as there can be, and each place is paired once."""
    places, fresh = graph
    pairs = pair_neighbours(places, lambda i, j: 0 if (min(i, j), max(i, j)) in fresh else 1)
    assert sorted(place for pair in pairs for place in pair) == list(range(places))
    assert sum(pair in fresh for pair in pairs) == size_of_networkx(fresh)
    for number, (first, other) in enumerate(pairs):  # the nearest opponent with whom that can be reached
        left = {place for pair in pairs[number:] for place in pair}
        among = {pair for pair in fresh if left.issuperset(pair)}
        for nearer in sorted(left - {first}, key=lambda j: ((first, j) not in fresh, j)):
            rest = {pair for pair in among if not {first, nearer} & {*pair}}
            if size_of_networkx(rest) + ((first, nearer) in fresh) == size_of_networkx(among):
                break
        assert nearer == other


def test_neighbours_meet():
    assert pair_neighbours(6, lambda i, j: 0) == [(0, 1), (2, 3), (4, 5)]
    met = {(0, 1), (2, 3)}
    assert pair_neighbours(4, lambda i, j: (min(i, j), max(i, j)) in met) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("places", [0, 2])
def test_few_places(places):
    assert pair_neighbours(places, lambda i, j: 3) == [(0, 1)][: places // 2]
