"""Value heads: returns as distributions and back, by hand and by property."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from games.registry import make
from marl.learning.networks import generator_of
from marl.learning.value_heads import (
    MARGIN,
    Categorical,
    HlGauss,
    Scalar,
    ValueHeadConfig,
    discounted_bounds,
    uncovered,
    value_head,
)
from tests.properties import examples

HEADS = [Categorical(51, -10.0, 10.0), HlGauss(51, -10.0, 10.0)]
returns = st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=20)


def y(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)


@settings(max_examples=examples(100))
@given(numbers=returns, head=st.sampled_from(HEADS))
def test_a_return_is_encoded_as_probabilities_whose_mean_it_is(numbers, head):
    encoded = head.encode(y(*numbers))
    assert encoded.shape == (len(numbers), 51) and (encoded >= 0).all()
    np.testing.assert_allclose(encoded.sum(1), 1, atol=1e-5)
    mean = (encoded * head.values).sum(1)
    np.testing.assert_allclose(mean, np.clip(numbers, -10, 10), atol=0.02 * head.width)  # the ends of the range, too


@pytest.mark.parametrize("place", [0, 1, 25, 50])
def test_a_return_that_is_a_value_keeps_all_of_its_mass(place):
    """What a division between floor and ceiling loses where they are the same."""
    head = HEADS[0]
    assert torch.equal(head.encode(head.values[place : place + 1]).argmax(1), torch.tensor([place]))
    assert head.encode(head.values[place : place + 1]).max() == pytest.approx(1, abs=1e-5)
    whole = Categorical(11, 0.0, 10.0)  # its values are exact in floating point
    assert torch.equal(whole.encode(whole.values), torch.eye(11))


def test_a_backup_of_c51_by_hand():
    """r + γz with r = 1, γ = 0.5: probability 0.25 at 2.5, 0.75 at 3. What lies beyond an end is counted there."""
    head = Categorical(11, 0.0, 10.0)
    probs = torch.zeros(3, 11)
    probs[:, 3], probs[:, 4] = 0.25, 0.75
    projected = head.project(torch.stack([1 + 0.5 * head.values, head.values - 100, head.values + 100]), probs)
    assert projected[0].tolist() == pytest.approx([0, 0, 0.125, 0.875, *[0] * 7])
    assert projected[1, 0] == projected[2, 10] == 1
    assert projected.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert (projected[0] * head.values).sum() == pytest.approx(1 + 0.5 * (0.25 * 3 + 0.75 * 4))


def test_a_gaussian_by_hand():
    """Bins of width 1 and σ = 0.75: the mass of the bin around y is Φ(2/3) - Φ(-2/3), of the next Φ(2) - Φ(2/3)."""
    head = HlGauss(9, 0.0, 4.0)
    assert head.width == 1 and head.values.tolist() == [-2, -1, 0, 1, 2, 3, 4, 5, 6]
    encoded = head.encode(y(2.0))[0]
    assert encoded[3:6].tolist() == pytest.approx([0.2297, 0.4950, 0.2297], abs=1e-3)
    torch.testing.assert_close(encoded, encoded.flip(0), atol=1e-6, rtol=0)


def test_with_a_narrow_gaussian_a_value_of_a_bin_is_encoded_as_by_the_projection():
    """σ -> 0 puts all mass into the bin of y: the projection's answer where y is a bin's centre, and only there."""
    narrow = HlGauss(11, 0.0, 6.0, sigma=1e-3)
    two = Categorical(11, -MARGIN, 6.0 + MARGIN)
    assert torch.equal(narrow.values, two.values)
    whole = torch.arange(7.0)
    assert torch.equal(narrow.encode(whole), two.encode(whole))
    assert narrow.encode(y(2.4))[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert two.encode(y(2.4))[0, 4:6].tolist() == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("head", HEADS)
def test_what_lies_outside_is_the_nearest_end_and_is_counted(head):
    ends = head.encode(y(-10, 10))
    assert torch.equal(head.encode(y(-11, 1e6)), ends)
    predicted = torch.zeros(5, 51)
    counted = head.metrics(predicted, y(-11, -10.1, 0, 10.1, 1e6))
    assert counted["clipped_targets"] == pytest.approx(0.4)  # a tenth is less than half a bin
    weighed = head.metrics(predicted, y(-11, -10.1, 0, 10.1, 1e6), y(1, 1, 0, 0, 0))
    assert weighed["clipped_targets"] == pytest.approx(0.5)
    assert weighed["value_error"] == pytest.approx((11**2 + 10.1**2) / 2, rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_least_at_the_target_and_its_gradient_is_finite(head):
    target = y(-10, 3.21, 10, 400)
    best = head.encode(target).log().clamp(min=-60)
    least = head.loss(best, target)
    entropy = -torch.special.xlogy(head.encode(target), head.encode(target)).sum(1)
    torch.testing.assert_close(least, entropy, atol=1e-4, rtol=1e-4)
    for scale in (0.0, 1.0, 1e4):
        logits = (scale * torch.randn(4, 51, generator=generator_of(1))).requires_grad_()
        loss = head.loss(logits, target)
        assert (loss >= least - 1e-5).all()
        loss.sum().backward()
        assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["scalar", "categorical", "hl_gauss"])
def test_descending_the_loss_finds_the_mean_of_returns(name):
    """Of a return that is 0 with probability 3/4 and 1 with 1/4, the expectation is learned."""
    head = value_head(ValueHeadConfig(value_head=name, value_bins=21), (-1.0, 2.0))
    output = torch.zeros(1, 2 * head.bins, requires_grad=True)  # of two players
    optimizer = torch.optim.Adam([output], lr=0.1)
    target = torch.zeros(4, 2)
    target[0] = y(1, -1)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(head.parted(output).expand(4, *head.parted(output).shape[1:]), target).mean().backward()
        optimizer.step()
    assert head.mean(head.parted(output))[0].tolist() == pytest.approx([0.25, -0.25], abs=0.01)


def test_a_scalar_is_its_own_expectation():
    head = Scalar()
    predicted = torch.randn(3, 2)
    assert head.parted(predicted) is predicted and head.mean(predicted) is predicted
    assert head.loss(y(1.0), y(3.0)).item() == 4 and head.metrics(predicted, predicted) == {}
    assert not [*HEADS[0].state_dict()]  # a checkpoint has no support: the config says it


@pytest.mark.parametrize("changes", [{"value_head": "quantile"}, {"value_bins": 7}, {"value_bins": 2000}])
def test_settings_out_of_range(changes):
    with pytest.raises(ValidationError):
        ValueHeadConfig(**changes)


def spec_of(low, high, length=11):
    return replace(make("matrix(game=prisoners_dilemma)", 1).spec, return_bounds=(low, high), max_length=length)


def test_discounted_returns_come_nearer_to_0():
    """Half of it after each of ten steps: 1/1024 of what is paid at the end."""
    assert discounted_bounds(spec_of(-2.0, 3.0), 0.5) == (-2.0, 3.0)
    assert discounted_bounds(spec_of(1024.0, 2048.0), 0.5) == (1.0, 2048.0)
    assert discounted_bounds(spec_of(-2048.0, -1024.0), 0.5) == (-2048.0, -1.0)
    assert discounted_bounds(spec_of(1.0, 2.0, None), 1.0) == (1.0, 2.0)
    assert discounted_bounds(replace(spec_of(0.0, 1.0), return_bounds=None), 0.5) is None


@pytest.mark.parametrize("kind", [Categorical, HlGauss])
def test_a_head_covers_what_is_within_half_a_bin_of_its_range(kind):
    head = kind(51, -10.0, 10.0)
    for beyond, count in ((0.0, 0), (0.4, 0), (0.6, 1)):
        for low, high in ((-10.0 - beyond * head.width, 10.0), (-10.0, 10.0 + beyond * head.width)):
            assert len(uncovered(head, spec_of(low, high), 1.0)) == count
    assert uncovered(Scalar(), spec_of(-99.0, 99.0), 1.0) == []
