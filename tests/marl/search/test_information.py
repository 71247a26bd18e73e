import numpy as np
import pytest

from games.adapters.openspiel import load
from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.evaluation.evaluate import evaluate_entrant
from marl.search.evaluators import Playouts
from marl.search.information import DecoupledUct, InformationSearch, RegretMatching


def search(game, states, players, simulations, chooser=None, key=0):
    made = InformationSearch(game.spec, Playouts(game.spec), chooser or DecoupledUct())
    return made.run(states, np.array(players), fold(key, np.arange(len(states))), np.full(len(states), simulations))


@pytest.mark.parametrize(
    ("name", "equilibrium"),
    [("matrix_mp", [1 / 2, 1 / 2]), ("matrix_rps", [1 / 3, 1 / 3, 1 / 3]), ("matrix_brps", [1 / 16, 10 / 16, 5 / 16])],
)
def test_regret_matching_comes_to_the_equilibrium(name, equilibrium):
    game = load(name, {})
    states = [game.initial_state() for _ in range(8)]
    found = search(game, states, [0, 1] * 4, 6000, RegretMatching())
    assert found.policy.mean(0) == pytest.approx(equilibrium, abs=0.05)


def test_what_uct_makes_of_a_biased_game_is_no_equilibrium():
    """The test above can fail."""
    game = load("matrix_brps", {})
    found = search(game, [game.initial_state() for _ in range(8)], [0, 1] * 4, 3000)
    assert np.abs(found.policy.mean(0) - [1 / 16, 10 / 16, 5 / 16]).max() > 0.05


def dealt(game, cards):
    state = game.initial_state()
    for card in cards:
        state.apply_chance(card)
    return state


@pytest.mark.parametrize("chooser", [DecoupledUct, RegretMatching])
def test_nothing_is_seen_that_the_player_cannot_know(chooser):
    game = load("leduc_poker", {})
    true = [dealt(game, (2, other)) for other in (0, 1, 3, 4, 5)]
    assert len({state.information(0) for state in true}) == 1
    found = [search(game, [state], [0], 200, chooser()) for state in true]
    for other in found[1:]:
        assert (other.visits == found[0].visits).all()
        assert (other.value == found[0].value).all()
    elsewhere = search(game, [dealt(game, (0, 2))], [0], 200, chooser())
    assert (elsewhere.value != found[0].value).any()


def test_a_game_does_not_depend_on_its_batch_mates():
    game = load("leduc_poker", {})
    states = [dealt(game, (k % 6, (k + 1) % 6)) for k in range(12)]
    together = search(game, states, [0] * 12, 60, RegretMatching())
    made = InformationSearch(game.spec, Playouts(game.spec), RegretMatching())
    alone = made.run([states[7]], np.array([0]), fold(0, np.array([7])), np.array([60]))
    assert (alone.visits[0] == together.visits[7]).all()
    assert alone.policy[0].tolist() == together.policy[7].tolist()


def test_kuhn_poker_is_played_soundly():
    """With the king one never passes a bet, with the jack one never calls."""
    game = load("kuhn_poker", {})
    king = dealt(game, (1, 2))
    jack = dealt(game, (1, 0))
    for state in (king, jack):
        state.apply([1, 1])  # the first player bets
    found = search(game, [king, jack], [1, 1], 600)
    assert found.best.tolist() == [1, 0]
    assert found.value[0, 1] > 1.5 and found.value[1, 1] == pytest.approx(-1, abs=0.2)


@pytest.mark.parametrize(
    "game",
    [
        "leduc_poker",
        "leduc_poker(observe=information_state)",
        "goofspiel(num_cards=4)",
        "oshi_zumo(coins=6,size=1,horizon=12)",
    ],
)
def test_beats_random(game):
    venv = make(f"openspiel:{game}", 8)
    agent = load_entrant("uct(simulations=40)", venv.spec)
    result = evaluate_entrant(venv, agent, load_entrant("random", venv.spec), seeds=24, key=0)
    assert np.mean(result.return_mean) > 0.2


@pytest.mark.parametrize("game", ["phantom_ttt", "hearts"])
def test_games_that_cannot_draw_positions_are_refused(game):
    with pytest.raises(UserError, match="cannot draw"):
        load_entrant("uct(simulations=4)", make(f"openspiel:{game}", 1).spec)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("simulations=3.5", "simulations of 'uct' to be a whole number, got 3.5"),
        ("uct_c=big", "uct_c of 'uct' to be a number, got 'big'"),
        ("solve=no", "solve of 'uct' to be true or false, got 'no'"),
    ],
)
def test_arguments_of_another_kind_are_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        load_entrant(f"uct({arguments})", make("openspiel:tic_tac_toe", 1).spec)


def test_mixing_in_the_open_is_refused():
    with pytest.raises(UserError, match="neither"):
        load_entrant("uct(mixes=true)", make("openspiel:tic_tac_toe", 1).spec)
