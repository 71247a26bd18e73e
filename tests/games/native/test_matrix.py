"""Matrix games pay what their papers say, and players remember what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from games.check import check_game
from games.errors import UserError
from games.native.matrix import GAMES, Matrix, named
from games.registry import load, make
from tests.games.native.play import play


@pytest.mark.parametrize("game", GAMES)
def test_every_named_game_keeps_its_promises(game):
    report = check_game(f"matrix(game={game}, steps=3, memory=true)", episodes=8)
    assert report.passed, str(report)


@pytest.mark.parametrize(
    "game, best, joint",
    [("climbing", 11, (0, 0)), ("penalty", 10, (0, 2)), ("nxn", 8, (0, 0)), ("stag_hunt", 4, (0, 0))],
)
def test_the_best_payoff_is_the_literatures(game, best, joint):
    pays = named(game)
    assert pays[0].max() == best and pays[0][joint] == best


def test_qtran_3x3():
    assert named("nxn")[0].tolist() == [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]
    assert named("nxn", n=5)[1, 0].tolist() == [8, -12, -12, -12, -12]


@pytest.mark.parametrize("k", [0, -25, -50, -75, -100])
def test_penalty(k):
    venv = make(f"matrix(game=penalty, k={k})", 3)
    reward = play(venv, [[(0, 0), (0, 2), (1, 1)]])[0]
    assert reward[0].tolist() == [[k, k], [10, 10], [2, 2]] and venv.spec.payoff == "team"


def test_repeated_25_times_as_in_epymarl():
    """Section 0 of the test bench: 275 for climbing's optimum, 175 for the second best, 250 and 50 for penalty."""
    for reference, action, total in [
        ("matrix(game=climbing, steps=25)", (0, 0), 275),
        ("matrix(game=climbing, steps=25)", (1, 1), 175),
        ("matrix(game=penalty, steps=25)", (2, 0), 250),
        ("matrix(game=penalty, steps=25)", (1, 1), 50),
    ]:
        reward, venv = play(make(reference, 1), [[action]] * 25)
        assert reward.sum(0).tolist() == [[total, total]] and venv.timestep.terminated.all()
        assert venv.spec.return_bounds[1] == (275 if "climbing" in reference else 250)


def test_levers_pay_those_who_pull_the_same_one():
    """Hu et al. 2020: nine levers pay 1 and one pays 0.9, which alone has no twin."""
    pays = named("lever")[0]
    assert np.diag(pays).tolist() == [1.0] * 9 + [0.9] and (pays == np.diag(np.diag(pays))).all()


def test_prisoners_dilemma():
    rewards = {(0, 0): (-1, -1), (0, 1): (-3, 0), (1, 0): (0, -3), (1, 1): (-2, -2)}
    reward, _ = play(make("matrix(game=prisoners_dilemma)", 4), [list(rewards)])
    assert reward[0].tolist() == [list(paid) for paid in rewards.values()]


def test_memory_sees_its_own_action_first():
    """start, CC, CD, DC, DD from everybody's side; the recording is truncated, not ended."""
    venv = make("matrix(game=prisoners_dilemma, steps=2, memory=true, truncate=true)", 4)
    opened = venv.reset(np.arange(4, dtype=np.uint64))
    assert opened.obs.argmax(2).tolist() == [[0, 0]] * 4
    step = venv.step(np.array([(0, 0), (0, 1), (1, 0), (1, 1)]))
    assert step.obs.argmax(2).tolist() == [[1, 1], [2, 3], [3, 2], [4, 4]] and (step.obs.sum(2) == 1).all()
    last = venv.step(np.array([(1, 1)] * 4))
    assert last.truncated.all() and not last.terminated.any() and last.obs.argmax(2).tolist() == [[4, 4]] * 4


@given(arrays(np.float64, (3, 2, 3, 2), elements=st.floats(-9, 9, width=32)), st.data())
def test_any_tensor_pays_what_it_says(payoffs, data):
    venv = Matrix(1, payoffs=payoffs, memory=True, steps=2)
    joint = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 1)))
    venv.reset(np.zeros(1, np.uint64))
    step = venv.step(np.array([joint]))
    assert np.array_equal(step.reward[0], payoffs[(slice(None), *joint)].astype(np.float32))
    for player in range(3):
        order = [player, *(p for p in range(3) if p != player)]
        own_first = np.ravel_multi_index([joint[p] for p in order], [(2, 3, 2)[p] for p in order])
        assert step.obs[0, player].argmax() == 1 + own_first


@pytest.mark.parametrize(
    "payoffs, payoff",
    [
        ([[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]], "zero_sum"),
        ([[[5, 0], [1, 2]], [[0, 5], [4, 3]]], "zero_sum"),  # constant-sum is as strictly opposed
        ([[[1, 2], [3, 4]], [[1, 2], [3, 4]]], "team"),
        ([[[1, 2], [3, 4]], [[1, 2], [3, 5]]], "general_sum"),
    ],
)
def test_the_payoff_is_recognised(payoffs, payoff):
    assert Matrix(1, payoffs=payoffs).spec.payoff == payoff


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ("", "expected one of game, payoffs and team"),
        ("game=climbing, team=[[1]]", "expected one of game, payoffs and team"),
        ("game=climbin", "did you mean 'climbing'"),
        ("team=5", "expected payoffs"),
        ("payoffs=[[[1, 2]], [[1, 2]], [[1, 2]]]", "expected payoffs"),
        ("team=[[1, 2], [3, 1e999]]", "expected finite payoffs"),
        ("game=climbing, steps=0", "at least one step"),
        ("game=nxn, n=1", "at least two actions"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, reason):
    with pytest.raises(UserError, match=reason.replace("[", r"\[")):
        make(f"matrix({arguments})", 1)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("memory", ["false", "true"])
def test_a_game_that_is_played_once_has_positions(game, memory):
    reference = f"matrix(game={game}, memory={memory})"
    report = check_game(reference, episodes=4)
    assert report.passed, str(report)
    kept = {promise.promise: promise.passed for promise in report.promises}
    assert kept["steps agree with positions, returns with rewards"] and kept["clones are independent"]


def test_positions_of_a_batch_are_those_of_its_environments():
    venv = make("matrix(payoffs=[[[3, 0, 1], [5, 1, 2]], [[3, 5, 1], [0, 1, 2]]], memory=true)", 2)
    venv.reset(np.arange(2, dtype=np.uint64))
    before = venv.states(np.arange(2))
    assert [state.acting() for state in before] == [(0, 1)] * 2 and list(before[0].legal_actions(1)) == [0, 1, 2]
    timestep = venv.step(np.array([[1, 0], [0, 2]]))
    after = venv.states(np.array([1, 0]))
    assert [state.returns() for state in after] == [[1, 1], [5, 0]] and all(state.is_terminal() for state in after)
    view = np.zeros(7, np.float32)
    for state, env in zip(after, (1, 0), strict=True):
        for player in (0, 1):
            state.observe(player, view)
            assert (view == timestep.obs[env, player]).all()
    venv.step(np.zeros((2, 2), int))
    assert not any(state.is_terminal() for state in venv.states(np.arange(2)))


def test_a_repeated_game_has_none_and_hides_what_was_played():
    for extra in ("steps=2", "truncate=true", "steps=2, memory=true"):
        spec = make(f"matrix(game=matching_pennies, {extra})", 1).spec
        assert not spec.searchable and not spec.perfect_information
        with pytest.raises(UserError, match="positions that can be cloned"):
            load(f"matrix(game=matching_pennies, {extra})")
    assert make("matrix(game=matching_pennies)", 1).spec.perfect_information


def test_seats_are_alike_where_payoffs_are_each_others_transpose():
    alike = {game for game in GAMES if make(f"matrix(game={game})", 1).spec.interchangeable}
    assert alike == set(GAMES) - {"battle_of_the_sexes", "climbing", "matching_pennies"}
