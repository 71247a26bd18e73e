"""First values and explored ones: within their ranges, whole where they must be, by key."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from games.keys import fold_one, stream
from tournaments.populations.pbt.priors import AGAIN, Choice, Range, drawn, explored

PRIORS = {
    "algorithm.learning_rate": Range(1e-4, 3e-3, log=True),
    "algorithm.gamma": Range(0.9, 1),
    "algorithm.epochs": Range(1, 8, whole=True),
    "algorithm.minibatch_size": Range(64, 4096, log=True, whole=True),
    "algorithm.hidden": Choice([8, 16, 32]),
}


def test_ten_thousand_perturbations_stay_inside():
    """Trap: values that leave their range (ray #11936), and an integer 1 that becomes int(0.8) = 0."""
    settings = drawn(PRIORS, 0)
    seen = {name: {settings[name]} for name in PRIORS}
    for step in range(10_000):
        settings = explored(PRIORS, settings, fold_one(stream(0, "explore"), step))
        for name, value in settings.items():
            seen[name].add(value)
    for name, prior in PRIORS.items():
        if isinstance(prior, Range):
            assert min(seen[name]) >= prior.low and max(seen[name]) <= prior.high
    assert seen["algorithm.epochs"] == set(range(1, 9)) and seen["algorithm.hidden"] == {8, 16, 32}
    assert all(type(value) is int for name in ("algorithm.epochs", "algorithm.minibatch_size") for value in seen[name])


@given(low=st.floats(1e-8, 1e6), factor=st.floats(1.001, 1e6), log=st.booleans(), u=st.floats(0, 1, exclude_max=True))
def test_a_range_holds_all_that_it_makes(low, factor, log, u):
    prior = Range(low, low * factor, log=log)
    value = prior.draw(u)
    assert prior.low <= value <= prior.high
    for up in (False, True):
        beside = prior.beside(value, up)
        assert prior.low <= beside <= prior.high and (beside >= value if up else beside <= value)


@given(low=st.integers(-50, 50), more=st.integers(1, 100), u=st.floats(0, 1, exclude_max=True), up=st.booleans())
def test_whole_numbers_change_by_at_least_one_within_their_range(low, more, u, up):
    prior = Range(low, low + more, whole=True)
    value = prior.draw(u)
    beside = prior.beside(value, up)
    assert type(value) is int and type(beside) is int
    assert prior.low <= value <= prior.high and prior.low <= beside <= prior.high
    assert beside != value or value in prior.ends


def test_numbers_by_hand():
    assert Range(1e-4, 1e-2, log=True).draw(0.5) == pytest.approx(1e-3)
    assert Range(0, 10).draw(0.25) == 2.5
    assert [Range(1, 3, whole=True).draw(u) for u in (0, 0.34, 0.99)] == [1, 2, 3]
    assert [Range(1, 3, log=True, whole=True).draw(u) for u in (0, 0.499, 0.501, 0.99)] == [1, 1, 2, 3]
    rate = Range(1e-4, 1e-2, log=True)
    assert rate.beside(1e-3, up=True) == pytest.approx(1.2e-3)
    assert rate.beside(1e-3, up=False) == pytest.approx(1e-3 / 1.2)
    assert rate.beside(9e-3, up=True) == 1e-2 and rate.beside(1e-4, up=False) == 1e-4
    few = Range(0, 100, whole=True)
    assert [few.beside(value, up=True) for value in (0, 1, 2, 10, 100)] == [1, 2, 3, 12, 100]
    assert [few.beside(value, up=False) for value in (0, 1, 2, 12)] == [0, 0, 1, 10]
    assert Range(1, 9, whole=True).beside(1, up=False) == 1
    below = Range(-9, -1, whole=True)  # up is away from 0, as for numbers above it
    assert [below.beside(-2, up) for up in (True, False)] == [-3, -1]
    three = Choice(["a", "b", "c"])
    assert [three.draw(u) for u in (0, 0.34, 0.99)] == ["a", "b", "c"]
    assert [three.beside(value, up=True) for value in "abc"] == ["b", "c", "c"]
    assert [three.beside(value, up=False) for value in "abc"] == ["a", "a", "b"]


def test_a_quarter_is_drawn_again():
    """The others are 1.2 times as large or as small, half of them each."""
    rate = {"rate": Range(1e-9, 1e9, log=True)}
    found = np.array([explored(rate, {"rate": 1.0}, key)["rate"] for key in range(4000)])
    for share, value in [((1 - AGAIN) / 2, 1.2), ((1 - AGAIN) / 2, 1 / 1.2)]:
        assert np.isclose(found, value).mean() == pytest.approx(share, abs=0.03)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_draws_depend_on_the_key_and_the_name_alone(key, other):
    first = drawn(PRIORS, key)
    alone = {"algorithm.gamma": PRIORS["algorithm.gamma"]}
    assert drawn(alone, key) == {"algorithm.gamma": first["algorithm.gamma"]}
    assert explored(PRIORS, first, other) == explored(dict(reversed(PRIORS.items())), first, other)
    assert explored(alone, first, other).items() <= explored(PRIORS, first, other).items()


def test_settings_are_explored_each_by_itself():
    both = dict.fromkeys(["one", "other"], Range(1e-9, 1e9, log=True))
    found = [explored(both, {"one": 1.0, "other": 1.0}, key) for key in range(400)]
    assert 0.2 < np.mean([one["one"] == one["other"] for one in found]) < 0.4  # 2 · (3/8)²


def test_first_values_fill_the_range():
    rates = np.log10([drawn(PRIORS, key)["algorithm.learning_rate"] for key in range(2000)])
    low, high = -4, math.log10(3e-3)
    assert rates.mean() == pytest.approx((low + high) / 2, abs=0.03)
    assert np.quantile(rates, [0.25, 0.75]) == pytest.approx(
        [low + (high - low) / 4, high - (high - low) / 4], abs=0.05
    )
