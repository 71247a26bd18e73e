"""A cell's figures are read, and new ones are written as the old ones were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from games.errors import UserError
from tests.claims.cells import Reading, by_seed, figures, filled, written


@pytest.mark.parametrize(
    ("cell", "kinds", "values"),
    [
        ("2.37", ["number"], [(2.37,)]),
        ("**98.3 %**", ["number"], [(98.3,)]),
        ("1,002,682", ["number"], [(1002682,)]),
        ("−191 ± 50", ["estimate"], [(-191, 50)]),
        ("97.0 to 98.2 %", ["range"], [(97.0, 98.2)]),
        ("0.60 / 0.44", ["number", "number"], [(0.6,), (0.44,)]),
        ("65, 4, **0**", ["number"] * 3, [(65,), (4,), (0,)]),
        ("4.3, 2.3e-14", ["number"] * 2, [(4.3,), (2.3e-14,)]),
        ("0.37 (30)", ["number"] * 2, [(0.37,), (30,)]),
        ("+0.18 / −0.18 ± 0.02", ["number", "estimate"], [(0.18,), (-0.18, 0.02)]),
        ("`td_lambda: 0.6` alone, loqa42, v2", [], []),
        ("", [], []),
    ],
)
def test_the_figures_of_a_cell(cell, kinds, values):
    found = figures(cell)
    assert [figure.kind for figure in found] == kinds
    assert [figure.values for figure in found] == values


def test_new_figures_take_the_places_of_the_old_ones():
    assert (
        filled("**0.968 ± 0.018**", [Reading((0.9, 1.0, 0.95))]) == "**0.950 ± 0.124**"
    )  # Student's t(0.975, 2) = 4.303
    assert filled("97.0 to 98.2 %", [Reading((95.04, 99.96))]) == "95.0 to 100.0 %"
    assert filled("9.95 10 10", [Reading((1.5, 0.125, 2.0))]) == "1.5 0.12 2"
    assert filled("0.60 / −0.44", [Reading((-1.0,)), Reading((1.0,))]) == "−1.00 / 1.00"
    assert (
        filled("58 to 82, 2 to 8, **0**", [Reading((1, 2)), Reading((3, 4)), Reading((5, 5))])
        == "1 to 2, 3 to 4, **5**"
    )
    assert filled("95.9 to 98.6 % / 96.7 to 99.2 %", [*map(Reading, [(1,), (2,), (3,), (4,)])]) == (
        "1.0 to 2.0 % / 3.0 to 4.0 %"
    )
    assert filled("−0.5 ± 0.1", [Reading((0.25,), 0.5)]) == "0.2 ± 0.5"
    assert filled("2.3e-14", [Reading((1.0,))]) == "1.0e+00"


def test_a_short_list_of_seeds_is_not_rounded_to_its_shortest_value():
    assert by_seed("0.9975 1 1") and not by_seed("0.37 (30)")
    assert filled("0.9975 1 1", [Reading((1.0, 0.9612, 0.5))]) == "1 0.9612 0.5"
    assert filled("1 1 1", [Reading((0.9975, -0.00001, 2.0))]) == "0.9975 0 2"


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (1234567.0, "1,002", "1,234,567"),
        (1234.0, "586", "1,234"),
        (1234.0, "1234", "1234"),
        (-0.004, "0.12", "0.00"),
        (-0.5, "+0.12", "−0.50"),
        (0.5, "+0.12", "+0.50"),
        (-3.0, "-10", "-3"),
    ],
)
def test_a_number_is_written_as_another_one(value, like, text):
    assert written(value, like) == text


@given(st.floats(-1e6, 1e6), st.sampled_from(["0.12", "1,002", "+3.1", "−2.25", "7"]))
def test_what_is_written_reads_as_one_figure_near_the_value(value, like):
    [figure] = figures(written(value, like))
    assert abs(figure.values[0] - value) <= figure.rounding * (1 + 1e-9)


def test_other_numbers_of_figures_are_refused():
    with pytest.raises(UserError, match="expected 2 figures for the cell '1 / 2', got 1"):
        filled("1 / 2", [Reading((1.0,))])
    with pytest.raises(UserError, match="several seeds or an interval"):
        filled("1.0 ± 0.1", [Reading((1.0,))])
