"""Shapley values: known games, what is no Shapley value, and the stratified estimate beside permutations."""

import numpy as np
import pytest

from tournaments.ratings.shapley import (
    by_permutations,
    exact,
    least_budget,
    members,
    permutations_plan,
    stratified,
    stratified_plan,
)


def all_of(n):
    return members(np.arange(1 << n), n)


def votes(weights, quota):
    return (all_of(len(weights)) @ np.array(weights) >= quota).astype(float)


def quadratic(n, rng):
    """A random team game: what members bring, alone and by twos."""
    inside, pairs = all_of(n), np.triu(rng.normal(size=(n, n)), 1)
    return inside @ rng.normal(size=n) + np.einsum("ci,ij,cj->c", inside, pairs, inside)


def test_the_voting_game():
    """51 of 100 votes are needed, and 50, 49 and 1 are held. Trap: uniform coalitions give (3/4, 1/4, 1/4)."""
    values = votes([50, 49, 1], 51)
    assert exact(values, 3) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    inside = all_of(3)
    banzhaf = [values[inside[:, i] == 1].mean() - values[inside[:, i] == 0].mean() for i in range(3)]
    assert banzhaf == pytest.approx([3 / 4, 1 / 4, 1 / 4])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_additive_games_null_players_and_efficiency(n):
    rng = np.random.default_rng(n)
    worth = rng.normal(size=n)
    worth[0] = 0
    assert exact(3 + all_of(n) @ worth, n) == pytest.approx(worth)
    values = rng.normal(size=1 << n)
    assert exact(values, n).sum() == pytest.approx(values[-1] - values[0])
    without = values[np.arange(1 << n) & ~1]  # member 0 changes nothing
    assert exact(without, n)[0] == pytest.approx(0)


def test_values_of_several_seeds_at_once():
    values = np.random.default_rng(0).normal(size=(5, 8))
    assert exact(values, 3) == pytest.approx(np.stack([exact(each, 3) for each in values]))


@pytest.mark.parametrize("n", [3, 4, 5, 9, 12])
def test_a_plan_has_each_member_in_and_out_at_every_size(n):
    plan = stratified_plan(n, least_budget(n), key=3)
    assert len(plan) == least_budget(n) and len(stratified_plan(n, 500, key=3)) >= (500 if n > 3 else 8)
    inside = members(plan, n)
    size = inside.sum(1)
    for k in range(n):
        assert inside[size == k + 1].any(0).all() and (1 - inside[size == k]).any(0).all()
    assert plan.tolist() != stratified_plan(n, least_budget(n), key=4).tolist() or n < 4


@pytest.mark.parametrize("n", [4, 9])
def test_an_estimate_of_an_additive_game_is_exact_and_efficient(n):
    rng = np.random.default_rng(n)
    worth = rng.normal(size=n)
    plan = stratified_plan(n, least_budget(n), key=1)
    assert stratified(plan, 2 + members(plan, n) @ worth, n) == pytest.approx(worth)
    chain = permutations_plan(n, 60, key=1)
    assert by_permutations(chain, 2 + members(chain, n) @ worth, n) == pytest.approx(worth)
    values = rng.normal(size=1 << n)
    assert stratified(plan, values[plan], n).sum() == pytest.approx(values[-1] - values[0])


def test_estimates_have_no_bias():
    """Over many plans the mean is the exact value, of a game that no quadratic function explains."""
    values = np.random.default_rng(0).normal(size=1 << 6)
    plans = [stratified_plan(6, 40, key) for key in range(2_000)]
    found = np.array([stratified(plan, values[plan], 6) for plan in plans])
    error = found.std(0) / np.sqrt(len(found))
    assert np.abs(found.mean(0) - exact(values, 6)).max() < 4 * error.max()


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("n", [8, 10])
def test_stratified_is_within_a_fifth_of_permutations_at_every_budget(n, noise):
    rng = np.random.default_rng(0)
    for budget in (64, 128, 256):
        errors = np.zeros(2)
        for draw in range(40):
            values = quadratic(n, rng)
            truth = exact(values, n)
            for which, (plan_of, estimate) in enumerate(
                ((stratified_plan, stratified), (permutations_plan, by_permutations))
            ):
                plan = plan_of(n, budget, 2 * draw + which)
                seen = values[plan] + noise * rng.normal(size=len(plan))
                errors[which] += ((estimate(plan, seen, n) - truth) ** 2).mean()
        assert errors[0] <= 1.2 * errors[1], (budget, errors)
