"""Networks whose result for a row depends on that row alone: not on the other rows of the call, nor on their number.

Libraries do not guarantee this. A matrix product of 8 rows may be summed in another order than one of 16, and its last
rows in another order than its first; this depends on the library, the processor and the layer. So a network is called
with blocks of a few sizes only, and each size is verified on this processor before use:

    1. The network's twin has the same layers, and weights that make the order of summation visible. It computes known
       rows at every position of a block, beside different rows.
    2. The largest size with the same result at every position is the network's block.
    3. Fewer rows are computed in the smallest size that holds them and gives the block's results, bit for bit.

Size 1 needs no verification, since it has one position. It is used if no other size passes.

The order of summation depends on shapes, not on weights: all networks of one kind share one verification per process,
and every process of a machine comes to the same result.
"""

from collections.abc import Callable, Hashable, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from marl.learning.backends import Backend, Precision, backend_of
from marl.learning.networks import Joined, generator_of

BLOCK = 64  # the default for the largest number of rows in a call
SMALLER = (64, 48, 32, 16, 8, 1)  # block sizes to try, in this order
STEP = 8  # blocks of fewer than BLOCK rows are a multiple of it
PROBES = 3  # the number of known rows; rotated so often, each is at every position of a block
GAIN = 2.0**16  # of the twin's weights that cancel: large enough to show in bfloat16 too

Network = TypeVar("Network", bound=nn.Module)


class Rowwise(Generic[Network]):
    """Call parts of a network, methods that map tensors [B, ...] to one tensor [B, F], for any number of rows.

    `largest` is the largest number of rows in one call: small networks are faster in larger blocks.
    """

    def __init__(
        self,
        network: Network,
        device: str,
        *,
        precision: Precision = "float32",
        backend: str = "torch",
        largest: int = BLOCK,
    ) -> None:
        self._how, self._device, self._largest = (backend, device, precision), device, largest
        self._kind = kind_of(network)
        self._sizes: dict[Hashable, Sizes] = {}
        self.renew(network)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the verified sizes: they belong to a process."""
        return vars(self) | {"_sizes": {}}

    def renew(self, network: Network) -> None:
        """Use another network of the same kind from now on."""
        self._backend = self._computed(network)
        self.network = network

    def __call__(self, part: str, *inputs: Tensor) -> Tensor:
        """Return the output [B, F] of a part of the network for rows [B, ...]."""
        rows, at, outputs = inputs[0].shape[0], 0, []
        with torch.inference_mode():
            sizes = self._sizes_of(part, inputs)
            while at < rows:
                size = sizes.size(rows - at)
                outputs.append(self._backend(part, *[_block(x, at, size) for x in inputs]))
                at += size
            output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
            return output if at == rows else output[:rows]

    def ask(self, part: str, *arrays: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output [B, F] of a part of the network for rows [B, ...]."""
        inputs = [torch.from_numpy(array) for array in arrays]
        if self._device != "cpu":
            inputs = [x.to(self._device) for x in inputs]
        return self(part, *inputs).cpu().numpy()

    def _computed(self, network: Network) -> Backend:
        name, device, precision = self._how
        return backend_of(name, network, device, precision)

    def _sizes_of(self, part: str, inputs: Sequence[Tensor]) -> "Sizes":
        shapes = (part, *((x.shape[1:], x.dtype) for x in inputs))
        found = self._sizes.get(shapes)
        if found is None:
            found = self._sizes[shapes] = self._verified(shapes, part, inputs)
        return found

    def _verified(self, shapes: Hashable, part: str, inputs: Sequence[Tensor]) -> "Sizes":
        key = (self._kind, shapes, self._how, self._largest, torch.get_num_threads())
        if key not in _verified:
            twin, generator = self._computed(twin_of(self.network)), generator_of(0)
            convolves = any(isinstance(layer, nn.Conv2d) for layer in self.network.modules())
            probes = [_probes(x, generator, convolves=convolves) for x in inputs]
            _verified[key] = Sizes(lambda *rows: twin(part, *rows), probes, self._largest)
        return _verified[key]


class Sizes:
    """The block sizes in which `ask`, a function of rows, has the same result for a row at every position.

    `probes` are the inputs of PROBES known rows.
    """

    def __init__(self, ask: Callable[..., Tensor], probes: Sequence[Tensor], largest: int) -> None:
        self._ask, self._probes = ask, probes
        for size in (largest, *(size for size in SMALLER if size < largest)):
            self._expected = self._probed(size)
            if self._expected is not None or size == 1:
                break
        self.largest = size
        self._agrees: dict[int, bool] = {}

    def size(self, rows: int) -> int:
        """Return the size of the block in which to compute so many rows, or the first of them."""
        step = STEP if rows <= BLOCK else BLOCK
        for size in range(-(-rows // step) * step, self.largest, step):
            if size not in self._agrees:
                self._agrees[size] = _same(self._probed(size), self._expected)
            if self._agrees[size]:
                return size
        return self.largest

    @torch.inference_mode()
    def _probed(self, size: int) -> Tensor | None:
        """Return the results of the known rows [PROBES, F], or None if they differ between positions of a block."""
        turns = [torch.arange(turn, turn + size) % PROBES for turn in range(PROBES)]
        blocks = [self._ask(*(x[rows.to(x.device)] for x in self._probes)) for rows in turns]
        first = torch.stack([block[0] for block in blocks])
        alike = all(_same(block, first[rows.to(first.device)]) for block, rows in zip(blocks, turns, strict=True))
        return first if alike else None


_verified: dict[Hashable, Sizes] = {}  # of this process


def kind_of(network: nn.Module) -> Hashable:
    """Return what defines the kind of a network: layers, settings and shapes, without the weights."""
    return tuple(
        (
            name,
            type(module),
            repr({k: v for k, v in vars(module).items() if isinstance(v, bool | int | float | str | tuple)}),
            *((k, p.shape) for k, p in module.named_parameters(recurse=False)),
        )
        for name, module in network.named_modules()
    )


@torch.no_grad()
def twin_of(network: Network) -> Network:
    """Return a network of the same kind whose results depend visibly on the order of summation in its layers.

    In each layer with 4 or more outputs, and in each part of a joined one, the second half of them repeats the first.
    Every other output of a half sums large products that cancel (an input of the first half against its repetition)
    between small ones. The result consists of the small products and of rounding errors of the same magnitude.
    """
    twin, generator = deepcopy(network), generator_of(0)
    for layer in twin.modules():
        for weight in layer.parameters(recurse=False):
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.ndim < 2:
                drawn *= 0.1
            else:
                drawn *= (2 / weight[0].numel()) ** 0.5
                large = GAIN * (1 + torch.rand(weight.shape, generator=generator)) * drawn.sign()
                half = weight.shape[1] // 2
                drawn[::2, 1:half:2] = large[::2, 1:half:2]
                drawn[::2, half + 1 : 2 * half : 2] = -large[::2, 1:half:2]
            for part in drawn.split(list(layer.sizes)) if isinstance(layer, Joined) else [drawn]:
                half = len(part) // 2 if len(part) > 3 else 0  # the logits of two actions must differ
                part[half : 2 * half] = part[:half]
            weight.copy_(drawn)
    return twin


def _probes(like: Tensor, generator: torch.Generator, *, convolves: bool) -> Tensor:
    """Return PROBES rows for a network that takes rows like these; the second half of a row repeats the first.

    It is the half of the channels where the network convolves, and else of the numbers in a row: those that the first
    layer sums, so that the twin's products cancel there. Where they did not, gates would saturate and hide all orders.

    Booleans are true, bytes any, other integers 0: the players and actions that every game has.
    """
    shape = (PROBES, *like.shape[1:])
    if like.dtype == torch.bool:
        return torch.ones(shape, dtype=torch.bool, device=like.device)
    if not (like.is_floating_point() or like.dtype == torch.uint8):
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    drawn = torch.randn(shape, generator=generator)
    summed = drawn if convolves else drawn.flatten(1)  # a view
    half = summed.shape[1] // 2
    summed[:, half : 2 * half] = summed[:, :half]
    drawn = drawn if like.is_floating_point() else (64 * drawn.abs()).clamp(max=255)
    return drawn.to(like.device, like.dtype)


def _block(x: Tensor, start: int, size: int) -> Tensor:
    """Copy rows of x from `start` on and pad with zeros; in place, some libraries sum in an order that depends on the
    offset of the rows. Whole blocks of integers are not copied: nothing sums them before it converts them."""
    rows = x.shape[0] - start
    some = x if start == 0 and rows <= size else x[start : start + size]
    if rows >= size:
        return some.clone() if some.is_floating_point() else some
    block = x.new_zeros((size, *x.shape[1:]))
    block[:rows] = some
    return block


def _same(some: Tensor | None, others: Tensor | None) -> bool:
    """Return whether two tensors of numbers are equal, bit by bit."""
    if some is None or others is None or not some.isfinite().all():
        return False
    return torch.equal(some.view(torch.int32), others.view(torch.int32))
