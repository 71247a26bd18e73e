"""JaxMARL's environments on the contract: masks, deaths, turns, ends, and episodes as the library itself plays them."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("games.adapters.jaxmarl")  # which imports the library in silence

import jax
import jaxmarl

from games.adapters import jaxmarl as adapter
from games.check import check_game
from games.contract import Box
from games.errors import UserError
from games.random_play import random_actions
from games.registry import make

SMAX = "jaxmarl:HeuristicEnemySMAX(map_name=3m, max_steps=20)"
OVERCOOKED = "jaxmarl:overcooked(layout=cramped_room, max_steps=30)"
STORM = "jaxmarl:storm_2p(num_inner_steps=20)"
SPREAD = "jaxmarl:MPE_simple_spread_v3"
FIELDS = ("obs", "action_mask", "acting", "reward", "terminated", "truncated", "global_state", "first", "seed")


def played(reference, seeds, steps):
    """Return what the last environment of a batch sees of random play, step by step."""
    venv, age, seen = make(reference, len(seeds)), np.zeros(len(seeds), np.int64), []
    step = venv.reset(np.array(seeds, np.uint64))
    for _ in range(steps):
        seen.append({name: getattr(step, name)[-1].copy() for name in FIELDS})
        step = venv.step(random_actions(venv.spec, step, age, idle=-7))
        age = np.where(step.first, 0, age + 1)
    return seen


@pytest.mark.parametrize("reference", [SMAX, OVERCOOKED, "jaxmarl:hanabi", STORM, SPREAD])
def test_conformance(reference):
    report = check_game(reference, episodes=3)
    assert report.passed, str(report)


def test_an_episode_depends_on_its_seed_alone():
    alone, among, other = played(SPREAD, [7], 60), played(SPREAD, [*range(70), 7], 60), played(SPREAD, [8], 60)
    for t, (a, b) in enumerate(zip(alone, among, strict=True)):
        assert all(a[name].tobytes() == b[name].tobytes() for name in FIELDS), t
    assert any((a["obs"] != b["obs"]).any() for a, b in zip(alone, other, strict=True))


@pytest.mark.parametrize(
    "name, arguments, length, cut",
    [
        ("overcooked", {"layout": "cramped_room", "max_steps": 30}, 30, True),
        ("MPE_simple_spread_v3", {}, 26, True),
        ("coin_game", {"num_inner_steps": 4, "num_outer_steps": 3}, 12, False),  # draws in its steps, too
    ],
)
def test_an_episode_is_the_library_s_own_from_the_same_keys(name, arguments, length, cut):
    written = ", ".join(f"{key}={value}" for key, value in arguments.items())
    venv, seed = make(f"jaxmarl:{name}({written})", 3), np.array([2**31, 11], np.uint32)
    with adapter._quiet():
        env = jaxmarl.make(name, **adapter._understood(name, arguments))
    step = venv.reset(np.array([5, 6, 2**63 + 11], np.uint64))
    obs, state = jax.jit(env.reset)(jax.random.fold_in(seed, 0))
    library = jax.jit(env.step_env)
    for t in range(1, length + 1):
        np.testing.assert_allclose(step.obs[2], [obs[agent] for agent in env.agents], rtol=1e-4, atol=1e-5)
        actions = random_actions(venv.spec, step, np.full(3, t))
        chosen = dict(zip(env.agents, actions[2], strict=True))
        obs, state, rewards, dones, _ = library(jax.random.fold_in(seed, t), state, chosen)
        step = venv.step(actions)
        np.testing.assert_allclose(step.reward[2], [rewards[agent] for agent in env.agents], rtol=1e-4, atol=1e-5)
        assert step.last[2] == bool(dones["__all__"]) == (t == length)
    assert (step.truncated[2] == cut).all() and (step.terminated[2] != cut).all() and venv.spec.max_length == length


def test_the_dead_do_not_act_and_are_paid_until_the_end():
    """Whoever walks east into the enemies dies; the others stay, and are shot later."""
    venv = make(SMAX, 1)
    assert venv.spec.payoff == "team" and venv.spec.global_state_size > 0
    step = venv.reset(np.array([3], np.uint64))
    assert step.global_state.any() and step.acting.all() and not step.action_mask[0, :, 5:].any()  # nobody in reach
    alone = False
    for _ in range(20):
        alive = step.acting[0].copy()
        step = venv.step(np.array([[1, 4, 4]]))
        assert (step.acting[0] <= alive).all() and (step.action_mask[0].any(1) == step.acting[0]).all()
        assert len(set(step.reward[0].tolist())) == 1
        if step.last[0]:
            break
        assert not step.terminated.any()
        alone |= not step.acting[0, 0] and bool(step.acting[0, 1:].any())
    assert alone and step.last[0] and not step.acting.any() and not step.action_mask.any()


@pytest.mark.parametrize(
    "walk, seed, length, terminated",
    [
        ([], 0, 17, True),  # shot where they stand
        ([0] * 9, 0, 20, False),  # they run north, and are still alive when time is up
        ([3] * 4, 2, 20, True),  # the last one is shot in the very last step
    ],
)
def test_a_lost_battle_is_terminated_and_a_long_one_truncated(walk, seed, length, terminated):
    venv = make(SMAX, 1)
    step = venv.reset(np.array([seed], np.uint64))
    for t in range(length):
        assert not step.last.any()
        step = venv.step(np.full((1, 3), [*walk, *[4] * length][t]))
    assert step.last[0] and (step.terminated == terminated).all() and (step.truncated != terminated).all()


def test_hanabi_is_played_in_turns():
    venv = make("jaxmarl:hanabi", 2)
    assert (venv.spec.turns, venv.spec.payoff, venv.spec.max_length) == ("sequential", "team", None)
    step = venv.reset(np.arange(2, dtype=np.uint64))
    for turn in range(6):
        assert step.acting.tolist() == [[turn % 2 == 0, turn % 2 == 1]] * 2
        assert not step.action_mask[:, :, -1].any() and not step.action_mask[:, 1 - turn % 2].any()
        step = venv.step(step.action_mask.argmax(2))


def test_views_and_actions_of_unequal_size_are_padded():
    venv = make("jaxmarl:MPE_simple_speaker_listener_v4", 2)
    assert venv.spec.observation_sizes == (3, 11) and venv.spec.action_sizes == (3, 5) and venv.spec.payoff == "team"
    step = venv.reset(np.arange(2, dtype=np.uint64))
    assert step.action_mask[0].tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert not step.obs[:, 0, 3:].any() and step.obs[:, 1].any()


def test_continuous_actions():
    venv = make("jaxmarl:MPE_simple_spread_v3(action_type=Continuous)", 2)
    assert venv.spec.action == Box(5, 0.0, 1.0)
    step = venv.reset(np.zeros(2, np.uint64))
    push = np.zeros((2, 3, 5), np.float32)
    push[0, :, 2], push[1, :, 2] = 1, 9  # eastwards; what lies beyond the bounds is drawn in
    step = venv.step(push)
    assert (step.obs[0, :, 0] > 0).all() and (step.obs[0] == step.obs[1]).all()


@pytest.mark.parametrize(
    "name, arguments, payoff",
    [
        ("HeuristicEnemySMAX", {}, "team"),
        ("SMAX", {}, "general_sum"),
        ("MPE_simple_spread_v3", {}, "general_sum"),
        ("MPE_simple_spread_v3", {"local_ratio": 0}, "team"),
        ("coin_game", {"shared_rewards": True}, "team"),
    ],
)
def test_whose_gain_is_whose(name, arguments, payoff):
    assert adapter._payoff(name, arguments) == payoff


@pytest.mark.parametrize(
    "reference, said",
    [
        ("SMAC", "expected an environment of JaxMARL's, got 'SMAC'; did you mean 'SMAX'?"),
        ("HeuristicEnemySMAX(map_name=3s_vs_6z)", "got '3s_vs_6z'; did you mean '3s_vs_5z'?"),
        ("overcooked(layout=cramped)", "expected layout to be one of cramped_room,"),
        ("MPE_simple_spread_v3(max_step=3)", "got 'max_step'; did you mean 'max_steps'?"),
        ("switch_riddle(num_agents=2)", "The minimum number of agents for this environment is 3"),
        ("LearnedPolicyEnemySMAX", "missing 2 required positional arguments: 'policy' and 'params'"),
        ("JaxRobotarium_navigation", "requires the jaxrobotarium package, which is not installed"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_sentence(reference, said, capfd):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(f"jaxmarl:{reference}", 1)
    assert said in str(caught.value) and capfd.readouterr() == ("", "")


def test_names_are_references():
    assert {"SMAX", "hanabi", "overcooked", "storm", "coin_game"} <= set(adapter.names())


def test_the_library_s_import_is_silent():
    command = [sys.executable, "-W", "error", "-c", "import games.adapters.jaxmarl; print('heard')"]
    child = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (child.stdout, child.stderr) == ("heard\n", "")
