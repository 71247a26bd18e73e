"""Keys: the scalar functions equal their array twins, and draws are uniform."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from games import keys
from games.keys import choose, draw, fold, fold_one, stream, uniform, uniform_one

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


def test_streams_of_many_seeds_are_those_of_each():
    found = keys.streams(fold(3, np.arange(4)), "seat", "opponent")
    assert found.tolist() == [
        [stream(seed, name) for name in ("seat", "opponent")] for seed in fold(3, np.arange(4)).tolist()
    ]


def test_streams_are_apart():
    assert len({stream(0, name) for name in ("agents", "learner", "chance")} | {stream(1, "agents")}) == 4


def test_draw_follows_the_distribution():
    probabilities = np.tile(np.array([0.1, 0.0, 0.6, 0.3], np.float32), (50_000, 1))
    counts = np.bincount(draw(fold(1, np.arange(50_000)), probabilities), minlength=4)
    np.testing.assert_allclose(counts / 50_000, [0.1, 0.0, 0.6, 0.3], atol=0.01)
    assert counts[1] == 0


def test_draw_is_by_key_and_never_illegal():
    probabilities = np.array([[0, 0.5, 0, 0.5, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]], np.float32).repeat(2000, 0)
    drawn = draw(fold(3, np.arange(6000)), probabilities)
    assert (probabilities[np.arange(6000), drawn] > 0).all()
    assert drawn.tolist() == draw(fold(3, np.arange(6000)), probabilities).tolist()
    assert drawn[::7].tolist() == draw(fold(3, np.arange(6000))[::7], probabilities[::7]).tolist()


@pytest.mark.parametrize("number", [0.0, 1 - 2.0**-53])
def test_the_smallest_and_the_largest_number_draw_legal_actions(monkeypatch, number):
    monkeypatch.setattr(keys, "uniform", lambda key: np.full(len(key), number))
    generator = np.random.default_rng(0)
    mask = generator.random((20_000, 9)) < 0.4
    mask[:, 0], mask[:, 5] = False, True
    weights = mask * generator.random(mask.shape, dtype=np.float32)
    probabilities = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    drawn = draw(np.zeros(20_000, np.uint64), probabilities)
    assert (probabilities[np.arange(20_000), drawn] > 0).all()
