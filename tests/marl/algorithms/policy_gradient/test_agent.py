"""What agents of a policy gradient say of themselves: the probabilities with which they draw, and values."""

import numpy as np
import pytest

from games.keys import fold
from marl.algorithms.policy_gradient.agent import RecordingPpoAgent
from marl.rollout.types import View
from tests.marl.algorithms.policy_gradient.games import Player, Skirmish


def seen(trajectory, rows=40):
    """Return a view of a trajectory's first decisions."""
    acting = trajectory.acting[:-1]
    index, player = trajectory.index[:-1][acting][:rows], np.nonzero(acting)[2][:rows]
    rows = np.arange(len(index))
    first = np.ones(len(index), bool)
    return View(trajectory.obs[index], trajectory.action_mask[index], player, rows, first, fold(9, rows))


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("share", [True, False])
def test_the_policy_is_what_is_drawn_from(recurrent, share):
    player = Player("ippo", "openspiel:tic_tac_toe", recurrent=recurrent, share_parameters=share)
    player.learn(2)
    view, learner = seen(player.rollout()), player.learner
    hidden = learner.agent().initial_hidden(len(view))
    if recurrent:
        hidden += np.random.default_rng(1).normal(size=hidden.shape).astype(np.float32)
    state = learner.agent_state()
    agents = [
        type(learner).load_agent(learner.config, learner.spec, state, device="cpu", greedy=g) for g in (False, True)
    ]
    for agent, greedy in zip(agents, (False, True), strict=True):
        decision, after = agent.act(view, hidden)
        log_probs, next_hidden = agent.policy(view, hidden)
        assert log_probs.dtype == np.float32 and log_probs.shape == view.action_mask.shape
        assert np.isneginf(log_probs[~view.action_mask]).all()
        np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, atol=1e-6)
        chosen = log_probs[np.arange(len(view)), decision.action]
        np.testing.assert_array_equal(chosen, 0 if greedy else decision.extras["log_prob"])
        np.testing.assert_array_equal(after if recurrent else [], next_hidden if recurrent else [])
    assert (agents[0].policy(view, hidden)[0].argmax(1) == agents[1].act(view, hidden)[0].action).all()


def test_values_are_those_that_updates_use():
    player = Player("ippo", "openspiel:kuhn_poker", normalise_values=True, share_parameters=False)
    player.learn(3)
    trajectory = player.rollout()
    acting = trajectory.acting[:-1]
    values = player.values(trajectory).value[:-1][acting][:40]
    said = player.learner.agent().value(seen(trajectory), None)
    np.testing.assert_allclose(said, values, atol=1e-5)
    assert np.abs(said).max() > 0.1


@pytest.mark.parametrize(
    "name, settings, has", [("ippo", {}, True), ("ippo", {"recurrent": True}, False), ("mappo", {}, False)]
)
def test_agents_without_the_critics_input_have_no_values(name, settings, has):
    assert hasattr(Player(name, "spread", **settings).learner.agent(), "value") == has


def test_hidden_states_are_recorded_in_training_alone():
    player = Player("ippo", Skirmish(4), recurrent=True)
    assert isinstance(player.learner.actors()[0], RecordingPpoAgent)
    assert not isinstance(player.learner.agent(), RecordingPpoAgent)
    assert player.rollout().extras["hidden_8"].shape == (16, 4, 3, 8)
    assert Player("ippo", Skirmish(4)).rollout().extras.keys() == {"log_prob"}
