import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marl.equilibria import METHODS, nash_conv, solve
from marl.equilibria.rectified import opponents
from tests.marl.equilibria.known import (
    BIASED,
    HEAVY_PENNY,
    PRISONERS,
    ROCK_PAPER_SCISSORS,
    TRANSITIVE,
    symmetric,
    zero_sum,
)
from tests.marl.test_face import loaded_after
from tests.properties import examples

# Those that solve: the regret that is left in a small zero-sum game, as a share of the payoffs' range.
LEFT = {"nash": 1e-6, "replicator": 0.011, "nash_md": 0.02, "entropic": 0.02, "extragradient": 5e-3, "stochastic": 0.02}
SYMMETRIC = ("online_ipo", "ipo_md")
GENERAL = ("uniform", "last", "replicator", "stochastic", "entropic", "alpharank")  # any players, any sum
QUICK = {
    "stochastic": {"steps": 50},
    "nash_md": {"steps": 500},
    "online_ipo": {"steps": 500},
    "ipo_md": {"steps": 500},
    "entropic": {"steps": 500},
    "replicator": {"steps": 500},
    "extragradient": {"steps": 500},
}


ENOUGH = {
    "stochastic": {"steps": 150},
    "nash_md": {"steps": 5_000},
    "entropic": {"steps": 2_000},
    "extragradient": {"residual": 1e-3},
}


@pytest.mark.parametrize("method", LEFT)
@pytest.mark.parametrize("matrix", [ROCK_PAPER_SCISSORS, BIASED, TRANSITIVE, HEAVY_PENNY, np.array([[0.0, 1, 2]])])
def test_a_solver_leaves_little_regret(method, matrix):
    assert max(solve(zero_sum(matrix), method, **ENOUGH.get(method, {})).regrets) <= LEFT[method] * np.ptp(matrix)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_table_of_equal_payoffs_gives_finite_weights(method, constant):
    """All opponents are beaten, or all cells are 0: no division by a sum of zeros."""
    first, second = solve([np.full((3, 3), constant)] * 2, method, **QUICK.get(method, {})).strategies
    expected = [0, 0, 1] if method == "last" else [1 / 3] * 3
    assert first == pytest.approx(expected) and second == pytest.approx(expected)


@pytest.mark.parametrize("method", METHODS)
def test_payoffs_are_not_changed_and_the_answer_is_the_same_again(method):
    payoffs = zero_sum(BIASED.copy())

    def digest():
        return hashlib.sha256(b"".join(tensor.tobytes() for tensor in payoffs)).hexdigest()

    before = digest()
    one, two = (solve(payoffs, method, **QUICK.get(method, {})) for _ in range(2))
    assert digest() == before
    assert all((x == y).all() for x, y in zip(one.strategies, two.strategies, strict=True))


@pytest.mark.parametrize("method", [method for method in METHODS if method != "last"])
def test_permuting_a_symmetric_game_permutes_the_answer(method):
    order = [2, 0, 3, 1]
    matrix = np.array([[0, 3, -1, 2], [-3, 0, 1, 0.5], [1, -1, 0, -2], [-2, -0.5, 2, 0]])
    options = QUICK.get(method, {})
    found = solve(zero_sum(matrix), method, **options).strategies[0]
    permuted = solve(zero_sum(matrix[np.ix_(order, order)]), method, **options).strategies[0]
    assert permuted == pytest.approx(found[order], abs=1e-6)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("alpharank", *SYMMETRIC)])
def test_a_scale_and_a_constant_change_no_weight(method):
    options = QUICK.get(method, {})
    before = solve(zero_sum(BIASED), method, **options).strategies
    after = solve((26 * BIASED + 3, -26 * BIASED), method, **options).strategies
    for x, y in zip(before, after, strict=True):
        assert y == pytest.approx(x, abs=1e-6)


@pytest.mark.parametrize("method", SYMMETRIC)
def test_a_symmetric_game_is_scaled_with_both_seats(method):
    before, after = (solve((scale * BIASED + 3, 3 - scale * BIASED), method, **QUICK[method]) for scale in (1, 26))
    assert after.strategies[0] == pytest.approx(before.strategies[0], abs=1e-6)


@pytest.mark.parametrize("method", GENERAL)
def test_three_players_of_any_sum(method):
    """A game that each player solves alone: its second strategy pays 1 more, whatever the others do."""
    cells = np.indices((2, 2, 2)).astype(float)
    payoffs = [cells[player] + 0.1 * cells.sum(0) for player in range(3)]
    solution = solve(payoffs, method, **ENOUGH.get(method, {}))
    assert len(solution.strategies) == len(solution.values) == len(solution.regrets) == 3
    if method != "uniform":
        for x in solution.strategies:
            assert x == pytest.approx([0, 1], abs=0.02)
    assert nash_conv(payoffs, solution.strategies) == solution.nash_conv


@pytest.mark.parametrize("method", [method for method in METHODS if method not in GENERAL])
def test_other_methods_say_what_to_use_instead(method):
    for payoffs in ([np.zeros((2, 2, 2))] * 3, symmetric(PRISONERS)):
        with pytest.raises(ValueError, match=r"expected a zero-sum game of two players for .*; use 'replicator'"):
            solve(payoffs, method)


def test_unknown_methods_and_options_are_refused():
    with pytest.raises(ValueError, match=r"expected a method among nash, uniform, .*, got 'cce'"):
        solve(zero_sum(BIASED), "cce")
    with pytest.raises(ValueError, match=r"expected options of 'replicator' among regret, .*, got 'dt'"):
        solve(zero_sum(BIASED), "replicator", dt=0.1)
    with pytest.raises(ValueError, match="expected options of 'nash' among none, got 'key'"):
        solve(zero_sum(BIASED), "nash", key=1)


def test_solving_loads_neither_torch_nor_scipy_but_for_a_linear_program():
    solving = "import numpy, marl.equilibria.nash as n; m = numpy.eye(3); n.nash((m, -m))"
    assert not {"torch", "matplotlib", "pyspiel", "scipy"} & loaded_after(solving)
    assert "scipy.optimize" in loaded_after(f"{solving}; n.vertices(m)")


@settings(max_examples=examples(30))
@given(
    arrays(np.float64, (2, 3, 4), elements=st.floats(-1, 1, width=16)),
    st.sampled_from(["uniform", "last", "alpharank", "replicator"]),
)
def test_values_lie_within_the_payoffs_and_regrets_are_at_least_0(pair, method):
    options = {"steps": 200} if method == "replicator" else {}
    solution = solve(tuple(pair), method, **options)
    for tensor, x, value, regret in zip(pair, solution.strategies, solution.values, solution.regrets, strict=True):
        assert tensor.min() - 1e-9 <= value <= tensor.max() + 1e-9 and 0 <= regret <= np.ptp(tensor) + 1e-9
        assert x.min() >= 0 and x.sum() == pytest.approx(1)


def test_rectified_meets_those_that_it_beats_or_ties_with():
    first, second = opponents(zero_sum(ROCK_PAPER_SCISSORS))
    expected = [[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]]  # itself and whom it beats
    assert first == pytest.approx(np.array(expected), abs=1e-6) and second == pytest.approx(first)
    assert solve(zero_sum(ROCK_PAPER_SCISSORS), "rectified").strategies[0] == pytest.approx([1 / 3] * 3)


def test_rectified_of_a_strategy_that_beats_nobody_meets_all():
    weights, _ = opponents(zero_sum(TRANSITIVE))  # only the strongest is in the equilibrium
    assert weights == pytest.approx(np.array([[1 / 3] * 3, [1 / 3] * 3, [0, 0, 1]]))


def test_rectified_counts_from_the_value_of_the_game():
    """The first seat earns 1 more in every cell: who holds its own is the same."""
    plain, shifted = (opponents((BIASED + constant, -BIASED - constant)) for constant in (0, 1))
    assert shifted[0] == pytest.approx(plain[0], abs=1e-6) and shifted[1] == pytest.approx(plain[1], abs=1e-6)
