import numpy as np
import pytest
import torch

from marl.equilibria import solve
from marl.equilibria.equivariant import Equivariant, guess, larger_regret, random_games, train
from tests.marl.equilibria.known import COORDINATION, PENNIES, symmetric, zero_sum


@pytest.fixture(scope="module")
def trained():
    network = Equivariant(3, width=16, layers=2)
    train(network, random_games(1, 64, 3, 3), 2, steps=100, batch=32, learning_rate=3e-3)
    return network


def test_permuting_strategies_permutes_the_answer(trained):
    games = random_games(5, 20, 3, 4)
    rows, columns = trained(games)
    order, other = [2, 0, 1], [3, 1, 0, 2]
    permuted_rows, permuted_columns = trained(games[:, :, order][:, :, :, other])
    assert (permuted_rows - rows[:, order]).abs().max() < 1e-6
    assert (permuted_columns - columns[:, other]).abs().max() < 1e-6
    assert (rows.max(1).values - rows.min(1).values).max() > 0.1  # it says something


def test_exchanging_the_players_exchanges_the_answer(trained):
    games = random_games(6, 20, 3, 3)
    rows, columns = trained(games)
    other_rows, other_columns = trained(games.flip(1).transpose(2, 3))
    assert torch.equal(other_rows, columns) and torch.equal(other_columns, rows)


def test_in_a_game_of_coordination_it_says_half_and_half(trained):
    for strategy in guess(trained, symmetric(COORDINATION)):
        assert strategy == pytest.approx([0.5, 0.5], abs=1e-6)


def test_it_learns_what_holds_for_games_it_has_not_seen(trained):
    games = random_games(7, 500, 3, 3)
    with torch.no_grad():
        before = larger_regret(games, *Equivariant(3, width=16, layers=2)(games)).mean()
        after = larger_regret(games, *trained(games)).mean()
    assert after < 0.6 * before


def test_training_is_a_function_of_the_keys_and_draws_nothing_global():
    state = torch.get_rng_state()
    said = [], []
    for losses in said:
        network, games = Equivariant(1, width=8, layers=1), random_games(1, 16, 2, 2)
        train(network, games, 2, steps=5, batch=8, on_step=lambda _, loss, losses=losses: losses.append(loss))
    assert said[0] == said[1] and len(said[0]) == 5
    assert torch.equal(torch.get_rng_state(), state)


def test_regret_by_hand():
    games = torch.tensor(np.stack(symmetric(np.array([[3.0, 0], [5, 1]]))), dtype=torch.float32)[None]
    half, cooperate = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0]])
    assert larger_regret(games, half, cooperate).tolist() == [1.5]


def test_a_guess_is_a_start_for_stochastic_whatever_the_scale(trained):
    start = guess(trained, zero_sum(PENNIES))
    assert start[0] == pytest.approx(guess(trained, zero_sum(10 * PENNIES))[0])
    assert max(solve(zero_sum(PENNIES), "stochastic", start=start, steps=200).regrets) < 0.01
    with pytest.raises(ValueError, match="expected two players for the equivariant network, got 3"):
        guess(trained, [np.zeros((2, 2, 2))] * 3)
