"""Packed rows, and the GRU over them: PyTorch's own, with the gradient written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marl.learning.networks import generator_of
from marl.learning.recurrent import GRU, AgentNetwork, pack
from tests.properties import examples


def test_rows_are_packed_by_hand():
    order, sizes = pack(np.array([0, 1, 2, 1, 2, 1]))
    # Sequence 1 has three rows, 2 has two, 0 has one: first rows of 1, 2, 0; second rows of 1, 2; the third of 1.
    assert order.tolist() == [1, 2, 0, 3, 4, 5] and sizes.tolist() == [3, 2, 1]
    assert [len(part) for part in pack(np.zeros(0, np.int64))] == [0, 0]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_packing_keeps_the_order_within_each_sequence(sequence):
    sequence = np.unique(np.array(sequence), return_inverse=True)[1]
    order, sizes = pack(sequence)
    assert sorted(order.tolist()) == list(range(len(sequence)))
    assert (np.diff(sizes) <= 0).all() and sizes.sum() == len(sequence)
    blocks = np.split(sequence[order], np.cumsum(sizes)[:-1])
    for block in blocks:
        assert block.tolist() == blocks[0][: len(block)].tolist()  # the longest come first, in one order
    for which in range(sequence.max() + 1):
        rows = order[sequence[order] == which]
        assert rows.tolist() == sorted(rows.tolist())


@settings(max_examples=examples(50))
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**32))
def test_the_gru_and_its_gradients_are_pytorchs(lengths, seed):
    lengths = sorted(lengths, reverse=True)
    ours = GRU(3, 4, generator_of(seed)).double()
    theirs = nn.GRU(3, 4).double()
    theirs.load_state_dict(
        {
            "weight_ih_l0": ours.weight_x,
            "weight_hh_l0": ours.weight_h,
            "bias_ih_l0": ours.bias_x,
            "bias_hh_l0": ours.bias_h,
        }
    )
    sizes = [sum(length > d for length in lengths) for d in range(lengths[0])]
    x = torch.randn(sum(lengths), 3, dtype=torch.float64, generator=generator_of(seed))
    pull = torch.randn(sum(lengths), 4, dtype=torch.float64, generator=generator_of(seed + 1))
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    initial = torch.randn(len(lengths), 4, dtype=torch.float64, generator=generator_of(seed + 2)) * (seed % 2)
    out = ours(mine, sizes, initial if seed % 2 else None)
    expected = theirs(nn.utils.rnn.PackedSequence(other, torch.tensor(sizes)), initial[None])[0].data
    torch.testing.assert_close(out, expected)
    (out * pull).sum().backward()
    (expected * pull).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("recurrent", [True, False])
def test_steps_and_the_unrolled_pass_agree(recurrent):
    network = AgentNetwork(5, 3, hidden=8, recurrent=recurrent, generator=generator_of(1))
    x, sizes = torch.randn(7, 5, generator=generator_of(2)), [3, 3, 1]
    outputs, features = network(x, sizes)
    hidden, start = torch.zeros(3, 8), 0
    for n in sizes:
        out, hidden = network.step(x[start : start + n], hidden[:n])
        torch.testing.assert_close(out, outputs[start : start + n])
        torch.testing.assert_close(hidden, features[start : start + n])
        start += n
