"""MAPPO: what its critic sees, and that its players do not."""

from dataclasses import replace

import numpy as np
import pytest

from games.contract import Array
from games.registry import make
from marl.algorithms.policy_gradient.centralised import AllViews, GlobalState
from marl.algorithms.policy_gradient.mappo import Mappo
from tests.marl.algorithms.policy_gradient.games import Player, Skirmish


def test_the_global_state_comes_with_every_view():
    trajectory = Player("mappo", Skirmish(4)).rollout()
    state = GlobalState(Skirmish(1).spec).of(trajectory)
    assert len(state) == len(trajectory.obs)
    for t, e, n in np.argwhere(trajectory.index >= 0)[::7].tolist():
        np.testing.assert_array_equal(state[trajectory.index[t, e, n]], trajectory.global_state[t, e])


def test_the_views_of_all_stand_in_for_it():
    player = Player("mappo", Skirmish(4, waits=False, state=False, noise=1e9))
    assert player.learner.notes == ["'skirmish' has no global state: all players' views stand in for it"]
    trajectory = player.rollout()
    state = AllViews(player.venv.spec).of(trajectory)
    dead = 0
    for t, e, n in np.argwhere(trajectory.index >= 0).tolist():
        rows = trajectory.index[t, e]
        expected = [trajectory.obs[row] if row >= 0 else np.zeros(4) for row in rows]
        np.testing.assert_array_equal(state[rows[n]], np.concatenate(expected))
        dead += (rows < 0).any()
    assert dead > 10
    assert player.learner.models[0].critic.body[0].in_features == 4 + 3 + 12


def test_pixels_are_scaled_as_in_views():
    player = Player("mappo", Skirmish(2, waits=False, state=False))
    trajectory, spec = player.rollout(3), player.venv.spec
    pixels = AllViews(replace(spec, observation=Array((4,), "uint8")))
    np.testing.assert_allclose(pixels.of(trajectory), AllViews(spec).of(trajectory) / 255, rtol=1e-6)


@pytest.mark.parametrize("game", ["openspiel:kuhn_poker", "openspiel:catch"])
def test_where_there_is_nothing_more_to_see_it_is_said(game):
    player = Player("mappo", game)
    [note] = player.learner.notes
    assert note == (
        f"'{game}' has no global state, and no views of several players at once: mappo's critic sees a player's own "
        "view alone, as that of ippo does"
    )
    player.learn(1)


def test_its_agent_plays_without_the_state():
    player = Player("mappo", "spread")
    state = player.learner.agent_state()
    agent = Mappo.load_agent(player.learner.config, player.venv.spec, state, device="cpu", greedy=True)
    assert not player.learner.notes and hasattr(agent, "policy")


def test_it_learns_to_meet():
    player = Player("mappo", make("matrix(team=[[1, 0], [0, 1]])", 64), learning_rate=5e-3)
    player.learn(25)
    trajectory = player.rollout()
    assert trajectory.reward[trajectory.acting[:-1]].mean() > 0.9
