"""A re-run is refused as often as is said: intervals by hand, and how often honest ones fall outside."""

import math

import numpy as np
import pytest

from games.errors import UserError
from games.keys import stream
from tests.claims.cells import Reading, filled
from tests.claims.sources import Source
from tests.claims.table import Figures, Reads
from tests.claims.verdicts import compared, count, refuted, tolerance


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
