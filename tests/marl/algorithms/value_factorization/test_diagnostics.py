"""Diagnostics of values by hand, and of a learner whose values agree with each other and are wrong."""

import pytest
import torch

from marl.algorithms.value_factorization.concaveq import ConcaveQ
from marl.algorithms.value_factorization.diagnostics import EVERY, action_gap, of_values
from marl.algorithms.value_factorization.qmix import Iql, Qmix, Vdn
from tests.marl.algorithms.value_factorization.test_learner import DYING, trained


def test_values_by_hand():
    """Errors of -1, 0 and 4; deviations from the means of -1, 0, 1 and -2, 0, 2 halves."""
    found = of_values(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 1, 1]), torch.tensor([2.0, 2, -1]))
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {
            "q_deviation": (2 / 3) ** 0.5,
            "return_error": 1.0,
            "return_rmse": (17 / 3) ** 0.5,
            "return_correlation": -0.8660254,
            "target_lag": 1.0,
        }
    )


def test_equal_values_correlate_with_nothing():
    alike = torch.full((5,), 12.6)
    assert of_values(alike, alike, torch.arange(5.0))["return_correlation"] == 0


def test_the_gap_is_between_legal_actions():
    values = torch.tensor([[1.0, 5, 2], [4, 3, 9], [7, 7, 7]])
    mask = torch.tensor([[True, True, True], [True, True, False], [False, True, False]])
    assert action_gap(values, mask) == (3 + 1) / 2
    assert action_gap(values[2:], mask[2:]) == 0 == action_gap(values[:, :1], mask[:, :1])


@pytest.mark.parametrize("kind", [Iql, Vdn, Qmix, ConcaveQ])
def test_some_batches_are_diagnosed(kind):
    made, _ = trained(kind, DYING, standardise_rewards="mean_and_deviation")
    names = {"q_deviation", "return_error", "return_rmse", "return_correlation", "target_lag", "truncated_episodes"}
    for updates in (1, EVERY - 1, EVERY, EVERY + 1):
        made.updates = updates
        metrics = made.learn(made.batch())
        assert (names | {"action_gap", "idle_reward"} <= metrics.keys()) == (updates == EVERY)
        assert updates == EVERY or not names & metrics.keys()


def test_a_plateau_is_seen():
    """Utilities of 3 in every state, and targets to match: the loss is small, but returns are far away."""
    made, _ = trained(Vdn, "predator_prey(size=5, predators=2, prey=1, horizon=20)", updates=12, gamma=0.99)
    for team in (made.team, made.target_team):
        with torch.no_grad():
            team.networks[0].choose.weight.zero_()
            team.networks[0].choose.bias.fill_(3.0)
    made.updates = 0
    metrics = made.learn(made.batch())
    assert metrics["loss"] < 0.7 and metrics["return_error"] > 0.4
    assert metrics["q_deviation"] < 1e-3 and metrics["action_gap"] == 0 and metrics["target_lag"] == 0
    assert metrics["truncated_episodes"] > 0.5
