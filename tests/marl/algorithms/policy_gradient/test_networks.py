"""The networks: a GRU as one more layer, the statistics of values, and groups of players."""

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.registry import make
from marl.algorithms.policy_gradient import ppo
from marl.algorithms.policy_gradient.networks import (
    ActorCritic,
    NetworksConfig,
    RecurrentPerceptron,
    Unrolling,
    ValueNormaliser,
    groups_of,
)
from marl.algorithms.policy_gradient.ppo import actor_loss
from marl.learning.networks import generator_of
from tests.marl.algorithms.policy_gradient.games import Player, Skirmish

SPREAD = make("spread", 1).spec


def test_a_gru_whose_gates_are_pinned_is_one_more_layer():
    """With r = z = 0 the hidden state is tanh(W x + b), whatever it was before."""
    plain, recurrent = (
        ActorCritic(NetworksConfig(hidden=hidden, **settings), SPREAD, generator_of(1), player_id=True, state_size=3)
        for hidden, settings in (((16, 8), {}), ((16,), {"recurrent": True, "hidden_size": 8}))
    )
    for layers, memory in ((plain.actor.body, recurrent.actor.body), (plain.critic.body, recurrent.critic.body)):
        pin(layers, memory)
    obs, player, state = torch.randn(30, 18, generator=generator_of(2)), torch.arange(30) % 3, torch.randn(30, 3)
    before = torch.randn(12, 8, generator=generator_of(3))
    expected = plain(obs, player, state)
    unrolled = recurrent(obs, player, state, Unrolling([12, 10, 8], before, -before))
    for one, other in zip(unrolled, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    mask = torch.ones(12, 5, dtype=torch.bool)
    with torch.no_grad():
        stepped = recurrent.step(obs[:12], mask, player[:12], before)[:, :5]
        torch.testing.assert_close(stepped, plain.policy(obs[:12], mask, player[:12]), atol=1e-5, rtol=0)


def pin(layers, memory: RecurrentPerceptron):
    """Give a GRU the weights of a layer of tanh units, and gates that are 0."""
    first, last, out = layers[0], layers[2], layers[4]
    memory.encode[0].load_state_dict(first.state_dict())
    memory.choose.load_state_dict(out.state_dict())
    gru, gates, candidate = memory.remember, slice(0, 16), slice(16, 24)
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter[gates] = 0
        gru.bias_x[gates] = -1e4
        gru.weight_x[candidate], gru.bias_x[candidate] = last.weight, last.bias


def test_a_gru_may_read_the_features_themselves():
    body = RecurrentPerceptron([4, 2], 1.0, generator_of(1), hidden_size=3)
    outputs, hidden = body(torch.ones(2, 4), [1, 1], torch.zeros(1, 3))
    assert outputs.shape == (2, 2) and hidden.shape == (2, 3) and not torch.equal(hidden[0], hidden[1])


def test_the_statistics_of_values_by_hand():
    normaliser = ValueNormaliser()
    assert normaliser.normalise(torch.tensor([3.0])).item() == normaliser.denormalise(torch.tensor([3.0])).item() == 3
    normaliser.update(torch.tensor([1.0, 5.0]))  # mean 3, mean of squares 13: deviation 2
    torch.testing.assert_close(normaliser.normalise(torch.tensor([5.0, 1.0, 3.0])), torch.tensor([1.0, -1.0, 0.0]))
    normaliser.update(torch.tensor([9.0, 9.0]))  # means 6 and 47, but for the averages' memory: deviation √11
    values = torch.tensor([6.0, 6.0 + 11**0.5])
    torch.testing.assert_close(normaliser.normalise(values), torch.tensor([0.0, 1.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(normaliser.denormalise(normaliser.normalise(values)), values)


def test_the_deviation_of_equal_values_is_a_tenth():
    normaliser = ValueNormaliser()
    normaliser.update(torch.full((4,), 1e4))
    assert normaliser.normalise(torch.tensor(1e4 + 0.1)).item() == pytest.approx(1, abs=1e-2)


def test_groups_share_their_networks():
    assert groups_of(NetworksConfig(), SPREAD).tolist() == [0, 0, 0]
    assert groups_of(NetworksConfig(share_parameters=False), SPREAD).tolist() == [0, 1, 2]
    assert groups_of(NetworksConfig(share_parameters=((0, 2), (1,))), SPREAD).tolist() == [0, 1, 0]
    player = Player("ippo", "spread", share_parameters=[[0, 2], [1]])
    player.learn(1)
    assert len(player.learner.models) == 2
    assert [model.actor.players for model in player.learner.models] == [3, 3]  # the index tells 0 from 2


@pytest.mark.parametrize(
    "groups, fault",
    [
        ([[0, 1], []], "has a group without a player"),
        ([[0, 1, 2], [3]], "names player 3"),
        ([[0, 1], [1, 2]], "names player 1 twice"),
        ([[0], [2]], "leaves out player 1"),
        ([], "leaves out player 0"),
    ],
)
def test_groups_that_do_not_hold_each_player_once_are_refused(groups, fault):
    said = f"share_parameters {fault}, and 'spread' has the players 0 to 2: name each of them in one group, or say "
    with pytest.raises(UserError, match=said):
        Player("ippo", "spread", share_parameters=groups)


def test_states_join_the_critics_features_alone():
    model = ActorCritic(NetworksConfig(hidden=(4,)), SPREAD, generator_of(1), player_id=True, state_size=7)
    assert model.actor.body[0].in_features == 18 + 3 and model.critic.body[0].in_features == 18 + 3 + 7
    obs, player = torch.zeros(2, 18), torch.zeros(2, dtype=torch.int64)
    one, other = (model(obs, player, torch.full((2, 7), x)) for x in (0.0, 1.0))
    assert torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])


STANDARD = {"standardise_views": True}


def moments(player):
    """Return the moments of each network's views, by the name of the tensor in a checkpoint."""
    return {name: tensor.clone() for name, tensor in player.learner.agent_state().items() if "standard" in name}


@pytest.mark.parametrize("name", ["ippo", "mappo"])
def test_moments_are_those_of_the_learners_own_decisions(name):
    """Rows of strangers, of players who wait and of truncated ends are noise, and count for nothing."""
    player = Player(name, Skirmish(16, noise=1e6, state=True), minibatch_size=64, **STANDARD)
    seen = []
    for _ in range(2):
        trajectory = player.rollout(12)
        seen.append(trajectory.obs[trajectory.index[:-1][trajectory.learnable([0])]])
        player.learner.update(trajectory, [0])
    rows, found = np.concatenate(seen).astype(np.float64), moments(player)
    for part in ("actor", "critic"):
        np.testing.assert_allclose(found[f"model.0.{part}.standard.mean"], rows.mean(0), rtol=1e-10)
        np.testing.assert_allclose(found[f"model.0.{part}.standard.variance"], rows.var(0), rtol=1e-10)
    assert ("model.0.critic.standard_state.mean" in found) == (name == "mappo")


def test_moments_move_when_an_update_has_ended(monkeypatch):
    """The ratio is 1 in an update's first minibatch, as without the option, but for the run's first update."""
    ratios = []

    def noting(log_prob, entropy, old_log_prob, *rest, **options):
        ratios.append((log_prob - old_log_prob).exp().detach().numpy())
        return actor_loss(log_prob, entropy, old_log_prob, *rest, **options)

    player = Player("ippo", Skirmish(32), minibatch_size=64, learning_rate=3e-3, recurrent=True, **STANDARD)
    player.learn(1, length=10)
    before = moments(player)
    monkeypatch.setattr(ppo, "actor_loss", noting)
    player.learn(1, length=10)
    np.testing.assert_allclose(ratios[0], 1, atol=1e-5)
    assert not torch.equal(before["model.0.actor.standard.mean"], moments(player)["model.0.actor.standard.mean"])


def test_an_agent_that_plays_does_not_learn_moments_and_acts_as_its_checkpoint_does():
    player = Player("ippo", Skirmish(16), share_parameters=[[0, 2], [1]], **STANDARD)
    player.learn(3)
    learner, frozen = player.learner, moments(player)
    loaded = type(learner).load_agent(learner.config, learner.spec, learner.agent_state(), device="cpu")
    mine, theirs = (Player("ippo", Skirmish(16), seed=2, opponents=[agent]) for agent in (learner.agent(), loaded))
    for each in (mine, theirs):
        each.seating[:] = 1
        each.begin()
    one, other = mine.rollout(20), theirs.rollout(20)
    assert np.array_equal(one.action, other.action) and np.array_equal(one.extras["log_prob"], other.extras["log_prob"])
    assert all(torch.equal(frozen[key], tensor) for key, tensor in moments(player).items()) and frozen


def test_without_the_option_a_checkpoint_has_no_moments():
    assert not moments(Player("mappo", Skirmish(4)))
