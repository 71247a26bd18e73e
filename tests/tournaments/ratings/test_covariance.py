"""How sure a fit is: covariances clustered by seed, and the intervals that follow from them."""

import itertools
import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from marl.base.intervals import MIN_SEEDS
from tests.benchmarks.coverage import Kind, draw
from tests.tournaments.tables import games, play, select
from tournaments.ratings.covariance import Contrasts, Spread, hessian
from tournaments.ratings.elo import K, rate
from tournaments.records.results import Result, Results


@pytest.mark.parametrize("num_agents, seeds", [(2, 20), (6, 4), (6, 20)])
@pytest.mark.parametrize("together", [-0.7, 0.0, 0.7])
def test_coverage(num_agents, seeds, together):
    """Intervals cover the truth, also where the seatings of one seed depend on each other; few seeds' more often."""
    rng = np.random.default_rng([num_agents, seeds, round(10 * (together + 1))])
    hits = []
    for _ in range(120):
        truth, results = play(num_agents, seeds, rng, together)
        true = dict(zip(results.agents, truth, strict=True))
        hits += [abs(r.elo - true[r.agent]) < r.ci95 for r in rate(results).ratings]
    assert 0.91 <= np.mean(hits) <= (0.99 if num_agents > 2 and seeds >= MIN_SEEDS else 1)


class TestSpread:
    """Intervals by seed."""

    def pool(self, seeds=30, agents=5, few=None, luck=1.0):
        """A pool with luck by agent and seed; agent 0 plays `few` of the seeds alone, where that is given."""
        results = draw(Kind("luck", agent=luck), agents, seeds, [seeds, agents])
        there = np.ones(len(results), bool) if few is None else ~(results.seats == 0).any(1) | (results.seeds < few)
        return select(results, there)

    @pytest.mark.parametrize("few", [None, 12])
    def test_it_is_that_of_leaving_out_a_seed_at_a_time(self, few):
        """The jackknife needs no derivatives: SE² = (S − 1)/S Σ (x without s − their mean)²."""
        results = self.pool(few=few)
        rated = rate(results, prior_sd=None)
        left_out = []
        for seed in range(30):
            without = rate(select(results, results.seeds != seed), prior_sd=None)
            left_out.append(without.elo[[without.agents.index(agent) for agent in rated.agents]])
        gaps = np.array([elo[:, None] - elo[None, :] for elo in left_out])
        jackknife = np.sqrt(29 * gaps.var(0))
        upper = np.triu_indices(5, 1)
        assert_allclose(rated.difference_se[upper], jackknife[upper], rtol=0.02 if few is None else 0.08)

    def test_two_agents_by_hand(self):
        """A wins both games of seeds 0 to 5, one of 6 to 11 and none of 12: 9 of 13 games in either seat.

        D = ln(9/4). A seed's score is A's points − 2 · 9/13, and the information 26 · (9/13)(4/13).
        """
        log = []
        for seed in range(13):
            first = 1 if seed < 9 else -1  # A's result in seat 0
            second = 1 if 6 <= seed < 9 or seed == 12 else -1  # B's
            log += [Result(("A", "B"), (first, -first), seed), Result(("B", "A"), (second, -second), seed)]
        rated = rate(Results.of(log), prior_sd=None)
        gap, half = rated.difference("A", "B")
        assert_allclose(gap, K * math.log(9 / 4), rtol=1e-6)
        points = np.array([2] * 6 + [1] * 6 + [0])
        se = K * math.sqrt(13 / 12 * ((points - 18 / 13) ** 2).sum()) / (26 * 36 / 169)
        assert_allclose(half, 2.178813 * se, rtol=1e-6)
        assert rated.difference_seeds[0, 1] == 13

    def test_one_seed_shows_no_interval(self):
        rated = rate(self.pool(seeds=1))
        assert np.isinf([r.ci95 for r in rated.ratings]).all() and rated.seeds.tolist() == [1] * 5
        assert math.isinf(rated.seat_advantage_ci95) and math.isinf(rated.difference(*rated.agents[:2])[1])
        assert np.isnan(rated.superiority[np.triu_indices(5, 1)]).all() and np.isfinite(rated.elo).all()
        data = json.loads(json.dumps(rated.to_json(), allow_nan=False))
        assert data["ratings"][0]["ci95"] is None and data["seat_advantage"]["ci95"] is None

    def test_one_seed_of_one_agent(self):
        rated = rate(self.pool(few=1))
        ci95 = {r.agent: r.ci95 for r in rated.ratings}
        assert math.isinf(ci95.pop("agent 00")) and max(ci95.values()) < 150
        assert np.isinf(rated.difference_ci95[rated.agents.index("agent 00")]).sum() == 4
        assert np.isnan(rated.superiority).sum() == 8

    def test_the_fewer_seeds_an_agent_has_the_longer_its_interval(self):
        half = [rate(self.pool(few=few)).difference("agent 00", "agent 01")[1] for few in (2, 4, 8, None)]
        assert all(longer > 1.3 * shorter for longer, shorter in itertools.pairwise(half))

    def test_seeds_that_look_alike_by_chance_show_no_shorter_interval_than_the_model(self):
        log = games({"AB": (3, 0, 0), "BA": (3, 0, 0)})  # each agent wins in seat 0, on each of three seeds
        rated, model = rate(Results.of(log)), rate(Results.of(log), covariance=hessian)
        assert rated.difference("A", "B")[1] >= model.difference("A", "B")[1] > 100

    def test_seeds_fewer_than_parameters(self):
        """Each number has an interval of its own: 20 agents and 3 seeds, and no difference is without one."""
        rated = rate(self.pool(seeds=3, agents=20))
        half = rated.difference_ci95[np.triu_indices(20, 1)]
        assert np.isfinite(half).all() and half.min() > 50


@pytest.mark.parametrize("anchored", [False, True])
def test_contrasts_are_those_of_the_matrix_that_they_stand_for(anchored):
    rng = np.random.default_rng(0)
    part, n = np.array([0, 1, 0, 0, 2, 1]), 6
    level = (np.arange(3)[:, None] == part) / np.bincount(part)[:, None]
    if anchored:
        level[0] = np.arange(n) == 3
    contrasts, matrix = Contrasts(level, part), np.eye(n) - level[part]
    x, (a, b, c) = rng.normal(size=n), rng.normal(size=(3, n + 1, n + 1))
    covariance, model, shared = a @ a.T, b @ b.T, c @ c.T
    assert_allclose(contrasts.values(x), matrix @ x, atol=1e-12)
    assert_allclose(contrasts.covariance(covariance[:n, :n]), matrix @ covariance[:n, :n] @ matrix.T, atol=1e-12)
    assert_allclose(contrasts.variance(model[:n, :n]), np.diag(matrix @ model[:n, :n] @ matrix.T), atol=1e-12)
    added = np.sqrt(np.diag(shared)) * 4
    se, seeds = Spread(covariance, model, added, shared).contrasts(contrasts)
    weight, own = matrix**2, matrix.any(1)
    squares = np.diag(weight @ shared[:n, :n] @ weight.T)
    assert_allclose(seeds[own], (weight @ added[:n])[own] ** 2 / squares[own], rtol=1e-6)
    assert (se[~own] == 0).all() and np.isinf(seeds[~own]).all()  # an agent relative to itself
