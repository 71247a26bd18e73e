"""The Coin Game: who takes what is paid, where coins fall, and the payoffs that the papers know."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.native.coin_game import CoinGame
from games.registry import make

LEFT, RIGHT, UP, DOWN = range(4)


def place(venv: CoinGame, players, coin, owner) -> None:
    venv.reset(np.arange(venv.num_envs, dtype=np.uint64))
    venv.player[:], venv.coin[:], venv.owner[:] = players, coin, owner


@pytest.mark.parametrize(
    "actions, owner, paid",
    [
        ((RIGHT, LEFT), 0, (1 - 2, 1)),  # both take the coin of player 0
        ((RIGHT, LEFT), 1, (1, 1 - 2)),
        ((RIGHT, UP), 0, (1, 0)),
        ((RIGHT, UP), 1, (1, -2)),
        ((UP, LEFT), 0, (-2, 1)),
        ((UP, UP), 0, (0, 0)),
    ],
)
def test_rewards(actions, owner, paid):
    venv = CoinGame(1)
    place(venv, [[3, 5]], 4, owner)  # the middle row: player 0, the coin, player 1
    step = venv.step(np.array([actions]))
    assert tuple(step.reward[0]) == paid
    taken = paid != (0, 0)
    assert venv.owner[0] == (owner ^ taken) and (taken or venv.coin[0] == 4)
    assert venv.coin[0] not in venv.player[0]


def test_the_board_is_a_torus():
    venv = CoinGame(4, height=2, width=3)
    place(venv, np.zeros((4, 2)), 4, 0)
    venv.step(np.array([[move, move] for move in range(4)]))
    assert venv.player[:, 0].tolist() == [2, 1, 3, 3]


def test_views_are_from_everybodys_own_side():
    venv = CoinGame(1)
    venv.reset(np.zeros(1, np.uint64))
    place(venv, [[0, 8]], 4, 1)
    venv.look()
    mine, theirs = venv.timestep.obs[0].reshape(2, 4, 9)
    assert [list(np.flatnonzero(plane)) for plane in mine] == [[0], [8], [], [4]]
    assert [list(np.flatnonzero(plane)) for plane in theirs] == [[8], [0], [4], []]


def test_coins_fall_uniformly_where_nobody_stands():
    venv = CoinGame(20_000)
    place(venv, [3, 5], 4, 0)
    venv.step(np.full((20_000, 2), (RIGHT, UP)))  # player 0 takes it, on 4; player 1 goes to 2
    counts = np.bincount(venv.coin, minlength=9)
    free = [0, 1, 3, 5, 6, 7, 8]
    assert counts[[2, 4]].sum() == 0 and abs(counts[free] / 20_000 - 1 / 7).max() < 0.01


def test_it_keeps_its_promises():
    for reference in ("coin_game", "coin_game(height=1, width=5, horizon=7)"):
        report = check_game(reference)
        assert report.passed, str(report)


@pytest.mark.parametrize("arguments", ["height=1, width=2", "height=0, width=9", "horizon=0"])
def test_bad_arguments(arguments):
    with pytest.raises(UserError, match="expected"):
        make(f"coin_game({arguments})", 1)
