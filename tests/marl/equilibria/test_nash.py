import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marl.equilibria import nash, nash_conv, solve
from marl.equilibria.nash import vertices
from tests.marl.equilibria.known import (
    BIASED,
    COORDINATION,
    HEAVY_PENNY,
    PENNIES,
    PREFERENCE,
    PRISONERS,
    ROCK_PAPER_SCISSORS,
    TRANSITIVE,
    TWO_ROCKS,
    symmetric,
    zero_sum,
)
from tests.properties import examples

EXACT = 1e-6
SMALL = st.tuples(st.integers(1, 7), st.integers(1, 7))
TIED = SMALL.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(-2, 2).map(float)))
GENERIC = SMALL.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-1, 1, width=16)))
MATRICES = st.one_of(TIED, GENERIC)


@pytest.mark.parametrize(
    ("matrix", "rows", "columns", "value"),
    [
        (ROCK_PAPER_SCISSORS, [1 / 3] * 3, [1 / 3] * 3, 0),
        (TWO_ROCKS, [1 / 6, 1 / 6, 1 / 3, 1 / 3], [1 / 6, 1 / 6, 1 / 3, 1 / 3], 0),
        (BIASED, [0.0625, 0.625, 0.3125], [0.0625, 0.625, 0.3125], 0),
        (TRANSITIVE, [0, 0, 1], [0, 0, 1], 0),
        (PENNIES, [0.5, 0.5], [0.5, 0.5], 0),
        (HEAVY_PENNY, [1 / 3, 2 / 3], [1 / 3, 2 / 3], 1 / 3),
        (np.array([[2.0, 1, 1]]), [1], [0, 0.5, 0.5], 1),  # both columns are optimal: the one answer between them
        (np.array([[0.0, 0], [0, 1]]), [0.5, 0.5], [1, 0], 0),
        (np.ones((2, 3)), [0.5, 0.5], [1 / 3] * 3, 1),
        (1e6 * BIASED, [0.0625, 0.625, 0.3125], [0.0625, 0.625, 0.3125], 0),
    ],
)
def test_known_equilibria(matrix, rows, columns, value):
    solution = solve(zero_sum(matrix))
    assert solution.strategies[0] == pytest.approx(rows, abs=EXACT)
    assert solution.strategies[1] == pytest.approx(columns, abs=EXACT)
    scale = np.abs(matrix).max()
    assert solution.values == pytest.approx((value, -value), abs=EXACT * scale)
    assert solution.nash_conv <= EXACT * scale


def test_preferences_have_a_constant_sum():
    solution = solve(symmetric(PREFERENCE))
    assert solution.strategies[0] == pytest.approx([3 / 9, 2 / 9, 4 / 9], abs=EXACT)
    assert solution.values == pytest.approx((0.5, 0.5))


def test_nash_averaging_of_transitive_skill_rates_all_below_the_best():
    best = solve(zero_sum(TRANSITIVE)).strategies[1]
    assert TRANSITIVE @ best == pytest.approx([-1, -1, 0])


def test_of_many_equilibria_it_is_the_one_with_the_highest_entropy():
    """Two games of rock, paper, scissors that draw with each other: all mixtures of their equilibria are optimal."""
    two = np.kron(np.eye(2), ROCK_PAPER_SCISSORS)
    assert solve(zero_sum(two)).strategies[0] == pytest.approx(np.full(6, 1 / 6), abs=EXACT)
    corner, _ = vertices(two)
    assert np.abs(corner - 1 / 6).max() > 0.1  # a linear program ends elsewhere


def wide(matrix):
    return max(float(np.ptp(matrix)), 1e-9)


@settings(max_examples=examples(40))
@given(MATRICES, st.randoms(use_true_random=False))
def test_permuting_the_strategies_permutes_the_answer(matrix, random):
    rows, columns = (random.sample(range(size), size) for size in matrix.shape)
    first, second = solve(zero_sum(matrix)).strategies
    other_first, other_second = solve(zero_sum(matrix[np.ix_(rows, columns)])).strategies
    assert other_first == pytest.approx(first[rows], abs=1e-5)
    assert other_second == pytest.approx(second[columns], abs=1e-5)


@settings(max_examples=examples(40))
@given(MATRICES)
def test_it_is_an_equilibrium_with_the_value_of_the_linear_program(matrix):
    solution = solve(zero_sum(matrix))
    assert all(regret >= 0 for regret in solution.regrets)
    assert solution.nash_conv <= 1e-6 * wide(matrix)
    scaled = (matrix - matrix.min()) / wide(matrix)
    value = (vertices(scaled)[0] @ scaled).min() * wide(matrix) + matrix.min()
    assert solution.values[0] == pytest.approx(value, abs=2e-6 * wide(matrix))
    assert matrix.min() - 1e-9 <= solution.values[0] <= matrix.max() + 1e-9
    assert all(x.min() >= 0 and x.sum() == pytest.approx(1) for x in solution.strategies)


@settings(max_examples=examples(20))
@given(MATRICES, st.sampled_from([1e-3, 7.0, 1e5]), st.sampled_from([-3.0, 0.0, 11.0]))
def test_a_scale_and_a_constant_change_no_weight(matrix, scale, constant):
    before = solve(zero_sum(matrix)).strategies
    after = solve((scale * (matrix + constant), -scale * matrix)).strategies
    for x, y in zip(before, after, strict=True):
        assert y == pytest.approx(x, abs=1e-5)


@settings(max_examples=examples(40))
@given(TIED, st.integers(0, 6))
def test_duplicates_share_their_weight(matrix, copied):
    copied %= len(matrix)
    doubled = solve(zero_sum(np.vstack([matrix, matrix[copied]]))).strategies
    assert doubled[0][-1] == pytest.approx(doubled[0][copied], abs=1e-7)
    assert doubled[1] == pytest.approx(solve(zero_sum(matrix)).strategies[1], abs=1e-5)  # the others do not care


def test_games_that_are_not_zero_sum_are_refused():
    with pytest.raises(ValueError, match=r"zero-sum game of two players for 'nash', .* between 2 and 6; use 'replica"):
        solve(symmetric(PRISONERS))
    with pytest.raises(ValueError, match="got 3 players; use 'replicator'"):
        solve([np.zeros((2, 2, 2))] * 3)
    with pytest.raises(ValueError, match="zero-sum"):
        solve(symmetric(COORDINATION))


def test_weights_that_fell_too_far_come_back():
    matrix = np.array([[0.6519, 0, 0.7565], [1, 0.6821, 0.6901], [0.4044, 0.8008, 0.1751], [0.4125, 0.6137, 0.7586]])
    found = nash.most_entropy(matrix), nash.most_entropy(1 - matrix.T)  # no linear program behind it
    assert nash_conv(zero_sum(matrix), found) < 1e-6


def test_if_newton_fails_a_linear_program_answers(monkeypatch):
    monkeypatch.setattr(nash, "most_entropy", lambda matrix: np.full(len(matrix), np.nan))
    assert solve(zero_sum(BIASED)).strategies[0] == pytest.approx([0.0625, 0.625, 0.3125])


def test_if_a_system_is_singular_a_linear_program_answers(monkeypatch):
    def singular(*_):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(nash, "_newton", singular)
    assert solve(zero_sum(PENNIES)).strategies[0] == pytest.approx([0.5, 0.5])


def test_rounding_decides_nothing():
    equal = np.array([[0.1 + 0.2], [0.3]])
    assert equal[0] != equal[1]
    assert solve(zero_sum(equal)).strategies[0] == pytest.approx([0.5, 0.5])


def test_what_is_in_no_equilibrium_has_no_weight():
    assert solve(zero_sum(np.array([[1], [1 - 1e-5], [0]]))).strategies[0].tolist() == [1, 0, 0]


def test_if_one_linear_program_fails_the_other_answers(monkeypatch):
    asked, solved = [], scipy.optimize.linprog

    def troubled(*arguments, method, **options):
        asked.append(method)
        result = solved(*arguments, method=method, **options)
        if method == "highs-ds":
            result.status = 4
        return result

    monkeypatch.setattr(scipy.optimize, "linprog", troubled)
    assert vertices(PENNIES)[0] == pytest.approx([0.5, 0.5]) and asked == ["highs-ds", "highs-ipm"]


def test_three_hundred_measured_strategies():
    skill = np.linspace(-1, 1, 300)
    noise = np.sin(np.arange(90_000.0) ** 2).reshape(300, 300)
    matrix = skill[:, None] - skill + noise - noise.T
    solution = solve(zero_sum(matrix))
    assert nash_conv(zero_sum(matrix), solution.strategies) < 1e-6 and np.count_nonzero(solution.strategies[0]) < 300
