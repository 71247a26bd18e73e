"""Who sits where: every seat by turns, the share that was asked for, and what a population folder says."""

import json

import numpy as np
import pytest

from games.errors import UserError
from marl import population
from tests.marl.test_checkpoint import written


def seat(num_envs, players, actors, opponents, share):
    own = population.self_play(num_envs, players, actors)
    return population.seat(own, range(actors), actors, opponents, share)


def test_without_opponents_the_learner_holds_every_seat():
    assert (seat(5, 3, 1, 0, 0.5) == 0).all()
    assert seat(4, 2, 2, 0, 1.0).tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert seat(2, 2, 1, 0, 0.5).dtype == np.int64


def test_who_leads_keeps_its_seat_and_others_do_not():
    own = np.array([[0, 1], [2, 0], [0, 2], [1, 0]])  # 0 learns, against two past selves
    assert population.seat(own, [0], 3, 1, 0.5).tolist() == [[0, 3], [3, 0], [0, 2], [1, 0]]


def test_several_leaders_of_a_row_stay_by_turns():
    """Two learners at one table: each keeps each seat."""
    own = np.array([[0, 1], [1, 0]] * 2)
    assert population.seat(own, [0, 1], 2, 1, 1.0).tolist() == [[0, 2], [1, 2], [2, 1], [2, 0]]


@pytest.mark.parametrize("share, mixed", [(0.0, 0), (0.25, 6), (0.5, 12), (1.0, 24)])
def test_the_share_of_environments_is_mixed(share, mixed):
    seating = seat(24, 2, 1, 2, share)
    assert (seating != 0).any(1).sum() == mixed
    assert (seating[mixed:] == 0).all()


def test_by_hand():
    """Two players, two opponents: the learner's seat alternates, and each opponent meets it in both."""
    assert seat(6, 2, 1, 2, 4 / 6).tolist() == [[0, 2], [1, 0], [0, 1], [2, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("players", [2, 3, 4])
@pytest.mark.parametrize("actors", [1, 2, 3])
@pytest.mark.parametrize("opponents", [1, 2, 3])
def test_every_actor_holds_every_seat_against_every_opponent(players, actors, opponents):
    num_envs = players * actors * opponents * 2
    seating = seat(num_envs, players, actors, opponents, 1.0)
    for actor in range(actors):
        rows = seating[(seating == actor).any(1)]
        assert ((rows < actors).sum(1) == 1).all()  # it holds one seat, and no other actor sits there
        assert (rows == actor).sum(0).tolist() == [2 * opponents] * players
        for place in range(players):
            met = set(rows[rows[:, place] == actor].ravel().tolist()) - {actor}
            assert met == set(range(actors, actors + opponents))


def test_one_player_plays_alone():
    assert (seat(4, 1, 1, 2, 0.5) == 0).all()


def test_write_and_read(tmp_path):
    folders = {name: written(tmp_path / "members" / name, key=key)[0] for key, name in enumerate(("a", "b"))}
    population.write(tmp_path, {name: tmp_path / "members" / name for name in folders})
    assert population.members(tmp_path) == folders
    first, second = json.loads((tmp_path / "population.json").read_text())["members"]
    assert first["digest"] != second["digest"] and first["parent"] is None and first["step"] == 5


def test_a_member_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match="the member 'a' has no checkpoint"):
        population.write(tmp_path, {"a": tmp_path / "a"})


@pytest.mark.parametrize("text", [None, "{", "[]", '{"members": [{"id": "a"}]}', '{"members": 3}'])
def test_a_folder_that_is_no_population(tmp_path, text):
    if text is not None:
        (tmp_path / "population.json").write_text(text)
    with pytest.raises(UserError, match=r"holds no readable population\.json"):
        population.members(tmp_path)
