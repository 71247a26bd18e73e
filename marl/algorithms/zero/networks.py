"""Networks for a search: residual or dense torsos, their policy and value heads, and inference for play.

    PolicyValue         an observation and the mover -> a policy and values
    Prediction          the two heads, on the features of any torso
    NetworkInference        a network in play: batch normalisation folded, results independent of the batch
    PolicyValueInference    a PolicyValue as an evaluator calls it

Values are one number for each player, in the form of marl/search/values.py.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, Generic, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from games.arrays import Views
from games.contract import Discrete, Spec
from games.errors import UserError
from marl.learning.backends import Precision
from marl.learning.networks import Joined, convolution, linear
from marl.learning.rowwise import Network, Rowwise
from marl.learning.value_heads import Scalar, ValueHead, ValueHeadConfig, value_head
from marl.search.evaluators import LogitsAndValues
from marl.search.values import by_player, unscaled

Encoder = Literal["auto", "mlp", "residual"]  # auto: residual for views of three axes

MOST_ACTIONS = 20_000  # the largest policy head


class Normalized(nn.Module):
    """A 3x3 convolution with batch normalisation; `folded` returns one convolution that computes the same."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.convolution = convolution(inputs, outputs, generator)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.norm(self.convolution(x))
        return normalized

    def folded(self) -> nn.Conv2d:
        return nn.utils.fusion.fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())


class Block(nn.Module):
    """A residual block of two convolutions (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = Normalized(channels, channels, generator)
        self.second = Normalized(channels, channels, generator)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x), inplace=True)), inplace=True)


def tower(inputs: int, channels: int, blocks: int, generator: torch.Generator) -> nn.Sequential:
    """Build a residual network: planes [B, inputs, H, W] -> [B, channels, H, W]."""
    rest = (Block(channels, generator) for _ in range(blocks))
    return nn.Sequential(Normalized(inputs, channels, generator), nn.ReLU(inplace=True), *rest)


def dense(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Build dense layers of these sizes, with a ReLU after each."""
    layers = [linear(a, b, 2**0.5, generator) for a, b in pairwise(sizes)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU(inplace=True))))


def is_residual(encoder: Encoder, spec: Spec) -> bool:
    """Return whether this encoder uses convolutions for this game."""
    return encoder == "residual" or (encoder == "auto" and len(spec.observation.shape) == 3)


def encoded(obs: Tensor, mover: Tensor, players: int, *, residual: bool) -> Tensor:
    """Return observations [B, *O] with the mover as one-hot: planes [B, C + N, H, W], or flat rows [B, O + N]."""
    seen = obs if residual else obs.flatten(1)
    if obs.dtype == torch.uint8:
        seen = seen.float() * (1 / 255)
    planes = seen.shape[1]
    x = torch.zeros(len(seen), planes + players, *seen.shape[2:], device=obs.device)
    x[:, :planes] = seen
    x[torch.arange(len(x), device=obs.device), planes + mover] = 1
    return x


class Prediction(nn.Module):
    """A torso with features [C, H, W] or [F], then heads for logits and for predictions of the returns.

    On a residual torso each head begins with a convolution; in a folded network `planes` is both.
    """

    def __init__(
        self, torso: nn.Module, features: tuple[int, ...], spec: Spec, head: ValueHead, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.torso, self.head = torso, head
        self.convolves = len(features) == 3
        self.bounded = spec.return_bounds is not None and isinstance(head, Scalar)
        self.planes: Joined | None = None
        of_policy = of_value = int(np.prod(features))
        if self.convolves:
            channels, height, width = features
            self.of_policy = Normalized(channels, 8, generator)
            self.of_value = Normalized(channels, 4, generator)
            of_policy, of_value = 8 * height * width, 4 * height * width
        self.value_hidden = linear(of_value, 64, 2**0.5, generator)
        self.policy = linear(of_policy, spec.num_actions, 0.01, generator)
        self.value = linear(64, spec.num_players * head.bins, 0.01, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is learned, logits and the outputs of which `head` makes predictions: [B, A + N * bins]."""
        return torch.cat(self._outputs(x), 1)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return what a search asks for, logits and expected returns: [B, A + N]."""
        logits, value = self._outputs(x)
        return torch.cat([logits, self.head.mean(self.head.parted(value))], 1)

    def _outputs(self, x: Tensor) -> list[Tensor]:
        of_policy, of_value = self._inputs_of_heads(self.torso(x))
        value = self.value(functional.relu(self.value_hidden(of_value), inplace=True))
        return [self.policy(of_policy), torch.tanh(value) if self.bounded else value]

    def _inputs_of_heads(self, x: Tensor) -> Sequence[Tensor]:
        """Return the inputs of the policy's and of the value's layers [B, F]."""
        if not self.convolves:
            return x, x
        if self.planes is None:
            return [functional.relu(part(x), inplace=True).flatten(1) for part in (self.of_policy, self.of_value)]
        widths = [self.policy.in_features, self.value_hidden.in_features]
        return functional.relu(self.planes(x), inplace=True).flatten(1).split(widths, 1)  # type: ignore[no-any-return]

    def join_planes(self) -> None:
        """Join the convolutions of the two heads, which have no normalisation any more."""
        self.planes = Joined(self.of_policy, self.of_value)  # type: ignore[arg-type]
        del self.of_policy, self.of_value


class PolicyValue(Prediction):
    """Map the output of `encode` to logits and predictions of the returns.

    `hidden` are the layers of an mlp; `channels` and `blocks` those of a residual network.
    """

    def __init__(
        self,
        spec: Spec,
        generator: torch.Generator,
        *,
        encoder: Encoder,
        hidden: tuple[int, ...],
        channels: int,
        blocks: int,
        head: ValueHead | None = None,
    ) -> None:
        shape, players = spec.observation.shape, spec.num_players
        residual = is_residual(encoder, spec)
        sizes = [int(np.prod(shape)) + players, *hidden]
        torso = tower(shape[0] + players, channels, blocks, generator) if residual else dense(sizes, generator)
        super().__init__(torso, (channels, *shape[1:]) if residual else (sizes[-1],), spec, head or Scalar(), generator)
        self.players = players

    def encode(self, obs: Tensor, mover: Tensor) -> Tensor:
        """Return the network's input for observations [B, *O] and movers [B]."""
        return encoded(obs, mover, self.players, residual=self.convolves)


def folded(network: Network) -> Network:
    """Return a copy for inference: batch normalisation is folded into the convolutions, those of the heads are one."""
    twin = deepcopy(network).eval()
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Normalized):
                setattr(parent, name, child.folded())
        if isinstance(parent, Prediction) and parent.convolves:
            parent.join_planes()
    return twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class NetworkInference(Generic[Network]):
    """A network in play: its result for a row does not depend on the other rows of a batch."""

    def __init__(
        self,
        network: Network,
        spec: Spec,
        device: str,
        *,
        precision: Precision = "float32",
        backend: str = "torch",
    ) -> None:
        self._spec, self._device = spec, device
        self._network = folded(network)
        self._rowwise = Rowwise(self._network, device, precision=precision, backend=backend)

    def renew(self, network: Network) -> None:
        """Use the network's present weights from now on."""
        self._network = folded(network)
        self._rowwise.renew(self._network)

    def _run(self, part: str, encode: Callable[..., Tensor], *arrays: NDArray[Any]) -> NDArray[np.float32]:
        """Return the output [B, F] of a part of the network for rows [B, ...]; `encode` makes its input."""
        with torch.inference_mode():
            inputs = encode(*(torch.from_numpy(array).to(self._device) for array in arrays))
            return self._rowwise(part, inputs).cpu().numpy()


class PolicyValueInference(NetworkInference[PolicyValue]):
    """A network as an evaluator calls it: logits [B, A], and every player's expected return [B, N]."""

    def __call__(self, obs: Views, movers: NDArray[np.int64]) -> LogitsAndValues:
        output = self._run("evaluate", self._network.encode, obs, movers)
        logits, value = np.split(output, [self._spec.num_actions], 1)
        return logits, unscaled(by_player(value, movers), self._spec)


def head_of(config: ValueHeadConfig, spec: Spec) -> ValueHead:
    """Return the value head of a network, whose returns are scaled to [-1, 1] (marl/search/values.py).

    Raises UserError for a distribution where a game's Spec has no bounds of its returns.
    """
    if config.value_head != "scalar" and spec.return_bounds is None:
        raise UserError(
            f"value_head: {config.value_head} needs the range of the returns, and the Spec of '{spec.name}' has no "
            "return_bounds; add them, or use scalar"
        )
    return value_head(config, (-1.0, 1.0))


def refuse_network(spec: Spec, name: str, encoder: Encoder) -> None:
    """Raise UserError for continuous or more than MOST_ACTIONS actions, and for views that do not fit `encoder`."""
    if not isinstance(spec.action, Discrete):
        raise UserError(f"{name} needs discrete actions, and '{spec.name}' has continuous ones; choose another game")
    if spec.num_actions > MOST_ACTIONS:
        raise UserError(
            f"{name}'s network has a head of at most {MOST_ACTIONS:,} actions, and '{spec.name}' has "
            f"{spec.num_actions:,}; choose another game, or uct"
        )
    if encoder == "residual" and len(spec.observation.shape) != 3:
        raise UserError(
            f"encoder: residual wants views of three axes, and those of '{spec.name}' have the shape "
            f"{spec.observation.shape}; use mlp or auto"
        )
