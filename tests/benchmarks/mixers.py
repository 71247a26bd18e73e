"""QMIX and ConcaveQ changed in one part: which part keeps them from punished catches.

    marl sweep qmix_predator_prey --set algorithm.name=tests.benchmarks.mixers:NoState --set ...

The weights of QMIX's mixer and its two biases, b1 and V, are computed from the state. VDN has none of them.

    NoState     neither the weights nor the biases see the state: f is one monotone function of the utilities
    NoWeights   the biases see the state, and the weights do not
    SumAndState Q_tot = sum_i Q_i + V(s): VDN, and a value of the state

ConcaveQ's joint action û has the largest f, and Q* may be larger at what the policies play.

    BetterOfModes û is the policies' joint mode where that is better by Q*
"""

import torch
from torch import Tensor, nn

from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.algorithms.value_factorization.concaveq import ConcaveQ, ConcaveWeights
from marl.algorithms.value_factorization.qmix import Monotone, Qmix
from marl.learning.networks import generator_of, mlp


class NoState(Qmix):
    """QMIX whose mixer sees ones in place of the state: with zeros its weights would be 0, and stay 0."""

    def mixer_state(self, batch: EpisodeBatch, features: Tensor) -> Tensor:
        return torch.ones_like(batch.global_state)


class OfBiases(Monotone):
    """The monotone mixer whose weights do not depend on the state."""

    def hypernetworks(self, state: Tensor) -> tuple[Tensor, ...]:
        h1, h2, _, _ = super().hypernetworks(torch.ones_like(state))
        _, _, b1, v = super().hypernetworks(state)
        return h1, h2, b1, v


class NoWeights(Qmix):
    """QMIX whose mixer's biases see the state, and its weights ones."""

    def mixer(self, key: int) -> nn.Module:
        return OfBiases(self.config, self.spec.num_players, self.state_size, generator_of(key))


class SumAndValue(nn.Module):
    """The sum of utilities [B, N] and a value of the state [B, S]: [B, 1]."""

    def __init__(self, state_size: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.value = mlp((state_size, hidden, 1), generator)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        mixed: Tensor = q.sum(1, keepdim=True) + self.value(state)
        return mixed


class SumAndState(Qmix):
    """VDN with a value of the state beside the sum."""

    def mixer(self, key: int) -> nn.Module:
        return SumAndValue(self.state_size, self.config.hypernet_hidden, generator_of(key))


class BetterOfModes(ConcaveQ):
    """ConcaveQ whose û is the better by Q* of what its search finds and of the policies' joint mode."""

    def select(
        self, batch: EpisodeBatch, weights: ConcaveWeights, q: Tensor, logits: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        found, metrics = super().select(batch, weights, q, logits)
        central, _ = self.central(batch.packed, batch.action_mask)
        modes = self.modes(batch, logits)
        value_found, value_modes = (
            self.mix(batch.chosen(central, joint), batch.global_state) for joint in (found, modes)
        )
        better = value_modes > value_found
        return torch.where(better, modes, found), metrics | {"modes": better.float().mean()}
