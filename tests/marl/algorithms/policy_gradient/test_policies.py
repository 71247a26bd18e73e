"""Policies over boxes: a squashed Gaussian against torch's own, at the edges of float32, with padding; it learns."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform, TanhTransform

from games.contract import Array, Box, Spec
from games.keys import fold, normal
from marl.algorithms.policy_gradient.policies import SquashedGaussian
from marl.rollout.types import View
from tests.marl.algorithms.policy_gradient.games import HIGH, LOW, Aim, Player

LARGEST = float(np.finfo(np.float32).max)


def spec_of(low, high, size=1, players=1, **fields):
    return Spec("box", players, Array((2,)), Box(size, low, high), "team", "simultaneous", True, False, False, **fields)


def view_of(player, key=7):
    rows = np.arange(len(player))
    obs, mask = np.zeros((len(rows), 2), np.float32), np.zeros((len(rows), 0), bool)
    return View(obs, mask, np.asarray(player), rows, np.ones(len(rows), bool), fold(key, rows))


def test_log_probabilities_entropies_and_gradients_are_those_of_torch():
    policies = SquashedGaussian(spec_of(-3.0, 1.0, size=3), -0.5)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        policies.log_std.copy_(torch.randn(3, generator=drawn))
    mean = torch.randn(50, 3, generator=drawn, requires_grad=True)
    u = 2 * torch.randn(50, 3, generator=drawn)
    weight = torch.randn(50, generator=drawn)
    player = torch.zeros(50, dtype=torch.int64)
    log_prob, entropy = policies.log_prob_and_entropy(mean, torch.zeros(50, 0), player, u)
    ours = torch.autograd.grad((weight * (log_prob + entropy)).sum(), [mean, policies.log_std])

    base = Normal(mean.double(), policies.log_std.double().exp())
    squashed = TransformedDistribution(base, [TanhTransform(), AffineTransform(-1.0, 2.0)])
    action = -1 + 2 * torch.tanh(u.double())
    theirs = squashed.log_prob(action).sum(1) + 3 * np.log(2.0)  # ours is the density of tanh(u): without log h
    torch.testing.assert_close(log_prob.double(), theirs, atol=1e-3, rtol=1e-4)  # theirs loses digits in atanh
    torch.testing.assert_close(entropy.double(), base.entropy().sum(1), atol=1e-5, rtol=0)
    loss = (weight.double() * (theirs + base.entropy().sum(1))).sum()
    for one, other in zip(ours, torch.autograd.grad(loss, [mean, policies.log_std]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_the_density_is_finite_where_tanh_rounds_to_one():
    policies = SquashedGaussian(spec_of(-1.0, 1.0), 0.0)
    u = torch.tensor([[-40.0], [0.0], [12.0], [40.0]])
    log_prob, _ = policies.log_prob_and_entropy(u, torch.zeros(4, 0), torch.zeros(4, dtype=torch.int64), u)
    slope = np.array([2 * (np.log(2) - 40), 0.0, 2 * (np.log(2) - 12), 2 * (np.log(2) - 40)])
    np.testing.assert_allclose(log_prob.detach(), -0.5 * np.log(2 * np.pi) - slope, atol=1e-4)


@pytest.mark.parametrize(
    "low, high",
    [
        (-LARGEST, LARGEST),
        (0.0, 1e-38),
        (0.1, float(np.nextafter(np.float32(0.1), np.float32(1)))),
        (0.3, 0.3),
        (-7, 1e9),
    ],
)
def test_actions_lie_in_their_box_to_the_last_bit(low, high):
    spec = spec_of(low, high, size=2)
    policies = SquashedGaussian(spec, 2.0)
    mean = np.linspace(-9, 9, 128, dtype=np.float32).reshape(64, 2)
    described = np.concatenate([mean, np.full_like(mean, 2)], 1)
    for greedy in (False, True):
        action = policies.decide(view_of(np.zeros(64, int)), described, greedy=greedy).action
        assert action.dtype == np.float32 and np.isfinite(action).all()
        assert (action >= np.float32(low)).all() and (action <= np.float32(high)).all()
        assert high - low < 1e-6 or action.min() < action.max()


def test_an_agent_samples_what_training_evaluates():
    player = Player("ippo", Aim(16))
    player.learn(2)
    trajectory = player.rollout()
    (batch,) = player.batches(trajectory)
    assert batch.columns["chosen"].shape == (16 * 16 * 2 - 16 * 2 * 4, 2)  # every fourth step opens an episode
    (model,) = player.learner.models
    columns = batch.columns
    outputs, _ = model(columns["obs"], columns["player"])
    log_prob, _ = model.policies.log_prob_and_entropy(
        outputs, columns["action_mask"], columns["player"], columns["chosen"]
    )
    np.testing.assert_allclose(log_prob.detach(), columns["old_log_prob"], atol=1e-5)
    acted = trajectory.acting[:-1]
    squashed = np.tanh(trajectory.extras["unsquashed"])
    low, high = np.array(LOW), np.array(HIGH)
    expected = (low + high) / 2 + (high - low) / 2 * squashed
    expected[..., 1, 1] = 0  # padding
    np.testing.assert_allclose(trajectory.action[acted], expected[acted], atol=1e-5)


def test_samples_have_the_moments_of_the_gaussian():
    policies = SquashedGaussian(spec_of(-1.0, 1.0), 0.0)
    described = np.tile(np.array([[0.7, np.log(0.4)]], np.float32), (20_000, 1))
    u = policies.decide(view_of(np.zeros(20_000, int)), described, greedy=False).extras["unsquashed"]
    assert abs(u.mean() - 0.7) < 4 * 0.4 / 20_000**0.5 and abs(u.std() - 0.4) < 0.01
    modes = policies.decide(view_of(np.zeros(20_000, int)), described, greedy=True)
    np.testing.assert_allclose(modes.action, np.tanh(0.7), atol=1e-6)


def test_normal_numbers_are_of_their_keys_alone():
    drawn = normal(fold(1, np.arange(50_000)), 3)
    assert np.array_equal(normal(fold(1, np.arange(50_000)[7:8]), 3), drawn[7:8])
    assert np.isfinite(drawn).all() and abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02


def test_no_gradient_passes_through_padding():
    policies = SquashedGaussian(spec_of(LOW, HIGH, size=2, players=2, action_sizes=(2, 1)), -0.5)
    outputs, player = torch.zeros(6, 2, requires_grad=True), torch.tensor([0, 1, 0, 1, 1, 1])
    log_prob, entropy = policies.log_prob_and_entropy(outputs, torch.zeros(6, 0), player, torch.ones(6, 2))
    (of_outputs, of_log_std) = torch.autograd.grad((log_prob + entropy)[player == 1].sum(), [outputs, policies.log_std])
    assert (of_outputs[:, 1] == 0).all() and (of_outputs[player == 1, 0] != 0).all()
    assert of_log_std[1] == 0 and of_log_std[0] != 0


@pytest.mark.parametrize("settings", [{}, {"recurrent": True}, {"share_parameters": False}])
@pytest.mark.parametrize("name", ["ippo", "mappo"])
def test_it_learns_to_aim(name, settings):
    player = Player(
        name,
        Aim(64),
        learning_rate=1e-2,
        minibatch_size=512,
        hidden=(32,),
        entropy_coefficient=0.0,
        anneal=False,
        **settings,
    )
    player.learn(80, 8)
    trajectory = player.rollout(32)
    acted = trajectory.acting[:-1]
    paid = trajectory.reward[acted].mean()
    assert paid > -0.3, paid  # of a random point: -0.9; the noise of exploration is still paid for


def test_actions_and_learning_are_the_same_bytes_again():
    states = []
    for _ in range(2):
        player = Player("ippo", Aim(16))
        player.learn(3)
        states.append(player.learner.state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any("log_std" in name for name in states[0])


def test_agents_of_a_box_have_no_table_of_probabilities():
    learner = Player("ippo", Aim(4)).learner
    assert learner.agent().policy is None
