"""A re-run is refused as often as is said: intervals by hand, and how often honest ones fall outside."""

import math

import numpy as np
import pytest

from games.errors import UserError
from games.keys import stream
from tests.claims.cells import Reading, filled
from tests.claims.sources import Source
from tests.claims.table import Figures, Reads
from tests.claims.verdicts import compared, count, refuted, tolerance, unsaid


def table(*cells, seeds=5, **reads):
    titles = ("", *(f"c{place}" for place in range(len(cells))))
    return Figures("t", titles, (("row", *cells),), Reads(**reads), tuple(range(seeds)))


def verdict(cell, reading, *, within="", seeds=5, family=1, **reads):
    [found] = compared(table(cell, seeds=seeds, **reads), {(0, 1): (Source("f", within=(within,)), [reading])}, family)
    return found


def test_the_prediction_interval_of_five_seeds_is_wider_by_the_root_of_two():
    found = verdict("1.000 ± 0.100", Reading((1.0, 1.1, 1.2, 1.1, 1.1)))
    assert found.measured == pytest.approx(1.1)
    assert found.most == pytest.approx(math.sqrt(2) * 0.1 + 0.0005)
    assert not found.outside
    assert verdict("1.000 ± 0.100", Reading((1.2,) * 5)).outside


def test_fewer_new_seeds_are_given_more_room():
    # t(0.975, 4) = 2.776, s = 0.1 √5 / 2.776; two new seeds: t s √(1/5 + 1/2)
    assert verdict("1.000 ± 0.100", Reading((1.0, 1.0))).most == pytest.approx(0.1 * math.sqrt(5 * 0.7) + 0.0005)


def test_half_widths_that_were_read_are_added_as_squares():
    assert verdict("1.00 ± 0.30", Reading((1.0,), 0.4)).most == pytest.approx(0.5 + 0.005)
    standard = verdict("1.00 ± 0.30", Reading((1.0,), 0.4), error="standard")
    assert standard.most == pytest.approx(1.959964 * 0.5 + 0.005)


def test_a_number_is_compared_where_a_tolerance_is_stated():
    assert verdict("100", Reading((109.0,)), within="10 %").most == pytest.approx(10.5)
    assert not verdict("100", Reading((109.0,)), within="10 %").outside
    assert verdict("100", Reading((120.0,)), within="10 %").refuted
    assert verdict("100", Reading((120.0,))).most is None and not verdict("100", Reading((120.0,))).outside
    assert tolerance("0.05", 3.0) == 0.05 and tolerance("20 %", -3.0) == pytest.approx(0.6)
    with pytest.raises(UserError, match="expected 'within'"):
        tolerance("some", 1.0)


def test_a_measurement_that_is_no_number_is_outside():
    assert verdict("1.0 ± 0.1", Reading((math.nan,) * 5)).refuted


def test_equal_seeds_do_not_refute_seeds_that_differ():
    """One of five ends at 5: s = 0.894, t(0.975, 4) s √(1/5 + 1/5) = 1.57."""
    assert verdict("7.00 ± 0.00", Reading((7.0, 7, 7, 5, 7))).most == pytest.approx(1.57 + 0.005, abs=0.001)
    found = verdict("7.00 ± 0.00", Reading((7.0,) * 5))
    assert found.most == pytest.approx(0.005) and not found.outside
    assert verdict("7.00 ± 0.00", Reading((6.0,) * 5)).refuted


def test_values_of_seeds_are_compared_by_their_mean():
    """Of 1 2 3 4 5: s = 1.581, t(0.975, 4) = 2.776, so five new ones may differ by 2.776 · 1.581 · √(2/5) = 2.776."""
    found = verdict("1 2 3 4 5", Reading((5.0, 4.0, 6.0, 5.0, 5.0)))
    assert (found.claimed, found.measured) == (3.0, 5.0) and found.most == pytest.approx(2.776, abs=0.001)
    assert found.stands and not found.outside
    assert verdict("40.0 33.8 38.8", Reading((90.0, 91.0, 92.0)), seeds=3).refuted
    assert verdict("1 1 1", Reading((1.0, 1.0, 0.9)), seeds=3).stands


def test_a_range_is_compared_by_how_many_seeds_are_beyond_it():
    """Of five and five, j or more are above the highest by C(10 − j, 5) / 252: 1, 6, 21, 56 of 252 from j = 5 down."""
    inside, one, three, four, five = (
        verdict("−1.0 to −2.0", Reading((-1.5,) * (5 - beyond) + (7.0,) * beyond)) for beyond in (0, 1, 3, 4, 5)
    )
    assert [each.chance for each in (three, four, five)] == pytest.approx([2 * k / 252 for k in (21, 6, 1)])
    assert inside.chance == one.chance == 1.0 and inside.stands
    assert [each.outside for each in (inside, one, three, four, five)] == [False, False, False, True, True]
    assert five.refuted and not verdict("1.0 to 2.0", Reading((7.0,) * 5), family=10).refuted
    assert verdict("1.0 to 2.0", Reading((0.5,) * 5)).outside
    assert not verdict("1.0 to 2.0", Reading((0.5,) * 5), within="0.5").outside
    assert verdict("1.0 to 2.0", Reading((math.nan,) * 5)).outside
    assert str(five) == "7 to 7, claimed -2 to -1"


def test_of_a_range_of_which_the_ends_were_read_only_one_apart_is_outside():
    for ends, outside in (((1.5, 9.0), False), ((0.0, 9.0), False), ((2.5, 9.0), True), ((0.0, 0.5), True)):
        assert verdict("1.0 to 2.0", Reading(ends)).outside == outside


def test_three_seeds_beyond_a_range_of_three_say_nothing():
    found = verdict("33.8 to 40.0", Reading((90.0, 91.0, 92.0)), seeds=3)
    assert not found.stands and not found.outside
    assert unsaid([found, found, verdict("100", Reading((120.0,)))]) == (
        "numbers without an interval or a tolerance: 1, ranges of too few seeds: 2"
    )


def test_a_range_that_is_not_of_seeds_is_compared_by_its_ends():
    ends = {(0, 1): (Source("f", within=("0.1",)), [Reading((1.0, 2.3))])}
    low, high = compared(table("2.0 to 1.0", seeds=1), ends, 1)
    assert (low.claimed, low.measured, low.outside) == (1.0, 1.0, False)
    assert (high.claimed, high.measured, high.outside) == (2.0, 2.3, True)


def test_one_of_twenty_honest_figures_is_outside_and_one_of_twenty_claims_at_most_is_refuted():
    draw = np.random.Generator(np.random.Philox(stream(0, "claims")))
    outside, claims, claim_refuted = [], 200, 0
    for _ in range(claims):
        old, new = draw.normal(size=(2, 10, 5))
        cells = [filled("0.000000 ± 0.000000", [Reading(tuple(each))]) for each in old]
        figures = table(*cells)
        read = {(0, place + 1): (Source("f"), [Reading(tuple(each))]) for place, each in enumerate(new)}
        assert count(figures, read) == 10
        found = compared(figures, read, 10)
        outside += [each.outside for each in found]
        claim_refuted += refuted(found)
    assert abs(np.mean(outside) - 0.05) < 0.02
    assert claim_refuted / claims < 0.1
