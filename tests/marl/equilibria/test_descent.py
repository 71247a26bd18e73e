"""Nash-MD, online IPO and IPO-MD."""

import numpy as np
import pytest
import torch

from marl.equilibria import solve
from marl.equilibria.ipo import loss
from tests.marl.equilibria.known import HEAVY_PENNY, PREFERENCE, symmetric, zero_sum

START = np.array([0.8, 0.1, 0.1])


@pytest.mark.parametrize(
    ("temperature", "strategy", "regret"),
    [
        (1, [0.312, 0.341, 0.347], 0.0399),
        (0.3, [0.2794, 0.3321, 0.3886], 0.0437),
        (0.1, [0.2784, 0.2743, 0.4473], 0.0266),
        (0.03, [0.3113, 0.2347, 0.4539], 0.0082),
        (0.01, [0.3257, 0.2258, 0.4485], 0.0026),
    ],
)
def test_the_last_iterate_of_nash_md_is_the_regularised_equilibrium(temperature, strategy, regret):
    options = {"temperature": temperature, "step_size": 0.1}
    solution = solve(symmetric(PREFERENCE), "nash_md", start=(START, START), **options)
    for found in solution.strategies:
        assert found == pytest.approx(strategy, abs=4e-4)
    assert solution.regrets == pytest.approx((regret, regret), abs=2e-4)


def test_without_the_pull_the_last_iterate_of_mirror_descent_is_far_from_it():
    options = {"temperature": 0, "step_size": 0.1, "steps": 3_000}
    assert solve(symmetric(PREFERENCE), "nash_md", start=(START, START), **options).regrets[0] > 0.1


@pytest.mark.parametrize(
    ("beta", "temperature", "strategy"),
    [
        (0, 0.3, [0.2802, 0.3313, 0.3886]),
        (0, 0.1, [0.2792, 0.2744, 0.4464]),
        (0.25, 0.3, [0.274, 0.3385, 0.3875]),
        (0.25, 0.1, [0.2536, 0.2753, 0.471]),
    ],
)
def test_online_ipo_comes_where_nash_md_does_and_ipo_md_near_it(beta, temperature, strategy):
    solution = solve(symmetric(PREFERENCE), "ipo_md", beta=beta, temperature=temperature, start=START)
    assert solution.strategies[0] == pytest.approx(strategy, abs=3e-4)
    if beta == 0:
        of_nash_md = solve(symmetric(PREFERENCE), "nash_md", temperature=temperature).strategies[0]
        assert solution.strategies[0] == pytest.approx(of_nash_md, abs=2e-3)
        online = solve(symmetric(PREFERENCE), "online_ipo", temperature=temperature, start=START)
        assert (online.strategies[0] == solution.strategies[0]).all()


def test_the_loss_of_networks_has_its_minimum_where_the_table_says():
    """The loss over all pairs, weighted by their chances, has no gradient at the fixed point."""
    found = torch.tensor(solve(symmetric(PREFERENCE), "online_ipo", temperature=0.3).strategies[0])
    for strategy, is_fixed in ((found, True), (torch.full_like(found, 1 / 3), False)):
        logits = strategy.log().requires_grad_()
        h = logits.log_softmax(0) + np.log(3)
        pairs = [(i, j) for i in range(3) for j in range(3)]
        of_pairs = [loss(h[i], h[j], torch.tensor(PREFERENCE[i, j]), 0.3) * strategy[i] * strategy[j] for i, j in pairs]
        torch.stack(of_pairs).sum().backward()
        assert (logits.grad.abs().max() < 1e-5) == is_fixed


def test_nash_md_takes_both_seats_and_ipo_only_symmetric_games():
    solution = solve(zero_sum(HEAVY_PENNY), "nash_md", temperature=0.1, step_size=0.1)
    assert solution.strategies[0] == pytest.approx([0.36, 0.64], abs=0.05)
    with pytest.raises(ValueError, match="the same from both seats for 'online_ipo', got another; use 'nash_md'"):
        solve(zero_sum(HEAVY_PENNY), "online_ipo")
