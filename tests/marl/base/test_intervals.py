"""Intervals by seeds: by hand, and as many seeds as really say something."""

import numpy as np
import pytest

from marl.base.intervals import effective, interval, of_pulls, quantile


def test_students_quantile_and_none_for_one_seed():
    np.testing.assert_allclose(
        quantile([2, 3, 5, 60, np.inf]), [12.7062, 4.30265, 2.77645, 2.00100, 1.95996], rtol=1e-5
    )
    assert np.isinf(quantile([0, 1, 1.49])).all()
    np.testing.assert_array_equal(interval(np.array([0.0, 1.0, 0.0]), np.array([1, 1, 2])), [np.inf, np.inf, 0])


def test_an_interval_by_hand():
    """The mean of 1, 3 and 5: pulls of (x - 3)/3, SE² = 3/2 · 8/9, which is the sample's variance 4 over 3."""
    np.testing.assert_allclose(of_pulls(np.array([-2, 0, 2]) / 3, np.array(3)), 4.30265 * np.sqrt(4 / 3), rtol=1e-5)


@pytest.mark.parametrize(
    ("added", "number"),
    [
        ([1.0] * 60, 60),
        ([0.1] * 3, 3),  # and not 2.9999999999999996
        ([1.0] * 5 + [0.0] * 55, 5),
        ([2.0] * 10 + [1.0] * 20, 40**2 / 60),
        ([0.0] * 7, np.inf),
    ],
)
def test_seeds_that_weigh_alike_count_and_others_in_part(added, number):
    added = np.array(added)
    assert effective(added.sum(), (added**2).sum()) == pytest.approx(number, abs=1e-9)
