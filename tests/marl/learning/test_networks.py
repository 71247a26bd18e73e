"""Network parts: masks, layers in which a row's place does not matter, no global generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from games.registry import make
from marl.learning import networks
from marl.learning.networks import (
    Network,
    Perceptron,
    linear,
    log_prob_and_entropy,
    masked_log_probs,
    tanh_,
    to_be_loaded,
)
from marl.learning.rowwise import BLOCK, Rowwise
from tests.properties import examples

SPEC = make("openspiel:connect_four", 1).spec


def network(encoder="mlp", seed=0, hidden=(32,), outputs=7):
    return Network(
        SPEC,
        outputs,
        hidden=hidden,
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


@pytest.mark.processor
@settings(max_examples=examples(150))
@given(inputs=st.integers(1, 300), outputs=st.integers(1, 40), seed=st.integers(0, 1000))
def test_a_row_does_not_depend_on_its_place(inputs, outputs, seed):
    """Layers of any width: narrow ones over odd inputs are where a plain matrix product breaks the promise."""
    generator = torch.Generator().manual_seed(seed)
    layer = linear(inputs, outputs, 1.0, generator)
    row = torch.randn(1, inputs, generator=generator)
    with torch.inference_mode():
        found = Rowwise(layer, "cpu")("forward", row.expand(BLOCK, inputs))
        plain = torch.nn.functional.linear(row, layer.weight, layer.bias)
    assert (found == found[:1]).all()
    assert torch.allclose(found[:1], plain, atol=1e-5)


def test_one_legal_action_is_certain_and_logits_of_any_size_are_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0], [3.0, 2.0, 1.0]])
    mask = torch.tensor([[False, True, False], [True, True, True]])
    log_probs = masked_log_probs(logits, mask)
    assert log_probs[0, 1] == 0 and log_probs[0].exp().tolist() == [0, 1, 0]
    entropy = -(log_probs.exp() * log_probs).sum(1)
    assert entropy[0] == 0 and torch.isfinite(entropy).all()


def test_initialisation_does_not_read_the_global_generator():
    with torch.random.fork_rng():
        torch.random.seed()
        one = network()
    assert torch.equal(next(one.parameters()), next(network().parameters()))


def test_players_and_pixels_reach_the_network():
    obs = torch.ones(2, 3, 6, 7)
    seat_0, seat_1 = network()(obs, torch.tensor([0, 1]))
    assert not torch.equal(seat_0, seat_1)
    pixels = replace(SPEC, observation=replace(SPEC.observation, dtype="uint8"))
    options = dict(hidden=(32,), channels=(8,), encoder="mlp", player_id=True, output_gain=1.0)
    bytes_network = Network(pixels, 7, **options, generator=torch.Generator().manual_seed(0))
    scaled = bytes_network((255 * obs).to(torch.uint8), torch.tensor([0, 1]))
    assert torch.allclose(scaled[0], seat_0, atol=1e-6)


@pytest.mark.parametrize("shape, convolves", [((3, 6, 7), True), ((3, 3, 3), False), ((42,), False)])
def test_auto_convolves_over_boards(shape, convolves):
    spec = replace(SPEC, observation=replace(SPEC.observation, shape=shape))
    options = dict(hidden=(8,), channels=(4,), encoder="auto", player_id=False, output_gain=1.0)
    net = Network(spec, 5, **options, generator=torch.Generator().manual_seed(0))
    assert (net.convolutions is not None) == convolves
    assert net(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.int64)).shape == (2, 5)


def test_initialisation_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    one, twin, other = network(), network(), network(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_networks_that_are_loaded_draw_no_weights():
    whole, generator = network(encoder="cnn"), torch.Generator()
    before = generator.get_state()
    with to_be_loaded():
        loaded = network(encoder="cnn", seed=1)
        linear(3, 4, 1.0, generator)
    assert (generator.get_state() == before).all()
    loaded.load_state_dict(whole.state_dict())
    assert all((a == b).all() for a, b in zip(loaded.parameters(), whole.parameters(), strict=True))
    linear(3, 4, 1.0, generator)
    assert (generator.get_state() != before).any()


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("by_numpy", [True, False])
def test_tanh_is_torchs(by_numpy, monkeypatch):
    """Both ways give it here, whichever this processor would use."""
    monkeypatch.setattr(networks, "_BY_NUMPY", by_numpy)
    x = torch.cat([torch.linspace(-12, 12, 5000), torch.tensor([-np.inf, np.inf, 0.0, 1e30, -1e30])])
    torch.testing.assert_close(tanh_(x.clone()), torch.tanh(x), atol=3e-7, rtol=0)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(5, 3), (4, 8, 1), (21, 64, 64, 5), (70, 16, 32, 20)])
def test_the_gradient_of_a_perceptron_is_autograds(sizes, activation):
    made = Perceptron(sizes, 1.0, torch.Generator().manual_seed(1), activation)
    plain = torch.nn.Sequential(*made)
    x, weight = drawn(37, sizes[0]).requires_grad_(), drawn(37, sizes[-1], seed=2)
    outputs = [network(x) for network in (made, plain)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(made(x), outputs[1], atol=1e-5, rtol=1e-5)
    wanted = [x, *made.parameters()]
    found, expected = (torch.autograd.grad((output * weight).sum(), wanted) for output in outputs)
    for ours, torchs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, torchs, atol=1e-4, rtol=1e-4)
    output = made.fixed(x)
    torch.testing.assert_close(output, outputs[0], atol=0, rtol=0)
    (of_inputs,) = torch.autograd.grad((output * weight).sum(), x)
    torch.testing.assert_close(of_inputs, found[0], atol=0, rtol=0)


def test_the_gradients_of_a_log_probability_and_of_the_entropy_are_autograds():
    logits, action = (3 * drawn(50, 4)).requires_grad_(), torch.arange(50) % 4
    mask = (drawn(50, 4, seed=1) > 0) | (action[:, None] == torch.arange(4))
    ours = log_prob_and_entropy(logits, mask, action)
    log_probs = masked_log_probs(logits, mask)
    plain = log_probs.gather(1, action[:, None])[:, 0], -(log_probs.exp() * log_probs).sum(1)
    weights = drawn(50, seed=2) / 50, drawn(50, seed=3) / 50  # as in a mean; larger ones overflow in autograd
    gradients = []
    for outputs in (ours, plain):
        loss = sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True))
        gradients += torch.autograd.grad(loss, logits)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
    assert (gradients[0][~mask] == 0).all()
