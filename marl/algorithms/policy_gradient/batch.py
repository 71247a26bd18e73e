"""From a trajectory to the rows that a policy gradient learns from.

A row is a decision. Without memory, a minibatch is a random part of the rows. With a GRU the decisions of a player in
an episode are a sequence, in which its waits and the moves of others have no rows. Sequences are cut into chunks, a
minibatch is a random part of the chunks, and its rows are packed for unrolling (marl/learning/recurrent.py): chunks of
unequal length need no padding.

Axis letters: R all views of a trajectory, B the decisions that are learned from, C chunks, L their length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marl.algorithms.policy_gradient.networks import Unrolling
from marl.learning.recurrent import pack
from marl.rollout.types import Trajectory

Indices = NDArray[np.int64]
MEMORIES = ("actor_hidden", "critic_hidden")  # the columns of a batch that are read where a chunk begins


def sequences(trajectory: Trajectory, where: NDArray[np.bool_]) -> Indices:
    """Return the number of the sequence of each row where a mask [T, E, N] or [T+1, E, N] is true.

    A sequence holds the decisions of one player in one episode.
    """
    time, env, player = np.nonzero(where)
    episode = np.cumsum(trajectory.first, axis=0)[time, env]
    num_envs, num_players = where.shape[1:]
    return np.asarray((episode * num_envs + env) * num_players + player)


def chunks(sequence: Indices, length: int) -> Indices:
    """Cut sequences of rows into chunks: the rows of each chunk [C, L] in order of time, -1 beyond its end.

    `sequence` [B] is the sequence of each row; the rows of a sequence are in order of time.
    """
    rows = np.argsort(sequence, kind="stable")
    opens = np.append(True, np.diff(sequence[rows]) != 0)[: len(rows)]
    place = np.arange(len(rows)) - np.maximum.accumulate(np.where(opens, np.arange(len(rows)), 0))
    chunk = np.cumsum(place % length == 0) - 1
    table = np.full((chunk[-1] + 1 if len(rows) else 0, length), -1)
    table[chunk, place % length] = rows
    return table


def packed(table: Indices) -> tuple[Indices, list[int]]:
    """Return the rows of chunks [C, L] in packed order, and the sizes of their blocks."""
    holds = table >= 0
    order, sizes = pack(np.nonzero(holds)[0])
    return table[holds][order], sizes.tolist()


@dataclass(frozen=True)
class Minibatch:
    """Some rows of a batch by column, packed where they are to be unrolled."""

    columns: dict[str, Tensor]  # [B, ...]
    unrolling: Unrolling | None

    def __getitem__(self, name: str) -> Tensor:
        return self.columns[name]


@dataclass(frozen=True)
class Batch:
    """The decisions from which one pair of networks learns, by column."""

    columns: dict[str, Tensor]  # [B, ...]
    chunks: Indices | None  # [C, L] with a GRU

    def __len__(self) -> int:
        return len(self.columns["chosen"])

    def minibatches(self, size: int, shuffler: np.random.Generator) -> Iterator[Minibatch]:
        """Draw all rows, or all chunks, in random order, in minibatches of about `size` rows.

        They are of equal size: a small last one would take a full step on a noisy gradient.
        """
        count = max(1, round(len(self) / size))
        if self.chunks is None:
            for rows in torch.from_numpy(shuffler.permutation(len(self))).to(self._device).tensor_split(count):
                yield Minibatch({name: column.index_select(0, rows) for name, column in self.columns.items()}, None)
            return
        drawn = shuffler.permutation(len(self.chunks))
        for some in np.array_split(drawn, min(count, len(drawn))):
            yield self._packed(self.chunks[some])[1]

    def whole(self) -> tuple[Tensor, Minibatch]:
        """Return all rows as one minibatch, and their places in the batch [B]."""
        if self.chunks is None:
            return torch.arange(len(self), device=self._device), Minibatch(self.columns, None)
        return self._packed(self.chunks)

    def _packed(self, chunks: Indices) -> tuple[Tensor, Minibatch]:
        order, sizes = packed(chunks)
        rows = torch.from_numpy(order).to(self._device)
        columns = {name: column.index_select(0, rows) for name, column in self.columns.items() if name not in MEMORIES}
        actor, critic = (self.columns[name].index_select(0, rows[: sizes[0]]) for name in MEMORIES)
        return rows, Minibatch(columns, Unrolling(sizes, actor, critic))

    @property
    def _device(self) -> torch.device:
        return self.columns["chosen"].device
