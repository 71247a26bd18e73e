"""Ratings with cycles: what they find, and what they predict on seeds that were left out."""

import numpy as np
import pytest

from tests.tournaments.ratings.test_transitivity import CYCLE, drawn
from tests.tournaments.tables import play
from tournaments.ratings.melo import held_out, melo


def test_it_finds_a_cycle_and_strengths():
    """The coordinates are known up to a turn; the advantages are known."""
    strengths = np.array([0.5, 0.0, -0.5])
    odds = 1.2 * CYCLE + strengths[:, None] - strengths
    found = melo(drawn(odds, 4_000, np.random.default_rng(0)))
    assert found.advantage == pytest.approx(odds, abs=0.1)
    assert found.advantage == pytest.approx(-found.advantage.T)
    assert found.eta == pytest.approx(0, abs=0.05)


def test_the_search_ends_at_the_same_advantages_wherever_it_begins():
    results = drawn(1.2 * CYCLE, 50, np.random.default_rng(1))
    assert melo(results, key=1).advantage == pytest.approx(melo(results, key=2).advantage, abs=1e-3)


def test_cycles_predict_better_where_they_are_real():
    found = held_out(drawn(1.0 * CYCLE, 40, np.random.default_rng(2)))
    assert found.gain.mean > found.gain.interval > 0
    assert found.gain.mean == pytest.approx(found.davidson - found.melo, abs=1e-9)


def test_cycles_predict_no_better_where_there_are_none():
    """Trap: the loss on the seeds that were fitted always falls."""
    found = held_out(play(8, 30, np.random.default_rng(3))[1])
    assert found.gain.mean < found.gain.interval


def test_one_seed_leaves_none_out():
    assert held_out(drawn(CYCLE, 1, np.random.default_rng(0))) is None
