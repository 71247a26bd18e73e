"""PSRO's pure functions: the meta-strategy of a table, whom a response meets, its gain, and which games come next."""

import numpy as np
import pytest

from tournaments.populations.meta_strategy import solve
from tournaments.populations.psro.config import GamesConfig
from tournaments.populations.psro.solution import gain_of, more_games, opponents
from tournaments.ratings.table import Table

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
GAMES = GamesConfig(at_least=10, at_most=40, batch=10, precision=0.02)


def table(first, error=0.0):
    """Return a table of a zero-sum game, from the payoffs in the first seat."""
    first = np.asarray(first, float)
    exact = Table.exact([f"m{k}" for k in range(len(first))], np.stack([first, -first.T]))
    exact.error[:] = np.stack([np.broadcast_to(error, first.shape), np.broadcast_to(error, first.shape).T])
    return exact


def solved(found, solver="nash"):
    return solve(found, found.agents, solver)


def test_a_table_is_solved_seat_by_seat():
    meta = solved(table([[3.0, 0], [1, 2]]))
    assert meta.weights == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]), abs=1e-6)
    assert meta.values == pytest.approx([1.5, -1.5])
    assert solved(table(RPS)).entropy == pytest.approx([np.log(3)] * 2)


def test_a_seat_that_is_worth_more_moves_no_weight():
    """Trap: a biased game in which the first seat always earns one more."""
    biased = solved(table(RPS + 1))
    assert biased.weights == pytest.approx(np.full((2, 3), 1 / 3), abs=1e-6)
    assert biased.values == pytest.approx([1, -1])


def test_members_of_little_weight_are_left_out():
    weights = solved(table([[1.0, 0], [0, 2000]])).weights
    assert (weights[:, 1] == 0).all() and weights[:, 0] == pytest.approx([1, 1])


def test_a_response_meets_the_mixture_of_the_other_seat():
    assert opponents({"a": [0.25, 0.5], "b": [0.75, 0.5]}) == {"a": [0.5, 0.25], "b": [0.5, 0.75]}
    meta = solved(table([[3.0, 0], [1, 2]]))
    assert opponents(meta.by_member(["a", "b"]))["a"] == pytest.approx([0.5, 0.25])


def test_a_members_gain_is_over_the_mixture_that_it_answers():
    """The third member, scissors, against paper in both seats: it wins each time where paper drew."""
    gain = gain_of(table(RPS, error=0.1), "m2", {"m1": [1.0, 1.0]})
    assert gain.mean.tolist() == [1, 1] and gain.error == pytest.approx([2**0.5 / 10] * 2)
    assert gain.clear and not gain_of(table(RPS, error=0.6), "m2", {"m1": [1.0, 1.0]}).clear


def test_a_response_that_gains_in_one_seat_is_told_by_seat():
    first = np.array([[0.0, 0, 0], [0, 0, 0], [0.5, 0, 0]])
    gain = gain_of(table(first), "m2", {"m0": [1.0, 1.0]})
    assert gain.mean.tolist() == [0.5, 0]
    biased = gain_of(table(first + 1), "m2", {"m0": [1.0, 1.0]})
    assert biased.mean.tolist() == [0.5, 0]


def test_games_go_to_the_cells_on_which_the_value_rests():
    pairs = np.full((3, 3), 10)
    found = table([[0.0, -1, 9], [1, 0, 9], [-9, -9, -9]], error=0.5)
    target = more_games(found, solved(found), pairs, GAMES)
    assert target is not None and (target == target.T).all()
    assert target[1, 1] == 20 and (np.delete(target.ravel(), 4) == 10).all()  # only the second member plays


def test_known_values_and_full_cells_need_no_more_games():
    found = table(RPS, error=0.5)
    meta = solved(found)
    assert more_games(found, meta, np.full((3, 3), 40), GAMES) is None
    assert more_games(found, meta, np.full((3, 3), 35), GAMES).max() == 40
    assert more_games(table(RPS), solved(table(RPS)), np.full((3, 3), 10), GAMES) is None


def test_a_thousand_members_of_equal_weight_all_stay():
    meta = solved(table(np.zeros((1001, 1001))), "uniform")
    assert (meta.weights > 0).all() and meta.weights.sum(1) == pytest.approx([1, 1])


def test_a_member_that_joined_twice_counts_twice_in_fictitious_play():
    meta = solve(table(RPS), ["m0", "m1", "m1", "m2"], "uniform")
    assert meta.weights.tolist() == [[0.25, 0.5, 0.25]] * 2
    assert solve(table(RPS), ["m0", "m1", "m1", "m2"], "nash").weights == pytest.approx(
        np.full((2, 3), 1 / 3), abs=1e-6
    )
