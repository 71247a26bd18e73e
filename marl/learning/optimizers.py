"""Adam and RMSprop with the clipping of gradients, equal to torch's bit for bit.

`torch.optim` imports torch's compiler at its first step, which costs every learning process 0.8 CPU-seconds, as much as
a hundred thousand steps of a fast game. These do not.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor

Gradient = Sequence[Tensor | None]  # one for each parameter; None if the loss does not depend on it: it is not changed


class Optimizer(ABC):
    """Takes steps down the gradient of a loss; each group of parameters is clipped by the norm of its own gradient."""

    slots: tuple[str, ...]  # the names of the moments of each parameter

    def __init__(self, *groups: Iterable[Tensor], learning_rate: float, eps: float, max_norm: float) -> None:
        self.groups = [list(group) for group in groups]
        self.parameters = [parameter for group in self.groups for parameter in group]
        self.learning_rate, self.eps, self.max_norm = learning_rate, eps, max_norm
        self._steps = [torch.zeros((), device=p.device) for p in self.parameters]
        self._moments = {slot: [torch.zeros_like(p) for p in self.parameters] for slot in self.slots}

    def gradient(self, loss: Tensor, *, retain_graph: bool = False) -> Gradient:
        """Return the gradient of a loss, for `step`."""
        return torch.autograd.grad(loss, self.parameters, retain_graph=retain_graph, allow_unused=True)

    def descend(self, loss: Tensor) -> Tensor:
        """Take one step down a loss; return the norms that `step` returns."""
        return self.step(self.gradient(loss))

    @torch.no_grad()
    def step(self, gradient: Gradient) -> Tensor:
        """Clip a gradient by group and take one step; return the norm of each group before clipping [groups]."""
        parts, first = [], 0
        for group in self.groups:
            parts.append([g.contiguous() for g in gradient[first : first + len(group)] if g is not None])
            first += len(group)
        norms = torch.stack([norm_of(part) for part in parts])
        scales = (self.max_norm / (norms + 1e-6)).clamp(max=1)
        clipped = [
            g for part, scale in zip(parts, scales, strict=True) if part for g in torch._foreach_mul(part, scale)
        ]
        reached = [i for i, g in enumerate(gradient) if g is not None]
        if reached:
            moments = [[self._moments[slot][i] for i in reached] for slot in self.slots]
            steps = [self._steps[i] for i in reached]
            torch._foreach_add_(steps, 1)
            self._move([self.parameters[i] for i in reached], clipped, moments, steps)
        return norms

    @abstractmethod
    def _move(
        self, parameters: list[Tensor], gradient: list[Tensor], moments: list[list[Tensor]], steps: list[Tensor]
    ) -> None:
        """Update the moments, then the parameters."""

    def state(self) -> dict[str, Tensor]:
        """Return the moments and the counters by `INDEX.NAME`, for an exact resume."""
        named = {"step": self._steps, **self._moments}
        return {f"{i}.{name}": tensors[i] for i in range(len(self.parameters)) for name, tensors in named.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        for name, tensors in {"step": self._steps, **self._moments}.items():
            for i, tensor in enumerate(tensors):
                tensor.copy_(state[f"{i}.{name}"])


def norm_of(tensors: list[Tensor]) -> Tensor:
    """Return the norm of all numbers; `nn.utils.get_total_norm` computes the same, and groups the tensors before."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors))) if tensors else torch.zeros(())


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), with β of 0.9 and 0.999."""

    slots = ("exp_avg", "exp_avg_sq")

    def _move(
        self, parameters: list[Tensor], gradient: list[Tensor], moments: list[list[Tensor]], steps: list[Tensor]
    ) -> None:
        torch._fused_adam_(
            parameters,
            gradient,
            moments[0],
            moments[1],
            [],
            steps,
            lr=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012) with α of 0.99."""

    slots = ("square_avg",)

    def _move(
        self, parameters: list[Tensor], gradient: list[Tensor], moments: list[list[Tensor]], steps: list[Tensor]
    ) -> None:
        (square,) = moments
        torch._foreach_mul_(square, 0.99)
        torch._foreach_addcmul_(square, gradient, gradient, value=1 - 0.99)
        root = torch._foreach_sqrt(square)
        torch._foreach_add_(root, self.eps)
        torch._foreach_addcdiv_(parameters, gradient, cast("list[Tensor]", root), value=-self.learning_rate)
