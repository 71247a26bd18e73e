"""What is known of a learner: games by hand, ancestors that count less, training episodes, agents that forfeit."""

import numpy as np
import pytest

from marl.training.pfsp import Tally
from tests.tournaments.populations.leagues import evidence, frozen, main
from tournaments.populations.league.evidence import Learner

A = frozen("a")


def test_a_win_rate_by_hand():
    """Ten pairs are twenty games, of which 14 were won: (14 + 1) / (20 + 2)."""
    found = evidence({("m0", "a"): 0.7})
    assert found.tally(main("m0"), A) == Tally(20, 14)
    assert found.win_rate(main("m0"), A) == pytest.approx(15 / 22)


def test_an_opponent_that_was_not_met_has_one_half():
    found = evidence({("m0", "a"): 0.7})
    assert found.win_rate(main("m0"), frozen("b")) == 0.5
    assert found.win_rate(main(), A) == 0.5  # no checkpoint yet
    assert found.win_rate(main("m0"), main("m0")) == 0.5  # itself


def test_a_cell_of_draws_is_one_half():
    """Trap: nothing is divided by the number of decided games."""
    assert evidence({("m0", "a"): 0.5}).win_rate(main("m0"), A) == 0.5


@pytest.mark.parametrize(("score", "rate"), [(0.0, 1 / 22), (1.0, 21 / 22)])
def test_no_win_rate_is_certain(score, rate):
    assert evidence({("m0", "a"): score}).win_rate(main("m0"), A) == pytest.approx(rate)


def test_games_of_earlier_checkpoints_count_less_with_each_round():
    scores = {("m0", "a"): 0.5, ("m1", "a"): 1.0, ("m2", "a"): (0.0, 20)}
    found = evidence(scores).tally(main("m0", "m1", "m2"), A)
    assert found == Tally(20 + 20 / 2 + 40 / 4, 10 + 20 / 2 + 0)


def test_a_checkpoint_that_did_not_change_counts_once():
    assert evidence({("m0", "a"): 0.5}).tally(main("m0", "m0", "m0"), A) == Tally(20, 10)


def test_learners_are_compared_as_they_were_in_the_same_round():
    scores = {("m0", "n0"): 0.75, ("m1", "n1"): 0.25, ("m1", "n0"): 1.0}
    found = evidence(scores).tally(main("m0", "m1", "m2"), Learner("n", "main", ("n0", "n1")))
    assert found == Tally(20 + 20 / 2, 15 + 5 / 2)


def test_training_counts_as_of_one_round_back():
    found = evidence({("m0", "a"): 0.5}, {"main-0": {"a": Tally(100, 90)}})
    assert found.tally(main("m0"), A) == Tally(20 + 50, 10 + 45)
    assert found.tally(main(), A) == Tally()  # after a reset they are another agent's
    assert found.tally(Learner("other", "main", ("m0",)), A) == Tally(20, 10)


def test_training_against_a_learner_was_against_its_checkpoint_of_the_round_before():
    found = evidence({("m0", "n0"): 0.5}, {"main-0": {"n1": Tally(100, 90), "n0": Tally(100, 0)}})
    assert found.tally(main("m0"), Learner("n", "main", ("n0", "n1"))) == Tally(20 + 50, 10 + 45)


def test_training_without_episodes_says_nothing():
    assert evidence({}, {"main-0": {"a": Tally(0, 0)}}).win_rate(main("m0"), A) == 0.5


def test_who_forfeits_every_game_is_not_met():
    """Trap: a stranger that forfeits every game is not the easiest to beat."""
    scores = {("m0", "a"): 1.0, ("m0", "b"): 1.0}
    found = evidence(scores, forfeiters=["a"])
    assert found.forfeiters == {"a"}
    assert list(found.candidates(main("m0"), [A, frozen("b")]).digests) == ["b"]
    assert evidence(scores).forfeiters == set()
    assert evidence(scores, pairs=1, forfeiters=["a"]).forfeiters == set()  # two games
    once = evidence(scores, forfeiters=["a"])
    once.table.forfeits[0, once.table.agents.index("a")] -= 1
    assert once.forfeiters == set()


def test_candidates_are_in_the_order_of_digests_and_once():
    found = evidence({("m0", "a"): 1.0, ("m0", "b"): 0.0, ("a", "b"): 0.75})
    given = [frozen("b", round=3), A, frozen("b", round=5), frozen("c")]
    for order in (given, given[::-1]):
        candidates = found.candidates(main("m0"), order)
        assert list(candidates.digests) == ["a", "b", "c"] and candidates.rounds.tolist() == [1, 5, 1]
        assert candidates.win_rates == pytest.approx([21 / 22, 1 / 22, 0.5])
        nan = np.nan  # c has no games
        np.testing.assert_array_equal(candidates.payoffs(), [[0, 0.5, nan], [-0.5, 0, nan], [nan, nan, 0]])


def test_cells_are_of_two_digests_whatever_characters_they_have():
    """Trap: a cell's name that joins 'a-b' and 'c', or 'a' and 'b-c'."""
    found = evidence({("a-b", "c"): 1.0, ("a", "b-c"): 0.0})
    assert found.win_rate(main("a-b"), frozen("c")) == pytest.approx(21 / 22)
    assert found.win_rate(main("a"), frozen("b-c")) == pytest.approx(1 / 22)
    assert found.win_rate(main("a"), frozen("c")) == 0.5
