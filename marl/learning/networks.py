"""Network parts that algorithms share. Initialisation draws from a generator passed in, never the global one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.lib.introspect import opt_func_info
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from games.contract import Spec
from marl.learning.standard import StandardInputs, held_by

Either = TypeVar("Either")  # a network, or a Rowwise
_ONE, _TWO = torch.tensor(1.0), torch.tensor(2.0)  # an operation on few numbers takes half as long as with a literal
_INITIAL = ContextVar("initial", default=True)  # whether new layers get initial weights


@contextmanager
def to_be_loaded() -> Iterator[None]:
    """Build layers without initial weights, which take most of the time: for networks whose state is loaded next.

    Until then the weights are whatever the memory held.
    """
    token = _INITIAL.set(False)
    try:
        yield
    finally:
        _INITIAL.reset(token)


class Unset:
    """Mixin that leaves a layer's parameters uninitialised, so that nothing is drawn from the global generator.

    torch's own `skip_init` imports its symbolic shapes, which costs every process 0.5 CPU-seconds.
    """

    def reset_parameters(self) -> None:
        pass


class Convolution(Unset, nn.Conv2d):
    """A convolution."""


class Joined(Convolution):
    """Convolutions of the same input, joined into one, whose planes are theirs in order: [B, C, H, W] -> [B, D, H, W].

    A CPU computes 16 planes in the time of 4.
    """

    def __init__(self, *parts: nn.Conv2d) -> None:
        first = parts[0]
        sizes = [part.out_channels for part in parts]
        super().__init__(first.in_channels, sum(sizes), first.kernel_size, padding=first.padding)  # type: ignore[arg-type]
        self.sizes = tuple(sizes)  # planes of each part
        self.weight = nn.Parameter(torch.cat([part.weight for part in parts]))
        self.bias = nn.Parameter(torch.cat([cast("Tensor", part.bias) for part in parts]))


class Linear(Unset, nn.Linear):
    """A linear layer with few outputs is computed with more, so that its result for a row does not depend on the batch.

    MKL sums the last rows of a product with 2 to 11 outputs in another order if the number of inputs is no multiple of
    the vector size. In lower precision oneDNN sums small products (8 to 64 rows) in another order; training does not
    need independence of the batch.
    """

    WIDE, VECTOR = 16, 16

    def forward(self, input: Tensor) -> Tensor:
        spare = self.WIDE - self.out_features
        plays_in_less = not self.training and torch.is_autocast_enabled(input.device.type)
        if spare <= 0 or (self.in_features % self.VECTOR == 0 and not plays_in_less):
            return affine(input, self.weight, self.bias)
        weight, bias = functional.pad(self.weight, (0, 0, 0, spare)), functional.pad(self.bias, (0, spare))
        return affine(input, weight, bias)[..., : self.out_features]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return W x + b for rows [.., I], or, with the weights [K, O, I] of K layers, for the rows [K, B, I] of each."""
    if weight.ndim == 3:
        return torch.baddbmm(bias.unsqueeze(-2), x, weight.mT)
    return functional.linear(x, weight, bias)


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """Build a layer with orthogonal weights and zero biases."""
    layer = Linear(inputs, outputs)
    _initialise(layer, gain, generator)
    return layer


def _initialise(layer: nn.Linear | nn.Conv2d, gain: float, generator: torch.Generator) -> None:
    if _INITIAL.get():
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        nn.init.zeros_(cast("Tensor", layer.bias))


def mlp(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Build layers of these sizes with ReLUs between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs, 2**0.5, generator), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def generator_of(key: int) -> torch.Generator:
    """Return a generator that begins at a key."""
    return torch.Generator().manual_seed(key >> 1)


def convolution(inputs: int, outputs: int, generator: torch.Generator) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps the size, with orthogonal weights and zero biases."""
    layer = Convolution(inputs, outputs, kernel_size=3, padding=1)
    _initialise(layer, 2**0.5, generator)
    return layer


Activation = Literal["tanh", "relu"]


class Perceptron(nn.Sequential):
    """Layers of tanh units, or of ReLUs, then a linear layer: [B, sizes[0]] -> [B, sizes[-1]].

    x_k = f(W_k x_{k-1} + b_k),  y = W_n x_{n-1} + b_n

    Weights are orthogonal, scaled by sqrt(2), and those of the last layer by `output_gain`. The gradient is
    hand-written, since automatic differentiation allocates an array for each operation.
    """

    def __init__(
        self, sizes: Sequence[int], output_gain: float, generator: torch.Generator, activation: Activation = "tanh"
    ) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [linear(inputs, outputs, 2**0.5, generator), nn.Tanh() if activation == "tanh" else nn.ReLU()]
        super().__init__(*layers, linear(sizes[-2], sizes[-1], output_gain, generator))
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            parameters = self._parameters_in_order()
            output: Tensor = _Layers.apply(self._activation, x, *parameters)  # type: ignore[no-untyped-call]
            return output
        for layer in self:
            x = tanh_(x) if isinstance(layer, nn.Tanh) else layer(x)
        return x

    def fixed(self, x: Tensor) -> Tensor:
        """Return the same as `forward`, with a gradient for x alone, which costs half as much."""
        fixed = (parameter.detach() for parameter in self._parameters_in_order())
        output: Tensor = _Layers.apply(self._activation, x, *fixed)  # type: ignore[no-untyped-call]
        return output

    def _parameters_in_order(self) -> Iterator[Tensor]:
        """Yield the weights and the biases of each layer."""
        for layer in self:
            if isinstance(layer, nn.Linear):
                yield from (layer.weight, layer.bias)


def tanh(x: Tensor) -> Tensor:
    """Return tanh(x) as `tanh_` computes it, with a gradient."""
    y: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
    return y


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = tanh_(x.clone())
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward(grads[0], *ctx.saved_tensors)  # type: ignore[no-any-return]


def _by_numpy() -> bool:
    """Return whether numpy computes tanh by AVX-512; with fewer instructions it takes longer than sigmoids."""
    ways = opt_func_info(func_name="^tanh$", signature="float32")
    return bool(ways) and ways["tanh"]["ff"]["current"] in ("X86_V4", "AVX512_SKX")  # in numpy 2.4, and before


_BY_NUMPY = _by_numpy()


def tanh_(x: Tensor) -> Tensor:
    """Replace x by tanh(x), computed by numpy or as 2 sigmoid(2x) - 1, with an error below 3e-7.

    That is the faster of the two for one thread. `torch.tanh` is as fast as numpy's on Intel's processors alone, and
    elsewhere takes five times as long as sigmoids. No graph may hold x: PyTorch does not see what numpy writes.
    """
    if _BY_NUMPY and x.is_cpu and x.dtype == torch.float32:
        numbers = x.numpy()  # the same memory
        np.tanh(numbers, out=numbers)
        return x
    return x.mul_(_TWO).sigmoid_().mul_(_TWO).sub_(_ONE)


class _Layers(torch.autograd.Function):
    """The layers of a perceptron with a hand-written gradient.

    d tanh(z) = (1 - tanh(z)^2) dz,  d relu(z) = [z > 0] dz
    """

    @staticmethod
    def forward(ctx: Any, activation: Activation, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.activation, act = activation, tanh_ if activation == "tanh" else torch.relu_
        weights, biases = parameters[::2], parameters[1::2]
        inputs = [x]  # of each layer
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(act(torch.addmm(bias, inputs[-1], weight.t())))
        ctx.save_for_backward(*inputs, *weights)
        return torch.addmm(biases[-1][:, None], weights[-1], inputs[-1].t()).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (d,) = grads
        layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        learns = any(ctx.needs_input_grad[2:])
        of_parameters: list[Tensor | None] = []
        for k in reversed(range(layers)):
            found = (_summed(d, inputs[k]), d.sum(0)) if learns else (None, None)
            of_parameters = [*found, *of_parameters]
            if k:
                d = d @ weights[k]
                if ctx.activation == "tanh":
                    torch.ops.aten.tanh_backward.grad_input(d, inputs[k], grad_input=d)
                else:
                    torch.ops.aten.threshold_backward.grad_input(d, inputs[k], 0, grad_input=d)
        return (None, d @ weights[0] if ctx.needs_input_grad[1] else None, *of_parameters)


def _summed(d: Tensor, x: Tensor) -> Tensor:
    """Return d' x [O, I] for d [B, O] and x [B, I]; MKL is twice as fast if the narrower factor comes first."""
    return (x.t() @ d).t() if x.shape[1] < d.shape[1] else d.t() @ x


Encoder = Literal["auto", "mlp", "cnn"]


def convolves(encoder: Encoder, spec: Spec) -> bool:
    """Return whether a Network of this encoder has convolutions for this game."""
    shape = spec.observation.shape
    return encoder == "cnn" or (encoder == "auto" and len(shape) == 3 and min(shape[1:]) >= 5)


class Network(nn.Module):
    """Map a player's observation to `outputs` numbers: [B, *O] and player [B] -> [B, outputs].

    `encoder` is "mlp" (the observation flattened), "cnn" (3x3 convolutions over [C, H, W]), or "auto": cnn for three
    axes with both sides of at least 5. With `player_id`, the player's index joins the features as a one-hot, so that
    one network can play every seat; `state_size` more numbers, which come with each row, may join them too. uint8
    observations are scaled to [0, 1]. `body` builds what maps the features to the outputs. With `standardise` the
    numbers of observations and of states are standardised, each by itself, by all rows that `see` was given.
    """

    def __init__(
        self,
        spec: Spec,
        outputs: int,
        *,
        hidden: Sequence[int],
        channels: Sequence[int],
        encoder: Encoder,
        player_id: bool,
        output_gain: float,
        generator: torch.Generator,
        state_size: int = 0,
        standardise: bool = False,
        body: Callable[[Sequence[int], float, torch.Generator], nn.Module] = Perceptron,
    ) -> None:
        super().__init__()
        shape = spec.observation.shape
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.players = spec.num_players if player_id else 0
        self.one_hot: Tensor
        self.register_buffer("one_hot", torch.eye(self.players), persistent=False)  # a look-up, the cheapest way
        self.convolutions: nn.Module | None = None
        features = int(np.prod(shape))
        self.standard = StandardInputs(features, held_by(spec)) if standardise else None
        self.standard_state = StandardInputs(state_size) if standardise and state_size else None
        if convolves(encoder, spec):
            planes = [shape[0], *channels]
            layers: list[nn.Module] = []
            for a, b in pairwise(planes):
                layers += [convolution(a, b, generator), nn.ReLU(inplace=True)]
            self.convolutions = nn.Sequential(*layers)
            features = planes[-1] * int(np.prod(shape[1:]))
        self.body = body([features + self.players + state_size, *hidden, outputs], output_gain, generator)

    def features(self, obs: Tensor, player: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the inputs of the body [B, F]; without convolutions they depend on no parameter. `state` is [B, S]."""
        features = self._scaled(obs)
        if self.standard is not None:
            features = self.standard(features.flatten(1), player).view_as(features)
        if self.convolutions is not None:
            features = self.convolutions(features)
        features = features.flatten(1)
        parts = [features]
        if self.players:
            parts.append(self.one_hot.index_select(0, player))
        if state is not None:
            parts.append(state if self.standard_state is None else self.standard_state(state, player))
        return torch.cat(parts, 1) if len(parts) > 1 else features

    def see(self, obs: Tensor, player: Tensor, state: Tensor | None = None) -> None:
        """Learn the moments by which rows are standardised, from some more of them; without `standardise` nothing."""
        if self.standard is not None:
            self.standard.see(self._scaled(obs).flatten(1), player)
        if self.standard_state is not None:
            assert state is not None
            self.standard_state.see(state, player)

    def _scaled(self, obs: Tensor) -> Tensor:
        return obs.float() * self.scale if self.scale != 1 else obs.float()

    def forward(self, obs: Tensor, player: Tensor, state: Tensor | None = None) -> Tensor:
        outputs: Tensor = self.body(self.features(obs, player, state))
        return outputs


def masked_log_probs(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Return log pi(a | o) [B, A] over legal actions; illegal ones get probability 0 and no gradient."""
    return torch.log_softmax(logits.masked_fill(~action_mask, torch.finfo(logits.dtype).min), -1)


def log_prob_and_entropy(logits: Tensor, action_mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Return log pi(a | o) [B] of actions [B], and the entropy H(pi) [B] over the legal actions of logits [B, A].

    The gradient is hand-written, and computed with the actions as rows: reductions over few columns are slow.

        d log pi(a) / d z_k = [k = a] - pi(k),   dH / d z_k = -pi(k) (log pi(k) + H)
    """
    log_prob, entropy = _LogProbAndEntropy.apply(logits, action_mask, action)  # type: ignore[no-untyped-call]
    return log_prob, entropy


class _LogProbAndEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, action_mask: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = torch.log_softmax(logits.t().masked_fill(~action_mask.t(), torch.finfo(logits.dtype).min), 0)
        probs = log_probs.exp()
        of_entropy = probs * log_probs  # [A, B]
        entropy = -of_entropy.sum(0)
        ctx.save_for_backward(probs, of_entropy, entropy, action)
        return log_probs.gather(0, action[None])[0], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        d_log_prob, d_entropy = grads
        probs, of_entropy, entropy, action = ctx.saved_tensors
        d = -(probs * (d_log_prob + d_entropy * entropy)).addcmul_(of_entropy, d_entropy)
        return d.scatter_add_(0, action[None], d_log_prob[None]).t(), None, None


def rows_by_network(player: NDArray[np.int64], networks: Sequence[Either]) -> list[tuple[Any, Either]]:
    """Return pairs of rows and the network that computes them: all rows for a shared network, else by player [B]."""
    if len(networks) == 1:
        return [(slice(None), networks[0])]
    return [(rows, network) for p, network in enumerate(networks) if len(rows := np.flatnonzero(player == p))]
