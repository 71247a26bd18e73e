"""Running moments: by hand, by all that was seen, and of views with padding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from games.registry import make
from marl.learning.networks import Network, generator_of
from marl.learning.standard import Standard, StandardInputs, held_by


@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=20), min_size=1, max_size=5))
def test_rewards_are_standardised_by_all_that_were_seen(samples):
    standard = Standard()
    for sample in samples:
        standard.see(np.array(sample, np.float32))
    every = np.concatenate(samples)
    assert standard.mean == pytest.approx(every.mean(), abs=1e-2)
    assert standard.variance == pytest.approx(every.var(), abs=0.1)


def test_the_deviation_alone_leaves_an_idle_step_unpaid():
    standard, rewards = Standard(), np.array([0, 0, 0, -4], np.float32)
    standard.see(rewards)
    np.testing.assert_allclose(standard.apply(rewards, centre=False), rewards / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(standard.apply(rewards), (rewards + 1) / np.sqrt(3), rtol=1e-6)


def test_what_never_varies_stays_as_it_is():
    standard = Standard(2)
    rows = np.array([[3, 1], [3, 5]], np.float32)
    standard.see(rows)
    np.testing.assert_allclose(standard.apply(rows), [[3, -1], [3, 1]], atol=1e-3)


def test_inputs_are_standardised_by_hand():
    """Two samples, as one: the numbers 1, 3 | 5, 7, 9 have the mean 5 and the variance 8."""
    standard, nobody = StandardInputs(2), torch.zeros(5, dtype=torch.int64)
    rows = torch.tensor([[1.0, 4], [3, 4], [5, 4], [7, 4], [9, 4]])
    assert torch.equal(standard(rows, nobody), rows)  # nothing is known yet
    assert standard(torch.tensor([[50.0, -3]]), nobody[:1]).tolist() == [[10, -3]]
    standard.see(rows[:2], nobody[:2])
    standard.see(rows[2:], nobody[2:])
    assert (
        standard.mean.tolist() == [5, 4] and standard.variance.tolist() == [8, 0] and standard.count.tolist() == [5] * 2
    )
    expected = torch.tensor([[-4.0, 0], [-2, 0], [0, 0], [2, 0], [4, 0]]) / 8**0.5
    torch.testing.assert_close(standard(rows, nobody), expected)
    assert standard(torch.tensor([[1e6, -1e6]]), nobody[:1]).tolist() == [[10, -10]]


def test_moments_of_views_with_large_offsets_are_exact():
    """A running sum of squares would lose them: a deviation of 1 beside a mean of a million."""
    rows = 1e6 + torch.randn(4000, 1, generator=generator_of(1)).round()
    standard = StandardInputs(1)
    for part in rows.split(100):
        standard.see(part, torch.zeros(len(part), dtype=torch.int64))
    assert standard.variance.item() == pytest.approx(rows.double().var(correction=0).item(), rel=1e-9)


def test_padding_counts_for_nothing_and_stays_zero():
    """The second player has one number alone: the padding of its views does not move the mean of the first's."""
    standard, player = StandardInputs(2, torch.tensor([[1.0, 1], [1, 0]])), torch.tensor([0, 1, 0, 1])
    rows = torch.tensor([[1.0, 10], [2, 0], [3, 30], [6, 0]])
    standard.see(rows, player)
    assert standard.mean.tolist() == [3, 20] and standard.count.tolist() == [4, 2]
    shown = standard(rows, player)
    torch.testing.assert_close(shown[:, 1], torch.tensor([-1.0, 0, 1, 0]))
    alone = StandardInputs(2, torch.tensor([[1.0, 1], [1, 0]]))
    alone.see(rows[1::2], player[1::2])
    assert alone.count.tolist() == [2, 0] and alone.mean.tolist() == [4, 0] and alone.variance.tolist() == [4, 1]


def test_the_padding_of_a_game_is_known():
    spec = make("pettingzoo:mpe2.simple_tag_v3", 1).spec
    assert held_by(make("spread", 1).spec) is None
    assert held_by(spec).sum(1).tolist() == list(spec.observation_sizes) and len(set(spec.observation_sizes)) == 2


def test_a_network_standardises_views_and_states_and_not_the_players_index():
    spec = make("spread", 1).spec

    def network(standardise):
        sizes = {"hidden": (4,), "channels": (), "encoder": "mlp", "player_id": True, "output_gain": 1.0}
        return Network(spec, 1, generator=generator_of(1), state_size=2, standardise=standardise, **sizes)

    obs, player, state = (
        torch.randn(9, 18, generator=generator_of(2)),
        torch.arange(9) % 3,
        torch.arange(18.0).view(9, 2),
    )
    plain, standard = network(False), network(True)
    plain.see(obs, player, state)
    assert plain.state_dict().keys() == {name for name in standard.state_dict() if "standard" not in name}
    standard.see(obs, player, state)
    features = standard.features(obs, player, state)
    for part in (features[:, :18], features[:, 21:]):
        torch.testing.assert_close(part.mean(0), torch.zeros(part.shape[1]), atol=1e-6, rtol=0)
        torch.testing.assert_close(part.std(0, correction=0), torch.ones(part.shape[1]))
    assert torch.equal(features[:, 18:21], plain.features(obs, player, state)[:, 18:21])
