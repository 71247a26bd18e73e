"""IPPO: its losses by hand, what it must never do, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from games.contract import Array, Box, Spec
from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.algorithms.ippo import Ippo, actor_loss, critic_loss
from marl.config import TrainConfig, load
from marl.entrants import enter
from marl.evaluate import evaluate
from marl.rollout import Carry, rollout
from marl.train import train

ROOT = Path(__file__).parents[3]


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


def test_losses_by_hand():
    log_probs = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    old = torch.log(torch.tensor([0.25, 0.9]))
    # Ratios 2 (clipped to 1.2, for A = 1) and 1 (A = -2).
    loss, metrics = actor_loss(
        log_probs, torch.tensor([0, 0]), old, torch.tensor([1.0, -2.0]), clip=0.2, entropy_coefficient=0.1
    )
    entropy = (np.log(2) + -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))) / 2
    assert loss.item() == pytest.approx(-(1.2 - 2.0) / 2 - 0.1 * entropy)
    assert metrics["clip_fraction"].item() == 0.5
    assert metrics["approx_kl"].item() == pytest.approx((2 - 1 - np.log(2)) / 2)
    assert critic_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item() == 1.0


def test_the_ratio_is_one_before_the_first_step_and_moves_after():
    _, [one], _ = learned("openspiel:tic_tac_toe", 1, epochs=1, minibatch_size=10**6)
    assert abs(one["approx_kl"]) < 1e-6 and one["clip_fraction"] == 0
    _, [more], _ = learned("openspiel:tic_tac_toe", 1, epochs=8, minibatch_size=64)
    assert more["clip_fraction"] > 0


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


def test_continuous_actions_are_refused():
    spec = Spec("box", 1, Array((2,)), Box(1, 0, 1), "team", "simultaneous", True, False, False)
    with pytest.raises(UserError, match="ippo needs discrete actions, and 'box' has continuous ones"):
        Ippo(Ippo.Config(), spec, key=0, total_steps=1, device="cpu")


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
    agent, random = enter(str(tmp_path / "run"), venv.spec), enter("random", venv.spec)
    result = evaluate(venv, agent, [random], seeds=500, key=12345)
    assert result.episodes == 1000
    assert min(result.return_mean) >= 0.8, result
