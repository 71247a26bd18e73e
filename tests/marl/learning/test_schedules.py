"""Schedules by hand, and averaged metrics."""

from itertools import pairwise

import pytest
import torch

from marl.learning.metrics import Means
from marl.learning.schedules import annealed, due, ramp


@pytest.mark.parametrize("steps, value", [(0, 1.0), (25, 0.775), (100, 0.1), (250, 0.1)])
def test_a_ramp_goes_from_start_to_end_and_stays_there(steps, value):
    assert ramp(1.0, 0.1, steps, 100) == pytest.approx(value, rel=1e-15)


def test_a_ramp_may_rise():
    assert ramp(0.0, 2.0, 5, 10) == 1.0


@pytest.mark.parametrize("steps, value", [(0, 0.5), (30, 0.35), (100, 0.0), (120, 0.0)])
def test_annealed_ends_at_zero_and_never_below(steps, value):
    assert annealed(0.5, steps, 100) == pytest.approx(value, rel=1e-15)


def test_due_counts_each_multiple_once():
    """However the steps are divided among calls, as many updates are due in all."""
    counts = [0, 3, 10, 10, 31, 40]
    parts = [due(before, after, 10) for before, after in pairwise(counts)]
    assert parts == [0, 1, 0, 2, 1] and sum(parts) == due(0, 40, 10)


def test_means_are_over_the_updates_that_have_a_metric():
    means = Means()
    means.add({"loss": torch.tensor(1.0), "gap": torch.tensor(4.0)})
    means.add({"loss": torch.tensor(2.0)})
    assert means.result() == {"loss": 1.5, "gap": 4.0}
    assert Means().result() == {}
