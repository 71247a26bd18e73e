"""Distributions of a team's return and dueling utilities: what they keep of the argmax, and that they learn."""

from itertools import product

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.registry import make
from marl.algorithms.value_factorization.networks import ActionValues
from marl.algorithms.value_factorization.qmix import (
    Aerial,
    Iql,
    Monotone,
    Ordinal,
    Qmix,
    QmixConfig,
    Sum,
    Vdn,
    threshold_network,
)
from marl.learning.networks import generator_of
from marl.learning.value_heads import Categorical, HlGauss, Scalar
from tests.marl.algorithms.value_factorization.test_learner import DYING, TURNS, learner, trained
from tests.marl.algorithms.value_factorization.test_qmix import UNIFORM, greedy_return
from tests.marl.algorithms.value_factorization.test_qmix import trained as in_two_steps

HEADS = [Categorical(21, -2.0, 6.0), HlGauss(21, -2.0, 6.0)]


def ordinal(head, players=3, state_size=5):
    mixer = Monotone(QmixConfig(), players, state_size, generator_of(1))
    return Ordinal(mixer, head, threshold_network(state_size, 16, head.bins - 1, generator_of(2)))


def unsettled(module):
    """Return a module with weights that are far from the initial ones."""
    for at, parameter in enumerate(module.parameters()):
        torch.nn.init.normal_(parameter, std=0.7, generator=generator_of(10 + at))
    return module


class TestOrdinal:
    @pytest.mark.parametrize("head", HEADS)
    def test_it_gives_probabilities_by_hand(self, head):
        made = unsettled(ordinal(head))
        q, state = torch.randn(7, 3, generator=generator_of(3)), torch.randn(7, 5, generator=generator_of(4))
        c = made.thresholds(state)
        assert (c.diff(dim=1) > 0).all()
        above = torch.sigmoid(made.mixer(q, state) - c)
        expected = torch.cat([torch.ones(7, 1), above], 1) - torch.cat([above, torch.zeros(7, 1)], 1)
        logits = made(q, state)
        assert logits.shape == (7, 1, 21)
        torch.testing.assert_close(logits[:, 0].exp(), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits.exp().sum(2), torch.ones(7, 1))

    @pytest.mark.parametrize("head", HEADS)
    def test_the_best_joint_action_consists_of_each_agents_best(self, head):
        """IGM, by enumeration: no joint action has a greater expectation than that of the agents' own argmaxes."""
        made = unsettled(ordinal(head))
        utilities, state = (
            torch.randn(50, 3, 4, generator=generator_of(3)),
            torch.randn(50, 5, generator=generator_of(4)),
        )
        joint = torch.tensor(list(product(range(4), repeat=3)))  # [64, N]
        q = utilities[:, torch.arange(3), joint].flatten(0, 1)  # [50 * 64, N]
        value = head.mean(made(q, state.repeat_interleave(64, 0))).view(50, 64)
        own = head.mean(made(utilities.amax(2), state))
        assert (own >= value.amax(1, keepdim=True) - 1e-5).all()
        assert value.std(1).max() > 0.1

    def test_the_expectation_increases_in_every_utility(self):
        made = unsettled(ordinal(HEADS[1])).double()
        q = torch.randn(200, 3, generator=generator_of(3)).double().requires_grad_()
        HEADS[1].mean(made(q, torch.randn(200, 5, generator=generator_of(4)).double())).sum().backward()
        assert q.grad.min() >= 0 and q.grad.max() > 1e-3

    @pytest.mark.parametrize("head", HEADS)
    def test_gradients_are_finite_however_far_a_target_is(self, head):
        for scale in (1.0, 100.0):
            made = ordinal(head)
            q = (scale * torch.randn(20, 3, generator=generator_of(3))).requires_grad_()
            loss = head.loss(made(q, torch.randn(20, 5, generator=generator_of(4))), torch.linspace(-9, 9, 20)[:, None])
            loss.mean().backward()
            assert loss.isfinite().all() and q.grad.isfinite().all()
            assert all(parameter.grad.isfinite().all() for parameter in made.parameters())

    def test_close_thresholds_far_from_0_keep_their_probabilities(self):
        """In float32 thresholds near 10,000 cannot be 0.0001 apart, and no bin may become impossible by that."""
        made = Ordinal(Sum(), HEADS[0], None)
        with torch.no_grad():
            made.start[0], made.start[1:] = 1e4, -20.0
        logits = made(torch.full((1, 2), 5e3), torch.zeros(1, 0))
        head, inside = logits[0, 0], 1 - torch.exp(torch.tensor(-1e-4))
        torch.testing.assert_close(head[1:-1].exp(), (inside / 4).expand(19), atol=0, rtol=0.01)
        HEADS[0].loss(logits, torch.ones(1, 1)).sum().backward()
        assert made.start.grad.isfinite().all()

    def test_in_the_beginning_utilities_of_0_are_worth_nearly_nothing(self):
        head = HlGauss(51, -10.0, 10.0)
        value = head.mean(Ordinal(Sum(), head, None)(torch.zeros(1, 2), torch.zeros(1, 0)))
        assert value.item() == pytest.approx(0, abs=0.02)


class TestDueling:
    mask = torch.tensor([[True, True, False], [True, True, True], [False, True, False]])

    @pytest.mark.parametrize("head", [Scalar(), HEADS[0]])
    def test_a_constant_added_to_the_advantages_changes_nothing(self, head):
        made = ActionValues(3, head, dueling=True)
        outputs = torch.randn(3, made.outputs, generator=generator_of(1))
        moved = outputs.clone()
        moved[:, head.bins :] += 5
        torch.testing.assert_close(made(moved, self.mask), made(outputs, self.mask))

    def test_the_mean_is_that_of_the_legal_actions(self):
        """V = 10 and A = 1, 3, 99 with the last one illegal: Q = 9 and 11; the illegal advantage has no influence."""
        made = ActionValues(3, Scalar(), dueling=True)
        outputs = torch.tensor([[10.0, 1, 3, 99], [10, 1, 3, 5], [10, 7, 1, 7]])
        q = made(outputs, self.mask)
        assert q[0, :2].tolist() == [9, 11] and q[1].tolist() == [8, 10, 12] and q[2, 1] == 10
        outputs[0, 3] = -1000
        assert made(outputs, self.mask)[0, :2].tolist() == [9, 11]


ONE_STATE = "matrix(team=[[0.5]], steps=10, truncate={}) | team_reward(how=sum)"


FAST = {"gamma": 0.9, "learning_rate": 0.02, "recurrent": False, "last_action": False, "target_update": 10}


@pytest.mark.parametrize(
    "kind, head, truncate, lam, expected",
    [
        (Iql, "categorical", "true", 0.9, 10.0),
        (Vdn, "hl_gauss", "true", 0.9, 10.0),
        (Qmix, "categorical", "false", 1.0, 4.138),
    ],
)
def test_one_state_is_worth_what_it_pays(kind, head, truncate, lam, expected):
    """A reward of 1 ten times, γ = 0.9: 10 where the recording is truncated, the mean of 6.51 .. 1 where it ends."""
    settings = FAST | {"td_lambda": lam, "value_head": head, "value_range": (0.0, 12.0), "dueling": kind is Iql}
    made, metrics = trained(kind, ONE_STATE.format(truncate), updates=90, **settings)
    batch = made.batch()
    with torch.no_grad():
        predicted, _ = made.team(batch.packed, batch.action_mask)
        value = made.head.mean(made.mix(batch.taken(predicted), batch.global_state))[0, 0]
    assert value.item() == pytest.approx(expected, abs=0.6)
    assert metrics["clipped_targets"] == 0


@pytest.mark.parametrize("kind, best", [(Vdn, 7.0), (Qmix, 8.0)])
def test_the_two_step_game(kind, best):
    """What a mixer can represent does not depend on what is learned of the return."""
    settings = UNIFORM | {"steps_per_update": 32, "learning_rate": 2e-3, "target_update": 20, "value_head": "hl_gauss"}
    made = in_two_steps(kind, "two_step", 6_000, **settings)
    assert greedy_return(made, "two_step") == best


@pytest.mark.parametrize("head", ["categorical", "hl_gauss"])
@pytest.mark.parametrize("kind", [Iql, Vdn, Qmix, Aerial])
def test_every_head_learns_from_every_kind_of_team(kind, head):
    for game in (DYING, TURNS):
        if game == TURNS and kind is Qmix:
            continue
        _, metrics = trained(kind, game, updates=3, value_head=head, dueling=True, td_lambda=0.5)
        assert metrics["updates"] > 0 and all(np.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["clipped_targets"] <= 1 and metrics["value_error"] >= 0


def test_a_range_that_is_too_narrow_shows():
    """Rewards of 0.5 for each of two players, ten times, are up to 10; with a range that ends at 2 most are clipped."""
    settings = {"value_head": "hl_gauss", "gamma": 1.0, "td_lambda": 1.0}
    _, narrow = trained(Vdn, ONE_STATE.format("false"), value_range=(0.0, 2.0), **settings)
    _, wide = trained(Vdn, ONE_STATE.format("false"), value_range=(0.0, 12.0), **settings)
    assert narrow["clipped_targets"] == pytest.approx(0.8) and wide["clipped_targets"] == 0  # 8 of 10 decisions


@pytest.mark.parametrize(
    "game, changes, said",
    [
        (ONE_STATE.format("true"), {}, r"has return_bounds \(10.0, 10.0\); set value_range: \[lowest, highest\]$"),
        ("spread(local_ratio=0)", {}, r"has return_bounds None; set value_range: \[lowest, highest\]$"),
        (
            "two_step",
            {"standardise_rewards": "deviation"},
            "that of standardised rewards is not known; set value_range",
        ),
    ],
)
def test_returns_of_no_known_range_are_refused(game, changes, said):
    assert make(game, 1).spec.payoff == "team"
    with pytest.raises(UserError, match=said) as refused:
        learner(Qmix, game, value_head="hl_gauss", **changes)
    assert "\n" not in str(refused.value)
    learner(Qmix, game, value_head="hl_gauss", value_range=(-3.0, 3.0), **changes)
    learner(Qmix, game, **changes)
