"""Roles: whom each meets, by hand, at the thresholds of AlphaStar."""

import numpy as np
import pytest

from tests.tournaments.populations.leagues import config, evidence, frozen, main
from tournaments.populations.league.evidence import Learner
from tournaments.populations.league.roles import League, View, main_meets, role_of, without_monotone_suffix

MANY = 10**6  # pairs, so that a win rate is the score


def met(learner, league, scores, **changes):
    """Return whom a learner meets."""
    found = evidence(scores, pairs=MANY)
    role = role_of(learner, config(roles={"main": 1, "main_exploiter": 1, "league_exploiter": 1}, **changes))
    return role.meets(View(learner, league, found))


def near(expected):
    return pytest.approx(expected, abs=1e-5)


M = main("m")
E = Learner("main_exploiter-0", "main_exploiter", ("e",))
L = Learner("league_exploiter-0", "league_exploiter", ("l",))


def test_at_the_beginning_a_main_meets_itself():
    assert met(main(), League([main()], []), {}) == {}


def test_an_exploiter_meets_the_main_and_itself_before_there_is_one():
    assert met(E, League([M, E], []), {}) == {"m": 1.0}
    assert met(E, League([main(), E], []), {}) == {}
    assert met(L, League([M, L], []), {}) == {}


def test_a_main_without_exploiters_or_forgotten_selves():
    """Half of the episodes by (1 - w)², and the rest is self-play."""
    league = League([M], [frozen("a", round=1), frozen("b", round=2)])
    scores = {("m", "a"): 0.9, ("m", "b"): 0.8}
    assert met(M, league, scores) == near({"a": 0.5 * 0.01 / 0.05, "b": 0.5 * 0.04 / 0.05})


@pytest.mark.parametrize(("score", "verified"), [(0.29, True), (0.31, False)])
def test_a_main_trains_again_against_exploiters_that_exploit_it(score, verified):
    league = League([M], [frozen("x", "main_exploiter", learner="main_exploiter-0")])
    assert met(M, league, {("m", "x"): score}) == near({"x": 0.65 if verified else 0.5})


def test_the_frozen_of_a_league_exploiter_are_not_those_of_a_main_exploiter():
    league = League([M], [frozen("x", "league_exploiter", learner="league_exploiter-0")])
    assert met(M, league, {("m", "x"): 0.1}) == near({"x": 0.5})


@pytest.mark.parametrize(("rates", "kept"), [((0.6, 0.65, 0.5), 2), ((0.69, 0.9, 0.8), 2), ((0.71, 0.75, 0.8), 0)])
def test_a_main_trains_again_against_what_it_has_forgotten(rates, kept):
    past = [frozen(name, round=k) for k, name in enumerate("abc")]
    all_of = np.array([(1 - rate) ** 2 for rate in rates])
    expected = 0.5 * all_of / all_of.sum()
    expected[:kept] += 0.15 * all_of[:kept] / all_of[:kept].sum() if kept else 0
    scores = {("m", name): rate for name, rate in zip("abc", rates, strict=True)}
    assert met(M, League([M], past[::-1]), scores) == near(dict(zip("abc", expected, strict=True)))


def test_of_the_forgotten_and_the_exploiters_these_come_first():
    league = League([M], [frozen("a", round=1), frozen("b", round=2), frozen("x", "main_exploiter", learner="e")])
    found = met(M, league, {("m", "a"): 0.5, ("m", "b"): 0.6, ("m", "x"): 0.2})
    assert found["x"] == near(0.5 * 0.64 / 1.05 + 0.15)


@pytest.mark.parametrize(("score", "expected"), [(0.31, {"n": 0.25}), (0.29, {"a": 0.25})])
def test_another_main_is_met_as_it_is_or_earlier_if_it_is_too_strong(score, expected):
    """Half of what is not by pfsp hard, 0.35 and 0.15, is of each of the two mains."""
    other = main("n", id="main-1")
    league = League([M, other], [frozen("a", learner="main-1")])
    found = met(M, league, {("m", "n"): score, ("m", "a"): 0.5})
    found["a"] -= 0.5  # pfsp hard
    assert {digest: weight for digest, weight in found.items() if weight > 1e-9} == near(expected)


def test_another_main_that_is_too_strong_and_has_not_frozen_is_not_met():
    other = main("n", id="main-1")
    assert met(M, League([M, other], []), {("m", "n"): 0.1}) == {}


def test_an_equal_past_is_met_more_often():
    other = main("n", id="main-1")
    past = [frozen("a", round=1, learner="main-1"), frozen("b", round=2, learner="main-1")]
    found = met(E, League([M, other, E], past), {("e", "m"): 0.5, ("e", "n"): 0.05, ("e", "a"): 0.5, ("e", "b"): 0.1})
    assert found == near({"m": 0.5, "a": 0.5 * 0.25 / 0.34, "b": 0.5 * 0.09 / 0.34})


@pytest.mark.parametrize(("score", "expected"), [(0.11, {"m": 1.0}), (0.09, {"a": 1.0})])
def test_a_main_exploiter_meets_a_main_unless_it_is_hopeless(score, expected):
    league = League([M, E], [frozen("a"), frozen("x", "main_exploiter", learner="main_exploiter-0")])
    assert met(E, league, {("e", "m"): score, ("e", "a"): 0.5}) == near(expected)


def test_a_league_exploiter_meets_all_that_have_frozen():
    league = League([M, L], [frozen("a"), frozen("x", "main_exploiter", learner="e"), frozen("s", "start")])
    found = met(L, league, {("l", "a"): 0.8, ("l", "x"): 0.5, ("l", "s"): 0.1})
    assert found == near({"a": 0.2 / 1.2, "x": 0.5 / 1.2, "s": 0.5 / 1.2})


def test_a_custom_role_meets_whom_its_rule_says():
    member = {"opponents": "window(k=2)", "over": ["main", "mine"], "latest": 0.25}
    mine = Learner("mine", "mine", ("c",))
    past = [frozen(name, round=k) for k, name in enumerate("abc")] + [frozen("x", "main_exploiter", 9, "e")]
    found = met(mine, League([M, mine], [*past, frozen("d", "mine", 8, "mine")]), {}, members={"mine": member})
    assert found == near({"c": 0.375, "d": 0.375})
    alone = met(mine, League([M, mine], past), {}, members={"mine": member | {"over": ["mine"]}})
    assert alone == {}
    everyone = {"opponents": "uniform"}
    assert met(mine, League([M, mine], past), {}, members={"mine": everyone}) == near(dict.fromkeys("abcx", 0.25))


def test_members_of_ids_that_look_alike_are_different():
    """Trap: learners 'a-b', 'a' and 'b-c'."""
    one, other = main("m", id="a"), main("n", id="a-b")
    league = League([one, other], [frozen("x", learner="a-b"), frozen("y", learner="b-c")])
    found = main_meets(View(one, league, evidence({("m", "n"): 0.1, ("m", "x"): 0.5, ("m", "y"): 0.5}, pairs=MANY)))
    assert found == near({"x": 0.25 + 0.25, "y": 0.25})
    assert [each.digest for each in league.past(other)] == ["x"] and league.past(one) == []


@pytest.mark.parametrize(
    ("rates", "kept"),
    [
        ([0.9, 0.6, 0.65, 0.6], 3),
        ([0.9, 0.8, 0.7], 0),
        ([0.5, 0.6], 2),
        ([0.5, 0.5], 0),
        ([0.5], 0),
        ([], 0),
        ([0.1, 0.2, 0.2, 0.1], 2),
    ],
)
def test_the_monotone_suffix_is_left_out(rates, kept):
    assert without_monotone_suffix(np.array(rates)) == kept
