"""IPPO: what it must never do, and that it learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.base.schema import load
from marl.evaluation.evaluate import evaluate_entrant
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import View
from marl.training.config import TrainConfig
from marl.training.train import train

ROOT = Path(__file__).parents[4]
SPEC = make("openspiel:tic_tac_toe", 1).spec
SEEDS = fold(3, np.arange(16))


def learned(game, updates, **settings):
    """Train in self-play; return the learner and the metrics of every update."""
    venv = make(game, 16)
    learner = Ippo(Ippo.Config(hidden=(32,), anneal=False, **settings), venv.spec, key=1, total_steps=1, device="cpu")
    seating = np.zeros((16, venv.spec.num_players), np.int64)
    carry = Carry(venv, learner.actors(), np.array([2], np.uint64), fold(3, np.arange(16)))
    metrics = []
    for _ in range(updates):
        trajectory = rollout(venv, learner.actors(), seating, carry, 16)
        metrics.append(learner.update(trajectory, {0}))
    return learner, metrics, trajectory


def test_the_ratio_is_one_before_the_first_step_and_moves_after():
    _, [one], _ = learned("openspiel:tic_tac_toe", 1, epochs=1, minibatch_size=10**6)
    assert abs(one["approx_kl"]) < 1e-6 and one["clip_fraction"] == 0
    _, [more], _ = learned("openspiel:tic_tac_toe", 1, epochs=8, minibatch_size=64)
    assert more["clip_fraction"] > 0


def test_a_stranger_teaches_nothing():
    """Whatever the others' seats recorded, as an own decision, the learner learns from its own alone."""
    weights = []
    for scale in (0.0, 100.0):
        venv = make("openspiel:tic_tac_toe", 4)
        learner = Ippo(Ippo.Config(hidden=(8,)), venv.spec, key=1, total_steps=1000, device="cpu")
        roster = [*learner.actors(), load_entrant("random", venv.spec).agent]
        seating = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
        trajectory = rollout(venv, roster, seating, Carry(venv, roster, np.array([2, 3], np.uint64), SEEDS[:4]), 32)
        theirs = trajectory.seating == 1
        trajectory.reward[theirs] = scale
        trajectory.extras["log_prob"][theirs] = -scale
        metrics = learner.update(trajectory, {0})
        assert np.isfinite(list(metrics.values())).all()
        weights.append(learner.agent_state())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert learner.update(trajectory, set()).keys() == {"learning_rate"}


def test_the_learning_rate_falls_to_nothing():
    venv = make("openspiel:tic_tac_toe", 4)
    learner = Ippo(Ippo.Config(hidden=(8,), learning_rate=0.1), venv.spec, key=1, total_steps=100, device="cpu")
    carry, seating = Carry(venv, learner.actors(), SEEDS[:1], SEEDS[:4]), np.zeros((4, 2), np.int64)
    steps, rates = [0], []
    for _ in range(4):
        trajectory = rollout(venv, learner.actors(), seating, carry, 12)
        rates.append(learner.update(trajectory, {0})["learning_rate"])
        steps.append(steps[-1] + trajectory.steps)
    assert rates == pytest.approx([0.1 * max(1 - step / 100, 0) for step in steps[:-1]]) and rates[-1] == 0


def test_a_greedy_agent_plays_the_mode():
    learner, _, trajectory = learned("openspiel:tic_tac_toe", 3)
    spec, state = learner.spec, learner.agent_state()
    sampled, greedy = (Ippo.load_agent(learner.config, spec, state, device="cpu", greedy=g) for g in (False, True))
    rows = trajectory.index[:-1][trajectory.acting[:-1]][:40]
    player, keys = np.nonzero(trajectory.acting[:-1])[2][:40], fold(9, np.arange(40))
    seen = View(trajectory.obs[rows], trajectory.action_mask[rows], player, np.arange(40), np.ones(40, bool), keys)
    probability = [agent.act(seen, None)[0].extras["log_prob"] for agent in (sampled, greedy)]
    assert (probability[1] >= probability[0]).all() and (probability[1] > probability[0]).any()
    other_keys = replace(seen, key=keys + np.uint64(1))
    assert (greedy.act(seen, None)[0].action == greedy.act(other_keys, None)[0].action).all()
    assert (sampled.act(seen, None)[0].action != sampled.act(other_keys, None)[0].action).any()


@pytest.mark.parametrize("share", [True, False])
def test_load_state_goes_on_as_if_nothing_had_been(share):
    """Two updates, or one, a new learner with its state, and one more: the same bytes, moments and counters."""
    one, twin = (
        Ippo(Ippo.Config(hidden=(8,), share_parameters=share), SPEC, key=k, total_steps=9999, device="cpu")
        for k in (1, 1)
    )
    trajectories = [recorded(one, seed) for seed in (1, 2)]
    one.update(trajectories[0], {0})
    twin.load_state({name: tensor.clone() for name, tensor in one.state().items()})
    for learner in (one, twin):
        learner.update(trajectories[1], {0})
    state, other = one.state(), twin.state()
    steps = sum(trajectory.steps for trajectory in trajectories)
    assert state["counters"].tolist() == [steps, 2]  # the minibatches of an update are drawn by its number
    assert state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def recorded(learner, seed):
    venv = make(SPEC.name, 4)
    carry = Carry(venv, learner.actors(), SEEDS[:1], fold(seed, np.arange(4)))
    return rollout(venv, learner.actors(), np.zeros((4, 2), np.int64), carry, 24)


def test_illegal_actions_are_never_chosen():
    _, _, trajectory = learned("openspiel:tic_tac_toe", 3)
    acting = trajectory.acting[:-1]
    rows = trajectory.index[:-1][acting]
    assert trajectory.action_mask[rows, trajectory.action[acting]].all()


@pytest.mark.parametrize("share", [True, False])
def test_the_same_seed_gives_the_same_bytes(share):
    one, _, _ = learned("openspiel:leduc_poker", 2, share_parameters=share)
    twin, _, _ = learned("openspiel:leduc_poker", 2, share_parameters=share)
    state, other = one.state(), twin.state()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert len(one.models) == (1 if share else 2)


def test_separate_parameters_all_learn():
    learner, _, _ = learned("openspiel:kuhn_poker(players=3)", 1, share_parameters=False)
    fresh, _, _ = learned("openspiel:kuhn_poker(players=3)", 1, share_parameters=False, learning_rate=1e-12)
    for model, untouched in zip(learner.models, fresh.models, strict=True):
        assert not torch.allclose(model.actor.body[0].weight, untouched.actor.body[0].weight, atol=1e-5)


def test_planes_are_wanted_for_convolutions():
    with pytest.raises(UserError, match=r"encoder: cnn wants views of three axes, .*kuhn_poker.* use mlp or auto"):
        learned("openspiel:kuhn_poker", 1, encoder="cnn")


def test_learns_to_defect():
    """In the one-shot prisoner's dilemma, defecting pays more whatever the other does."""
    _, _, trajectory = learned("openspiel:matrix_pd", 60, learning_rate=3e-3, minibatch_size=128)
    assert (trajectory.action[trajectory.acting[:-1]] == 1).mean() > 0.95


def test_learns_to_catch():
    """One player, ten steps: an agent that does nothing of use is paid -0.6 on average."""
    _, _, trajectory = learned("openspiel:catch", 120, learning_rate=3e-3, minibatch_size=128)
    paid = trajectory.reward[trajectory.terminated[1:]]
    assert paid.mean() > 0.5


@pytest.mark.slow
def test_beats_random_at_tic_tac_toe_from_both_seats(tmp_path):
    config = load(TrainConfig, ROOT / "configs" / "train" / "ippo_tic_tac_toe.yaml")
    train(config, tmp_path / "run", resume=False)
    venv = make(config.game, 64)
    agent, random = load_entrant(str(tmp_path / "run"), venv.spec), load_entrant("random", venv.spec)
    result = evaluate_entrant(venv, agent, random, seeds=500, key=12345)
    assert result.episodes == 1000
    assert min(result.return_mean) >= 0.8, result
