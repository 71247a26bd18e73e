"""Sequences, chunks and packed rows by hand; minibatches that hold every row once."""

import numpy as np
import pytest
import torch

from marl.algorithms.policy_gradient.batch import Batch, chunks, packed, sequences
from tests.marl.algorithms.policy_gradient.games import Player, Skirmish


def test_chunks_by_hand():
    # Sequence 7 has the rows 0, 2, 3, 5 and 6; sequence 9 the rows 1 and 4.
    table = chunks(np.array([7, 9, 7, 7, 9, 7, 7]), 2)
    assert table.tolist() == [[0, 2], [3, 5], [6, -1], [1, 4]]
    assert chunks(np.array([7, 9, 7, 7, 9, 7, 7]), 9)[:, :5].tolist() == [[0, 2, 3, 5, 6], [1, 4, -1, -1, -1]]
    assert chunks(np.zeros(0, np.int64), 3).shape == (0, 3)


def test_packed_chunks_have_no_padding():
    rows, sizes = packed(np.array([[6, -1, -1], [0, 2, 3], [1, 4, -1]]))
    assert rows.tolist() == [0, 1, 6, 2, 4, 3] and sizes == [3, 2, 1]


def test_a_sequence_is_a_players_decisions_in_an_episode():
    trajectory = Player("ippo", Skirmish(4)).rollout(30)
    learn = trajectory.learnable([0])
    sequence = sequences(trajectory, learn)
    time, env, player = np.nonzero(learn)
    for number in np.unique(sequence):
        mine = sequence == number
        assert len({*zip(env[mine], player[mine], strict=True)}) == 1
        assert not trajectory.first[time[mine][0] + 1 : time[mine][-1] + 1, env[mine][0]].any()
    played = 4 * 3 + 3 * trajectory.first[1:].sum()
    assert played / 2 < len(np.unique(sequence)) <= played  # in some a player dies before it acts


@pytest.mark.parametrize("cut", [False, True])
def test_minibatches_hold_every_row_once_and_are_of_equal_size(cut):
    action = torch.arange(103)
    hidden = {"actor_hidden": torch.zeros(103, 2), "critic_hidden": torch.zeros(103, 2)} if cut else {}
    batch = Batch({"chosen": action} | hidden, chunks(np.arange(103) % 10, 4) if cut else None)
    for size, count in ((1000, 1), (25, 4)):
        minibatches = list(batch.minibatches(size, np.random.default_rng(1)))
        rows = torch.cat([minibatch["chosen"] for minibatch in minibatches])
        assert sorted(rows.tolist()) == action.tolist() and len(minibatches) == count
        assert max(len(minibatch["chosen"]) for minibatch in minibatches) <= 103 / count + 8
    if cut:
        assert len(list(batch.minibatches(1, np.random.default_rng(1)))) == 30  # no fewer rows than a chunk
