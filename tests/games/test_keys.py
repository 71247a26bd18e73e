"""Keys: the scalar functions equal their array twins, and draws are uniform."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from games.keys import choose, fold, fold_one, stream, uniform, uniform_one

KEY = st.integers(0, 2**64 - 1)


@given(KEY, KEY)
def test_scalar_twins_equal_the_arrays(key, data):
    assert int(fold(key, data)[0]) == fold_one(key, data)
    assert uniform(np.array([key], np.uint64))[0] == uniform_one(key)


def test_fold_broadcasts():
    keys = fold(np.arange(3), np.arange(3))
    assert keys.tolist() == [fold_one(i, i) for i in range(3)]
    assert len(np.unique(fold(7, np.arange(100_000)))) == 100_000


def test_uniform_is_uniform():
    draws = uniform(fold(3, np.arange(100_000)))
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.histogram(draws, 20, (0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 43.8  # chi-squared, 19 degrees, p = 0.001
    assert uniform(fold(3, np.arange(5)), 4).shape == (5, 4)


def test_choose_draws_legal_actions_evenly():
    mask = np.tile(np.array([False, True, False, True, True]), (30_000, 1))
    counts = np.bincount(choose(fold(1, np.arange(30_000)), mask), minlength=5)
    assert counts[[0, 2]].tolist() == [0, 0]
    assert (abs(counts[[1, 3, 4]] - 10_000) < 400).all()


def test_streams_are_apart():
    assert len({stream(0, name) for name in ("agents", "learner", "chance")} | {stream(1, "agents")}) == 4
