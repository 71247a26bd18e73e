"""Predator and prey: captures, punishment, moves and views by hand, and what random play looks like."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.native.predator_prey import CATCH, HUNTERS, PREY, STAY, PredatorPrey
from games.random_play import random_actions
from games.registry import make

RIGHT, DOWN, LEFT, UP = range(4)


def place(board: str, punishment: float = -2.0, copies: int = 1) -> PredatorPrey:
    """Build copies of a position from text: digits are predators, @ is prey."""
    rows = board.split()
    size, flat = len(rows), "".join(rows)
    predators, prey = sum(c.isdigit() for c in flat), flat.count("@")
    venv = PredatorPrey(copies, size=size, predators=predators, prey=prey, punishment=punishment, horizon=9)
    venv.reset(np.arange(copies, dtype=np.uint64))
    venv.hunter[:] = [venv._cells[flat.index(str(k))] for k in range(predators)]
    venv.prey[:] = [venv._cells[k] for k, c in enumerate(flat) if c == "@"]
    venv.grid[:] = False
    venv.grid[HUNTERS][:, venv.hunter[0]] = True
    venv.grid[PREY][:, venv.prey[0]] = True
    venv.look()
    return venv


def test_two_catch_and_leave():
    venv = place(".... .0@1 ..2. ....")
    step = venv.step(np.array([[CATCH, CATCH, STAY]]))
    assert (step.reward == 10).all() and step.terminated.all() and not venv.alive.any()
    assert venv.hunting[0].tolist() == [False, False, True] and venv.render(0).count("2") == 1
    assert not venv.timestep.obs[0, :2].any() and venv.legal[0, 0].tolist() == [False] * 4 + [True, False]


def test_all_three_catchers_leave():
    venv = place(".... .0@1 ..2. ....")
    step = venv.step(np.array([[CATCH, CATCH, CATCH]]))
    assert (step.reward == 10).all() and not venv.hunting.any()


def test_one_catch_is_punished_and_the_prey_walks():
    venv = place("... 0@. ..1", copies=200)
    step = venv.step(np.tile([CATCH, STAY], (200, 1)))
    assert (step.reward == -2).all() and venv.alive.all() and venv.hunting.all() and not step.last.any()
    away = (venv.prey[:, 0] - place("... 0@. ..1").prey[0, 0]).tolist()
    assert set(away) == {1, venv.width, -venv.width}  # right, down, up: the predator bars the left
    counts = [away.count(step) / 200 for step in set(away)]
    assert max(abs(share - 1 / 3) for share in counts) < 0.12


def test_a_prey_without_a_way_stays():
    venv = place("@0. 1.. ...")
    venv.step(np.array([[STAY, STAY]]))
    assert venv.render(0).split() == ["@0.", "1..", "..."]


def test_two_prey_of_one_lone_catcher_cost_twice():
    venv = place("... @0@ ... ", punishment=-1.5)
    assert venv.step(np.array([[CATCH]])).reward.tolist() == [[-3.0]]


def test_captors_catch_once():
    """Two catchers beside two prey take one of them and leave; nobody is left to be punished for the other."""
    venv = place(".... .0@. .@1. ....", copies=50)
    step = venv.step(np.full((50, 2), CATCH))
    assert (step.reward == 10).all() and (venv.alive.sum(1) == 1).all() and step.terminated.all()
    assert abs(venv.alive[:, 0].mean() - 0.5) < 0.25  # whose turn comes first is random


def test_nobody_shares_a_cell_and_walls_hold():
    venv = place("01. ... ..@", copies=100)
    venv.step(np.tile([RIGHT, LEFT], (100, 1)))  # each bars the other
    assert all(venv.render(e).split()[0] == "01." for e in range(100))
    venv.step(np.tile([UP, RIGHT], (100, 1)))
    assert all(venv.render(e)[0] == "0" for e in range(100))


def test_the_first_to_move_takes_the_free_cell():
    venv = place("0.1 ... ..@", copies=400)
    venv.step(np.tile([RIGHT, LEFT], (400, 1)))
    won = np.mean([venv.render(e)[1] == "0" for e in range(400)])
    assert abs(won - 0.5) < 0.08


def test_masks():
    venv = place("0@. ..1 ...")
    assert venv.legal[0, 0].tolist() == [True, True, False, False, True, True]
    assert venv.legal[0, 1].tolist() == [False, True, True, True, True, False]


def test_a_view_is_a_window_around_its_player():
    venv = place("0.... @.... ..... ....1 .....")
    predators, prey = venv.timestep.obs[0, 0]
    assert np.argwhere(predators).tolist() == [[2, 2]] and np.argwhere(prey).tolist() == [[3, 2]]
    assert np.argwhere(venv.timestep.obs[0, 1][PREY]).tolist() == []
    state = venv.timestep.global_state[0].reshape(2, 5, 5)
    assert np.argwhere(state[HUNTERS]).tolist() == [[0, 0], [3, 4]] and np.argwhere(state[PREY]).tolist() == [[1, 0]]


def test_the_board_stays_in_order():
    """Over random play: the grid is what the lists of creatures say, and nobody is where another is."""
    venv = make("predator_prey(size=5, predators=4, prey=4, horizon=40)", 64)
    timestep, age = venv.reset(np.arange(64, dtype=np.uint64)), np.zeros(64, np.int64)
    captures = 0
    for _ in range(120):
        timestep = venv.step(random_actions(venv.spec, timestep, age))
        age = np.where(timestep.first, 0, age + 1)
        captures += int((timestep.reward[:, 0] >= 10).sum())
        for plane, cells, there in ((HUNTERS, venv.hunter, venv.hunting), (PREY, venv.prey, venv.alive)):
            grid = np.zeros_like(venv.grid[plane])
            env, who = np.nonzero(there)
            grid[env, cells[env, who]] = True
            assert (grid == venv.grid[plane]).all() and (grid.sum(1) == there.sum(1)).all()
        assert not (venv.grid[HUNTERS] & venv.grid[PREY]).any() and not venv.grid[:, :, venv._wall].any()
    assert captures > 20


def test_it_keeps_its_promises():
    for reference in ("predator_prey(horizon=30)", "predator_prey(size=5, predators=2, prey=1, horizon=30)"):
        report = check_game(reference)
        assert report.passed, str(report)
    assert make("predator_prey", 1).spec.return_bounds[1] == 40


@pytest.mark.parametrize("punishment, bounds", [(2, (0, 10 + 2 * 3 * 30)), (-2, (-2 * 3 * 30, 10))])
def test_every_prey_may_be_tried_for_at_every_step(punishment, bounds):
    reference = f"predator_prey(size=3, predators=3, prey=3, punishment={punishment}, horizon=30)"
    report = check_game(reference)
    assert report.passed and make(reference, 1).spec.return_bounds == bounds, str(report)


@pytest.mark.parametrize("arguments", ["predators=0", "prey=0", "sight=0", "horizon=0", "size=3"])
def test_bad_arguments(arguments):
    with pytest.raises(UserError, match="expected"):
        make(f"predator_prey({arguments})", 1)
