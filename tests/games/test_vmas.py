"""VMAS's scenarios on the contract: episodes that know nothing of their batch, spaces, ends, and what is refused."""

import numpy as np
import pytest

pytest.importorskip("vmas")

from games.adapters import vmas as adapter
from games.check import check_game
from games.contract import Box
from games.errors import UserError
from games.random_play import random_actions
from games.registry import make

FIELDS = ("obs", "action_mask", "acting", "reward", "terminated", "truncated", "first", "seed")


def played(reference, seeds, steps):
    """Return what the last environment of a batch sees of random play, step by step."""
    venv, age, seen = make(reference, len(seeds)), np.zeros(len(seeds), np.int64), []
    step = venv.reset(np.array(seeds, np.uint64))
    for _ in range(steps):
        seen.append({name: getattr(step, name)[-1].copy() for name in FIELDS})
        step = venv.step(random_actions(venv.spec, step, age))
        age = np.where(step.first, 0, age + 1)
    return seen


@pytest.mark.parametrize(
    "scenario",
    [
        "balance(max_steps=30)",
        "joint_passage_size(max_steps=10)",  # two players on one joint
        "navigation(max_steps=20, continuous_actions=True)",
        "simple_world_comm(max_steps=20)",  # views and actions of unequal size
        "wind_flocking(max_steps=20)",  # its wind blows as it did when the episode before ended
    ],
)
def test_conformance(scenario):
    report = check_game(f"vmas:{scenario}", episodes=6)
    assert report.passed, str(report)


@pytest.mark.parametrize("scenario", ["balance(max_steps=20)", "joint_passage_size(max_steps=8)"])
def test_an_episode_depends_on_its_seed_alone(scenario):
    alone = played(f"vmas:{scenario}", [7], 25)
    for others in ([1, 2], [*range(7)], [*range(32)]):
        for t, (a, b) in enumerate(zip(alone, played(f"vmas:{scenario}", [*others, 7], 25), strict=True)):
            assert all(a[name].tobytes() == b[name].tobytes() for name in FIELDS), (len(others), t)
    assert any((a["obs"] != b["obs"]).any() for a, b in zip(alone, played(f"vmas:{scenario}", [8], 25), strict=True))


@pytest.mark.parametrize("scenario", ["joint_passage_size", "waterfall"])
def test_an_episode_goes_on_unmoved_where_another_opens(scenario):
    """VMAS itself would straighten the joints of all environments."""
    venv, left = make(f"vmas:{scenario}", 2), make(f"vmas:{scenario}", 2)
    step, same = (v.reset(np.arange(2, dtype=np.uint64)) for v in (venv, left))
    for t in range(6):
        if t == 3:
            step = venv.reset(np.full(2, 9, np.uint64), np.array([True, False]))
        assert (step.obs[1] == same.obs[1]).all() and (step.reward[1] == same.reward[1]).all()
        assert (step.obs[0] == same.obs[0]).all() == (t < 3)
        actions = random_actions(left.spec, same, np.full(2, t))
        step, same = venv.step(actions), left.step(actions)


@pytest.mark.parametrize("max_steps, terminated", [(100, True), (3, False)])
def test_a_fallen_package_is_terminated_and_the_horizon_truncates(max_steps, terminated):
    venv = make(f"vmas:balance(max_steps={max_steps})", 1)
    assert venv.spec.max_length == max_steps and venv.spec.payoff == "team"
    step, length = venv.reset(np.array([2], np.uint64)), 0
    while not step.last[0]:
        step, length = venv.step(random_actions(venv.spec, step, np.array([length]))), length + 1
    assert (step.terminated == terminated).all() and (step.truncated != terminated).all()
    assert (length < max_steps) == terminated and step.obs.any() and not step.acting.any()
    assert venv.step(np.zeros((1, 3), np.int64)).first.all()


def test_the_state_of_others_generators_is_left_alone():
    import torch

    venv, before = make("vmas:balance", 2), torch.random.get_rng_state()
    venv.reset(np.arange(2, dtype=np.uint64))
    venv.step(np.zeros((2, 3), np.int64))
    assert (torch.random.get_rng_state() == before).all()


def test_continuous_actions_are_forces_within_their_bounds():
    venv = make("vmas:navigation(n_agents=2, continuous_actions=True)", 2)
    assert venv.spec.action == Box(2, -1.0, 1.0) and venv.spec.num_actions == 0
    step = venv.reset(np.zeros(2, np.uint64))
    assert step.action_mask.shape == (2, 2, 0) and step.acting.all()
    push = np.zeros((2, 2, 2), np.float32)
    push[0, :, 0], push[1, :, 0] = 1, 9  # to the right; what lies beyond the bounds is drawn in
    before = step.obs.copy()
    step = venv.step(push)
    assert (step.obs[0, :, 0] > before[0, :, 0]).all() and (step.obs[0] == step.obs[1]).all()


def test_masks_cover_the_actions_that_a_player_does_not_have():
    venv = make("vmas:simple_world_comm", 2)
    assert venv.spec.action_sizes == (36, 9, 9, 9, 9, 9) and venv.spec.observation_sizes[-1] == 56
    step = venv.reset(np.arange(2, dtype=np.uint64))
    assert step.action_mask.sum(2).tolist() == [[36, 9, 9, 9, 9, 9]] * 2
    assert step.action_mask[:, 1:, :9].all() and not step.obs[:, 4:, 56:].any()


@pytest.mark.parametrize(
    "reference, said",
    [
        ("balanc", "expected a scenario of VMAS's, got 'balanc'; did you mean 'balance'?"),
        ("balance(n_agent=4)", "'balance' does not take 'n_agent'; did you mean 'n_agents'?"),
        ("balance(wind=1)", "it takes n_agents, package_mass, random_package_pos_on_line"),
        ("balance(seed=3)", "'balance' does not take 'seed'; it is set here"),
        ("balance(max_steps=0)", "expected max_steps of at least 1"),
        ("balance(n_agents=many)", "'vmas:balance(n_agents='many')' could not be built: '>' not supported"),
        ("balance(n_agents=0)", "'vmas:balance(n_agents=0)' could not be built: "),
        ("simple_crypto", "VMAS shares draws or records among all of its environments"),
        ("discovery", "draws chance within a step, for all environments at once; switch it off: targets_respawn=0"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_sentence(reference, said):
    with pytest.raises(UserError, match=r"^[^\n]+[^ \n]$") as caught:
        make(f"vmas:{reference}", 1)
    assert said in str(caught.value)


def test_what_is_refused_for_its_draws_is_played_without_them():
    assert make("vmas:discovery(targets_respawn=0)", 1).spec.num_players == 5


def test_names_are_references():
    assert {"balance", "simple_tag", "waterfall"} <= set(adapter.names())
