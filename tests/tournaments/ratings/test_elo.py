"""Elo with intervals: known answers, degenerate results, properties."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from games.errors import UserError
from tests.properties import examples
from tests.tournaments.tables import FOUR, balanced, counts_of, games, play
from tournaments.ratings.covariance import hessian, sandwich
from tournaments.ratings.davidson import count, fit
from tournaments.ratings.elo import K, rate
from tournaments.records.results import Result, Results, offended, outcomes, rounding_of


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

    def test_win_matrix_of_pyspiel(self):
        """pyspiel.elo without smoothing, of [[0, 2], [1, 0]]."""
        theta = fit(counts_of(balanced(2, 1)), prior_sd=None).theta
        assert_allclose(K * (theta[0] - theta[1]), 120.41199826, atol=5e-9)

    def test_case_of_choix_with_a_prior(self):
        """Its "8-random" results, each half a game from either seat; its penalty 0.5 Σ θ² is the prior N(0, 1)."""
        results = "73205242214563547023400465323434527376 65".replace(" ", "")
        table = Counter(zip(results[::2], results[1::2], strict=True))
        both = {(winner, loser): (0.5 * n, 0, 0) for (winner, loser), n in table.items()}
        for (winner, loser), (n, _, _) in list(both.items()):
            w, _, _ = both.get((loser, winner), (0, 0, 0))
            both[loser, winner] = (w, 0, n)
            both[winner, loser] = (n, 0, w)
        theta = fit(counts_of(both), prior_sd=1.0).theta
        expected = [-0.519740, -0.462809, -0.313769, -0.068547, -0.318515, -0.003461, 0.630328, 1.056513]
        assert_allclose(theta, expected, atol=1e-6)

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
        fields = ["agent", "rank", "rank_worst", "elo", "ci95", "games", "score", "part", "prior_dominated"]
        assert list(data["ratings"][0]) == fields


def test_a_million_games_are_counted_not_walked():
    _, results = play(40, 640, np.random.default_rng(0))
    assert len(results) == 998_400
    assert_allclose(rate(results).seat_advantage, 0.2 * K * 2 / 2.6, atol=2)
