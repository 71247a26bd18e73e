"""Backends: the libraries that compute a network in play.

    torch       PyTorch
    openvino    OpenVINO, faster on a CPU, above all in small batches (`pip install 'marl[openvino]'`)

A `Backend` computes a part of its network: a method that maps tensors [B, ...] to one tensor [B, F]. The result for a
row may depend on B and on the row's position; marl/learning/rowwise.py removes this dependence.
"""

import importlib
import operator
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from games.errors import RunFailed, UserError

BackendName = Literal["torch", "openvino"]
Choice = Literal["auto", BackendName]  # of a config; auto: the fastest one that is installed
Precision = Literal["float32", "bfloat16"]


class Backend(Protocol):
    """Compute parts of a network that does not change."""

    def __call__(self, part: str, *inputs: Tensor) -> Tensor:
        """Return the output [B, F] of the method `part` of the network for rows [B, ...], in float32."""
        ...


def fastest(device: str, precision: Precision, *, convolutional: bool) -> BackendName:
    """Return the backend of those installed that computes a network in the least CPU time.

    In float32 OpenVINO takes 0.6 to 0.8 of PyTorch's time at convolutions, and 1.2 to 1.4 times as long at an MLP
    (`python -m tests.benchmarks.search --only backends`). In bfloat16 it is not taken unasked: some processors lack the
    instructions that it needs.
    """
    if not convolutional or precision == "bfloat16" or torch.device(device).type != "cpu":
        return "torch"
    try:
        _openvino()
    except (ImportError, OSError):  # absent, or made for another system
        return "torch"
    return "openvino"


def refuse_backend(name: str, device: str) -> None:
    """Raise UserError for a backend that is not known, not installed, or not for this device."""
    if name not in get_args(BackendName):
        raise UserError(f"expected backend {' or '.join(get_args(BackendName))}, got '{name}'")
    if name != "openvino":
        return
    if torch.device(device).type != "cpu":
        raise UserError(
            f"backend: openvino computes on the CPU, got device '{device}'; use torch there, or --device cpu"
        )
    try:
        _openvino()
    except ImportError as error:
        raise UserError(
            f"backend: openvino needs a package that cannot be imported ({error}); pip install 'marl[openvino]', or "
            "play with backend=torch"
        ) from error


def backend_of(name: str, network: nn.Module, device: str, precision: Precision) -> Backend:
    """Return the backend of a folded network; raises UserError as `refuse_backend` does."""
    refuse_backend(name, device)
    return OpenVino(network, precision) if name == "openvino" else Torch(network, device, precision)


def _openvino(module: str = "openvino") -> Any:
    """Import OpenVINO without its telemetry, which reports each import over the network, from a forked process."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module(module)


@cache
def _core() -> Any:
    """Return the one Core of this process, which lives as long as the process.

    A Core gives the thread that first compiles with it a signal stack, and takes it away when it is destroyed. With two
    Cores one restores the stack that the other has freed, and the next signal, such as Ctrl-C, ends the process.
    """
    return _openvino().Core()


class Torch:
    """PyTorch as it is, in lower precision by autocast."""

    def __init__(self, network: nn.Module, device: str, precision: Precision) -> None:
        self._network, self._device, self._half = network, torch.device(device).type, precision == "bfloat16"

    def __call__(self, part: str, *inputs: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16) if self._half else nullcontext():
            output: Tensor = getattr(self._network, part)(*inputs).float()
            return output


class OpenVino:
    """OpenVINO: each part, of one input, is compiled at its first call for each number of rows, in about 20 ms.

    A model for any number of rows takes 9 to 14 % more time, most where the number changes between calls. It is used
    below FIXED rows, where a model for their number would sum the rows in another order than larger ones do.
    """

    FIXED = 16

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self._network, self._precision = network, precision
        self._compiled: dict[tuple[str, tuple[int, ...]], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the compiled parts: they belong to a process."""
        return vars(self) | {"_compiled": {}}

    def __call__(self, part: str, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        key = (part, (len(x) if len(x) >= self.FIXED else -1, *x.shape[1:]))
        if key not in self._compiled:
            self._compiled[key] = self._compile(*key)
        infer = self._compiled[key]
        shared = _openvino().Tensor(x.contiguous().numpy(), shared_memory=True)
        output = torch.from_numpy(infer(shared)[0])
        if len(output) != len(x):  # this happens if oneDNN may not use the instructions that it needs
            raise RunFailed(
                f"OpenVINO was asked about {len(x)} rows in {self._precision} and answered {len(output)}; "
                "use precision: float32, or backend: torch"
            )
        return output

    def _compile(self, part: str, shape: tuple[int, ...]) -> Callable[..., Any]:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self._precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # rollout workers would all be pinned to the same core
        }
        model = translated(self._network, part, shape)
        request = _core().compile_model(model, "CPU", settings).create_infer_request()
        infer: Callable[..., Any] = request.infer
        return infer


LAYERS = (nn.Conv2d, nn.Linear, nn.ReLU, nn.Flatten)  # the translated layers; modules made of them are followed down


class _Tracer(fx.Tracer):
    """Follow a method of a module down to its layers."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.traced_func_name = part

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, LAYERS)


def translated(network: nn.Module, part: str, shape: tuple[int, ...]) -> Any:
    """Return OpenVINO's model of a method of the network that takes rows of this shape [B, ...], with B = -1 for any
    number; raises NotImplementedError if the method uses an operation that is not translated here."""
    op = _openvino("openvino.opset13")

    def constant(value: Any) -> Any:
        return op.constant(value.detach().contiguous().numpy() if isinstance(value, Tensor) else np.float32(value))

    def operand(x: Any) -> Any:
        return constant(x) if isinstance(x, float) else x

    def flattened(x: Any, start: int) -> Any:
        return op.reshape(x, op.constant(np.array([0] * start + [-1])), special_zero=True)

    def layer(module: nn.Module, x: Any) -> Any:
        if isinstance(module, nn.Conv2d) and (module.padding_mode, module.groups) == ("zeros", 1):
            weight, bias = module.parameters()
            pads = list(module.padding)
            x = op.convolution(x, constant(weight), list(module.stride), pads, pads, list(module.dilation))
            return op.add(x, constant(bias[:, None, None]))
        if isinstance(module, nn.Linear):
            weight, bias = module.parameters()
            return op.add(op.matmul(x, constant(weight), transpose_a=False, transpose_b=True), constant(bias))
        if isinstance(module, nn.ReLU):
            return op.relu(x)
        if isinstance(module, nn.Flatten):
            return flattened(x, module.start_dim)
        raise NotImplementedError(f"there is no translation of {module}")

    def unflattened(x: Any, dim: int, sizes: tuple[int, ...]) -> Any:
        axes = len(
            (x.output(0) if hasattr(x, "output") else x).get_partial_shape()
        )  # of a node, or of one of its outputs
        return op.reshape(x, op.constant(np.array([0] * (dim % axes) + list(sizes))), special_zero=True)

    def reduced(reduce: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, axis, keepdim=False: reduce(x, op.constant(np.array([axis])), keep_dims=keepdim)

    functions: dict[Any, Callable[..., Any]] = {
        functional.relu: lambda x, inplace=False: op.relu(x),
        torch.tanh: op.tanh,
        torch.cat: lambda tensors, dim: op.concat(list(tensors), dim),
        operator.add: lambda a, b: op.add(operand(a), operand(b)),
        operator.mul: lambda a, b: op.multiply(operand(a), operand(b)),
        operator.sub: lambda a, b: op.subtract(operand(a), operand(b)),
        operator.truediv: lambda a, b: op.divide(operand(a), operand(b)),
        operator.getitem: lambda parts, index: parts[index],
        "flatten": flattened,
        "split": lambda x, sizes, dim: op.variadic_split(x, op.constant(dim), op.constant(sizes)).outputs(),
        "amin": reduced(op.reduce_min),
        "amax": reduced(op.reduce_max),
        "sum": reduced(op.reduce_sum),
        "softmax": lambda x, dim: op.softmax(x, dim),
        "unflatten": unflattened,
        "view_as": lambda x, like: op.reshape(x, op.shape_of(like), special_zero=False),
    }
    modules = dict(network.named_modules())
    inputs: list[Any] = []
    made: dict[fx.Node, Any] = {}
    output = None
    for node in _Tracer(part).trace(network).nodes:
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda of: made[of])
        if node.op == "placeholder":
            made[node] = op.parameter(list(shape), np.float32)
            inputs.append(made[node])
        elif node.op == "output":
            output = args[0]
        elif node.op == "get_attr":
            made[node] = constant(operator.attrgetter(node.target)(network))
        elif node.op == "call_module":
            made[node] = layer(modules[node.target], *args)
        else:
            if node.target not in functions:
                raise NotImplementedError(f"there is no translation of {node.target}")
            made[node] = functions[node.target](*args, **kwargs)
    return _openvino().Model([output], inputs)
