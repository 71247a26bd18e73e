"""Conditional policies in tables: the best joint action of games in which independent players stop short of it."""

import numpy as np
import pytest

from games.native.matrix import named
from marl.algorithms.policy_gradient.conditional_tables import evaluate, improve, joint, localised, solve, uniform

# The best joint action, and where independent players end from uniform policies.
GAMES = [("climbing", 11, 7), ("penalty", 10, 2), ("nxn", 8, 0)]


def table(name):
    """Return a one-step game as tables [1, A, A] and [1, A, A, 1]."""
    pays = named(name)[0][None]
    return pays, np.zeros((*pays.shape, 1))


def random_game(seed, states=4, actions=(2, 3, 2)):
    drawn = np.random.default_rng(seed)
    transition = drawn.random((states, *actions, states))
    return drawn.normal(size=(states, *actions)), 0.9 * transition / transition.sum(-1, keepdims=True)


def random_policies(shape, seed):
    drawn = np.random.default_rng(seed)
    weights = [drawn.random(policy.shape) + 0.1 for policy in uniform(shape)]
    return [weight / weight.sum(-1, keepdims=True) for weight in weights]


def without_conditions(q, policies, *, beta):
    """Improve with Q averaged over the earlier players' present policies too: one policy after all of their actions."""
    better = []
    for m, (policy, value) in enumerate(zip(policies, localised(q, policies)[1:], strict=True)):
        for earlier in policies[:m]:
            shape = (*earlier.shape, *[1] * (value.ndim - earlier.ndim))
            value = value * earlier.reshape(shape)
        value = value.sum(tuple(range(1, value.ndim - 1)), keepdims=True)
        weight = policy * np.exp((value - value.max()) / beta)
        better.append(weight / weight.sum(-1, keepdims=True))
    return better


@pytest.mark.parametrize(("name", "best", "independent"), GAMES)
def test_conditional_policies_find_the_best_joint_action(name, best, independent):
    reward, transition = table(name)
    assert solve(reward, transition)[1] == pytest.approx(best, abs=0.01)
    policies = uniform(reward.shape)
    for _ in range(3000):
        policies = without_conditions(reward, policies, beta=10.0)
    assert (joint(policies) * reward).sum() == pytest.approx(independent, abs=0.01)


def test_they_find_the_best_policy_of_a_game_with_states():
    """By value iteration over joint actions."""
    reward, transition = random_game(1)
    value = np.zeros(4)
    for _ in range(500):
        value = (reward + 0.9 * transition @ value).max((1, 2, 3))
    _, found = solve(reward, transition, gamma=0.9, beta=0.2, updates=300)
    np.testing.assert_allclose(found, value, atol=1e-6)


def test_the_difference_of_two_returns_is_a_sum_over_players():
    """The lemma, with earlier actions drawn by the new policies; with the old ones it does not hold."""
    reward, transition = random_game(2)
    old, new = (random_policies(reward.shape, seed) for seed in (3, 4))
    values = localised(evaluate(reward, transition, old, gamma=0.9), old)

    def gained(earlier):
        total = np.zeros(4)
        for m, value in enumerate(values[1:]):
            before = joint(earlier[:m]) if m else np.ones(4)
            total += ((new[m] - old[m]) * value * before[..., None]).reshape(4, -1).sum(1)
        moves = (joint(new)[..., None] * transition).sum((1, 2, 3))
        return np.linalg.solve(np.eye(4) - 0.9 * moves, total)

    difference = localised(evaluate(reward, transition, new, gamma=0.9), new)[0] - values[0]
    np.testing.assert_allclose(gained(new), difference, atol=1e-12)
    assert np.abs(gained(old) - difference).max() > 0.01


def test_the_return_never_falls():
    reward, transition = random_game(5)
    policies = random_policies(reward.shape, 6)
    before = -np.inf
    for _ in range(50):
        q = evaluate(reward, transition, policies, gamma=0.9)
        value = localised(q, policies)[0]
        assert (value >= before - 1e-12).all()
        policies, before = improve(q, policies, beta=1.0), value
