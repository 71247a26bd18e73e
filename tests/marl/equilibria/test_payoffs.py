import numpy as np
import pytest

from marl.equilibria import METHODS, nash_conv, regrets, solve
from marl.equilibria.payoffs import gains, seen
from tests.marl.equilibria.known import PRISONERS, ROCK_PAPER_SCISSORS, symmetric, zero_sum


def test_gains_and_regrets_by_hand():
    payoffs = symmetric(PRISONERS)
    strategies = (np.array([0.5, 0.5]), np.array([1.0, 0]))
    row, column = gains(payoffs, strategies)
    assert row.tolist() == [3, 5] and column.tolist() == [1.5, 3]
    assert regrets(payoffs, strategies) == (1, 1.5) and nash_conv(payoffs, strategies) == 2.5


def test_expectations_over_the_others_are_those_of_a_sum_over_profiles():
    tensor = np.arange(24.0).reshape(2, 3, 4)
    x = (np.array([0.3, 0.7]), np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert seen(tensor, x, 1) == pytest.approx(np.einsum("abc,a,c->b", tensor, x[0], x[2]))
    assert seen(tensor, x, 2, 0) == pytest.approx(np.einsum("abc,b->ca", tensor, x[1]))
    assert seen(tensor, x, 0, 2) == pytest.approx(np.einsum("abc,b->ac", tensor, x[1]))


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_cell_is_refused_and_named(method):
    first, second = (tensor.copy() for tensor in zero_sum(ROCK_PAPER_SCISSORS))
    second[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"got nan for player 1 at \(1, 2\); play these strategies first"):
        solve((first, second), method)
    with pytest.raises(ValueError, match="for player 1"):
        regrets((first, second), (np.ones(3) / 3,) * 2)


@pytest.mark.parametrize(
    "payoffs", [[], [np.zeros((2, 2))], [np.zeros((2, 3)), np.zeros((3, 2))], [np.zeros((0, 0))] * 2]
)
def test_tensors_of_other_shapes_are_refused(payoffs):
    with pytest.raises(ValueError, match="expected one payoff tensor for each player"):
        solve(payoffs)
