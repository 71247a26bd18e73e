"""Network parts that algorithms share. Initialisation draws from a generator passed in, never the global one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from games.contract import Spec

Either = TypeVar("Either")  # a network, or a Rowwise
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
            return super().forward(input)
        weight, bias = nn.functional.pad(self.weight, (0, 0, 0, spare)), nn.functional.pad(self.bias, (0, spare))
        return nn.functional.linear(input, weight, bias)[..., : self.out_features]


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


class Network(nn.Module):
    """Map a player's observation to `outputs` numbers: [B, *O] and player [B] -> [B, outputs].

    `encoder` is "mlp" (the observation flattened), "cnn" (3x3 convolutions over [C, H, W]), or "auto": cnn for three
    axes with both sides of at least 5. With `player_id`, the player's index joins the features as a one-hot, so that
    one network can play every seat. uint8 observations are scaled to [0, 1].
    """

    def __init__(
        self,
        spec: Spec,
        outputs: int,
        *,
        hidden: Sequence[int],
        channels: Sequence[int],
        encoder: Literal["auto", "mlp", "cnn"],
        player_id: bool,
        output_gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        shape = spec.observation.shape
        self.scale = 1 / 255 if spec.observation.dtype == "uint8" else 1.0
        self.players = spec.num_players if player_id else 0
        self.convolutions: nn.Module | None = None
        features = int(np.prod(shape))
        if encoder == "cnn" or (encoder == "auto" and len(shape) == 3 and min(shape[1:]) >= 5):
            planes = [shape[0], *channels]
            layers: list[nn.Module] = []
            for a, b in pairwise(planes):
                layers += [convolution(a, b, generator), nn.ReLU()]
            self.convolutions = nn.Sequential(*layers)
            features = planes[-1] * int(np.prod(shape[1:]))
        sizes = [features + self.players, *hidden]
        body: list[nn.Module] = []
        for a, b in pairwise(sizes):
            body += [linear(a, b, 2**0.5, generator), nn.Tanh()]
        self.body = nn.Sequential(*body, linear(sizes[-1], outputs, output_gain, generator))

    def forward(self, obs: Tensor, player: Tensor) -> Tensor:
        features = obs.float() * self.scale if self.scale != 1 else obs.float()
        if self.convolutions is not None:
            features = self.convolutions(features)
        features = features.flatten(1)
        if self.players:
            features = torch.cat([features, nn.functional.one_hot(player, self.players).float()], 1)
        outputs: Tensor = self.body(features)
        return outputs


def masked_log_probs(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Return log pi(a | o) [B, A] over legal actions; illegal ones get probability 0 and no gradient."""
    return torch.log_softmax(logits.masked_fill(~action_mask, torch.finfo(logits.dtype).min), -1)


def rows_by_network(player: NDArray[np.int64], networks: Sequence[Either]) -> list[tuple[Any, Either]]:
    """Return pairs of rows and the network that computes them: all rows for a shared network, else by player [B]."""
    if len(networks) == 1:
        return [(slice(None), networks[0])]
    return [(rows, network) for p, network in enumerate(networks) if len(rows := np.flatnonzero(player == p))]
