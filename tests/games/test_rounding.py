"""Rounding decides no game, and what the rules decide stays decided."""

from fractions import Fraction

import numpy as np
import pytest

from games.registry import make
from games.rounding import of_payments, of_sums, sign
from games.solvers.exhaustive import every_end
from marl.rollout.agent import Random
from marl.rollout.loop import play_episodes
from tests.games.ledger import LEDGERS, Ledger


def played(name: str):
    venv = make(f"tests.games.ledger:Ledger(name='{name}')", 2)
    keys = np.array([5, 6, 7], np.uint64)
    return list(play_episodes(venv, [Random(venv.spec)], np.array([1], np.uint64), keys, np.zeros((3, 2), np.int64)))


@pytest.mark.parametrize("name", LEDGERS)
def test_who_was_paid_more_is_what_the_rules_say(name):
    for episode in played(name):
        gap = episode.returns[0] - episode.returns[1]
        assert sign(gap, episode.rounding) == LEDGERS[name][2]
        exact = 2 * sum(Fraction(paid).limit_denominator(10**6) for paid in LEDGERS[name][0])
        assert abs(gap - float(exact)) <= episode.rounding


@pytest.mark.parametrize("name", LEDGERS)
def test_ends_are_told_apart_by_the_same_rule(name):
    ends = every_end(Ledger(name), lambda states: [0] * len(states), 0)
    assert (ends.won, ends.drawn, ends.lost) == tuple(int(LEDGERS[name][2] == ahead) for ahead in (1, 0, -1))


def test_the_bound_by_hand():
    paid = np.array([[0.5, -0.25], [3.0, -3.0], [2.0**24, -1.0], [0.0, 0.1]], np.float32)
    expected = [0.75 * 2**-23, 0, 2.0, np.float64(np.float32(0.1)) * 2**-23]
    np.testing.assert_allclose(of_payments(paid), expected, rtol=1e-12)
    spec = Ledger().spec
    assert of_sums(spec, 4) == 4 * 2**-52 and of_sums(Ledger("sevenths").spec, 8) == 8 * 2**-32
    assert of_sums(Ledger("by one chip").spec, 101) == 101 * 2**-52 * 1e6


def test_a_difference_within_its_bound_is_none():
    gaps, bounds = np.array([3.0, -3.0, 1.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0, 2.0, 0.0])
    assert sign(gaps, bounds).tolist() == [1, -1, 0, 0, 0]
