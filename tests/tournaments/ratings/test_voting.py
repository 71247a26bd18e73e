"""Games that vote: known elections, cycles, clones, and games that an agent has not played."""

import numpy as np
import pytest

from tournaments.ratings.voting import levels, maximal_lottery, soft_condorcet, votes


def election(ballots, names):
    """Return votes by ballots: how many, and their order."""
    scores = [[-float(order.index(name)) for name in names] for count, order in ballots for _ in range(count)]
    return votes(np.array(scores))


PENTATHLON = [(1, "ABC"), (1, "ACB"), (2, "CAB"), (1, "BCA")]


def test_the_pentathlon_of_meeples():
    """Elo puts A and C equal (146.5, 0, 146.5); C wins the vote against both others: C, A, B."""
    count = election(PENTATHLON, "ABC")
    assert maximal_lottery(count) == pytest.approx([0, 0, 1], abs=1e-6)
    assert levels(count).tolist() == [1, 2, 0]
    a, b, c = soft_condorcet(count)
    assert c > a > b


def test_a_maximal_lottery():
    count = election([(1, "abc"), (1, "acb"), (1, "bac")], "abc")
    assert (count - count.T).tolist() == [[0, 1, 3], [-1, 0, 1], [-3, -1, 0]]
    assert maximal_lottery(count) == pytest.approx([1, 0, 0], abs=1e-6)
    assert levels(count).tolist() == [0, 1, 2]


def test_a_cycle_of_votes_has_no_winner():
    count = election([(1, "abc"), (1, "bca"), (1, "cab")], "abc")
    assert maximal_lottery(count) == pytest.approx([1 / 3] * 3)
    assert levels(count).tolist() == [0, 0, 0]
    assert np.ptp(soft_condorcet(count)) == pytest.approx(0, abs=1e-6)


def test_copies_of_an_agent_do_not_lift_another():
    scores = np.array([[3.0, 2, 1], [1, 3, 2], [2, 1, 3]])
    copied = scores[:, [0, 0, 1, 2]]
    assert maximal_lottery(votes(copied)) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3], abs=1e-6)


def test_a_game_does_not_rank_who_has_not_played_it():
    count = votes(np.array([[1.0, 0, np.nan], [np.nan, 1, 0]]))
    assert count.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_permuted_agents_are_rated_the_same():
    scores = np.random.default_rng(0).normal(size=(7, 5))
    order = np.random.default_rng(1).permutation(5)
    one, other = votes(scores), votes(scores[:, order])
    assert levels(one)[order].tolist() == levels(other).tolist()
    assert soft_condorcet(one)[order] == pytest.approx(soft_condorcet(other), abs=1e-3)
