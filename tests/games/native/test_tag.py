"""Tag: moves, ends and payoffs by hand, and what players see."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.native.tag import Tag
from games.registry import make

STAY, UP, DOWN, LEFT, RIGHT = range(5)


@pytest.mark.parametrize("game", ["tag", "tag(chasers=3, size=3, turns=4)", "tag(chasers=1, size=2)"])
def test_it_keeps_the_contract(game):
    report = check_game(game)
    assert report.passed, str(report)


def tag(*cells, **arguments):
    """Return a game whose chasers stand on cells, which are numbered row by row."""
    state = Tag(chasers=len(cells), **arguments).initial_state()
    for cell in cells:
        assert state.acting() == ()
        state.apply_chance(cell)
    return state


def test_who_is_in_which_team():
    spec = make("tag(chasers=3)", 1).spec
    assert spec.teams == ((0, 1, 2), (3,)) and spec.sides == 2 and spec.return_bounds == (-3.0, 3.0)


def test_a_chaser_on_the_runners_cell_catches_it():
    state = tag(3, 0, size=3)  # left of the runner, and in a corner
    state.apply([RIGHT, STAY, STAY])
    assert state.is_terminal() and state.returns() == (1, 1, -2)


def test_a_chaser_that_exchanges_cells_with_the_runner_catches_it():
    state = tag(3, 0, size=3)
    state.apply([RIGHT, STAY, LEFT])
    assert state.is_terminal() and state.returns() == (1, 1, -2)


def test_a_runner_that_gets_away_wins_at_the_end():
    state = tag(3, 0, size=3, turns=2)
    state.apply([RIGHT, STAY, RIGHT])
    assert not state.is_terminal() and state.returns() == (0, 0, 0)
    state.apply([STAY, STAY, STAY])
    assert state.is_terminal() and state.returns() == (-1, -1, 2) and state.acting() == ()


def test_walls_bar_the_way_and_cells_hold_several():
    state = tag(0, 0, size=3)
    assert state.legal_actions(0) == [STAY, DOWN, RIGHT] and state.legal_actions(2) == [STAY, UP, DOWN, LEFT, RIGHT]
    state.apply([DOWN, DOWN, UP])
    assert state.cells == ((1, 0), (1, 0), (0, 1)) and "1.." in str(state)


def test_chasers_begin_anywhere_but_in_the_middle():
    outcomes = Tag(size=3).initial_state().chance_outcomes()
    assert [cell for cell, _ in outcomes] == [0, 1, 2, 3, 5, 6, 7, 8] and sum(p for _, p in outcomes) == pytest.approx(
        1
    )


def test_a_view_has_its_own_cell_its_team_and_the_others():
    state, view = tag(0, 1, size=3, turns=4), np.ones(36, np.float32)
    state.apply([STAY, STAY, DOWN])
    state.observe(1, view)
    own, team, others, turns = view.reshape(4, 3, 3)
    assert own[0, 1] == team[0, 0] == others[2, 1] == own.sum() == team.sum() == others.sum() == 1
    assert (turns == 0.25).all()
    state.observe(2, view)
    own, team, others, _ = view.reshape(4, 3, 3)
    assert own[2, 1] == 1 and team.sum() == 0 and others[0, :2].tolist() == [1, 1]


def test_what_is_drawn_and_said():
    state = tag(0, 1, size=3)
    assert str(state) == "01.\n.@.\n...\nturn 0 of 10" and state.action_name(0, LEFT) == "left"
    assert "turn\xa00\xa0of\xa010" in state.draw(None).svg


@pytest.mark.parametrize("arguments", ["chasers=0", "size=1", "turns=0"])
def test_bad_arguments(arguments):
    with pytest.raises(UserError, match="expected chasers >= 1, size >= 2 and turns >= 1"):
        make(f"tag({arguments})", 1)
