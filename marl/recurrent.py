"""Networks of agents that remember: a view in, one number an action out, over whole episodes at once or step by step.

Rows are decisions. To unroll them they are packed: every sequence's first decision, then every second one, ... with the
longest sequences first, so that those which go on are always the first rows of the block before (PyTorch's
PackedSequence). Deaths, turns and episodes of unequal length then cost nothing, and nothing is padded.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from marl.networks import linear


def pack(sequence: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order [R] in which rows are packed, and the blocks' sizes [D]: how many sequences have a d-th row.

    `sequence` [R] says which sequence each row belongs to; the rows of one come in the order of time.
    """
    if len(sequence) == 0:
        return sequence, sequence
    count = np.bincount(sequence)
    grouped = np.argsort(sequence, kind="stable")
    start = np.cumsum(count) - count
    step = np.arange(len(sequence)) - start[sequence[grouped]]  # of the grouped rows: the how-manieth of its sequence
    rank = np.empty(len(count), np.int64)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(count))
    sizes = np.bincount(step)
    order = np.empty(len(sequence), np.int64)
    order[(np.cumsum(sizes) - sizes)[step] + rank[sequence[grouped]]] = grouped
    return order, sizes


class Packed(NamedTuple):
    """What networks are unrolled over: packed rows, and the blocks' sizes of each network that holds some of them."""

    inputs: Tensor  # [R, I]
    blocks: list[list[int]]  # of one network for all, or of one for each player, whose rows follow each other


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

    def forward(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Map packed inputs [R, I] to hidden states [R, H], beginning at zero; `sizes` [D] are the blocks'."""
        return _Unroll.apply(x, sizes, self.weight_x, self.weight_h, self.bias_x, self.bias_h)  # type: ignore[no-any-return]

    def step(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Map inputs [B, I] and hidden states [B, H] to the next hidden states [B, H]."""
        from_x = functional.linear(x, self.weight_x, self.bias_x)
        return _step(from_x, functional.linear(hidden, self.weight_h, self.bias_h), hidden)[0]


def _step(from_x: Tensor, from_h: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the next hidden states [B, H], the gates r and z [B, 2H], and the candidates n [B, H]."""
    size = hidden.shape[1]
    gates = (from_x[:, : 2 * size] + from_h[:, : 2 * size]).sigmoid_()
    candidate = torch.addcmul(from_x[:, 2 * size :], gates[:, :size], from_h[:, 2 * size :]).tanh_()
    return torch.lerp(candidate, hidden, gates[:, size:]), gates, candidate


class _Unroll(torch.autograd.Function):
    """The unrolled GRU with its gradient written out: autograd's own costs half as much again in small kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: list[int], weight_x: Tensor, weight_h: Tensor, bias_x: Tensor, bias_h: Tensor
    ) -> Tensor:
        size = weight_h.shape[1]
        from_x = torch.addmm(bias_x, x, weight_x.t())
        from_h = torch.empty_like(from_x)
        out = x.new_empty(len(x), size)
        hidden = x.new_zeros(sizes[0] if sizes else 0, size)
        steps, start = [], 0
        for n in sizes:
            block = slice(start, start + n)
            before = hidden[:n]
            torch.addmm(bias_h, before, weight_h.t(), out=from_h[block])
            hidden, gates, candidate = _step(from_x[block], from_h[block], before)
            out[block] = hidden
            steps.append((block, before, gates, candidate))
            start += n
        ctx.save_for_backward(x, weight_x, weight_h, from_h)
        ctx.steps = steps
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (d_out,) = grads
        x, weight_x, weight_h, from_h = ctx.saved_tensors
        size = weight_h.shape[1]
        d_from_x, d_from_h = torch.empty_like(from_h), torch.empty_like(from_h)
        d_hidden = d_out.new_zeros(0, size)
        for block, before, gates, candidate in reversed(ctx.steps):
            d = d_out[block].clone()
            d[: len(d_hidden)] += d_hidden  # of the sequences that go on
            reset, update = gates[:, :size], gates[:, size:]
            dx, dh = d_from_x[block], d_from_h[block]
            d_candidate = torch.mul(d * (1 - update), 1 - candidate.square(), out=dx[:, 2 * size :])
            torch.mul(d_candidate, reset, out=dh[:, 2 * size :])
            d_gates = dh[:, : 2 * size]
            torch.mul(d_candidate, from_h[block, 2 * size :], out=d_gates[:, :size])
            torch.mul(d, before - candidate, out=d_gates[:, size:])
            d_gates *= gates * (1 - gates)
            dx[:, : 2 * size] = d_gates
            d_hidden = torch.addmm(d * update, dh, weight_h)
        before = torch.cat([step[1] for step in ctx.steps]) if ctx.steps else d_hidden
        return (
            d_from_x @ weight_x if ctx.needs_input_grad[0] else None,
            None,
            d_from_x.t() @ x,
            d_from_h.t() @ before,
            d_from_x.sum(0),
            d_from_h.sum(0),
        )


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
        """Map packed rows [R, I] to outputs [R, outputs] and features [R, H], which are what a GRU remembers."""
        features = functional.relu(self.encode(inputs))
        features = self.remember(features, sizes) if self.remember else functional.relu(self.think(features))  # type: ignore[misc]
        return self.choose(features), features

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map rows [B, I] and hidden states [B, H] to outputs [B, outputs] and the next hidden states."""
        features = functional.relu(self.encode(inputs))
        features = self.remember.step(features, hidden) if self.remember else functional.relu(self.think(features))  # type: ignore[misc]
        return self.choose(features), features
