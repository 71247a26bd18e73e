"""Rankings of N players: known answers, Davidson's model at two players, forfeits, ties, seats, properties."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from games.errors import UserError
from tests.benchmarks.coverage import Kind, draw, seat_effects, strengths
from tests.properties import examples
from tests.tournaments.tables import FOUR, games, select
from tournaments.ratings import davidson
from tournaments.ratings.covariance import hessian, sandwich
from tournaments.ratings.elo import K, rate
from tournaments.ratings.model import Lineage
from tournaments.ratings.plackett_luce import Rankings, _Likelihood, _slope, fit, forfeits, rankings
from tournaments.records.results import Result, Results, compared, places

CHOIX = {(0, 1, 2, 3): 3, (1, 0, 3, 2): 2, (2, 0, 1, 3): 1, (3, 2, 1, 0): 1}  # rankings, the best first


def ranked(orders, seatings=itertools.permutations):
    """Return games of agents "A", "B", ... with these orders, in all seatings."""
    return [
        Result(tuple("ABCDEF"[a] for a in table), tuple(-float(order.index(a)) for a in table), seed)
        for seed, (order, table) in enumerate((o, t) for o, count in orders.items() for t in [*seatings(o)] * count)
    ]


def fitted(results, prior_sd=2.0, lineage=None):
    return fit(*rankings(results), prior_sd, lineage)


def centred(matrix, n):
    project = np.eye(n) - 1 / n
    return project @ matrix[:n, :n] @ project


class TestKnownAnswers:
    def test_of_choix(self):
        found = fitted(Results.of(ranked(CHOIX)), prior_sd=None)
        assert_allclose(found.theta, [0.86575, 0.74765, -0.52717, -1.08623], atol=6e-6)
        assert_allclose(found.eta, 0, atol=1e-9)  # all seatings
        assert found.nu == 0 and found.flatness == pytest.approx(1)

    def test_a_choice_by_hand(self):
        """Of three with worths 1, 2 and 3, a tie of two has √(product) times δ₂ = ½: P(A alone, then B and C tie)."""
        of = Rankings(("A", "B", "C"), np.array([[0, 1, 2]]), np.array([[0, 1, 1]]), np.zeros(1, bool), np.ones(1))
        x = np.concatenate([np.log([1, 2, 3]), np.zeros(3), [math.log(0.5)]])
        pair = {s: 0.5 * math.sqrt(s) for s in (2, 3, 6)}
        first, second = 6 + sum(pair.values()), 5 + pair[6]
        assert_allclose(_Likelihood.make(of).moments(x).log, math.log(1 / first * pair[6] / second))

    @pytest.mark.parametrize("prior_sd", [None, 2.0])
    @pytest.mark.parametrize(
        "table",
        [FOUR, {"AB": (6, 0, 4), "BA": (5, 0, 5), "BC": (3, 0, 2), "CB": (2, 0, 3), "AC": (1, 0, 4), "CA": (3, 0, 2)}],
    )
    def test_two_players_are_those_of_davidson(self, table, prior_sd):
        """With draws (ν = δ₂) and without (ν = 0), with a prior and without, and as sure."""
        results = Results.of(games(table))
        one, other = davidson.fit(davidson.count(results), prior_sd), fitted(results, prior_sd)
        assert_allclose(other.theta, one.theta, atol=1e-9)
        assert_allclose(other.seat_effects, one.seat_effects, atol=1e-9)
        assert_allclose([other.nu, other.flatness, other.draw_rate], [one.nu, one.flatness, one.draw_rate], atol=1e-9)
        assert_allclose(other.log_likelihood, one.log_likelihood)
        assert_allclose(other.scores(), one.scores())
        n = len(one.theta)
        for covariance in (hessian, sandwich):
            mine, theirs = covariance(other, results), covariance(one, results)
            assert_allclose(centred(mine.covariance, n), centred(theirs.covariance, n), atol=2e-5)

    def test_one_sided_results_of_two_players_are_those_of_davidson(self):
        results = Results.of(games(FOUR | {"AE": (5, 0, 0), "EA": (0, 0, 5)}))
        one, other = davidson.fit(davidson.count(results)), fitted(results)
        assert_allclose(centred(other.one_sided(), 5), centred(one.one_sided(), 5), atol=1e-9)
        mine, theirs = (sandwich(found, results).covariance for found in (other, one))
        assert_allclose(centred(mine, 5), centred(theirs, 5), atol=2e-5)


class TestForfeits:
    @given(st.lists(st.floats(-4, 4), min_size=2, max_size=5), st.integers(1, 4))
    @settings(max_examples=examples(40), deadline=None)
    def test_they_are_the_sum_over_all_orders(self, worths, offenders):
        n = len(worths)
        last = np.arange(n) < min(offenders, n - 1)
        rates = np.exp(worths)
        total = 0.0
        for order in itertools.permutations(range(n)):
            if max(order.index(k) for k in np.flatnonzero(~last)) < min(order.index(k) for k in np.flatnonzero(last)):
                total += math.prod(rates[order[k]] / rates[list(order[k:])].sum() for k in range(n))
        found = forfeits(np.array([worths]), last[None]).log[0]
        assert_allclose(found, math.log(total), atol=1e-10)
        one, others = rates[last].sum(), rates[~last]
        signed = (
            (-1) ** size * one / (one + sum(some))
            for size in range(len(others) + 1)
            for some in itertools.combinations(others, size)
        )
        assert_allclose(math.exp(found), sum(signed), atol=1e-9)

    def test_a_strong_offender(self):
        """The terms of the sum cancel: P is about Π l_j / α_O · k!."""
        assert_allclose(
            forfeits(np.array([[30.0, 0, 0, 0]]), np.array([[True, False, False, False]])).log, math.log(6) - 90
        )

    def test_the_order_of_the_others_is_not_used(self):
        log = ranked(CHOIX)
        quits = [
            Result(tuple("ABCD"), payoffs, 99, "illegal_action", offenders=(3,))
            for payoffs in ((1, 2, 3, -9), (3, 2, 1, -9))
        ]
        one, other = (fitted(Results.of([*log, game])) for game in quits)
        assert_allclose(one.theta, other.theta)
        assert one.theta[3] < fitted(Results.of(log)).theta[3] - 0.001
        assert one.nu == 0  # the others did not tie

    def test_where_all_forfeit_nothing_is_known(self):
        log = ranked(CHOIX)
        game = Result(tuple("ABCD"), (0, 0, 0, 0), 99, "agent_error", offenders=(0, 1, 2, 3))
        one, other = (fitted(Results.of(games)) for games in (log, [*log, game]))
        assert_allclose(one.theta, other.theta)
        assert other.scores()[0].tolist() == [169] * 4  # it was played
        assert rate(Results.of([game])).ratings[0].to_json()["score"] is None

    def test_places_and_comparisons(self):
        log = [
            Result(tuple("ABC"), (1.0, 3.0, 1.0 + 1e-9), 0, rounding=1e-8),
            Result(tuple("ABC"), (math.nan, -5.0, math.nan), 1, "timeout", offenders=(1,)),
            Result(tuple("ABC"), (-5.0, -5.0, 1.0), 2, "left", offenders=(0, 1)),
        ]
        place, forfeited = places(Results.of(log))
        assert place.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0]] and forfeited.tolist() == [False, True, True]
        own = compared(Results.of(log))
        assert own[0].tolist() == [[-1, 2, 1], [0, -1, 0], [1, 2, -1]]
        assert own[1].tolist() == [[-1, 0, -1], [2, -1, 2], [-1, 0, -1]]
        assert own[2].tolist() == [[-1, -1, 2], [-1, -1, 2], [0, 0, -1]]
        with pytest.raises(UserError, match="finite"):
            places(Results.of([Result(tuple("ABC"), (math.nan, 0, 1), 0)]))


def mixed_log(rng, players=4, agents=6, count=60):
    """Return games with ties of all sizes, forfeits, and copies of an agent."""
    return [
        Result(
            tuple("ABCDEF"[a] for a in rng.integers(agents, size=players)),
            tuple(map(float, rng.integers(3, size=players))),
            k // 3,
            "illegal_action" if k % 7 == 0 else "finished",
            offenders=tuple(range(1 + k % 3)) if k % 7 == 0 else (),
        )
        for k in range(count)
    ]


class TestDerivatives:
    @pytest.mark.parametrize("players", [2, 3, 5])
    def test_they_are_the_numerical_ones(self, players):
        rng = np.random.default_rng(players)
        of, _ = rankings(Results.of(mixed_log(rng, players)))
        likelihood = _Likelihood.make(of)
        x = rng.normal(size=len(of.agents) + players + likelihood.ties)
        found = likelihood.moments(x)
        gradient = likelihood.gradient(of.count[:, None] * found.score)
        information = likelihood.hessian(of.count[:, None, None] * found.information)

        def step(k, size=1e-5):
            at = [likelihood.moments(x + sign * size * np.eye(len(x))[k]) for sign in (1, -1)]
            up, down = (likelihood.gradient(of.count[:, None] * each.score) for each in at)
            return (of.count @ (at[0].log - at[1].log)) / (2 * size), (up - down) / (2 * size)

        slopes, curvatures = zip(*map(step, range(len(x))), strict=True)
        assert_allclose(gradient, slopes, atol=1e-6)
        assert_allclose(-information, curvatures, atol=1e-6)
        assert np.linalg.eigvalsh(information)[0] > -1e-9  # concave

    def test_blocks_change_nothing(self, monkeypatch):
        of, _ = rankings(Results.of(mixed_log(np.random.default_rng(0))))
        x = np.random.default_rng(1).normal(size=len(of.agents) + 4 + 3)
        whole = _Likelihood.make(of).moments(x)
        monkeypatch.setattr("tournaments.ratings.plackett_luce._BLOCK", 1)
        for one, other in zip(vars(whole).values(), vars(_Likelihood.make(of).moments(x)).values(), strict=True):
            assert_allclose(one, other)

    @pytest.mark.parametrize("one_sided", [False, True])
    def test_ratings_by_blocks_are_those_of_all_rankings_at_once(self, monkeypatch, one_sided):
        """With ties, copies, forfeits and several games of a ranking; with an agent that always loses, by cores."""
        log = mixed_log(np.random.default_rng(0))
        if one_sided:
            log += [Result(("A", "B", "C", "Z"), (3.0, float(k % 3), 1.0, -1.0), k) for k in range(9)]
        results, whole = Results.of(log), rate(Results.of(log))
        monkeypatch.setattr("tournaments.ratings.plackett_luce._BLOCK", 4 * 5 * 16)
        fitted, at_once = fit(*rankings(results)), len(rankings(results)[0].seats)
        blocks = list(fitted.of.blocks())
        assert len(blocks) == -(-at_once // 5) > 3 and sum(len(some.seats) for _, some in blocks) == at_once
        by_blocks = rate(results)
        assert by_blocks.agents == whole.agents and by_blocks.draw_rate == pytest.approx(whole.draw_rate)
        for name in ("elo", "difference_se", "difference_seeds", "part"):
            assert_allclose(getattr(by_blocks, name), getattr(whole, name), rtol=1e-7, atol=1e-7)
        for one, other in zip(by_blocks.ratings, whole.ratings, strict=True):
            assert (one.agent, one.games, one.rank) == (other.agent, other.games, other.rank)
            assert_allclose([one.ci95, one.score], [other.ci95, other.score], rtol=1e-7)
        assert_allclose([s.ci95 for s in by_blocks.seats], [s.ci95 for s in whole.seats], rtol=1e-7)

    def test_the_classes_of_cores_divide_the_information(self):
        """Within cores and between them it is the whole: of one core within alone, of single agents between alone."""
        of, _ = rankings(Results.of(mixed_log(np.random.default_rng(0))))
        likelihood = _Likelihood.make(of)
        x = np.random.default_rng(1).normal(size=len(of.agents) + 4 + 3)
        whole = likelihood.moments(x)
        same, mixed = (likelihood.moments(x, np.array(core)) for core in ([0] * 6, [0, 0, 1, 1, 2, 2]))
        assert_allclose(same.score, whole.score, atol=1e-12)
        assert_allclose(same.information, whole.information, atol=1e-12)
        between = whole.information - mixed.information
        assert np.linalg.eigvalsh(between).min() > -1e-9 and np.linalg.eigvalsh(mixed.information).min() > -1e-9


class TestProperties:
    @given(st.permutations(range(60)), st.permutations("UVWXYZ"))
    @settings(max_examples=examples(10), deadline=None)
    def test_order_and_names_change_nothing(self, order, names):
        log = mixed_log(np.random.default_rng(3))
        renamed = dict(zip("ABCDEF", names, strict=True))
        shuffled = [
            Result(tuple(renamed[a] for a in r.agents), r.payoffs, r.seed, r.termination, offenders=r.offenders)
            for r in (log[k] for k in order)
        ]
        before, after = rate(Results.of(log)), rate(Results.of(shuffled))
        assert [renamed[r.agent] for r in before.ratings] == [r.agent for r in after.ratings]
        assert_allclose(after.elo, before.elo, atol=1e-6)
        assert_allclose(after.covariance, before.covariance, rtol=1e-6, atol=1e-5)

    def test_rotating_the_seats_rotates_their_effects(self):
        log = mixed_log(np.random.default_rng(3))
        turned = [
            Result(
                r.agents[1:] + r.agents[:1],
                r.payoffs[1:] + r.payoffs[:1],
                r.seed,
                r.termination,
                offenders=tuple((seat - 1) % 4 for seat in r.offenders),
            )
            for r in log
        ]
        before, after = rate(Results.of(log)), rate(Results.of(turned))
        assert_allclose([s.elo for s in after.seats], np.roll([s.elo for s in before.seats], -1), atol=1e-6)
        assert_allclose([s.ci95 for s in after.seats], np.roll([s.ci95 for s in before.seats], -1), rtol=1e-6)
        assert_allclose(after.elo, before.elo, atol=1e-6)

    def test_twice_the_games(self):
        log = ranked(CHOIX)
        again = [Result(r.agents, r.payoffs, r.seed + 1000) for r in log]
        once, twice, copies = (Results.of(games) for games in (log, log + again, log * 2))
        one, two = (rate(results, prior_sd=None, covariance=hessian) for results in (once, twice))
        assert_allclose(two.elo, one.elo, atol=1e-6)
        assert_allclose(two.difference_se * math.sqrt(2), one.difference_se)
        seeds = len({r.seed for r in log})
        one, two, copied = (rate(results, prior_sd=None) for results in (once, twice, copies))
        factor = math.sqrt(2 * (2 * seeds - 1) / (2 * seeds) * seeds / (seeds - 1))
        assert_allclose(two.difference_se * factor, one.difference_se, rtol=1e-3)  # seeds differ in information
        assert_allclose(copied.difference_se, one.difference_se, rtol=1e-6)

    @given(
        st.lists(
            st.tuples(
                st.tuples(*[st.integers(0, 4)] * 3), st.tuples(*[st.integers(0, 2)] * 3), st.sets(st.integers(0, 2))
            ),
            min_size=1,
            max_size=25,
        )
    )
    @settings(max_examples=examples(40), deadline=None)
    def test_any_log_with_a_prior_is_finite_and_centred(self, log):
        results = Results.of(
            [
                Result(
                    tuple(map(str, table)),
                    tuple(map(float, paid)),
                    k // 2,
                    "timeout" if lost else "finished",
                    offenders=tuple(lost),
                )
                for k, (table, paid, lost) in enumerate(log)
            ]
        )
        rated = rate(results)
        for part in rated.parts:
            assert_allclose(sum(r.elo for r in part.ratings), 0, atol=1e-5)
            assert all(1 <= r.rank <= r.rank_worst <= len(part.ratings) for r in part.ratings)
        assert np.isfinite(rated.elo).all() and np.isfinite(rated.covariance).all()
        assert_allclose(sum(seat.elo for seat in rated.seats), 0, atol=1e-6)
        assert np.linalg.eigvalsh(rated.covariance).min() > -1e-6

    @pytest.mark.parametrize("players", [3, 4])
    def test_many_games_give_the_truth(self, players):
        rated = rate(draw(Kind("independent"), 5, 800, [players], players))
        place = np.argsort(rated.agents)
        theta = strengths(5) - strengths(5).mean()
        assert_allclose(rated.elo[place] * rated.fit.flatness / K, theta, atol=0.05)
        worth = seat_effects(players) * players / (players - 1)
        assert_allclose([seat.elo * rated.fit.flatness / K for seat in rated.seats], worth, atol=0.05)
        assert rated.nu == pytest.approx(0.6, abs=0.03)

    @pytest.mark.parametrize("delta", [[], [0.7], [0.7, 0.2]])
    def test_the_slope_of_the_expected_score_is_that_of_the_elo_curve(self, delta):
        """By all rankings of three equals, of which one is a little stronger."""
        size = len(delta) + 1
        place = [p for p in itertools.product(range(3), repeat=3) if set(p) == set(range(max(p) + 1))]
        place = np.array([p for p in place if max(map(p.count, p)) <= size])
        of = Rankings(
            tuple("ABC"), np.tile(np.arange(3), (len(place), 1)), place, np.zeros(len(place), bool), np.ones(len(place))
        )
        assert _Likelihood.make(of).ties == len(delta)
        score = (1 + np.sign(place[:, 1] - place[:, 0])) / 2
        gap = 1e-3
        x = np.concatenate([[gap / 2, -gap / 2, 0], np.zeros(3), np.log(delta)])
        p = np.exp(_Likelihood.make(of).moments(x).log)
        assert_allclose(p.sum(), 1)
        assert_allclose((p @ score - 0.5) / gap, _slope(3, np.array([1.0, *delta])), rtol=1e-6)


class TestIntervals:
    @pytest.mark.parametrize("kind", [Kind("none"), Kind("luck", agent=1.0, seat=1.0)])
    def test_they_are_those_of_leaving_out_a_seed_at_a_time(self, kind):
        results = draw(kind, 5, 24, [5], 3)
        rated = rate(results, prior_sd=None)
        left_out = []
        for seed in range(24):
            without = rate(select(results, results.seeds != seed), prior_sd=None)
            left_out.append(without.elo[[without.agents.index(agent) for agent in rated.agents]])
        gaps = np.array([elo[:, None] - elo[None, :] for elo in left_out])
        upper = np.triu_indices(5, 1)
        assert_allclose(rated.difference_se[upper], np.sqrt(23 * gaps.var(0))[upper], rtol=0.05)

    def test_an_agent_that_always_loses_is_held_by_the_prior_and_the_others_are_as_sure_as_without_it(self):
        rng = np.random.default_rng(0)
        log = []
        for seed in range(30):
            for turn in range(4):
                table = np.roll([0, 1, 2, 3], turn)
                order = [*rng.permutation(3), 3]
                log.append(Result(tuple("ABCD"[a] for a in table), tuple(-float(order.index(a)) for a in table), seed))
        three = [
            Result(*zip(*[(a, p) for a, p in zip(r.agents, r.payoffs, strict=True) if a != "D"], strict=True), r.seed)
            for r in log
        ]
        rated = rate(Results.of(log))
        assert rated.parts[0].one_sided and rated.ratings[-1].agent == "D"
        assert [r.prior_dominated for r in rated.ratings] == [False, False, False, True]
        assert rated.difference("A", "D")[1] > 150
        without = rate(Results.of(three))
        assert_allclose(rated.difference("A", "B")[1], without.difference("A", "B")[1], rtol=0.05)
        assert [r.rank for r in rated.ratings][3] == 4 and rated.ratings[3].rank_worst == 4

    def test_one_seed_shows_no_interval_and_all_share_a_rank(self):
        rated = rate(draw(Kind("none"), 5, 1, [0], 3))
        assert np.isinf(rated.difference_ci95[np.triu_indices(5, 1)]).all()
        assert {(r.rank, r.rank_worst) for r in rated.ratings} == {(1, 5)}


class TestDegenerate:
    def test_parts(self):
        log = [*ranked({(0, 1, 2): 1}), Result(tuple("DEF"), (1.0, 0.0, 2.0), 5)]
        rated = rate(Results.of(log))
        assert [sorted(part) for part in rated.to_json()["parts"]] == [["A", "B", "C"], ["D", "E", "F"]]
        with pytest.raises(UserError, match="one-sided"):
            rate(Results.of(log), prior_sd=None)

    def test_without_games(self):
        rated = rate(Results.of([], 3))
        assert rated.parts == [] and rated.to_json()["rating_rule"] == "rank"

    def test_an_agent_in_all_seats(self):
        rated = rate(Results.of([Result(("A", "A", "A"), (1, 0, 0), 0), Result(("A", "A", "B"), (1, 0, 2), 1)]))
        assert {r.agent: r.games for r in rated.ratings} == {"A": 2, "B": 1}
        assert {r.agent: r.score for r in rated.ratings} == {"A": 0, "B": 1}

    def test_too_many_players(self):
        with pytest.raises(UserError, match="at most 10 players"):
            rate(Results.of([Result(tuple("ABCDEFGHIJK"), tuple(map(float, range(11))), 0)]))

    def test_ten_players_with_ties_of_all_sizes(self):
        log = mixed_log(np.random.default_rng(1), players=10, count=40)
        assert np.isfinite(rate(Results.of(log)).elo).all()

    def test_json(self):
        data = rate(Results.of(ranked(CHOIX))).to_json()
        assert list(data) == ["rating_rule", "ratings", "parts", "seats", "draw_rate", "prior_sd"]
        assert data["rating_rule"] == "rank" and list(data["seats"][0]) == ["elo", "ci95"] and len(data["seats"]) == 4


class TestLineage:
    """A prior along the checkpoints of one run."""

    def chain(self, sd, chains=(("A", "B", "C"),)):
        """A and C have played, B hardly: one game, which it lost."""
        table = {"AC": (3, 0, 7), "CA": (6, 0, 4), "AD": (5, 0, 5), "DA": (5, 0, 5), "BD": (0, 0, 1)}
        return rate(Results.of(games(table)), lineage=Lineage(chains, sd))

    def test_a_stage_without_games_is_between_its_neighbours(self):
        elo = {r.agent: r.elo for r in self.chain(0.1).ratings}
        assert elo["A"] < elo["B"] < elo["C"]

    def test_a_wide_gain_changes_little_and_a_narrow_one_ties_the_stages(self):
        narrow, wide, free = self.chain(1e-3), self.chain(1e3), self.chain(1.0, ())
        assert narrow.difference("A", "C")[0] == pytest.approx(0, abs=1)
        assert wide.difference("A", "C")[0] == pytest.approx(free.difference("A", "C")[0], abs=10)
        assert narrow.difference("A", "B")[1] < free.difference("A", "B")[1] / 10

    def test_by_hand(self):
        """Without games of B and C, B is A and C is B: the posterior has means θ_A and variances + τ², + 2τ²."""
        log = games({"AD": (5, 0, 5), "DA": (5, 0, 5)}) + games({"BE": (1, 0, 0)}, 50) + games({"EB": (1, 0, 0)}, 50)
        rated = rate(Results.of(log), covariance=hessian, lineage=Lineage((("A", "B"),), 0.5))
        theta = dict(zip(sorted(rated.agents), rated.fit.theta, strict=True))
        prior = rated.fit.prior
        assert_allclose(prior.covariance(4)[0], [4, 4, 0, 0])  # A with A, B, D, E
        assert_allclose(prior.covariance(4)[1, 1], 4.25)
        assert theta["A"] == pytest.approx(0, abs=1e-9)
        x = np.concatenate([rated.fit.theta, [0.0]])
        at = [prior.loss(x + step * np.eye(5)[0]) for step in (1e-5, -1e-5)]
        assert_allclose((at[0] - at[1]) / 2e-5, prior.pull(x)[0], atol=1e-8)

    def test_more_than_two_players(self):
        results = draw(Kind("none"), 5, 3, [1], 3)
        free, tied = rate(results), rate(results, lineage=Lineage((("agent 00", "agent 04"),), 1e-4))
        assert abs(free.difference("agent 00", "agent 04")[0]) > 1 > abs(tied.difference("agent 00", "agent 04")[0])
        assert tied.to_json()["lineage"] == {
            "elo": pytest.approx(0.017, abs=1e-3),
            "chains": [["agent 00", "agent 04"]],
        }
