"""Network parts: masks, draws by key, rows that do not depend on their batch, no global generator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from games.keys import fold
from games.registry import make
from marl.networks import Network, in_blocks, load_optimizer_state, masked_log_probs, optimizer_state, sample

SPEC = make("openspiel:connect_four", 1).spec


def network(encoder="mlp", seed=0):
    return Network(
        SPEC,
        7,
        hidden=(32,),
        channels=(8,),
        encoder=encoder,
        player_id=True,
        output_gain=1.0,
        generator=torch.Generator().manual_seed(seed),
    )


def test_illegal_actions_have_no_probability_and_no_gradient():
    logits = torch.tensor([[1.0, 5.0, 2.0]], requires_grad=True)
    log_probs = masked_log_probs(logits, torch.tensor([[True, False, True]]))
    expected = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    np.testing.assert_allclose(log_probs.exp().detach().numpy(), [[expected[0], 0, expected[1]]], rtol=1e-6)
    log_probs[0, 0].backward()
    assert logits.grad[0, 1] == 0


def test_sample_draws_from_the_distribution():
    probabilities = np.tile(np.array([0.1, 0.0, 0.6, 0.3], np.float32), (50_000, 1))
    counts = np.bincount(sample(probabilities, fold(1, np.arange(50_000))), minlength=4)
    np.testing.assert_allclose(counts / 50_000, [0.1, 0.0, 0.6, 0.3], atol=0.01)
    assert counts[1] == 0


@pytest.mark.parametrize("encoder", ["mlp", "cnn"])
@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 200), start=st.integers(0, 100))
def test_a_row_does_not_depend_on_its_batch(encoder, size, start):
    net = network(encoder)
    rng = np.random.default_rng(0)
    obs, player = rng.random((300, 3, 6, 7)).astype(np.float32), rng.integers(0, 2, 300)
    whole = in_blocks(net, obs, player, device="cpu")
    part = slice(start, start + size)
    assert (in_blocks(net, obs[part], player[part], device="cpu") == whole[part]).all()


def test_initialisation_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    one, twin, other = network(), network(), network(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_optimizer_state_round_trip():
    nets = network(), network()
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.1, fused=True) for net in nets]

    def step(i):
        optimizers[i].zero_grad()
        nets[i](torch.ones(4, 3, 6, 7), torch.zeros(4, dtype=torch.int64)).square().mean().backward()
        optimizers[i].step()

    step(0)
    nets[1].load_state_dict(nets[0].state_dict())
    load_optimizer_state(optimizers[1], optimizer_state(optimizers[0]))
    step(0), step(1)
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
