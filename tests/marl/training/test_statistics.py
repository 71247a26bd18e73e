"""The estimate over seeds and its interval: by hand, by properties, and how often it covers the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from games.keys import uniform
from marl.training.statistics import bootstrap, iqm
from tests.properties import examples

samples = arrays.arrays(np.float64, st.tuples(st.integers(4, 9), st.integers(1, 4)), elements=st.floats(-100, 100))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 6.0], 3.0),  # nothing to cut: the mean
        ([100.0, 2.0, 4.0, -50.0], 3.0),  # 2 and 4
        ([9.0, 1.0, 2.0, 3.0, -9.0], 2.0),  # 1, 2 and 3
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 4.5),  # 3, 4, 5 and 6
    ],
)
def test_iqm_by_hand(values, expected):
    assert iqm(np.array(values)) == expected


@given(samples)
def test_iqm_lies_between_the_quartiles_and_moves_with_the_values(values):
    found = iqm(values)
    ranked = np.sort(values, 0)
    cut = len(values) // 4
    assert (ranked[cut] - 1e-9 <= found).all() and (found <= ranked[-cut - 1] + 1e-9).all()
    np.testing.assert_allclose(iqm(2 * values + 3), 2 * found + 3, atol=1e-9)
    np.testing.assert_array_equal(iqm(values[::-1]), found)


@given(samples)
@settings(max_examples=examples(20))
def test_the_interval_holds_the_values_range_and_moves_with_them(values):
    low, high = bootstrap(values, 7)
    assert (values.min(0) - 1e-9 <= low).all() and (low <= high).all() and (high <= values.max(0) + 1e-9).all()
    moved_low, moved_high = bootstrap(3 * values - 1, 7)
    np.testing.assert_allclose([moved_low, moved_high], [3 * low - 1, 3 * high - 1], atol=1e-6)


def test_the_interval_of_equal_values_is_a_point():
    low, high = bootstrap(np.full((5, 2), 0.25), 0)
    assert low.tolist() == high.tolist() == [0.25, 0.25]


def test_the_interval_is_the_exact_one_of_zeros_and_ones():
    """k ones among n draws are binomial, and the IQM of 8 draws is (k - 2) / 4 between 0 and 1: by hand."""
    low, high = bootstrap(np.array([[0.0], [0.0], [1.0], [1.0]]), 3)  # P(0 or 1 of 4) = 5/16 = P(3 or 4)
    assert (low, high) == (0, 1)
    low, high = bootstrap(np.array([[0.0]] * 7 + [[1.0]]), 3)  # P(3 ones or more) = 0.067, P(4 or more) = 0.011
    assert (low, high) == (0, 0.25)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """200 samples of 16 uniform numbers, whose true IQM is 1/2; of so few the interval is a bit short."""
    numbers = uniform(np.arange(16, dtype=np.uint64), 200)  # [S, G]
    low, high = bootstrap(numbers, 0)
    assert 0.85 <= np.mean((low <= 0.5) & (high >= 0.5)) <= 0.98


def test_the_interval_depends_on_its_key_alone():
    values = uniform(np.arange(6, dtype=np.uint64), 3)
    assert np.array_equal(bootstrap(values, 1), bootstrap(values, 1))
    assert not np.array_equal(bootstrap(values, 1), bootstrap(values, 2))
    together, apart = bootstrap(values, 1), [bootstrap(values[:, [step]], 1) for step in range(3)]
    assert np.array_equal(together, np.concatenate(apart, axis=1))  # the same seeds at every step
