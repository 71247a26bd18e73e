"""Known answers of fastchess's and cutechess's own tests, and what holds of every match."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tournaments.ratings.sprt import bounds, decision, elo_of, llr, match, score_of


def pairs(ll, ld, wl, dd, wd, ww):
    """Return the counts of pairs of games: a win and a loss score as much as two draws."""
    return ll, ld, wl + dd, wd, ww


@pytest.mark.parametrize(
    ("counts", "elo", "nelo", "superiority"),
    [
        ((89, 123, 76), None, (-20.76, 40.13), 0.1553),
        ((96, 111, 136), (40.70, 30.43), (49.77, 36.77), 0.9960),
        ((356, 0, 34), None, (-508.44, 34.48), 0.0),
        (pairs(34, 54, 31, 32, 64, 75), (55.58, 27.65), (57.94, 28.28), None),
        (pairs(332, 433, 457, 41, 333, 334), (-8.64, 10.33), None, 0.0505),
        (pairs(7895, 8757, 5485, 200, 568, 9999), (-21.04, 2.95), None, None),
    ],
)
def test_matches_of_fastchess(counts, elo, nelo, superiority):
    found = match(counts)
    if elo:
        assert (round(found.elo, 2), round(found.elo_ci95, 2)) == elo
    if nelo:
        assert (round(found.nelo, 2), round(found.nelo_ci95, 2)) == nelo
    if superiority is not None:
        assert round(found.superiority, 4) == superiority


def test_the_score_of_a_match():
    assert round(match((96, 111, 136)).score, 3) == 0.558


@pytest.mark.parametrize(
    ("counts", "elo0", "elo1", "model", "ratio"),
    [
        ((36027, 68692, 36433), 0, 2, "normalized", 0.92),
        ((21184, 40708, 21404), 0.5, 2.5, "logistic", -1.57),
        ((68526, 128429, 68965), 0, 2, "bayesian", -1.26),
        (pairs(365, 16618, 36029, 200, 16974, 390), 0, 2, "normalized", 2.25),
        (pairs(223, 9863, 20279, 1000, 10037, 246), 0.5, 2.5, "logistic", -3.07),
        ((1351, 2942, 1477), 0, 10, "logistic", 2.52),
        ((555, 298, 555), 0, 10, "logistic", -0.74),
    ],
)
def test_likelihood_ratios_of_fastchess_and_cutechess(counts, elo0, elo1, model, ratio):
    assert round(llr(counts, elo0, elo1, model), 2) == ratio


def test_bounds_and_decisions():
    assert [round(bound, 1) for bound in bounds(0.01, 0.01)] == [-4.6, 4.6]
    assert [decision(ratio, 0.05, 0.05) for ratio in (-2.95, -2.94, 0.0, 2.94, 2.95)] == ["H0", None, None, None, "H1"]


@pytest.mark.parametrize("counts", [(0, 0, 1), (7, 0, 0), (0, 5, 0), (0, 0, 0, 0, 9), (1, 0, 0, 0, 0)])
def test_one_sided_matches_have_finite_ratios(counts):
    """The test of cutechess that said `LLR 0 (nan)`, and one that ended after a game (RATINGS 4.11)."""
    found = match(counts)
    assert math.isfinite(llr(counts, 0, 10)) and math.isfinite(llr(counts, 0, 10, "normalized"))
    assert math.isfinite(found.nelo) and 0 <= found.superiority <= 1
    assert decision(llr(counts, 0, 10), 0.05, 0.05) is None


def test_no_games():
    assert llr((0, 0, 0), 0, 10) == 0.0
    with pytest.raises(ValueError, match="at least one game"):
        match((0, 0, 0))
    with pytest.raises(ValueError, match="3 counts of games or 5"):
        match((1, 2))
    with pytest.raises(ValueError, match="those of pairs"):
        llr((1, 2, 3, 4, 5), 0, 10, "bayesian")


@pytest.mark.parametrize(
    ("counts", "elo", "ratio"),
    [((1, 2, 3), 400, -0.270949), ((5, 2, 30), 1000, 3.964907), ((40, 10, 3), -700, 16.524058)],
)
def test_normalized_ratios_beyond_a_deviation(counts, elo, ratio):
    """By a search over the share of draws, which leaves one law at each distance."""
    assert llr(counts, 0, elo, "normalized") == pytest.approx(ratio, abs=1e-5)


@pytest.mark.parametrize("counts", [(1, 2, 3), (0, 9, 0), (1, 2, 3, 2, 1), (0, 0, 5, 0, 0), (0, 0, 0, 0, 9)])
@pytest.mark.parametrize("model", ["logistic", "normalized"])
@pytest.mark.parametrize("elo", [250, 500, 2000])
def test_hypotheses_far_apart_have_finite_ratios(counts, model, elo):
    assert math.isfinite(llr(counts, 0, elo, model)) and math.isfinite(llr(counts, -elo, elo, model))


counted = st.lists(st.integers(1, 500), min_size=5, max_size=5)


@given(counted, st.floats(-50, 50), st.floats(1, 50))
def test_the_other_side_sees_the_mirror(counts, elo0, width):
    for model in ("logistic", "normalized"):
        there = llr(counts, elo0, elo0 + width, model)
        back = llr(counts[::-1], -elo0, -elo0 - width, model)
        assert there == pytest.approx(back, abs=1e-6)
    assert match(counts).elo == pytest.approx(-match(counts[::-1]).elo)


@given(counted)
def test_a_match_twice_as_long_is_twice_as_sure(counts):
    twice = [2 * count for count in counts]
    assert match(twice).elo == pytest.approx(match(counts).elo)
    assert match(twice).nelo_ci95 == pytest.approx(match(counts).nelo_ci95 / math.sqrt(2))
    assert llr(twice, 0, 10) == pytest.approx(2 * llr(counts, 0, 10), rel=1e-6, abs=1e-9)


@given(st.floats(-800, 800))
def test_elo_and_score_are_inverse(elo):
    assert elo_of(score_of(elo)) == pytest.approx(elo, abs=1e-6)


def test_error_rates():
    """How often the test accepts what is false, at both hypotheses; the results have more matches."""
    wrong = []
    for true, false in ((0.0, "H1"), (40.0, "H0")):
        score = score_of(true)
        drawn = 0.3 * 4 * score * (1 - score)
        law = np.convolve(*[[1 - score - drawn / 2, drawn, score - drawn / 2]] * 2)
        verdicts = []
        for number in range(200):
            draw, counts, verdict = np.random.Generator(np.random.Philox(number)), np.zeros(5), None
            while verdict is None:
                counts += draw.multinomial(16, law)
                verdict = decision(llr(counts.tolist(), 0, 40), 0.05, 0.05)
            verdicts.append(verdict)
        wrong.append(verdicts.count(false) / len(verdicts))
    assert max(wrong) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)
