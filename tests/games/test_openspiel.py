"""OpenSpiel on the contract: every kind of game, what is refused, and positions to clone."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from games.adapters.openspiel import _INTERCHANGEABLE, _PARTNERS, OpenSpielGame, _reference, names
from games.errors import UserError
from games.keys import fold_one
from games.references import parse
from games.registry import load, make

SEEDS = np.arange(3, dtype=np.uint64)


@pytest.mark.parametrize(
    "reference, said",
    [
        ("mfg_garnet", "'openspiel:mfg_garnet' is a mean-field game"),
        ("negotiation", "draws its chance inside the rules"),
        ("morpion_solitaire", "gives its players no observation tensor"),
        ("tic_tac_to", "did you mean 'tic_tac_toe'?"),
        ("misere", "could not load 'misere' with its defaults: Missing parameter game"),
        ("tic_tac_toe(size=4)", "takes no parameters, got 'size'"),
        ("connect_four(rows=0)", "expected rows of 'connect_four' to be at least 1, got 0"),
        ("hex(board_size=-1)", "expected board_size of 'hex' to be at least 1, got -1"),
        ("laser_tag(horizon=0)", "expected horizon of 'laser_tag' to be at least 1, got 0"),
        ("pig(horizon=-1)", "expected horizon of 'pig' to be at least 1, got -1"),
        ("spades(num_tricks=0)", "expected num_tricks of 'spades' to be at least 1, got 0"),  # died of it
        ("liars_dice_ir(recall_length=0)", "gives its players no observation tensor"),
        ("hanabi(colors=0)", "expected colors of 'hanabi' to be at least 1, got 0"),
        ("misere(game=connect_four(rows=0))", "expected rows of 'connect_four' to be at least 1, got 0"),
        ("misere(game=tic_tac_to(x=1))", "did you mean 'tic_tac_toe'?"),
        ("go(observe=information_state)", "'openspiel:go' has no information-state tensor; leave observe=information"),
        ("kuhn_poker(observe=all)", "expected observe of 'kuhn_poker' to be information_state, got 'all', or leave it"),
        ("kuhn_poker(observe=True)", "expected observe of 'kuhn_poker' to be information_state, got True"),
        ("kuhn_poker(observed=all)", "takes observe, players, got 'observed'; did you mean 'observe'?"),
        ("hex(observe_all=true)", "swap, got 'observe_all'"),
        ("misere(game=kuhn_poker(observe=information_state))", "'openspiel:kuhn_poker' takes players, got 'observe'"),
        ("kuhn_poker(players=99)", "could not load 'kuhn_poker' with {'players': 99}"),
    ],
)
def test_what_agents_cannot_play_is_refused_in_one_sentence(reference, said, capfd):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(f"openspiel:{reference}", 1)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "reference", ["deep_sea(seed=0)", "gin_rummy(gin_bonus=0)", "laser_tag(obs_back=0)", "sheriff(max_bribe=0)"]
)
def test_what_a_game_can_do_without_may_be_0(reference):
    venv = make(f"openspiel:{reference}", 1)
    assert venv.reset(SEEDS[:1]).acting.any()


@pytest.mark.parametrize(
    "reference",
    ["laser_tag(horizon=-1)", "capture_the_flag(horizon=-1)", "misere(game=capture_the_flag(horizon=-1))"],
)
def test_without_a_horizon_no_length_is_known(reference):
    venv = make(f"openspiel:{reference}", 1)
    assert venv.reset(SEEDS[:1]).acting.any()
    assert venv.spec.max_length is None


def test_names_are_references():
    assert {"tic_tac_toe", "hearts", "goofspiel"} <= set(names())


@pytest.mark.parametrize(
    "name, players, payoff, turns, perfect, chance",
    [
        ("tic_tac_toe", 2, "zero_sum", "sequential", True, False),
        ("kuhn_poker", 2, "zero_sum", "sequential", False, True),
        ("matrix_pd", 2, "general_sum", "simultaneous", True, False),
        ("matrix_rps", 2, "zero_sum", "simultaneous", True, False),
        ("tiny_hanabi", 2, "team", "sequential", False, True),
        ("hearts", 4, "general_sum", "sequential", False, True),
        ("pig", 2, "zero_sum", "sequential", True, True),
        ("catch", 1, "general_sum", "sequential", True, True),
    ],
)
def test_a_spec_says_what_the_game_is(name, players, payoff, turns, perfect, chance):
    spec = OpenSpielGame(name).spec
    assert (spec.num_players, spec.payoff, spec.turns) == (players, payoff, turns)
    assert (spec.perfect_information, spec.chance, spec.searchable) == (perfect, chance, True)
    assert spec.name == f"openspiel:{name}"


def test_parameters_are_in_the_name_and_in_the_shape():
    game = load("openspiel:connect_four(rows=5, columns=4)")
    assert game.spec.name == "openspiel:connect_four(rows=5,columns=4)"
    assert game.spec.action.n == 4 and game.spec.observation.shape == (3, 5, 4)


@pytest.mark.parametrize(
    "reference",
    [
        "start_at(game=tic_tac_toe(),history='4')",
        "start_at(game=tic_tac_toe(),history=0;4)",
        "goofspiel(num_cards=4,imp_info=True,points_order=descending)",
        "repeated_game(stage_game=matrix_rps(),num_repetitions=10)",
        "turn_based_simultaneous_game(game=goofspiel(num_cards=3,points_order=ascending))",
        "restricted_nash_response(game=leduc_poker(),p=0.25,fixed_player=1)",
        "leduc_poker(players=3,observe=information_state)",
    ],
)
def test_a_name_is_as_it_was_written_and_reads_back(reference):
    game = load(f"openspiel:{reference}")
    assert game.spec.name == f"openspiel:{reference}"
    assert str(load(game.spec.name).native) == str(game.native)


def start(*moves):
    return f"openspiel:start_at(game=tic_tac_toe(), history={';'.join(map(str, moves))!r})"


@given(st.permutations(range(9)), st.integers(1, 4))
def test_a_game_is_what_its_name_reads_back_as(moves, played):
    game = load(start(*moves[:played]))
    again = load(game.spec.name)
    assert again.spec == game.spec and str(again.native) == str(game.native)
    assert str(again.initial_state()) == str(game.initial_state())


WORDS = st.text("a1.;,()[]='\"\\ |", max_size=6)
VALUES = st.one_of(WORDS, st.integers(), st.booleans(), st.sampled_from(["4", "true", "None", "1e3", "kuhn_poker()"]))


@given(st.dictionaries(st.sampled_from(["game", "history", "and_more_words"]), VALUES))
def test_whatever_the_words_a_name_reads_back(parameters):
    read = parse(_reference("start_at", parameters)).arguments
    assert repr(read) == repr(tuple(parameters.items()))


def test_turns_play_out_by_hand():
    """x takes the top row; o the middle one.

    x x x
    o o .
    . . .
    """
    venv = make("openspiel:tic_tac_toe", 1)
    step = venv.reset(SEEDS[:1])
    for move, cell in enumerate([0, 3, 1, 4, 2]):
        assert step.acting.tolist() == [[move % 2 == 0, move % 2 == 1]] and not step.reward.any()
        assert step.action_mask[0, move % 2].sum() == 9 - move and not step.action_mask[0, 1 - move % 2].any()
        step = venv.step(np.array([[cell, cell]]))
    assert step.last.all() and step.terminated.all() and not step.truncated.any() and not step.acting.any()
    assert step.reward.tolist() == [[1.0, -1.0]]
    assert step.obs[0, 0, 2].tolist() == step.obs[0, 1, 2].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_simultaneous_moves_are_taken_together():
    venv = make("openspiel:goofspiel(num_cards=3, points_order=descending, returns_type=total_points)", 1)
    step = venv.reset(SEEDS[:1])
    assert step.acting.all() and step.action_mask.all()
    step = venv.step(np.array([[2, 1]]))  # 3 beats 2
    assert step.acting.all() and step.action_mask[0].tolist() == [[True, True, False], [True, False, True]]
    step = venv.step(np.array([[0, 2]]))
    assert step.last.all() and step.reward.tolist() == [[4.0, 2.0]]  # 3 + 1, and 2: the last card is played by itself


def test_players_without_a_legal_action_do_not_act():
    """An oshi-zumo player who has spent every coin can still bid zero; in a sequential node one player acts alone."""
    venv = make("openspiel:oshi_zumo(coins=3)", 1)
    step = venv.reset(SEEDS[:1])
    step = venv.step(np.array([[3, 1]]))
    assert step.acting.all() and step.action_mask[0].sum(1).tolist() == [1, 3]


def test_chance_comes_before_the_first_decision_and_from_the_seed():
    venv = make("openspiel:kuhn_poker(players=3)", 200)
    deals = venv.reset(np.arange(200, dtype=np.uint64)).obs[:, 0].copy()
    assert len(np.unique(deals, axis=0)) == 4  # a card of four
    assert (venv.reset(np.arange(200, dtype=np.uint64)).obs[:, 0] == deals).all()


def test_many_players_take_their_turns():
    venv = make("openspiel:hearts", 1)
    step = venv.reset(SEEDS[:1])
    acted = set()
    while not step.last.any():
        assert step.acting.sum() == 1
        acted.add(int(step.acting[0].argmax()))
        step = venv.step(step.action_mask.argmax(2))
    assert acted == {0, 1, 2, 3} and step.reward.any()


def test_a_game_can_be_the_parameter_of_a_game():
    venv = make("openspiel:turn_based_simultaneous_game(game=goofspiel(num_cards=3))", 1)
    assert venv.spec.turns == "sequential" and venv.spec.num_actions == 3
    assert venv.reset(SEEDS[:1]).acting.tolist() == [[True, False]]


def test_a_clone_goes_its_own_way():
    state = load("openspiel:tic_tac_toe").initial_state()
    clone = state.clone()
    clone.apply([4, 0])
    assert state.acting() == (0,) and clone.acting() == (1,)
    assert state.legal_actions(0) == list(range(9)) and 4 not in clone.legal_actions(1)


def test_keys_know_transpositions_where_nothing_is_hidden():
    def after(name, *moves):
        state = load(f"openspiel:{name}").initial_state()
        for move in moves:
            state.apply([move, move])
        return state.key()

    assert after("tic_tac_toe", 0, 4, 8) == after("tic_tac_toe", 8, 4, 0) != after("tic_tac_toe", 0, 8, 4)


def test_actions_have_names():
    state = load("openspiel:tic_tac_toe").initial_state()
    assert state.action_name(0, 4) == "x(1,1)" and str(state) == "...\n...\n..."


def random_positions(game, episodes=5):
    """Yield the positions of a few episodes in which all moves and outcomes are drawn."""
    draw = np.random.default_rng(0)
    for _ in range(episodes):
        state = game.initial_state()
        while not state.is_terminal():
            if outcomes := state.chance_outcomes():
                state.apply_chance(outcomes[draw.integers(len(outcomes))][0])
                continue
            yield state
            legal = [state.legal_actions(player) if player in state.acting() else [0] for player in game.everyone]
            state.apply([int(draw.choice(each)) for each in legal])


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("kuhn_poker", True),
        ("leduc_poker", True),
        ("dark_hex(board_size=2)", True),
        ("phantom_ttt", True),
        ("goofspiel(num_cards=4,imp_info=True)", True),
        ("liars_dice", True),
        ("tiny_bridge_4p", True),
        ("hearts", False),
        ("sheriff", False),
    ],
)
def test_an_information_state_can_be_observed(name, usual):
    """`usual`: the game has an observation as well, which it shows by default."""
    read = parse(name)
    game = OpenSpielGame(read.name, observe="information_state", **dict(read.arguments))
    plain = OpenSpielGame(read.name, **dict(read.arguments))
    assert game.spec.observation.shape == tuple(game.native.information_state_tensor_shape())
    assert game.spec.observation.kind == ("information_state" if usual else "")
    assert replace(game.spec, name=plain.spec.name, observation=plain.spec.observation) == plain.spec
    seen, differs = np.zeros(game.spec.observation.shape, np.float32), False
    for state in random_positions(game):
        again = deepcopy(state)  # by the state's and the game's __reduce__, as where it is sent to a process
        for player in state.acting():
            state.observe(player, seen)
            assert seen.ravel().tolist() == state.native.information_state_tensor(player)
            assert state.information(player) == again.information(player)
            if usual:
                differs |= seen.ravel().tolist() != state.native.observation_tensor(player)
    assert differs == usual


def test_no_parameter_of_openspiels_has_the_name_of_ours():
    assert not [kind.short_name for kind in pyspiel.registered_games() if "observe" in kind.parameter_specification]


@pytest.mark.parametrize("name", ["kuhn_poker", "leduc_poker"])
def test_a_resampled_position_has_the_same_information_state(name):
    read = parse(name)
    game = OpenSpielGame(read.name, observe="information_state", **dict(read.arguments))
    for state in random_positions(game):
        for player in state.acting():
            assert state.resample(player, 7).information(player) == state.information(player)


def exchanged(reference, key):
    """Play a game twice, with exchanged actions; return whether each player saw and was paid what the other was."""
    game = load(reference)
    one, other = game.initial_state(), game.initial_state()
    views = np.zeros((2, int(np.prod(game.spec.observation.shape))), np.float32)
    for step in range(100):
        for player in (0, 1):
            one.observe(player, views[0])
            other.observe(1 - player, views[1])
            if not (views[0] == views[1]).all():
                return False
        if one.is_terminal():
            return list(one.returns()) == list(other.returns())[::-1]
        if not one.acting():
            outcomes = one.chance_outcomes()
            outcome = outcomes[fold_one(key, step) % len(outcomes)][0]
            one.apply_chance(outcome)
            other.apply_chance(outcome)
            continue
        legal = [list(one.legal_actions(player)) for player in (0, 1)]
        if legal != [list(other.legal_actions(player)) for player in (1, 0)]:
            return False
        actions = [mine[fold_one(key, 2 * step + player) % len(mine)] for player, mine in enumerate(legal)]
        one.apply(actions)
        other.apply(actions[::-1])
    return False


@pytest.mark.parametrize("name", _PARTNERS)
def test_partners_are_paid_alike(name):
    game, rng = load(f"openspiel:{name}"), np.random.default_rng(0)
    assert game.spec.teams == ((0, 2), (1, 3))
    state = game.initial_state()
    while not state.is_terminal():
        if outcomes := state.chance_outcomes():
            state.apply_chance(outcomes[int(rng.integers(len(outcomes)))][0])
        else:
            (player,) = state.acting()
            joint = [0] * 4
            joint[player] = int(rng.choice(list(state.legal_actions(player))))
            state.apply(joint)
    first, second, *others = state.returns()
    assert first != second and [first, second] == others


@pytest.mark.parametrize("name", [*_INTERCHANGEABLE, "goofspiel(num_cards=4,points_order=descending)"])
def test_seats_of_interchangeable_games_are_alike(name):
    reference = f"openspiel:{name}"
    assert load(reference).spec.interchangeable and load(reference).spec.to_json()["interchangeable"]
    assert all(exchanged(reference, key) for key in range(10))


def test_seats_that_are_not_alike():
    for name in ("matrix_mp", "matrix_bos", "oshi_zumo(coins=10,horizon=20)", "goofspiel(num_cards=4,imp_info=True)"):
        spec = load(f"openspiel:{name}").spec
        assert not spec.interchangeable and "interchangeable" not in spec.to_json()
        assert not all(exchanged(f"openspiel:{name}", key) for key in range(10))
    assert not load("openspiel:goofspiel(players=3,num_cards=4)").spec.interchangeable
