"""Recurrent networks of agents, from observations to one output for each action, over whole episodes or step by step.

Rows are decisions. They are packed for unrolling: the first decision of every sequence, then the second of every
sequence, ..., longest sequences first. The sequences of a block are then the first rows of the block before (PyTorch's
PackedSequence). No padding is needed for deaths, turns and episodes of unequal length.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from marl.learning.networks import affine, linear, tanh_


def pack(sequence: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the packed order [R] of rows, and the block sizes [D]: the number of sequences that have a d-th row.

    `sequence` [R] is the sequence of each row, a number from 0 on, of which some may have no rows; the rows of a
    sequence are in order of time.
    """
    if len(sequence) == 0:
        return sequence, sequence
    count = np.bincount(sequence)
    grouped = np.argsort(sequence.astype(np.min_scalar_type(len(count))), kind="stable")  # faster for small integers
    start = np.cumsum(count) - count
    step = np.arange(len(sequence)) - start[sequence[grouped]]  # of each grouped row: its position within its sequence
    rank = np.empty(len(count), np.int64)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(count))
    sizes = np.bincount(step)
    order = np.empty(len(sequence), np.int64)
    order[(np.cumsum(sizes) - sizes)[step] + rank[sequence[grouped]]] = grouped
    return order, sizes


class Packed(NamedTuple):
    """Packed rows for unrolling, and the block sizes of each network."""

    inputs: Tensor  # [R, I]
    blocks: list[list[int]]  # for one shared network, or for one network per player, in the order of the rows


class GRU(nn.Module):
    """A gated recurrent unit over packed rows (Cho et al. 2014, https://arxiv.org/abs/1406.1078; as in PyTorch):

    r, z = sigmoid(W x + U h + b),  n = tanh(W x + b + r (U h + b')),  h' = (1 - z) n + z h
    """

    def __init__(self, inputs: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size = size

        def weights(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-(size**-0.5), size**-0.5, generator=generator))

        self.weight_x, self.weight_h = weights(3 * size, inputs), weights(3 * size, size)
        self.bias_x, self.bias_h = weights(3 * size), weights(3 * size)

    def forward(self, x: Tensor, sizes: list[int], initial: Tensor | None = None) -> Tensor:
        """Map packed inputs [R, I] to hidden states [R, H]; `sizes` [D] are the block sizes.

        `initial` [sizes[0], H] are the hidden states before the first block, which get no gradient; 0 by default.
        """
        if initial is None:
            initial = x.new_zeros(sizes[0] if sizes else 0, self.size)
        unrolled: Tensor = _Unroll.apply(x, sizes, initial, self.weight_x, self.weight_h, self.bias_x, self.bias_h)
        return unrolled

    def step(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Map inputs [.., I] and hidden states [.., H] to the next hidden states, of one GRU or of K (`affine`)."""
        from_x, from_h = affine(x, self.weight_x, self.bias_x), affine(hidden, self.weight_h, self.bias_h)
        (x_gates, x_last), (h_gates, h_last) = (part.split([2 * self.size, self.size], -1) for part in (from_x, from_h))
        reset, update = (x_gates + h_gates).sigmoid_().split(self.size, -1)
        candidate = torch.addcmul(x_last, reset, h_last).tanh_()
        return torch.lerp(candidate, hidden, update)


class _Unroll(torch.autograd.Function):
    """The unrolled GRU with a hand-written gradient.

    With d = dL/dh', all gradients of a step are d times factors that the forward pass determines. The factors are
    computed for all rows at once, so a step of the backward pass is one elementwise and one matrix product.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        sizes: list[int],
        initial: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias_x: Tensor,
        bias_h: Tensor,
    ) -> Tensor:
        size = weight_h.shape[1]
        gates, last = slice(0, 2 * size), slice(2 * size, 3 * size)
        mixed = x.new_empty(len(x), 3 * size)  # becomes r, z and U h + b' of the candidates
        torch.addmm(bias_x[gates] + bias_h[gates], x, weight_x[gates].t(), out=mixed[:, gates])
        mixed[:, last] = bias_h[last]
        candidate = torch.addmm(bias_x[last], x, weight_x[last].t())  # [R, H] becomes n
        out = torch.empty_like(candidate)
        hidden, by = initial, weight_h.t()
        parts = mixed, mixed[:, gates], *mixed.split(size, 1), candidate, out
        for block, both, reset, update, of_h, n, after in zip(*(part.split(sizes) for part in parts), strict=True):
            before = hidden[: len(block)]
            block.addmm_(before, by)
            both.sigmoid_()
            tanh_(n.addcmul_(reset, of_h))
            hidden = torch.lerp(n, before, update, out=after)
        ctx.save_for_backward(x, initial, weight_x, weight_h, mixed, candidate, out)
        ctx.sizes = sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, initial, weight_x, weight_h, mixed, candidate, out = ctx.saved_tensors
        sizes, size = ctx.sizes, weight_h.shape[1]
        reset, update, of_h = mixed.split(size, 1)
        before = before_each(out, sizes, initial)
        # d's factors before the nonlinearities. In this order n, r, z are those of x, and r, z, U h + b' those of h.
        factor = x.new_empty(len(x), 4, size)
        at_n, at_r, at_z, at_h = factor.unbind(1)
        torch.ops.aten.tanh_backward.grad_input(1 - update, candidate, grad_input=at_n)
        torch.mul(at_n, reset, out=at_h)
        torch.ops.aten.sigmoid_backward.grad_input(at_n * of_h, reset, grad_input=at_r)
        torch.ops.aten.sigmoid_backward.grad_input(before - candidate, update, grad_input=at_z)
        d_all = factor.view(-1, 4 * size)
        d_x, d_h = d_all[:, : 3 * size], d_all[:, size:]
        d = grads[0].clone()
        later = d.new_zeros(0, size)
        parts = d, factor, d_h, update
        for d_block, f_block, of_block, z in reversed(list(zip(*(part.split(sizes) for part in parts), strict=True))):
            d_block[: len(later)] += later  # sequences that continue
            f_block *= d_block[:, None]
            later = torch.mm(of_block, weight_h).addcmul_(d_block, z)
        bias = d_all.sum(0)
        return (
            d_x @ weight_x.roll(size, 0) if ctx.needs_input_grad[0] else None,
            None,
            None,
            (d_x.t() @ x).roll(-size, 0),
            d_h.t() @ before,
            bias[: 3 * size].roll(-size, 0),
            bias[size:],
        )


def before_each(hidden: Tensor, sizes: list[int], initial: Tensor) -> Tensor:
    """Return the hidden state before each packed row [R, H]: that of the block before, `initial` for the first block.

    `hidden` [R, H] are the states after each row.
    """
    if not sizes:
        return hidden
    return torch.cat([initial, *(block[:n] for block, n in zip(hidden.split(sizes), sizes[1:], strict=False))])


class AgentNetwork(nn.Module):
    """An agent: inputs -> Linear, ReLU -> GRU, or Linear and ReLU -> Linear -> `outputs` numbers.

    The form of PyMARL's agents (Samvelyan et al. 2019, https://arxiv.org/abs/1902.04043, appendix).
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int, recurrent: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.encode = linear(inputs, hidden, 2**0.5, generator)
        self.remember = GRU(hidden, hidden, generator) if recurrent else None
        self.think = None if recurrent else linear(hidden, hidden, 2**0.5, generator)
        self.choose = linear(hidden, outputs, 0.1, generator)

    def forward(self, inputs: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
        """Map packed rows [R, I] to outputs [R, outputs] and features [R, H], the hidden states of a GRU."""
        features = torch.relu_(self.encode(inputs))
        features = self.remember(features, sizes) if self.remember else torch.relu_(self.think(features))  # type: ignore[misc]
        return self.choose(features), features

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows [B, I] and hidden states [B, H] to outputs [B, outputs] and the next hidden states."""
        features = torch.relu_(self.encode(inputs))
        features = self.remember.step(features, hidden) if self.remember else torch.relu_(self.think(features))  # type: ignore[misc]
        return self.choose(features), features
