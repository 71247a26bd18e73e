"""Any game as a batch: the same episodes whatever the batch, next-step reset, and OpenSpiel's written-out step."""

import numpy as np
import pytest

from games.adapters.openspiel import OpenSpielGame
from games.check import FIELDS, record
from games.errors import GameFailed
from games.keys import fold
from games.vector import GameEnv, Vector, vectorize
from tests.games.plugin import Nim

GAMES = ["tic_tac_toe", "connect_four", "leduc_poker", "kuhn_poker", "goofspiel", "pig", "hearts", "oshi_zumo", "go"]


@pytest.mark.parametrize("name", GAMES)
def test_the_written_out_step_equals_the_plain_one(name):
    game = OpenSpielGame(name, **({"board_size": 5} if name == "go" else {}))
    seeds = fold(1, np.arange(4))
    fast = record(vectorize(game, 4), seeds, 6)
    plain = record(Vector(game.spec, lambda row: GameEnv(game, row), 4), seeds, 6)
    for field in FIELDS:
        if field == "obs":  # a view is fresh where its player acts, or the episode is over
            fresh = fast.acting | fast.last[:, :, None]
            assert (fast.obs[fresh] == plain.obs[fresh]).all()
        else:
            assert (fast.seen[field] == plain.seen[field]).all(), field


def test_episodes_follow_by_themselves_from_folded_seeds():
    venv = vectorize(OpenSpielGame("tic_tac_toe"), 2)
    play = record(venv, np.array([5, 6], np.uint64), 8)
    opened = [play.seed[t, 0] for t in np.flatnonzero(play.first[:, 0])]
    assert opened[:3] == [5, *fold(5, np.arange(1, 3))]


def test_reset_of_chosen_environments_leaves_the_others_alone():
    venv = vectorize(OpenSpielGame("connect_four"), 3)
    venv.reset(np.arange(3, dtype=np.uint64))
    venv.step(np.full((3, 2), 3))
    timestep = venv.reset(np.array([9, 9, 9], np.uint64), np.array([False, True, False]))
    assert timestep.first.tolist() == [False, True, False]
    assert timestep.seed.tolist() == [0, 9, 2]
    assert timestep.acting.tolist() == [[False, True], [True, False], [False, True]]


@pytest.mark.parametrize("name", ["tic_tac_toe", "pig", "goofspiel", "kuhn_poker"])
def test_an_episode_is_the_same_whatever_the_batch(name):
    game, seeds = OpenSpielGame(name), fold(3, np.arange(8))
    many = record(vectorize(game, 8), seeds, 24)
    for e in range(8):
        alone = record(vectorize(game, 1), seeds[e : e + 1], 2)
        length = min(len(alone.seed), len(many.seed))
        for field in FIELDS:
            same = alone.seen[field][:length, 0] == many.seen[field][:length, e]
            assert (same | ~alone.fresh[:length, 0] if field == "obs" else same).all(), field


def test_chance_comes_from_the_seed_alone():
    game = OpenSpielGame("pig")
    opened = record(vectorize(game, 1), np.array([11], np.uint64), 1)
    venv = vectorize(game, 2)
    record(venv, np.array([1, 2], np.uint64), 1)  # whatever was played before
    again = record(venv, np.array([2, 11], np.uint64), 2)
    length = min(len(opened.seed), len(again.seed))
    assert (opened.obs[:length, 0] == again.obs[:length, 1])[opened.fresh[:length, 0]].all()
    other = record(vectorize(game, 1), np.array([12], np.uint64), 1)
    assert len(other.seed) != len(opened.seed) or (other.obs != opened.obs).any()


def test_a_reset_in_the_middle_of_an_episode_leaves_nothing_behind():
    game = OpenSpielGame("leduc_poker")
    venv = vectorize(game, 2)
    venv.reset(np.array([1, 2], np.uint64))
    venv.step(np.ones((2, 2), int))
    reset = venv.reset(np.array([9, 7], np.uint64), np.array([False, True]))
    fresh = vectorize(game, 1).reset(np.array([7], np.uint64))
    player = fresh.acting[0]
    assert (reset.obs[1][player] == fresh.obs[0][player]).all()
    assert (reset.action_mask[1] == fresh.action_mask[0]).all() and not reset.reward[1].any()
    over = venv.step(np.ones((2, 2), int)).seed.tolist()
    assert over == [1, 7]


def test_a_game_over_before_anyone_moves_is_refused():
    game = Nim(stones=0)
    with pytest.raises(GameFailed, match="at least one decision"):
        vectorize(game, 1).reset(np.zeros(1, np.uint64))


def test_states_are_clones():
    venv = vectorize(OpenSpielGame("tic_tac_toe"), 2)
    venv.reset(np.arange(2, dtype=np.uint64))
    (state,) = venv.states(np.array([1]))
    state.apply([4, 4])
    assert venv.states(np.array([1]))[0].legal_actions(0) == list(range(9))


def test_the_step_after_the_last_ignores_its_actions():
    venv = vectorize(OpenSpielGame("matrix_pd"), 1)
    venv.reset(np.zeros(1, np.uint64))
    last = venv.step(np.array([[0, 1]]))
    assert last.last.all() and not last.acting.any()
    assert last.reward.tolist() == [[0.0, 10.0]]
    first = venv.step(np.array([[99, 99]]))
    assert first.first.all() and first.acting.all() and not first.reward.any()
