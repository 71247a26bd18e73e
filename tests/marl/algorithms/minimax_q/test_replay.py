"""Decisions with the positions after them: turns, simultaneous moves, ends, truncation, both seats."""

from dataclasses import replace

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold
from games.registry import make
from games.vector import vectorize
from marl.algorithms.minimax_q.replay import StageReplay, decisions
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout
from tests.marl.algorithms.minimax_q.games import Chain

GOOFSPIEL = "openspiel:goofspiel(num_cards=3,points_order=descending,returns_type=point_difference)"


def played(venv, steps=24, key=3):
    roster = [Random(venv.spec)]
    carry = Carry(venv, roster, fold(key, 0), fold(key, np.arange(venv.num_envs)))
    return rollout(venv, roster, np.zeros((venv.num_envs, 2), np.int64), carry, steps)


def test_both_players_see_the_same_decision_from_their_seats():
    rows = decisions(played(make(GOOFSPIEL, 4)), {0})
    zero, one = (np.flatnonzero(rows["player"] == player) for player in (0, 1))
    assert len(zero) == len(one) > 20
    assert (rows["reward"][zero] == -rows["reward"][one]).all() and rows["reward"].any()
    assert (rows["action"][zero] == rows["other_action"][one]).all()
    assert (rows["legal"][zero] == rows["other_legal"][one]).all()
    assert (rows["next_player"] == rows["player"]).all()
    going = zero[~rows["done"][zero]]
    used = rows["legal"][going] & ~rows["next_legal"][going]
    assert (used.argmax(1) == rows["action"][going]).all() and (used.sum(1) == 1).all()
    hands, points = rows["obs"][zero], rows["next_obs"][zero]
    assert hands.shape == points.shape and not (hands[~rows["done"][zero]] == points[~rows["done"][zero]]).all(1).any()
    assert rows["start"].sum() >= 2 * 4 and (rows["legal"][rows["start"]].all(1)).all()


def test_turns_are_seen_by_whoever_moves_next():
    rows = decisions(played(make("openspiel:tic_tac_toe", 3)), {0})
    going = ~rows["done"]
    assert (rows["next_player"][going] == 1 - rows["player"][going]).all()
    assert (rows["other_legal"] == (np.arange(9) == 0)).all() and (rows["other_action"] == 0).all()
    assert (rows["next_other_legal"] == (np.arange(9) == 0)).all()
    assert set(rows["reward"][~going].tolist()) <= {-1.0, 0.0, 1.0} and not rows["reward"][going].any()
    assert (rows["reward"][~going] >= 0).all()  # whoever makes the last move wins or draws


def test_a_constant_sum_is_a_zero_sum():
    """Halves of the difference: 3 and 1 are 1 and -1."""
    trajectory = played(vectorize(Chain(2), 2))
    rows = decisions(trajectory, {0})
    shifted = decisions(replace(trajectory, reward=trajectory.reward + 7), {0})
    assert (rows["reward"] == shifted["reward"]).all() and rows["reward"].any()


def test_decisions_before_a_truncation_are_left_out():
    trajectory = played(make(GOOFSPIEL, 4))
    cut = trajectory.terminated.copy()
    ends = cut.all(2)
    left = decisions(replace(trajectory, terminated=np.zeros_like(cut), truncated=cut), {0})
    whole = decisions(trajectory, {0})
    assert ends.any() and not left["done"].any()
    assert len(left["player"]) == len(whole["player"]) - whole["done"].sum()


def test_only_ones_own_decisions():
    trajectory = played(make(GOOFSPIEL, 4))
    seats = np.broadcast_to(np.arange(2), trajectory.seating.shape)
    mine = decisions(replace(trajectory, seating=seats), {1})
    assert (mine["player"] == 1).all() and mine["other_action"].any()


def test_the_newest_stay():
    replay = StageReplay(make(GOOFSPIEL, 1).spec, 50, heads=2)
    trajectory = played(make(GOOFSPIEL, 8))
    rows = decisions(trajectory, {0})
    assert len(rows["player"]) > 100
    replay.add(replace(trajectory), {0})
    assert len(replay) == 50 and (replay.rows["solved"] == -1).all() and replay.rows["value"].shape == (50, 2)
    total = len(rows["player"])
    newest = (np.arange(total - 50, total)) % 50
    assert (replay.rows["action"][newest] == rows["action"][-50:]).all()
    other = StageReplay(make(GOOFSPIEL, 1).spec, 50, heads=2)
    other.load_state(replay.state())
    places = other.draw(20, 5)
    assert all((other.at(places)[name] == column).all() for name, column in replay.at(places).items())
    for capacity in (30, 80):
        other = StageReplay(make(GOOFSPIEL, 1).spec, capacity, heads=2)
        other.load_state(replay.state())
        kept = min(capacity, 50)
        assert len(other) == kept and (other.rows["obs"] == rows["obs"][-kept:]).all()
    with pytest.raises(UserError, match="set replay_positions to"):
        StageReplay(make("openspiel:goofspiel", 1).spec, 2**31 - 1, heads=1)
