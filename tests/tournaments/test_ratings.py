import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from games.errors import UserError
from marl.base.intervals import MIN_SEEDS
from tests.benchmarks.coverage import Kind, draw
from tests.properties import examples
from tournaments.covariance import hessian, sandwich
from tournaments.davidson import Counts, count, fit, probabilities
from tournaments.payoffs import MeanPayoff, mean_payoffs
from tournaments.ratings import K, rate, refusal
from tournaments.results import Result, Results, offended, outcomes, rounding_of, settle

# Seat 0's wins, draws and losses of each ordered pair.
FOUR = {
    "AB": (6, 3, 1),
    "BA": (3, 4, 3),
    "AC": (7, 2, 1),
    "CA": (2, 3, 5),
    "AD": (9, 1, 0),
    "DA": (1, 2, 7),
    "BC": (5, 3, 2),
    "CB": (4, 2, 4),
    "BD": (6, 2, 2),
    "DB": (2, 3, 5),
    "CD": (6, 1, 3),
    "DC": (3, 3, 4),
}


def games(table, first_seed=0):
    """Write a table of counts as single games; both seatings of a pair use the same seeds."""
    return [
        Result((a, b), (payoff, -payoff), first_seed + k)
        for (a, b), (w, d, loss) in table.items()
        for k, payoff in enumerate([1.0] * w + [0.0] * d + [-1.0] * loss)
    ]


def select(results, where):
    """Return some of the games."""
    columns = ("seats", "payoffs", "seeds", "terminations")
    return replace(results, **{name: getattr(results, name)[where] for name in columns})


def counts_of(table):
    agents = tuple(sorted({agent for pair in table for agent in pair}))
    pairs = np.array([[agents.index(a), agents.index(b)] for a, b in table])
    return Counts(agents, pairs, np.array(list(table.values()), float))


def balanced(wins_a, wins_b, draws=0):
    """Return the counts of a pair whose results are the same from both seats."""
    return {"AB": (wins_a / 2, draws / 2, wins_b / 2), "BA": (wins_b / 2, draws / 2, wins_a / 2)}


def play(num_agents, seeds, rng, together=0.0):
    """Draw a round robin from the model; `together` correlates the seatings of a seed: 1 the same luck, −1 opposite."""
    theta = rng.normal(0, 0.8, num_agents)
    i, j = np.triu_indices(num_agents, 1)
    luck = rng.random((seeds, len(i)))
    shared = rng.random(luck.shape) < abs(together)
    other = np.where(shared, luck if together > 0 else 1 - luck, rng.random(luck.shape))
    seats = np.concatenate([np.tile(np.stack([i, j], 1), (seeds, 1)), np.tile(np.stack([j, i], 1), (seeds, 1))])
    p = probabilities(theta[seats[:, 0]] - theta[seats[:, 1]] + 0.2, math.log(0.6))
    draw = np.concatenate([luck.ravel(), other.ravel()])
    outcome = (draw > p[:, 0]).astype(int) + (draw > p[:, 0] + p[:, 1])
    results = Results(
        agents=tuple(f"agent {k:02}" for k in range(num_agents)),
        seats=seats,
        payoffs=np.stack([1.0 - outcome, outcome - 1.0], 1),
        seeds=np.tile(np.repeat(np.arange(seeds, dtype=np.uint64), len(i)), 2),
        terminations=np.full(len(seats), "finished"),
    )
    return (theta - theta.mean()) * K * 2 / 2.6, results


class TestKnownAnswers:
    @pytest.mark.parametrize(
        "wins, losses, gap",
        [(75, 25, 190.8485), (76, 24, 200.2409), (91, 9, 401.9196), (2, 1, 120.4120)],
    )
    def test_score_of_one_pair(self, wins, losses, gap):
        theta = fit(counts_of(balanced(wins, losses)), prior_sd=None).theta
        assert_allclose(K * (theta[0] - theta[1]), gap, atol=5e-5)

    def test_bradley_terry_example_of_wikipedia(self):
        wins = {"AB": 2, "BA": 3, "AD": 1, "DA": 4, "BC": 5, "CB": 3, "CD": 1, "DC": 3}
        table = {pair: (n, 0, wins[pair[::-1]]) for pair, n in wins.items()}
        fitted = fit(counts_of(table), prior_sd=None)
        assert fitted.nu == 0
        assert_allclose(fitted.theta, [-0.44655, 0.04240, -0.41580, 0.81995], atol=5e-6)
        assert_allclose(fitted.eta, 0, atol=1e-9)

    def test_davidson_with_a_seat_effect(self):
        results = Results.of(games(FOUR))
        fitted = fit(count(results), prior_sd=None)
        assert_allclose(K * fitted.theta, [205.453, 33.147, -55.223, -183.377], atol=1e-3)
        assert_allclose(K * fitted.eta, 85.459, atol=1e-3)
        assert_allclose(fitted.nu, 0.78457, atol=1e-5)
        assert_allclose(fitted.nu / (2 + fitted.nu), 0.28176, atol=1e-5)
        assert_allclose(-fitted.log_likelihood, 113.00122, atol=1e-5)

        rated = rate(results, prior_sd=None, covariance=hessian)
        raw = (2 + rated.nu) / 2
        assert rated.agents == tuple("ABCD")
        assert_allclose(rated.elo, [147.57, 23.81, -39.66, -131.71], atol=0.006)
        assert_allclose([r.ci95 for r in rated.ratings], [69.7, 60.3, 60.7, 67.6], atol=0.06)
        gap, half = rated.difference("A", "B")
        assert_allclose([raw * gap, raw * half / 1.959964], [172.31, 73.78], atol=0.006)
        assert_allclose(np.diag(rated.superiority, 1), [0.99023, 0.89818, 0.96227], atol=5e-6)
        assert [r.games for r in rated.ratings] == [60] * 4
        assert_allclose([60 * r.score for r in rated.ratings], [44.5, 32.5, 26, 17])

    def test_half_a_point_for_a_draw(self):
        """A draw as half a win, the logistic curve and a seat effect: the oracle's other model, on the same counts."""
        counts = counts_of(FOUR)
        points, total = counts.wdl @ [1, 0.5, 0], counts.wdl.sum(1)

        def loss(x):
            d = x[counts.pairs[:, 0]] - x[counts.pairs[:, 1]] + x[4]
            return (points * np.logaddexp(0, -d) + (total - points) * np.logaddexp(0, d)).sum() + x[:4].sum() ** 2

        found = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6})
        assert_allclose(K * found.x, [145.136, 23.557, -39.073, -129.620, 59.998], atol=5e-3)
        assert_allclose(found.fun, 71.12176, atol=1e-5)
        assert_allclose(
            rate(Results.of(games(FOUR)), prior_sd=None).elo, K * found.x[:4], atol=2.5
        )  # the display scale

    @pytest.mark.parametrize(
        "wins, prior_sd, gap",
        [(10, 2, 553.02), (100, 2, 878.56), (10, 0.05**-0.5, 778.34), (100, 0.05**-0.5, 1117.23)],
    )
    def test_all_wins_are_held_by_the_prior(self, wins, prior_sd, gap):
        results = Results.of(games({"AB": (wins // 2, 0, 0), "BA": (0, 0, wins // 2)}))
        rated = rate(results, prior_sd=prior_sd)
        assert_allclose(rated.difference("A", "B")[0], gap, atol=0.006)
        assert rated.parts[0].one_sided
        assert all(r.prior_dominated for r in rated.ratings)
        assert rated.difference("A", "B")[1] > 250  # the same outcome ten times is no proof of a small spread
        with pytest.raises(UserError, match="one-sided"):
            rate(results, prior_sd=None)

    def test_refusals_without_a_prior(self):
        with pytest.raises(UserError, match="one-sided"):
            rate(Results.of([]), prior_sd=None)
        with pytest.raises(UserError, match="bound"):  # the first seat always wins: η is infinite
            rate(Results.of(games({"AB": (5, 0, 0), "BA": (5, 0, 0)})), prior_sd=None)
        with pytest.raises(UserError, match="bound"):  # every game is drawn: ν is infinite
            rate(Results.of(games({"AB": (0, 5, 0), "BA": (0, 5, 0)})), prior_sd=None)


class TestDegenerate:
    def test_empty(self):
        rated = rate(Results.of([]))
        assert rated.to_json()["ratings"] == [] and rated.parts == [] and rated.draw_rate == 0

    @pytest.mark.parametrize("payoff", [1.0, 0.0])
    def test_single_game(self, payoff):
        rated = rate(Results.of([Result(("A", "B"), (payoff, -payoff), 0)]))
        assert np.isfinite([r.elo for r in rated.ratings]).all() and all(r.ci95 > 150 for r in rated.ratings)
        assert rated.parts[0].one_sided == (payoff == 1.0)

    def test_draws_only(self):
        rated = rate(Results.of(games({"AB": (0, 50, 0), "BA": (0, 50, 0)})))
        assert_allclose(rated.elo, 0, atol=1e-9)
        assert rated.draw_rate == 1 and np.isfinite(rated.nu) and not rated.parts[0].one_sided
        assert all(r.ci95 > 0 for r in rated.ratings)

    def test_disconnected(self):
        table = {"AB": (6, 0, 4), "BA": (5, 0, 5), "CD": (3, 1, 2), "DC": (2, 1, 3), "DE": (2, 2, 2)}
        for prior_sd in (2.0, None):
            rated = rate(Results.of(games(table)), prior_sd=prior_sd)
            assert [sorted(part) for part in rated.to_json()["parts"]] == [["C", "D", "E"], ["A", "B"]]
            assert_allclose([sum(r.elo for r in part.ratings) for part in rated.parts], 0, atol=1e-6)
            assert np.isnan(rated.superiority[0, -1])
            with pytest.raises(UserError, match="connect"):
                rated.difference("A", "C")

    def test_one_agent_apart_from_a_pool(self):
        rated = rate(Results.of(games(FOUR | {"AE": (5, 0, 0), "EA": (0, 0, 5)})))
        held = {r.agent: r.prior_dominated for r in rated.ratings}
        assert rated.parts[0].one_sided and held == {"A": False, "B": False, "C": False, "D": False, "E": True}

    def test_playing_itself(self):
        rated = rate(Results.of([*games(FOUR), Result(("A", "A"), (1, -1), 3)]))
        assert rated.ratings[0].games == 61 and rated.ratings[0].elo == pytest.approx(143, abs=2)

    def test_bad_input(self):
        with pytest.raises(UserError, match="two-player"):
            rate(Results.of([Result(("A", "B", "C"), (1, 0, 0), 0)]))
        with pytest.raises(UserError, match="finite"):
            rate(Results.of([Result(("A", "B"), (math.nan, 0), 0)]))
        with pytest.raises(UserError, match="anchor"):
            rate(Results.of(games(FOUR)), anchor="Z")

    def test_a_draw_is_a_difference_within_its_rounding(self):
        gaps = [Result(("A", "B"), (x, 0.0), 0, rounding=1e-8) for x in (1e-8, 1e-4, -1.1e-8, -1e-9)]
        assert outcomes(Results.of(gaps)).tolist() == [1, 0, 2, 1]

    def test_older_games_are_compared_by_the_largest_payoff_and_the_length(self):
        """Rounding is at most 100 · 1.5 · 2⁻²³ = 1.8e-5 in 100 steps; whole payoffs are exact."""
        paid = [(1.5, -1.5), (1e-5, -5e-6), (1e-4, -1e-4), (-2e-5, 0.0), (1.0, 0.0)]
        results = Results.of([Result(("A", "B"), payoffs, 0, length=100) for payoffs in paid])
        assert outcomes(results).tolist() == [0, 1, 0, 2, 0]
        assert rounding_of(results).tolist() == [150 * 2**-23] * 4 + [0]
        assert rounding_of(results, largest=10.0)[1] == 1000 * 2**-23
        assert outcomes(replace(results, rounding=None, lengths=None)).tolist() == [0, 0, 0, 2, 0]

    def test_rounding_breaks_off_no_game(self):
        log = [Result(("A", "B"), (-1.0, -1.0 + 1e-9), 0, "agent_error", rounding=1e-8)]
        assert offended(Results.of(log)).tolist() == [[True, True]]


class TestProperties:
    @given(st.permutations(range(120)), st.permutations("WXYZ"), st.sampled_from([None, 2.0]))
    @settings(max_examples=examples(20))
    def test_order_and_names_change_nothing(self, order, names, prior_sd):
        log = games(FOUR)
        renamed = dict(zip("ABCD", names, strict=True))
        shuffled = [
            Result(tuple(renamed[a] for a in log[k].agents), log[k].payoffs, log[k].seed, log[k].termination)
            for k in order
        ]
        before, after = rate(Results.of(log), prior_sd=prior_sd), rate(Results.of(shuffled), prior_sd=prior_sd)
        assert [renamed[r.agent] for r in before.ratings] == [r.agent for r in after.ratings]
        assert_allclose(after.elo, before.elo, atol=1e-6)
        assert_allclose(after.covariance, before.covariance, rtol=1e-6, atol=1e-6)

    def test_swapping_seats_flips_the_seat_effect(self):
        log = games(FOUR)
        swapped = [Result(r.agents[::-1], r.payoffs[::-1], r.seed) for r in log]
        before, after = rate(Results.of(log)), rate(Results.of(swapped))
        assert_allclose(after.seat_advantage, -before.seat_advantage)
        assert_allclose(after.elo, before.elo, atol=1e-6)
        assert_allclose(after.covariance, before.covariance, rtol=1e-6, atol=1e-6)

    def test_twice_the_games(self):
        once, twice = Results.of(games(FOUR)), Results.of(games(FOUR) + games(FOUR, first_seed=100))
        copies = Results.of(games(FOUR) * 2)
        one, two = fit(count(once), None), fit(count(twice), None)
        assert_allclose(two.theta, one.theta, atol=1e-9)
        assert_allclose(
            rate(twice, prior_sd=None, covariance=hessian).covariance * 2,
            rate(once, prior_sd=None, covariance=hessian).covariance,
        )
        # Games of seeds that are known already tell nothing new; 10 seeds, and 20.
        contrasts = np.eye(4, 6) - np.append(np.full(4, 0.25), [0, 0])
        first, again, copied = (
            contrasts @ sandwich(fitted, results).covariance @ contrasts.T
            for fitted, results in ((one, once), (two, twice), (fit(count(copies), None), copies))
        )
        assert_allclose(again * 2 * (10 / 9) / (20 / 19), first, rtol=1e-6)
        assert_allclose(copied, first)

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([-1.0, 0.0, 1.0])), max_size=40))
    @settings(max_examples=examples(50))
    def test_any_log_with_a_prior_is_finite_and_centred(self, log):
        results = Results.of([Result((f"{i}", f"{j}"), (x, -x), k // 2) for k, (i, j, x) in enumerate(log)])
        rated = rate(results)
        for part in rated.parts:
            assert_allclose(sum(r.elo for r in part.ratings), 0, atol=1e-5)
        assert np.isfinite(rated.elo).all() and np.isfinite(rated.covariance).all()
        assert (np.linalg.eigvalsh(rated.covariance) > -1e-6).all() if len(rated.elo) else True

    def test_anchor(self):
        results = Results.of(games(FOUR))
        free, tied = rate(results), rate(results, anchor="C")
        assert tied.ratings[2].agent == "C" and tied.ratings[2].elo == 0 and tied.ratings[2].ci95 == 0
        assert_allclose(tied.superiority, free.superiority)
        assert tied.difference("A", "D") == pytest.approx(free.difference("A", "D"))

    def test_json(self):
        data = rate(Results.of(games(FOUR))).to_json()
        assert list(data) == ["rating_rule", "ratings", "parts", "seat_advantage", "draw_rate", "prior_sd"]
        assert list(data["ratings"][0]) == ["agent", "elo", "ci95", "games", "score", "part", "prior_dominated"]


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


def test_a_million_games_are_counted_not_walked():
    _, results = play(40, 640, np.random.default_rng(0))
    assert len(results) == 998_400
    assert_allclose(rate(results).seat_advantage, 0.2 * K * 2 / 2.6, atol=2)


class TestPayoffs:
    def test_by_hand(self):
        # Agent A holds seat 0 on seeds 0 and 1, seat 1 on seed 0.
        log = [
            Result(("A", "B"), (3.0, 1.0), 0),
            Result(("B", "A"), (2.0, 5.0), 0),
            Result(("A", "B"), (1.0, 0.0), 1),
        ]
        lines = {(p.agent, p.seat): p for p in mean_payoffs(Results.of(log))}
        assert [key for key in lines] == [("A", None), ("A", 0), ("A", 1), ("B", None), ("B", 0), ("B", 1)]
        assert lines["A", None].mean == 3 and lines["A", None].games == 3
        # Deviations by seed: (0 + 2) and −2; SE = sqrt(2/1 · (4 + 4)) / 3; t(0.975, 1) = 12.7062.
        assert lines["A", None].ci95 == pytest.approx(12.7062 * 4 / 3, rel=1e-5)
        assert lines["A", 0].mean == 2 and lines["A", 0].games == 2
        assert lines["A", 1] == MeanPayoff("A", 1, 5.0, None, 1)

    def test_an_agent_in_several_seats_has_played_one_game(self):
        lines = mean_payoffs(Results.of([Result(("A", "B", "A"), (1.0, 2.0, 3.0), k) for k in range(3)]))
        assert [(p.agent, p.seat, p.mean, p.games) for p in lines][:3] == [
            ("A", None, 2, 3),
            ("A", 0, 1, 3),
            ("A", 2, 3, 3),
        ]

    def test_who_broke_a_game_off_was_paid_the_least(self):
        """However little of a game's losses it had seen; the last is a game as old stores hold them."""
        nan = math.nan
        log = [
            Result(("A", "B", "C"), (-3.0, -20.0, 5.0), 0),
            Result(("A", "B", "C"), (-1.0, nan, -1.0), 1, "agent_error"),
            Result(("A", "B", "C"), (-1.0, -1.0, -1.0), 2, "illegal_action"),
            Result(("A", "B", "C"), (-0.5, -1.0, 7.0), 3, "agent_error"),
        ]
        results = Results.of(log)
        assert offended(results).tolist() == [[False] * 3, [True, False, True], [True] * 3, [False, True, False]]
        assert_allclose(
            settle(results, zero_sum=False).payoffs,
            [[-3, -20, 5], [-20, nan, -20], [-20, -20, -20], [-0.5, -20, 7]],
            atol=0,
        )
        assert offended(settle(results, zero_sum=False)).tolist() == offended(results).tolist()
        assert len(settle(Results.of([]), zero_sum=False)) == 0

    def test_who_broke_a_game_off_is_who_the_store_says_whatever_was_paid(self):
        """Paid the same, several offenders, and an offender who was paid the most; a finished game has none."""
        log = [
            Result(("A", "B", "C"), (0.0, 0.0, 0.0), 0, "timeout", offenders=(1,)),
            Result(("A", "B", "C"), (2.0, -5.0, 2.0), 1, "agent_error", offenders=(0, 2)),
            Result(("A", "B", "C"), (-9.0, 3.0, 1.0), 2, "finished", offenders=(1,)),
            Result(("A", "B", "C"), (-1.0, 2.0, -1.0), 3, "left"),
        ]
        results = Results.of(log)
        expected = [[False, True, False], [True, False, True], [False] * 3, [True, False, True]]
        assert offended(results).tolist() == expected
        assert settle(results, zero_sum=False).payoffs.tolist() == [[0, -9, 0], [-9, -5, -9], [-9, 3, 1], [-9, 2, -9]]
        settled = settle(results, zero_sum=True)
        assert settled.payoffs.tolist() == [[4.5, -9, 4.5], [-9, 18, -9], [-9, 3, 1], [-9, 18, -9]]
        assert offended(settled).tolist() == expected

    def test_who_breaks_off_a_zero_sum_game_pays_the_others(self):
        log = [
            Result(("A", "B", "C"), (-30.0, 10.0, 20.0), 0),
            Result(("A", "B", "C"), (-1.0, 0.5, 0.5), 1, "agent_error"),
            Result(("A", "B", "C"), (-1.0, 2.0, -1.0), 2, "illegal_action"),
            Result(("A", "B", "C"), (0.0, 0.0, 0.0), 3, "agent_error"),
        ]
        results = Results.of(log)
        settled = settle(results, zero_sum=True)
        assert settled.payoffs.tolist() == [[-30, 10, 20], [-30, 15, 15], [-30, 60, -30], [0, 0, 0]]
        assert offended(settled).tolist() == offended(results).tolist()
        assert len(settle(Results.of([]), zero_sum=True)) == 0

    def test_a_forfeit_says_nothing_of_the_others(self):
        nan = math.nan
        log = [
            Result(("A", "B", "A"), (2.0, nan, nan), 0, "agent_error"),
            Result(("A", "B", "C"), (4.0, nan, nan), 1, "agent_error"),
            Result(("C", "B", "A"), (1.0, nan, 6.0), 2, "agent_error"),
        ]
        lines = {(p.agent, p.seat): p for p in mean_payoffs(Results.of(log))}
        assert [*lines] == [("B", None), ("A", None), ("A", 0), ("A", 2), ("C", None), ("C", 0)]
        assert lines["A", None].mean == 4 and lines["A", None].games == 3
        assert lines["A", 0].mean == 3 and lines["A", 0].games == 2
        assert lines["C", None] == MeanPayoff("C", None, 1.0, None, 1)
        assert lines["B", None] == MeanPayoff("B", None, None, None, 0)

    def test_refusal(self):
        assert refusal(2, "zero_sum") is None
        assert "later" in refusal(3, "zero_sum")
        assert "team" in refusal(3, "team") and "general-sum" in refusal(2, "general_sum")
        assert "one player" in refusal(1, "zero_sum")
