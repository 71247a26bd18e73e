"""LOQA: its shaping gradient against the definition, and that it cooperates where its naive self defects."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from games.registry import make
from marl.algorithms.opponent_shaping.encounters import Estimates, discounted
from marl.algorithms.opponent_shaping.lola import (
    Lola,
    correction,
    directional_derivative,
    log_prob,
    looked_ahead,
    payoffs,
    value,
)
from marl.algorithms.opponent_shaping.loqa import Loqa, Naive, predicted, weighted_mean, weights
from marl.algorithms.opponent_shaping.networks import Head
from marl.learning.networks import masked_log_probs
from marl.rollout.loop import play_episodes
from tests.marl.algorithms.opponent_shaping.test_learner import TABLE, Table, encounters_of
from tests.properties import examples

GAME = "matrix(game=prisoners_dilemma, steps=50, memory=true, truncate=true)"
DILEMMA = torch.tensor([[-1.0, -3.0], [0.0, -2.0]], dtype=torch.float64)


def magic_box(x):
    """1, with the gradient of x: DiCE's operator."""
    return torch.exp(x - x.detach())


class TestMagicBox:
    def test_value_and_derivatives(self):
        """box(log p) f has the value f, and p'f/p and p''f/p as derivatives: those of an expectation over p."""
        x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        p = torch.sigmoid(x)
        box = magic_box(torch.log(p))
        assert float(box.detach()) == 1
        (first,) = torch.autograd.grad(box, x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        q = float(p.detach())
        assert float(first.detach()) == pytest.approx(1 - q)  # p' / p
        assert float(second) == pytest.approx((1 - q) * (1 - 2 * q))  # p'' / p


def by_definition(log_pi, q, v, action, reward, advantage, gamma, lam, literal):
    """L_shape by loaded DiCE and autograd; `literal`: as the paper has it. `log_pi` [T, P] of one's own actions."""
    steps = len(reward)
    returns = [sum(gamma ** (k - t) * reward[k] for k in range(t, steps)) for t in range(steps)]
    d = magic_box(log_pi) - 1  # [T, P]: 0, with the gradient of log π
    loaded = [
        returns[t] + sum((gamma * lam) ** (k - t) * (returns[k] - v[k]) * d[k] for k in range(t, steps))
        for t in range(steps)
    ]
    log_hat = []
    for t in range(steps):
        of_action = reward[t] + gamma * loaded[t + 1] if t < steps - 1 else reward[t]
        if not literal:  # the value of Q, and the gradient of the return
            of_action = q[t].gather(1, action[t][:, None])[:, 0] + of_action - of_action.detach()
        entries = q[t].scatter(1, action[t][:, None], of_action[:, None])
        log_hat.append(torch.log_softmax(entries, 1).gather(1, action[t][:, None])[:, 0])
    return -(torch.stack(log_hat) * advantage).mean()


@given(st.integers(0, 2**30), st.booleans())
@settings(max_examples=examples(25))
def test_the_closed_form_is_the_gradient_of_the_definition(key, literal):
    generator = torch.Generator().manual_seed(key)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    steps, p, a = 2 + key % 5, 3, 2 + key % 3
    logits = drawn(steps, p, a).requires_grad_()
    mine, action = (torch.randint(a, (steps, p), generator=generator) for _ in range(2))
    log_pi = torch.log_softmax(logits, 2).gather(2, mine[..., None])[..., 0]
    legal = (drawn(steps + 1, p, a) > 0).scatter(2, torch.cat([action, action[:1]])[..., None], True)
    other = Estimates(masked_log_probs(drawn(steps + 1, p, a), legal), drawn(steps + 1, p, a))
    q = other.q.masked_fill(~legal, -torch.inf)
    reward, advantage = drawn(steps, p), drawn(steps, p)
    loss = by_definition(log_pi, q, other.value, action, reward, advantage, 0.96, 0.9, literal)
    returns = discounted(reward, 0.96)
    log_hat = predicted(other.q[:-1], legal[:-1], action, returns if literal else None)
    weight = weights(log_hat, returns - other.value[:-1], advantage, gamma=0.96, lam=0.9)
    assert float(loss.detach()) == pytest.approx(float(-(log_hat * advantage).mean()), abs=1e-9)
    (expected,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (ours,) = torch.autograd.grad(-(log_pi * weight).mean(), logits)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


class TestLoss:
    def test_centring_takes_the_common_offset_away(self):
        """A critic that is wrong by a constant everywhere changes nothing; as published, it changes the sign."""
        losses = {}
        for centred in (True, False):
            table = Table(Loqa, num_envs=16, center_advantage=centred, **TABLE)
            encounters = encounters_of(table)
            for offset in (0.0, -50.0):
                me = replace(encounters.me, advantage=encounters.me.advantage + offset)
                loss, _ = table.learner.loss(replace(encounters, me=me))
                naive = -(me.log_prob * me.advantage.detach()).mean()
                losses[centred, offset] = torch.autograd.grad(
                    loss - naive, table.learner.me.actor.out.weight, retain_graph=True
                )[0]
        torch.testing.assert_close(losses[True, 0.0], losses[True, -50.0], rtol=1e-3, atol=1e-3)
        assert (losses[False, 0.0] - losses[False, -50.0]).abs().max() > 1

    @pytest.mark.parametrize("c", [4.0, -4.0])
    def test_a_constant_added_to_all_payoffs_changes_nothing(self, c):
        """Once the critics have learnt it: Q is greater by c for every step that is left, and no gradient changes.

        Before that, with critics that still say 0, π̂ is what it is without the constant; the paper's is 0 or 1.
        """
        gradients = {}
        for literal in (False, True):
            table = Table(Loqa, num_envs=64, literal=literal, **TABLE)
            encounters, gamma = encounters_of(table), table.learner.config.gamma
            left = sum(gamma**k * (torch.arange(7) < 6 - k) for k in range(6))  # [T+1] discounted steps
            for shift in (0.0, c):
                sides = [
                    replace(
                        side,
                        reward=side.reward + shift,
                        estimates=replace(side.estimates, q=side.estimates.q + shift * left[:, None, None]),
                        advantage=side.advantage,  # r + c + γ (V' + c left') - (V + c left)
                    )
                    for side in encounters.sides
                ]
                loss, _ = table.learner.loss(replace(encounters, me=sides[0], other=sides[1]))
                weight = table.learner.me.actor.out.weight
                gradients[literal, shift] = torch.autograd.grad(loss, weight, retain_graph=True)[0]
            other, mask = encounters.other, encounters.other_action_mask[:-1]
            returns = discounted(other.reward + 4 * c, gamma) if literal else None
            at_first = predicted(torch.zeros_like(other.estimates.q[:-1]), mask, other.action, returns).exp()
            expected = torch.full_like(at_first, (c > 0) if literal else 0.5)
            torch.testing.assert_close(at_first, expected, rtol=0, atol=1e-3)
            torch.testing.assert_close(gradients[literal, 0.0], gradients[literal, c], rtol=1e-3, atol=1e-4)

    def test_the_mean_is_weighted_by_what_counts(self):
        x, weight = torch.tensor([1.0, 4.0]), torch.tensor([3.0, 1.0])
        assert float(weighted_mean(x, weight)) == 1.75 and float(weighted_mean(x, 0 * weight)) == 0

    def test_through_values_the_critic_descends_the_policys_loss_too(self):
        literal = Table(Loqa, center_advantage=False, through_values=True, **TABLE).learner
        textbook = Table(Loqa, **TABLE).learner
        assert len(literal.improved()[0].state_dict()) > len(textbook.improved()[0].state_dict())

    def test_a_zero_sum_game_is_warned_of(self):
        game = "matrix(game=matching_pennies, steps=5, memory=true, truncate=true)"
        assert "nothing to share" in Table(Loqa, game, **TABLE).learner.notes[0]
        assert Table(Naive, game, **TABLE).learner.notes == []


class TestLola:
    def tables(self, key=1):
        generator = torch.Generator().manual_seed(key)
        return [torch.randn(5, 2, generator=generator, dtype=torch.float64).softmax(1) for _ in range(2)]

    def test_the_value_is_the_discounted_sum(self):
        """By playing the chain of joint actions forward."""
        me, other = self.tables()
        seen = torch.tensor([0, 1, 3, 2, 4])  # the same state from the other's side
        at, total = torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64), 0.0
        for t in range(2000):
            joint = (me[:, :, None] * other[seen][:, None, :]).flatten(1)
            now = at @ joint
            total += 0.04 * 0.96**t * float(now @ DILEMMA.flatten())
            at = torch.cat([torch.zeros(1, dtype=torch.float64), now])
        assert float(value(me, other, DILEMMA, 0.96)) == pytest.approx(total, rel=1e-9)

    def test_tit_for_tat_against_itself_and_against_defection(self):
        tft = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0], [0, 1]], dtype=torch.float64)
        defects = torch.tensor([[0.0, 1]] * 5, dtype=torch.float64)
        assert float(value(tft, tft, DILEMMA, 0.96)) == pytest.approx(-1)
        assert float(value(tft, defects, DILEMMA, 0.96)) == pytest.approx(-3 * 0.04 - 2 * 0.96)
        assert float(value(defects, tft, DILEMMA, 0.96)) == pytest.approx(-2 * 0.96)

    def test_payoffs_are_those_that_were_seen(self):
        action, other = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[1, 1], [0, 1]])
        assert payoffs(torch.tensor([[-3.0, -2], [0, -2]]), action, other, 2).tolist() == [[0, -3], [0, -2]]

    def heads(self, key=3):
        made, generator = [Head(5, 2, (), 0, k) for k in (1, 2)], torch.Generator().manual_seed(key)
        for head in made:
            head.out.weight.data = torch.randn(2, 5, generator=generator)
        return made

    def test_it_is_the_value_after_the_others_step(self):
        """The same on tables of logits [5, 2] alone, and its gradient by autograd there."""
        me, other = (head.double() for head in self.heads())
        logits, theirs = (head.out.weight.detach().t().clone().requires_grad_() for head in (me, other))
        expects = value(theirs.softmax(1), logits.softmax(1), DILEMMA, 0.96)  # symmetric: by its own actions first
        (step,) = torch.autograd.grad(expects, theirs, create_graph=True)
        reference = value(logits.softmax(1), (theirs + 5.0 * step).softmax(1), DILEMMA, 0.96)
        found = looked_ahead(me, other, DILEMMA, DILEMMA.t(), gamma=0.96, alpha=5.0)
        torch.testing.assert_close(found, reference)
        ours, expected = (torch.autograd.grad(v, x)[0] for v, x in ((found, me.out.weight), (reference, logits)))
        torch.testing.assert_close(ours, expected.t())

    def test_values_need_a_discount(self):
        with pytest.raises(UserError, match="gamma below 1"):
            Table(Lola, GAME, gamma=1.0, **TABLE)

    def test_a_derivative_along_a_direction(self):
        policy, generator = Head(5, 2, (), 0, 1), torch.Generator().manual_seed(3)
        views, action = torch.eye(5)[:, None], torch.tensor([[0], [1], [1], [0], [1]])
        legal = torch.ones(5, 1, 2, dtype=torch.bool)
        g = torch.randn(10, generator=generator)
        rows = log_prob(policy, views, legal, action)
        each = [torch.autograd.grad(row, list(policy.parameters()), retain_graph=True) for row in rows]
        expected = torch.stack([torch.cat([p.flatten() for p in row]) @ g for row in each])
        torch.testing.assert_close(
            directional_derivative(policy, g, views, legal, action)[:, 0], expected, rtol=1e-3, atol=1e-3
        )

    @pytest.mark.parametrize("key", [3, 4])
    def test_the_correction_of_the_trajectories_is_that_of_the_values(self, key):
        """(∂²V²/∂θ¹∂θ²) ∂V¹/∂θ², direction and size, from 8,192 episodes at a table drawn at random."""
        table = Table(Lola, GAME.replace("steps=50", "steps=80"), num_envs=4096, **TABLE)
        policy = table.learner.me.actor
        policy.out.weight.data = self.heads(key)[0].out.weight.data
        encounters = encounters_of(table)
        opposite = torch.arange(encounters.other_obs.shape[1]) ^ 1  # everybody sits opposite somebody
        taken = log_prob(
            policy,
            encounters.other_obs[:-1, opposite],
            encounters.other_action_mask[:-1, opposite],
            encounters.me.action,
        )
        (ours,) = torch.autograd.grad((taken * correction(encounters, 0.96)).mean(), [policy.out.weight])
        mine, theirs = (policy.out.weight.detach().double().t().clone().requires_grad_() for _ in range(2))
        tables = mine.softmax(1), theirs.softmax(1)
        (g,) = torch.autograd.grad(value(*tables, DILEMMA, 0.96), theirs, retain_graph=True)
        (score,) = torch.autograd.grad(value(*tables[::-1], DILEMMA, 0.96), theirs, create_graph=True)
        expected = torch.autograd.grad((score * g).sum(), mine)[0].t().flatten().float()
        ours = ours.flatten()
        assert float(ours @ expected / ours.norm() / expected.norm()) > 0.97
        assert 0.85 < float(ours.norm() / expected.norm()) < 1.15


def played(kind, updates, seed=42, game=GAME, num_envs=512, **settings):
    table = Table(kind, game, num_envs=num_envs, key=seed, epsilon=0.2, **TABLE, **settings)
    table.learn(updates)
    learner = table.learner
    agent = learner.agent()
    seats = np.zeros((200, 2), np.int64)
    venv = make(game, 200)
    returns = [
        e.returns.mean() / 50 for e in play_episodes(venv, [agent], np.array([4], np.uint64), np.arange(200), seats)
    ]
    table_of = learner.me.actor(torch.eye(5)[:, None])[:, 0].softmax(1)[:, 0].tolist()
    return float(np.mean(returns)), dict(zip(("start", "CC", "CD", "DC", "DD"), table_of, strict=True))


@pytest.mark.parametrize(
    "kind, updates, settings",
    [
        (Lola, 200, {"num_envs": 64, "learning_rate": 5e-3}),
        pytest.param(Loqa, 300, {"learning_rate": 3e-3, "literal": True}, marks=pytest.mark.slow),
    ],
)
def test_learns_to_answer_in_kind(kind, updates, settings):
    """A few hundred updates: after its own defection and the other's cooperation it turns back to cooperate."""
    _, p = played(kind, updates, **settings)
    assert p["CC"] > 0.75 and p["CC"] - p["CD"] > 0.3 and p["DC"] - p["DD"] > 0.2


def test_payoffs_that_differ_by_a_constant_are_one_game():
    """Stag hunt, and with 4 more and 4 less for everybody: the same policy after some updates, up to rounding.

    As published, they are other games.
    """
    stag = np.array([[[4.0, 1], [3, 2]], [[4, 3], [1, 2]]])
    policies: dict = {False: [], True: []}
    for literal, found in policies.items():
        for c in (0, 4, -4):
            game = f"matrix(payoffs={(stag + c).tolist()}, steps=10, memory=true, truncate=true)"
            table = Table(Loqa, game, num_envs=16, literal=literal, learning_rate=1e-2, **TABLE)
            table.learn(30)
            found.append(torch.tensor(list(table.learner.cooperation().values())))
    assert len(policies[False][0]) == 5 and (policies[False][0] - 0.5).abs().max() > 0.02
    for literal, (plain, more, less) in policies.items():
        change = max((more - plain).abs().max(), (less - plain).abs().max())
        assert (change > 0.02) if literal else (change < 2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 43, 44, 45, 46])
def test_loqa_cooperates(seed):
    reward, p = played(Loqa, 3000, seed, literal=True)
    assert reward >= -1.10 and p["CC"] >= 0.95 and p["DC"] >= 0.80 and p["CD"] <= 0.60 and p["DD"] <= 0.35


@pytest.mark.slow
def test_without_shaping_everybody_defects():
    reward, _ = played(Naive, 2000)
    assert reward <= -1.90
