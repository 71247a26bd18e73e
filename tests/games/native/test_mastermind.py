"""Mastermind: answers by hand, codes that agree, and scripted guessers with known means."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.keys import fold, fold_one
from games.native.mastermind import Mastermind, answer, answer_table, code_pegs, consistent
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.loop import play_episodes
from tests.benchmarks.look_ahead import guesses_of


@pytest.mark.parametrize(
    "game", ["mastermind", "mastermind(pegs=2, colours=3, guesses=3)", "mastermind(pegs=1, colours=2)"]
)
def test_it_keeps_the_contract(game):
    check_game(game)


def code(text, colours=6):
    return int(sum((ord(letter) - ord("A")) * colours**place for place, letter in enumerate(reversed(text))))


@pytest.mark.parametrize(
    ("guess", "hidden", "black", "white"),
    [
        ("AABB", "AABB", 4, 0),
        ("AABB", "BBAA", 0, 4),
        ("AABC", "ADAA", 1, 1),
        ("AAAA", "ABBB", 1, 0),
        ("ABCD", "EFEF", 0, 0),
        ("ABBC", "BABB", 1, 2),
    ],
)
def test_answers_by_hand(guess, hidden, black, white):
    table = answer_table(4, 6)
    assert table[code(guess), code(hidden)] == table[code(hidden), code(guess)] == answer(black, white, 4)


def test_codes_are_numbered_lexicographically():
    codes = code_pegs(4, 6)
    assert codes.shape == (1296, 4) and codes[code("BACF")].tolist() == [1, 0, 2, 5]
    assert sorted(codes.tolist()) == codes.tolist()


def test_a_code_that_is_not_broken_costs_one_more():
    game = Mastermind(pegs=2, colours=3, guesses=3)
    state = game.initial_state()
    state.apply_chance(code("AB", 3))
    assert str(state) == "code AB\nno guess yet" and state.describe(0) == "no guess yet"
    for guess in ("CC", "BA", "CC"):
        state.apply([code(guess, 3)])
    assert state.is_terminal() and state.returns() == (-4.0,)
    assert state.describe(0) == "CC: 0 black, 0 white\nBA: 0 black, 2 white\nCC: 0 black, 0 white"
    broken = game.initial_state()
    broken.apply_chance(code("AB", 3))
    broken.apply([code("AB", 3)])
    assert broken.is_terminal() and broken.returns() == (-1.0,)


def test_positions_are_drawn_uniformly_among_those_that_agree():
    game = Mastermind(pegs=3, colours=3)
    state = game.initial_state()
    state.apply_chance(code("ABC", 3))
    state.apply([code("AAB", 3)])
    left = np.flatnonzero(consistent(game.answers, state.guesses, state.answers))
    drawn = np.array([state.resample(0, fold_one(3, k)).code for k in range(3000)])
    counts = np.bincount(drawn, minlength=27)
    assert set(np.flatnonzero(counts)) == set(left) and 1 < len(left) < 27
    assert np.abs(counts[left] / 3000 - 1 / len(left)).max() < 0.05
    other = game.initial_state()
    other.apply_chance(int(left[0]))
    other.apply([code("AAB", 3)])
    assert other.information(0) == state.information(0)
    assert [other.resample(0, k).code for k in range(9)] == [state.resample(0, k).code for k in range(9)]


def test_the_first_consistent_code_needs_5_765_guesses():
    game = Mastermind()
    entrant = load_entrant("first_consistent", game.spec)
    guesses = guesses_of(game, entrant, np.arange(1296))
    assert guesses.sum() == 7471 and guesses.max() == 9  # 7471 / 1296 = 5.765
    randomly = load_entrant("random_consistent", game.spec)
    assert guesses_of(game, randomly, np.arange(1296)).mean() == pytest.approx(4.695, abs=0.1)


def test_rollout_of_the_first_consistent_code_is_better():
    game = Mastermind(pegs=3, colours=4)
    base, rollout = (
        guesses_of(game, load_entrant(text, game.spec), np.arange(64)).mean()
        for text in ("first_consistent", "rollout(base=first_consistent, samples=8, top=16)")
    )
    assert rollout < base - 0.3


@pytest.mark.slow
def test_rollout_breaks_all_codes_in_4_6_guesses():
    game = Mastermind()
    entrant = load_entrant("rollout(base=first_consistent, samples=8, top=16)", game.spec)
    means = [guesses_of(game, entrant, codes).mean() for codes in np.split(np.arange(1296), 8)]
    assert np.mean(means) <= 4.6


def test_the_breakers_play_in_the_loop():
    venv = make("mastermind(pegs=2, colours=3)", 4)
    agent = load_entrant("first_consistent", venv.spec).agent
    played = list(play_episodes(venv, [agent], fold(1, 0), fold(2, np.arange(9)), np.zeros((9, 1), np.int64)))
    assert all(-5 <= episode.returns[0] <= -1 for episode in played)


@pytest.mark.parametrize("arguments", ["pegs=0", "colours=1", "guesses=0", "pegs=6, colours=6", "colours=27"])
def test_what_is_out_of_range_is_refused(arguments):
    with pytest.raises(UserError, match="expected at least one peg"):
        make(f"mastermind({arguments})", 1)


def test_breakers_play_nothing_else():
    with pytest.raises(UserError, match="it plays mastermind, got 'openspiel:tic_tac_toe'"):
        load_entrant("first_consistent", make("openspiel:tic_tac_toe", 1).spec)
