"""The two-step game pays 7 behind the first door, and 0, 1, 1 or 8 behind the second."""

import numpy as np
import pytest

from games.check import check_game
from games.registry import make
from tests.games.native.play import play


@pytest.mark.parametrize("first", [0, 1])  # what player 1 chooses first changes nothing
def test_all_joint_actions(first):
    second = [(0, 0), (0, 1), (1, 0), (1, 1)]
    left, _ = play(make("two_step", 4), [[(0, first)] * 4, second])
    right, venv = play(make("two_step", 4), [[(1, first)] * 4, second])
    assert (left[0] == 0).all() and (left[1] == 7).all()
    assert (right[0] == 0).all() and right[1].tolist() == [[0, 0], [1, 1], [1, 1], [8, 8]]
    assert venv.timestep.terminated.all()


def test_both_players_see_the_state():
    venv = make("two_step", 2)
    assert venv.reset(np.zeros(2, np.uint64)).obs.argmax(2).tolist() == [[0, 0], [0, 0]]
    step = venv.step(np.array([[0, 1], [1, 0]]))
    assert step.obs.argmax(2).tolist() == [[1, 1], [2, 2]] and step.global_state.argmax(1).tolist() == [1, 2]


def test_it_keeps_its_promises():
    assert check_game("two_step").passed
