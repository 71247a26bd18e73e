"""OpenSpiel's search as an agent: it finds wins, draws by key, and refuses what it cannot search."""

import numpy as np
import pytest

from games.errors import UserError
from games.registry import make
from marl.agents.mcts import Mcts
from tests.marl.views import BOX, TTT, view


def position(moves):
    venv = make("openspiel:tic_tac_toe", 1)
    venv.reset(np.array([1], np.uint64))
    for move in moves:
        venv.step(np.array([[move, move]]))
    return venv.states(np.array([0]))[0]


def searched(moves, key=1, simulations=200):
    state = position(moves)
    legal = np.isin(np.arange(9), state.legal_actions(state.acting()[0]))
    return Mcts(TTT, simulations).act(view(1, legal, key, lambda: [state]), None)[0].action[0]


@pytest.mark.parametrize("key", [1, 2, 3])
def test_mcts_wins_and_blocks(key):
    """x plays 0, 1 and o plays 3, 4: x wins by 2; with o to move at 3, 4 against 0, 1, 8: o wins by 5."""
    assert searched([0, 3, 1, 4], key) == 2
    assert searched([0, 3, 1, 4, 8], key) == 5
    assert searched([0, 4, 1], key) == 2  # o must block


def test_mcts_draws_by_key_and_leaves_the_position_alone():
    state = position([])
    agent = Mcts(TTT, 3)
    found = [int(agent.act(view(1, key=k, states=lambda: [state]), None)[0].action[0]) for k in range(20)]
    assert found == [int(agent.act(view(1, key=k, states=lambda: [state]), None)[0].action[0]) for k in range(20)]
    assert len(set(found)) > 1 and state.native.history() == []


@pytest.mark.parametrize(
    "game, said",
    [
        ("openspiel:leduc_poker", "needs turns and perfect information"),
        ("openspiel:goofspiel(num_cards=4)", "needs turns and perfect information"),
        ("openspiel:matrix_pd", "needs turns and perfect information"),
    ],
)
def test_mcts_refuses(game, said):
    with pytest.raises(UserError, match=said):
        Mcts(make(game, 1).spec)


def test_mcts_refuses_what_it_cannot_search():
    with pytest.raises(UserError, match="searches OpenSpiel's games, got 'box'"):
        Mcts(BOX)
    with pytest.raises(UserError, match="at least 1 simulation, got 0"):
        Mcts(TTT, 0)
