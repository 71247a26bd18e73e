"""The game of memory: what is shown, what pays, and what a player without memory gets."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.registry import make


def test_the_share_of_players_who_name_their_first_symbol_is_paid_at_the_end():
    venv = make("repeat_first(steps=3, symbols=3, players=2)", 50)
    seen = venv.reset(np.arange(50, dtype=np.uint64))
    first = seen.obs[..., :3].argmax(2)
    assert (seen.global_state == np.eye(3)[first].reshape(50, -1)).all() and (seen.obs[..., 3:] == [1, 0]).all()
    assert np.bincount(first.ravel(), minlength=3).min() > 20
    for _ in range(2):
        seen = venv.step(first)
        assert (seen.reward == 0).all() and not seen.last.any()
        assert (seen.obs[..., :3].argmax(2) != first).mean() > 0.5  # other symbols are drawn at random
        assert (seen.global_state == np.eye(3)[first].reshape(50, -1)).all()
    assert (seen.obs[..., 3:] == [0, 1]).all()
    named = first.copy()
    named[::2, 0] += 1
    named[::4, 1] += 1
    seen = venv.step(named % 3)
    assert seen.terminated.all() and (seen.reward == np.where(np.arange(50) % 4 == 0, 0, 0.5)[:, None])[::2].all()
    assert (seen.reward[1::2] == 1).all()


@pytest.mark.parametrize("symbols, chance", [(2, 0.5), (4, 0.25)])
def test_what_is_shown_last_says_nothing(symbols, chance):
    venv = make(f"repeat_first(steps=2, symbols={symbols})", 2000)
    venv.reset(np.arange(2000, dtype=np.uint64))
    seen = venv.step(np.zeros((2000, 2), np.int64))
    paid = venv.step(seen.obs[..., :symbols].argmax(2)).reward
    assert paid.mean() == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize("arguments", ["steps=1", "symbols=1", "players=0"])
def test_arguments_out_of_range(arguments):
    with pytest.raises(UserError, match="expected at least two steps, two symbols and one player"):
        make(f"repeat_first({arguments})", 1)


def test_it_keeps_its_promises():
    assert check_game("repeat_first").passed
    assert check_game("repeat_first(steps=3, symbols=5, players=3)").passed
