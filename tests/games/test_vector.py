"""Any game as a batch: the same episodes whatever the batch, next-step reset, and OpenSpiel's written-out step."""

import numpy as np
import pytest

from games.adapters.openspiel import OpenSpielGame
from games.check import FIELDS, record
from games.keys import fold
from games.vector import GameEnv, Vector, vectorize

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


def test_chance_comes_from_the_seed_alone():
    one = record(vectorize(OpenSpielGame("pig"), 1), fold(3, np.arange(1)), 1)
    many = record(vectorize(OpenSpielGame("pig"), 7), fold(3, np.arange(7)), 7)
    length = min(len(one.actions), len(many.actions))
    assert (one.obs[:length, 0][one.acting[:length, 0]] == many.obs[:length, 0][one.acting[:length, 0]]).all()


def test_the_step_after_the_last_ignores_its_actions():
    venv = vectorize(OpenSpielGame("matrix_pd"), 1)
    venv.reset(np.zeros(1, np.uint64))
    last = venv.step(np.array([[0, 1]]))
    assert last.last.all() and not last.acting.any()
    assert last.reward.tolist() == [[0.0, 10.0]]
    first = venv.step(np.array([[99, 99]]))
    assert first.first.all() and first.acting.all() and not first.reward.any()
