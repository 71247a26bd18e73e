"""Who sits where: every seat by turns, and the share that was asked for."""

import numpy as np
import pytest

from marl.rollout.seating import by_turns, self_play


def seated(num_envs, players, actors, opponents, share):
    return by_turns(self_play(num_envs, players, actors), range(actors), actors, opponents, share)


def test_without_opponents_the_learner_holds_every_seat():
    assert (seated(5, 3, 1, 0, 0.5) == 0).all()
    assert seated(4, 2, 2, 0, 1.0).tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert seated(2, 2, 1, 0, 0.5).dtype == np.int64


def test_who_leads_keeps_its_seat_and_others_do_not():
    own = np.array([[0, 1], [2, 0], [0, 2], [1, 0]])  # 0 learns, against two past selves
    assert by_turns(own, [0], 3, 1, 0.5).tolist() == [[0, 3], [3, 0], [0, 2], [1, 0]]


def test_several_leaders_of_a_row_stay_by_turns():
    """Two learners at one table: each keeps each seat."""
    own = np.array([[0, 1], [1, 0]] * 2)
    assert by_turns(own, [0, 1], 2, 1, 1.0).tolist() == [[0, 2], [1, 2], [2, 1], [2, 0]]


@pytest.mark.parametrize("share, mixed", [(0.0, 0), (0.25, 6), (0.5, 12), (1.0, 24)])
def test_the_share_of_environments_is_mixed(share, mixed):
    seating = seated(24, 2, 1, 2, share)
    assert (seating != 0).any(1).sum() == mixed
    assert (seating[mixed:] == 0).all()


def test_by_hand():
    """Two players, two opponents: the learner's seat alternates, and each opponent meets it in both."""
    assert seated(6, 2, 1, 2, 4 / 6).tolist() == [[0, 2], [1, 0], [0, 1], [2, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("players", [2, 3, 4])
@pytest.mark.parametrize("actors", [1, 2, 3])
@pytest.mark.parametrize("opponents", [1, 2, 3])
def test_every_actor_holds_every_seat_against_every_opponent(players, actors, opponents):
    num_envs = players * actors * opponents * 2
    seating = seated(num_envs, players, actors, opponents, 1.0)
    for actor in range(actors):
        rows = seating[(seating == actor).any(1)]
        assert ((rows < actors).sum(1) == 1).all()  # it holds one seat, and no other actor sits there
        assert (rows == actor).sum(0).tolist() == [2 * opponents] * players
        for place in range(players):
            met = set(rows[rows[:, place] == actor].ravel().tolist()) - {actor}
            assert met == set(range(actors, actors + opponents))


def test_one_player_plays_alone():
    assert (seated(4, 1, 1, 2, 0.5) == 0).all()
