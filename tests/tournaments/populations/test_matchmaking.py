"""Matchmaking: each rule by hand, its properties for all tables, and opponents that are present in a round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from games.keys import fold_one, stream
from tests.properties import examples
from tournaments.populations.league.matchmaking import RULES, Candidates, Rule, present, read_rule, window

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])


def among(win_rates, rounds=None, payoffs=None):
    n = len(win_rates)
    payoffs = np.zeros((n, n)) if payoffs is None else payoffs
    rounds = range(n) if rounds is None else rounds
    return Candidates([f"{k:02}" for k in range(n)], np.array(win_rates, float), np.array(rounds), lambda: payoffs)


def weights(rule, *args, **options):
    found = among(*args, **options)
    met = read_rule(rule).weights(found)
    return [met.get(digest, 0.0) for digest in found.digests]


@pytest.mark.parametrize(
    ("rule", "w", "expected"),
    [
        ("self", [0.5, 0.5], [0, 0]),
        ("uniform", [0.9, 0.5, 0.1, 0.3], [0.25] * 4),
        ("window(k=2)", [0.9, 0.5, 0.1], [0, 0.5, 0.5]),
        ("window", [0.5] * 12, [0, 0] + [0.1] * 10),
        ("pfsp hard", [0.8, 0.5, 0.2], [0.04 / 0.93, 0.25 / 0.93, 0.64 / 0.93]),
        ("pfsp hard(q=1)", [0.8, 0.5, 0.2], [0.2 / 1.5, 0.5 / 1.5, 0.8 / 1.5]),
        ("pfsp capped", [0.8, 0.5, 0.2], [0.2 / 1.2, 0.5 / 1.2, 0.5 / 1.2]),
        ("pfsp even", [0.8, 0.5, 0.1], [0.16 / 0.5, 0.25 / 0.5, 0.09 / 0.5]),
    ],
)
def test_rules_by_hand(rule, w, expected):
    assert weights(rule, w) == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["pfsp hard", "pfsp capped", "pfsp even"])
@pytest.mark.parametrize("w", [[1.0] * 3, [1 - 1e-12] * 3])
def test_opponents_that_are_all_beaten_weigh_alike(rule, w):
    """Trap: DI-engine's weights are NaN there."""
    assert weights(rule, w) == pytest.approx([1 / 3] * 3)


def test_opponents_that_are_never_beaten_weigh_alike():
    assert weights("pfsp even", [0.0] * 4) == [0.25] * 4
    assert weights("pfsp hard", [0.0] * 4) == [0.25] * 4


def test_a_window_has_those_that_froze_last():
    assert window(np.array([7, 2, 9, 4]), 2).tolist() == [1, 0, 1, 0]
    assert window(np.array([3, 3, 3]), 2).tolist() == [1, 1, 0]  # of one round: by digest
    assert window(np.array([1, 2]), 5).tolist() == [1, 1]


def test_meta_strategies_are_by_the_opponents_payoffs():
    assert weights("nash", [0.1, 0.9, 0.5], payoffs=RPS) == pytest.approx([1 / 3] * 3, abs=1e-6)
    beats_all = np.array([[0.0, 1, 1], [-1, 0, 0], [-1, 0, 0]])
    assert weights("nash", [0.1, 0.9, 0.5], payoffs=beats_all) == [1, 0, 0]


def test_rectified_meets_those_of_the_equilibrium_that_it_does_not_lose_to():
    assert weights("rectified", [0.4, 0.5, 0.9], payoffs=RPS) == pytest.approx([0, 0.5, 0.5], abs=1e-6)
    assert weights("rectified", [0.4, 0.4, 0.4], payoffs=RPS) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("rule", ["nash", "rectified", "alpharank"])
def test_payoffs_that_are_not_known_are_never_taken_for_zero(rule):
    payoffs = RPS.copy()
    payoffs[0, 1] = payoffs[1, 0] = np.nan
    with pytest.raises(ValueError, match="expected known payoffs, got nan"):
        weights(rule, [0.5] * 3, payoffs=payoffs)


@pytest.mark.parametrize("rule", ["nash", "rectified"])
def test_payoffs_stay_as_they_are(rule):
    payoffs = RPS.copy()
    weights(rule, [0.4, 0.5, 0.9], payoffs=payoffs)
    assert (payoffs == RPS).all()


def test_without_opponents_a_learner_meets_itself():
    assert all(Rule(name).weights(among([])) == {} for name in RULES)


edges = st.sampled_from([0.0, 1.0, 0.5])
rates = st.lists(st.floats(0, 1) | edges, min_size=1, max_size=8)


@given(st.sampled_from(RULES[1:]), rates, st.data())
@settings(max_examples=examples(200))
def test_weights_are_finite_and_sum_to_one(rule, w, data):
    payoffs = antisymmetric(len(w), data)
    found = np.array(weights(rule, w, payoffs=payoffs))
    assert np.isfinite(found).all() and (found >= 0).all() and found.sum() == pytest.approx(1)


@given(st.sampled_from(["uniform", "pfsp hard", "pfsp capped", "pfsp even", "nash", "window(k=2)"]), rates, st.data())
@settings(max_examples=examples(100))
def test_to_permute_opponents_permutes_their_weights(rule, w, data):
    order = np.array(data.draw(st.permutations(range(len(w)))))
    payoffs, rounds = antisymmetric(len(w), data), np.arange(len(w))
    found = np.array(weights(rule, w, rounds=rounds, payoffs=payoffs))
    moved = weights(rule, np.array(w)[order], rounds=rounds[order], payoffs=payoffs[np.ix_(order, order)])
    np.testing.assert_allclose(moved, found[order], atol=1e-5)


def antisymmetric(n, data):
    """Draw the payoffs of n agents."""
    values = data.draw(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=n * n, max_size=n * n))
    square = np.array(values).reshape(n, n)
    return square - square.T


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pfsp_hard", "did you mean 'pfsp hard'?"),
        ("pfsp", "expected a rule among self, uniform"),
        ("latest", "latest is a key of its own: latest: 0.5"),
        ("window(k=0)", "expected k to be a whole number above 0, got 0"),
        ("window(k=1.5)", "expected k to be a whole number above 0, got 1.5"),
        ("pfsp hard(q=-1)", "expected q to be a number above 0, got -1"),
        ("pfsp hard(q=1e999)", "expected q to be a number above 0, got inf"),
        ("pfsp hard(p=2)", "the rule 'pfsp hard' takes q alone, got 'p' in"),
        ("uniform(k=2)", "the rule 'uniform' takes no number, got 'k' in"),
        ("a:uniform", "expected a rule among"),
        ("", "expected a reference"),
    ],
)
def test_what_is_no_rule_is_refused(text, said):
    with pytest.raises(UserError) as error:
        read_rule(text)
    assert said in str(error.value)


def test_rules_are_read_and_say_what_they_need():
    assert read_rule("pfsp hard(q=3)") == Rule("pfsp hard", 3.0) and read_rule("window") == Rule("window")
    assert [name for name in RULES if not Rule(name).counts_wins] == [
        "self",
        "uniform",
        "window",
        "replicator",
        "alpharank",
    ]
    assert [name for name in RULES if Rule(name).needs_payoffs] == ["nash", "replicator", "alpharank", "rectified"]


MANY = {f"{k:02}": weight for k, weight in enumerate([0.3, 0.005, 0.1, 0.2, 0.05, 0.12, 0.025])}  # of 0.8


def test_all_are_present_where_there_is_place():
    assert present(MANY, 7, 5) == MANY and present({}, 3, 5) == {}


@pytest.mark.parametrize("slots", [1, 2, 3, 6])
def test_present_opponents_fill_slots_of_equal_worth(slots):
    for key in range(50):
        found = present(MANY, slots, fold_one(0, key))
        assert sum(found.values()) == pytest.approx(0.8) and len(found) <= slots
        assert all(round(weight / (0.8 / slots), 9).is_integer() for weight in found.values())


def test_presence_is_unbiased_over_rounds():
    rounds, total = 4000, dict.fromkeys(MANY, 0.0)
    for round in range(rounds):
        for digest, weight in present(MANY, 3, fold_one(stream(0, "present"), round)).items():
            total[digest] += weight / rounds
    assert total == pytest.approx(MANY, abs=0.008)  # a slot is worth 0.27: three standard errors


def test_presence_depends_on_the_key_and_not_on_the_order():
    turned = dict(reversed(MANY.items()))
    assert [present(MANY, 3, key) for key in range(9)] == [present(turned, 3, key) for key in range(9)]
    assert len({tuple(present(MANY, 3, fold_one(1, key))) for key in range(9)}) > 1


@given(st.dictionaries(st.text("ab-", min_size=1, max_size=5), st.floats(1e-6, 1), min_size=1, max_size=12), st.data())
@settings(max_examples=examples(100))
def test_presence_keeps_the_sum(listed, data):
    slots, key = data.draw(st.integers(1, 8)), data.draw(st.integers(0, 2**64 - 1))
    found = present(listed, slots, key)
    assert set(found) <= set(listed) and len(found) <= max(slots, 1)
    assert sum(found.values()) == pytest.approx(sum(listed.values()))
