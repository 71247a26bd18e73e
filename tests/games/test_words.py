"""Decisions in words: the same from an environment and from a position, and nothing that a player may not see."""

import numpy as np
import pytest

from games.registry import make
from games.words import sees, words_at, words_of, words_of_numbers
from marl.rollout.types import View


@pytest.mark.parametrize(
    "game", ["openspiel:tic_tac_toe", "openspiel:kuhn_poker", "openspiel:goofspiel(num_cards=3)", "openspiel:go"]
)
def test_an_environment_and_its_position_say_the_same(game):
    venv = make(game, 1)
    timestep = venv.reset(np.array([3], np.uint64))
    player = int(np.flatnonzero(timestep.acting[0])[0])
    view, legal = timestep.obs[0, player], np.flatnonzero(timestep.action_mask[0, player]).tolist()
    at = words_at(venv, 0, player, view, legal)
    state = venv.states(np.array([0]))[0]
    of = words_of(state, player, view, legal, perfect_information=venv.spec.perfect_information)
    assert (at.position, at.moves.names, at.moves.actions) == (of.position, of.moves.names, of.moves.actions)
    assert at.position == sees(venv, 0, player) and at.moves.actions == legal
    if game == "openspiel:kuhn_poker":
        assert at.position in ("0", "1", "2") and at.moves.names == ["Pass", "Bet"]


def test_a_view_without_words_has_its_numbers():
    seen, mask = np.array([[0.5, 1.0], [2.0, 3.0]]), np.array([[True, False, True], [False, True, False]])
    rows, keys = np.arange(2), np.zeros(2, np.uint64)
    view = View(seen, mask, rows, rows, np.ones(2, bool), keys)
    first, second = view.in_words(make("openspiel:tic_tac_toe", 1).spec)
    assert first.position == "you see 2 numbers:\n[0.5 1. ]" and first.moves.names == ["0", "2"]
    assert second.position == "you see 2 numbers:\n[2 3]" and second.moves.actions == [1]
    alone = words_of_numbers(seen[1], [1])
    assert (second.position, second.moves.names) == (alone.position, alone.moves.names)


def test_some_rows_of_a_view_keep_their_words():
    venv = make("openspiel:kuhn_poker", 3)
    timestep = venv.reset(np.array([1, 2, 3], np.uint64))
    env, player = np.nonzero(timestep.acting)
    view = View.at(venv, timestep, env, player, np.zeros(3, np.uint64), np.ones(3, bool))
    told = [words.position for words in view.in_words(venv.spec)]
    assert [words.position for words in view.rows(np.array([2, 0])).in_words(venv.spec)] == [told[2], told[0]]
    assert view.take(1).in_words(venv.spec)[0].position == told[1]
