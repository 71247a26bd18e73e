import numpy as np
import pytest

from games.adapters.openspiel import OpenSpielGame
from games.errors import UserError
from games.registry import load, make
from games.solvers import positions
from games.solvers.connect_four import Solver
from marl.agents.load import load_entrant
from marl.evaluation.solved_games import Chooser, accuracy, all_ends


def agent_of(text, game):
    spec = make(game, 1).spec
    return load_entrant(text, spec).agent, spec


def test_random_has_the_accuracy_of_chance():
    agent, spec = agent_of("random", "openspiel:connect_four")
    found = [accuracy(agent, spec, key).overall for key in range(5)]
    assert np.mean(found) == pytest.approx(positions.chance(positions.load()), abs=0.03)
    assert len(set(found)) > 1


def test_search_finds_more_of_what_is_near():
    agent, spec = agent_of("mcts(simulations=100)", "openspiel:connect_four")
    found = accuracy(agent, spec, 0)
    assert found.overall > 0.65
    assert found.by_difficulty["easy"] > found.by_difficulty["medium"] > found.by_difficulty["hard"]


def test_the_same_position_the_same_answer():
    agent, spec = agent_of("random", "openspiel:tic_tac_toe")
    root = load("openspiel:tic_tac_toe").initial_state()
    choose = Chooser(agent, spec, 3)
    assert len({choose([root.clone()] * n)[-1] for n in (1, 2, 7)}) == 1


def test_every_line_of_play():
    game = "openspiel:tic_tac_toe"
    agent, spec = agent_of("uct(simulations=2000)", game)
    assert [ends.lost for ends in all_ends(agent, game, spec, 0)] == [0, 0]
    agent, spec = agent_of("random", game)
    assert min(ends.lost for ends in all_ends(agent, game, spec, 0)) > 0


class Nim(OpenSpielGame):
    """A game that goes by another name than it is asked for by."""

    def __init__(self, piles: str = "1;2") -> None:
        super().__init__("nim", pile_sizes=piles)


def test_the_game_is_the_one_that_was_asked_for():
    game = f"{__name__}:Nim(piles='1;1')"
    agent, spec = agent_of("random", game)
    ends = all_ends(agent, game, spec, 0)
    assert [one.won + one.drawn + one.lost for one in ends] == [1, 1]


def test_games_that_cannot_be_walked_are_refused():
    for game, what in (("spread", "positions"), ("openspiel:leduc_poker", "perfect information")):
        agent, spec = agent_of("random", game)
        with pytest.raises(UserError, match=what):
            all_ends(agent, game, spec, 0)


def test_a_perfect_player_keeps_everything():
    perfect = Solver()
    found = positions.accuracy(positions.load()[-100:], perfect.choose)
    assert found.overall == 1
