import math

import numpy as np
import pytest

from marl.equilibria import solve
from marl.equilibria.alpharank import of_one_population, of_profiles, stationary, takeover
from tests.marl.equilibria.known import BIASED, PENNIES, ROCK_PAPER_SCISSORS, TRANSITIVE, TWO_ROCKS, zero_sum


@pytest.mark.parametrize("alpha", [0.1, 1, 10, math.inf, None])
def test_rock_paper_scissors_and_pennies(alpha):
    assert solve(zero_sum(ROCK_PAPER_SCISSORS), "alpharank", alpha=alpha).strategies[0] == pytest.approx([1 / 3] * 3)
    assert of_profiles(zero_sum(PENNIES), alpha=alpha) == pytest.approx(np.full((2, 2), 0.25))


def test_the_strongest_of_transitive_skill_has_all_of_the_time():
    assert solve(zero_sum(TRANSITIVE), "alpharank").strategies[0] == pytest.approx([0, 0, 1], abs=1e-6)


def test_it_is_ordinal_and_not_invariant_to_duplicates():
    assert solve(zero_sum(BIASED), "alpharank").strategies[0] == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert of_one_population(TWO_ROCKS, alpha=10) == pytest.approx([0.2, 0.2, 0.4, 0.2], abs=1e-4)


def test_one_population_with_payoffs_of_han_et_al_2013():
    """Intention recognition in the prisoner's dilemma; the numbers are those of OpenSpiel's test."""
    r, t, p, s, delta, eps = 1.0, 2.0, 0.0, -1.0, 4.0, 0.25
    matrix = np.array(
        [
            [r - eps / 2, r - eps, 0, s + delta - eps, r - eps],
            [r, r, s, s, s],
            [0, t, p, p, p],
            [t - delta, t, p, p, p],
            [r, t, p, p, p],
        ]
    )
    expected = [0.40966787, 0.07959841, 0.20506998, 0.08505983, 0.2206039]
    assert of_one_population(matrix, alpha=0.1, population=20) == pytest.approx(expected, abs=1e-7)


def test_the_limit_where_there_are_two_sinks():
    """The battle of the sexes."""
    payoffs = np.array([[3.0, 0], [0, 2]]), np.array([[2.0, 0], [0, 3]])
    limit = of_profiles(payoffs, alpha=math.inf)
    assert limit.ravel() == pytest.approx([0.495, 0.005, 0.005, 0.495])
    assert of_profiles(payoffs) == pytest.approx(np.diag([0.5, 0.5]), abs=1e-5)
    for player in solve(payoffs, "alpharank").strategies:
        assert player == pytest.approx([0.5, 0.5])


def test_the_chance_of_a_takeover():
    u = np.array([0.0, 1e-15, 1.0, -1.0, 800.0, -800.0])
    one = (1 - math.exp(-1)) / (1 - math.exp(-10))
    assert takeover(u, 10) == pytest.approx([0.1, 0.1, one, one * math.exp(-9), 1, 0])


def test_one_population_of_a_zero_sum_game_has_a_constant_advantage():
    m, alpha = 20, 0.7
    u = alpha * m / (m - 1) * BIASED.T
    rates = np.where(np.eye(3, dtype=bool), 0.0, takeover(u, m))
    assert of_one_population(BIASED, alpha=alpha, population=m) == pytest.approx(stationary(rates))


def test_local_selection_compares_the_two_strategies_only():
    m, alpha = 20, 0.7
    rates = np.where(np.eye(3, dtype=bool), 0.0, takeover(2 * alpha * BIASED.T, m))
    found = of_one_population(BIASED, alpha=alpha, population=m, local=True)
    assert found == pytest.approx(stationary(rates))


def test_the_stationary_distribution_is_accurate_where_rates_are_tiny():
    rates = np.array([[0, 1e-200, 0], [1.0, 0, 1e-200], [0, 1.0, 0]])
    assert stationary(rates) == pytest.approx([1, 1e-200, 0], rel=1e-12, abs=0)
    with pytest.raises(ZeroDivisionError):
        stationary(np.diag([1.0, 0], 1)[:2, :2] * 0)


def test_too_many_profiles_are_refused():
    with pytest.raises(ValueError, match="at most 2,000 profiles for 'alpharank', got 10,000 of strategies 100 x 100"):
        solve([np.arange(10_000.0).reshape(100, 100)] * 2, "alpharank")


@pytest.mark.parametrize("alpha", [1e-3, 0.3, 7.0, 1e4])
def test_one_population_of_any_game_by_the_sum_over_mutants(alpha):
    """1/ρ = 1 + Σ_{l<m} e^{-α Σ_{j<=l} d_j}, with payoffs of integers, so that the sums are exact."""
    m, matrix = 12, np.array([[4.0, 0, 1], [3, 3, -2], [5, -1, 0]])
    rates = np.zeros((3, 3))
    for resident, mutant in np.argwhere(~np.eye(3, dtype=bool)):
        exponents, advantage = [0.0], 0.0
        for j in range(1, m):
            of_mutant = (j - 1) * matrix[mutant, mutant] + (m - j) * matrix[mutant, resident]
            of_resident = j * matrix[resident, mutant] + (m - j - 1) * matrix[resident, resident]
            advantage += (of_mutant - of_resident) / (m - 1)
            exponents.append(-alpha * advantage)
        highest = max(exponents)
        rates[resident, mutant] = math.exp(-highest) / sum(math.exp(e - highest) for e in exponents)
    if alpha == 1e4:  # no takeover of a stable resident is seen by float64
        with pytest.raises(ZeroDivisionError):
            of_one_population(matrix, alpha=alpha, population=m)
    else:
        assert of_one_population(matrix, alpha=alpha, population=m) == pytest.approx(stationary(rates), rel=1e-9)
