"""Always-valid bounds: numbers by hand, and how often a decision that is looked at after every game is wrong."""

import math

import numpy as np
import pytest

from games.keys import fold, stream, uniform
from tournaments.ratings.bounds import radius, verdict


def test_radius_by_hand():
    assert radius(32, 0.05) == pytest.approx(0.85 * math.sqrt((math.log(math.log(64)) + 0.72 * math.log(208)) / 32))
    assert radius(32, 0.05) == pytest.approx(0.34489, abs=1e-5)
    np.testing.assert_allclose(radius([1, 1000], 0.01), [1.8300, 0.07127], atol=1e-4)
    assert radius(0, 0.05) == math.inf


@pytest.mark.parametrize(
    ("mean", "n", "said"),
    [
        (1.0, 0, "open"),
        (math.nan, 0, "open"),
        (1.0, 31, "open"),  # fewer than at least
        (1.0, 32, "open"),
        (1.0, 43, "above"),  # the first at which r(n) < 0.3
        (1.0, 42, "open"),
        (0.3, 64, "below"),
        (0.72, 1023, "open"),
        (0.72, 1024, "undecided"),
        (0.8, 1024, "above"),
        (0.7, 10_000, "undecided"),
    ],
)
def test_verdict(mean, n, said):
    assert verdict(mean, n, 0.7, 0.05, at_least=32, at_most=1024) == said


def test_verdict_without_limits():
    assert verdict(0.72, 10**6, 0.7, 0.05) == "above" and verdict(0.7, 10**6, 0.7, 0.05) == "open"
    assert verdict(math.nan, 0, 0.7, 0.05, at_most=0) == "undecided"


def test_a_cell_of_true_rate_six_tenths_is_not_said_to_be_above_seven_tenths():
    """2,000 streams of 400 games, each looked at after every game."""
    alpha, streams, games = 0.05, 2000, 400
    draws = uniform(fold(stream(0, "wins"), np.arange(streams * games, dtype=np.uint64))).reshape(streams, games)
    n = np.arange(1, games + 1)
    means = (draws < 0.6).cumsum(1) / n
    assert abs(means[:, -1].mean() - 0.6) < 0.005
    fired = (means - radius(n, alpha) > 0.7).any(1).mean()
    naive = (means[:, 7:] > 0.7).any(1).mean()  # at least 8 games
    assert fired < alpha and 0.45 < naive < 0.58
    first = [int(np.argmax(row)) for row in (means - radius(n, alpha) > 0.4)[:50]]  # a lower bar is passed
    assert all(verdict(means[k, t], t + 1, 0.4, alpha) == "above" for k, t in enumerate(first))
