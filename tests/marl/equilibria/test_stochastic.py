import numpy as np
import pytest

from games.keys import fold, uniform
from marl.equilibria import solve
from marl.equilibria.payoffs import scaled
from marl.equilibria.stochastic import descend, gradient, loss
from tests.marl.equilibria.known import (
    HEAVY_PENNY,
    PENNIES,
    PRISONERS,
    ROCK_PAPER_SCISSORS,
    symmetric,
    zero_sum,
)

SHAPLEY = (  # modified, β = ½
    np.array([[1, 0, 0.5], [0.5, 1, 0], [0, 0.5, 1]]),
    np.array([[-0.5, 1, 0], [0, -0.5, 1], [1, 0, -0.5]]),
)


def drawn(key, shape):
    return uniform(fold(key, 0), int(np.prod(shape)))[0].reshape(shape)


def strategies(key, *sizes):
    return tuple(x / x.sum() for x in (0.1 + drawn(key + player, (size,)) for player, size in enumerate(sizes)))


@pytest.mark.parametrize("key", [1, 2, 3])
@pytest.mark.parametrize(
    ("payoffs", "expected"),
    [
        (symmetric(PRISONERS), ([0, 1], [0, 1])),
        (zero_sum(PENNIES), ([0.5, 0.5], [0.5, 0.5])),
        (zero_sum(ROCK_PAPER_SCISSORS), ([1 / 3] * 3, [1 / 3] * 3)),
        (SHAPLEY, ([1 / 3] * 3, [1 / 3] * 3)),
        (zero_sum(HEAVY_PENNY), ([0.341, 0.659], [0.327, 0.673])),  # the rest of τ = .01; exact (1/3, 2/3)
    ],
    ids=["prisoners", "pennies", "rock paper scissors", "shapley", "heavy penny"],
)
def test_known_equilibria(payoffs, expected, key):
    start = strategies(key, *payoffs[0].shape)
    found = solve(scaled(payoffs), "stochastic", start=start, steps=300)
    for x, known in zip(found.strategies, expected, strict=True):
        assert x == pytest.approx(known, abs=0.015)
    assert max(found.regrets) <= 0.005


def test_the_gradient_is_that_of_the_loss_with_three_players_and_two_samples():
    shape, tau, step = (2, 3, 2), 0.1, 1e-6
    a, b = (tuple(drawn(10 * sample + player, shape) for player in range(3)) for sample in (1, 2))
    x = strategies(5, *shape)
    for first, second in ((a, b), (a, a)):
        slopes = gradient(first, second, x, tau)
        for player, slope in enumerate(slopes):
            for action in range(shape[player]):
                moved = [
                    tuple(y + sign * step * np.eye(len(y))[action] if q == player else y for q, y in enumerate(x))
                    for sign in (1, -1)
                ]
                difference = [loss(first, second, y, tau) for y in moved]
                assert slope[action] == pytest.approx((difference[0] - difference[1]) / (2 * step), rel=1e-4, abs=1e-7)


def noisy(key):
    """Matching pennies whose payoffs against heads are measured with much noise, and against tails with none."""
    noise = 4 * (drawn(key, (2, 2, 2)) - 0.5)
    rows, columns = zero_sum(PENNIES / 2)
    return rows + noise[0] * [[1, 0], [1, 0]], columns + noise[1] * [[1, 1], [0, 0]]


def test_two_independent_samples_are_unbiased_and_one_used_twice_is_not():
    options = {"temperatures": (0.1,), "steps": 3_000, "learning_rate": 0.01}
    start = strategies(3, 2, 2)
    independent = descend(lambda step: (noisy(2 * step), noisy(2 * step + 1)), start, **options)
    twice = descend(lambda step: (noisy(step),) * 2, start, **options)
    assert independent[0][0] == pytest.approx(0.5, abs=0.08) and independent[1][0] == pytest.approx(0.5, abs=0.08)
    assert twice[0][0] < 0.4 and twice[1][0] < 0.4  # it drifts to what is measured without noise


def test_a_second_sample_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected a second sample of shape \(2, 2\), got \(3, 3\)"):
        solve(zero_sum(PENNIES), "stochastic", second=zero_sum(ROCK_PAPER_SCISSORS))
    with pytest.raises(ValueError, match="got nan for player 0"):
        solve(zero_sum(PENNIES), "stochastic", second=zero_sum(PENNIES * np.nan))


def test_a_second_sample_counts():
    other = solve(zero_sum(PENNIES), "stochastic", second=zero_sum(HEAVY_PENNY), steps=200)
    assert np.abs(other.strategies[0] - 0.5).max() > 0.01
