"""Prioritised fictitious self-play: win rates and weights by hand."""

import numpy as np
import pytest

from marl.training.pfsp import Tally, capped, even, hard


def test_a_win_rate_has_a_prior_of_a_win_and_a_loss():
    assert Tally().win_rate == 0.5
    assert Tally(2, 2).win_rate == 0.75 and Tally(8, 0).win_rate == 0.1


def test_no_weight_is_0_and_none_is_certain():
    won, lost = Tally().then(10**6, 10**6), Tally().then(10**6, 0.0)
    assert 0 < hard(won.win_rate) < 1e-11 and hard(lost.win_rate) < 1


def test_earlier_results_count_half():
    assert Tally(8, 6).then(2, 1) == Tally(6, 4)


def test_weights_by_hand():
    w = np.array([0.0, 0.2, 0.5, 1.0])
    assert hard(w) == pytest.approx([1, 0.64, 0.25, 0]) and hard(w, 1) == pytest.approx([1, 0.8, 0.5, 0])
    assert capped(w) == pytest.approx([0.5, 0.5, 0.5, 0])
    assert even(w) == pytest.approx([0, 0.16, 0.25, 0])
    assert hard(0.2) == pytest.approx(0.64)
