import numpy as np
import pytest

from games.keys import uniform_one
from games.registry import make
from marl.algorithms.zero.symmetry import symmetries, transform


@pytest.mark.parametrize("name", ["connect_four", "go(board_size=5)", "mnk(m=4,n=4,k=3)", "othello", "tic_tac_toe"])
def test_a_game_turned_over_is_the_same_game(name):
    """Play a game and, beside it, the same moves turned over: views and legal actions are turned over too."""
    venv = make(f"openspiel:{name}", 1)
    spec = venv.spec
    ways = symmetries(spec)
    assert len(ways) == (2 if name == "connect_four" else 8)
    for way in ways:
        if name == "othello" and (way.cell.reshape(-1)[[27, 28]] != [27, 28]).any() and way.cell[3, 3] in (28, 35):
            continue  # its four first stones lie turned over
        venv.reset(np.array([1], np.uint64))
        state = venv.states(np.array([0]))[0]
        twin = state.clone()
        where = np.argsort(way.action)  # an action's place on the board turned over
        for ply in range(40):
            if state.is_terminal():
                break
            assert not twin.is_terminal()
            player = state.acting()[0]
            views = np.zeros((2, int(np.prod(spec.observation.shape))), spec.observation.dtype)
            masks = np.zeros((2, spec.num_actions), bool)
            for view, mask, one in zip(views, masks, (state, twin), strict=True):
                one.observe(player, view)
                mask[one.legal_actions(player)] = True
            position = {
                "obs": views[:1].reshape(1, *spec.observation.shape),
                "action_mask": masks[:1],
                "policy": masks[:1] * 0.5,
                "action": np.arange(spec.num_actions)[None],
            }
            transform(position, way)
            assert (position["action"][0] == where).all()
            assert (position["obs"].reshape(-1) == views[1]).all()
            assert (position["action_mask"][0] == masks[1]).all()
            assert (position["policy"][0] == masks[1] * 0.5).all()
            legal = state.legal_actions(player)
            action = legal[int(uniform_one(ply + 77) * len(legal))]
            state.apply([action] * 2)
            twin.apply([int(where[action])] * 2)
        assert state.is_terminal() == twin.is_terminal()


def test_a_game_that_says_nothing_stays_as_it_is():
    spec = make("openspiel:breakthrough(rows=6,columns=6)", 1).spec
    (only,) = symmetries(spec)
    position = {
        "obs": np.ones((2, 3)),
        "action_mask": np.ones((2, spec.num_actions)),
        "policy": np.zeros((2, spec.num_actions)),
    }
    transform(position, only)
    assert position["obs"].shape == (2, 3)
    assert (only.action == np.arange(spec.num_actions)).all()


def test_a_long_board_is_not_turned():
    assert make("openspiel:mnk(m=5,n=3,k=3)", 1).spec.symmetry == ""
