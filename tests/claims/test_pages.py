"""Pages say what the claims say, and figures without claims, and claims without places, are found."""

import pytest

from games.errors import UserError
from tests.claims import pages
from tests.claims.table import Claims, Reads, figures_of, read
from tests.claims.test_running import claim

PAGE = """# Two players

## The α-rank, of −2

<!-- commands: a -->
<!-- end -->

Prose.

<!-- table: t -->
<!-- end -->
"""
CSV = 'what,"at 1,000",by seed\n`x`,0.5 ± 0.1,1 2 3\n,"−1,000",\n'
README = "<!-- front page -->\n<!-- end -->\n"


@pytest.fixture
def measured(tmp_path):
    (tmp_path / "t.csv").write_text(CSV)
    return tmp_path


@pytest.fixture
def claims():
    section = "two.md#the-rank-of-2"
    made = claim("marl train x --set seed={seed}", "marl plot x", tables={"t": Reads()}, seeds=(3, 4))
    return Claims(
        claims={"a": made.model_copy(update={"section": section})}, front_page={"x": "{t | `x` | at 1,000} more"}
    )


def test_a_page_is_written_and_stays(claims, measured):
    text = pages.written(PAGE, claims, measured)
    assert pages.written(text, claims, measured) == text
    assert "| what | at 1,000 | by seed |\n| :-- | --: | :-- |\n| `x` | 0.5 ± 0.1 | 1 2 3 |\n| | −1,000 | |\n" in text
    assert "    for SEED in 3 4; do\n        marl train x --set seed=$SEED\n    done\n    marl plot x\n" in text
    assert "`make claims ONLY=a`: 2 CPU-minutes. Measured on 30 November 2026 on an AMD EPYC, version 0.2.0." in text


def test_what_is_to_be_measured_again_is_said(claims, measured):
    dated = claims.claims["a"].model_copy(update={"dated": "the game has changed"})
    text = pages.written(PAGE, Claims(claims={"a": dated}), measured)
    assert "version 0.2.0. To be measured again: the game has changed." in text


def test_the_front_page_has_cells(claims, measured):
    assert "| x | 0.5 ± 0.1 more |" in pages.written(README, claims, measured)
    for reference, complaint in (
        ("u | x | y", "table 'u'"),
        ("t | z | y", "no row 'z'"),
        ("t | `x` | at 100", "at 1,000"),
    ):
        wrong = claims.model_copy(update={"front_page": {"x": f"{{{reference}}}"}})
        with pytest.raises(UserError, match=complaint):
            pages.written(README, wrong, measured)


def faults(claims, measured, page, name="two.md"):
    texts = {name: page, "README.md": pages.written(README, claims, measured)}
    return pages.faults(claims, texts, measured)


def test_pages_that_agree_have_no_faults(claims, measured):
    assert faults(claims, measured, pages.written(PAGE, claims, measured)) == []


def test_every_fault_is_found(claims, measured):
    good = pages.written(PAGE, claims, measured)
    [moved] = faults(claims, measured, good.replace("0.5 ± 0.1", "0.6 ± 0.1"))
    assert moved.startswith("two.md: not what the claims say")
    [loose] = faults(claims, measured, f"{good}\n| typed | by hand |\n| :-- | --: |\n| a | 1 |\n")
    assert loose == "two.md: a table with no claim, | typed | by hand |"
    [lost] = faults(claims, measured, good.partition("Prose.")[0])
    assert lost == "the claim 'a' has no place: no page has the marker table: t"
    [elsewhere] = faults(claims, measured, good.replace("## The α-rank, of −2", "## Another"))
    assert elsewhere == "the claim 'a' says two.md#the-rank-of-2, and commands: a stands in two.md#another"
    [open_end] = faults(claims, measured, f"{good}\n<!-- end -->\n")
    assert "a marker without its end" in open_end
    [bare] = faults(claims, measured, f"{good}\n## Another\n\nIt reaches 0.5 ± 0.1.\n")
    assert bare == "two.md: a section with figures and no claim, Another"
    (measured / "unused.csv").write_text(CSV)
    assert faults(claims, measured, good) == ["docs/measured/unused.csv: no claim has this table"]


def test_a_marker_of_an_unknown_claim_names_the_near_one(claims, measured):
    with pytest.raises(UserError, match="commands: aa"):
        pages.written(PAGE.replace("commands: a", "commands: aa"), claims, measured)


def test_rows_without_a_label_have_that_above(claims, measured):
    figures = figures_of(claims.claims["a"], "t", measured)
    assert figures.labels == ["`x`", "`x`"] and figures.text() == CSV
    with pytest.raises(UserError, match="expected 3 cells in line 2"):
        (measured / "t.csv").write_text("a,b,c\n1,2\n")
        figures_of(claims.claims["a"], "t", measured)
    with pytest.raises(UserError, match="could not be read from"):
        (measured / "t.csv").unlink()
        figures_of(claims.claims["a"], "t", measured)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("commands:", "comands:"), "did you mean 'commands'"),
        (("2026-11-30", "2026-02-30"), "expected a date such as 2026-11-29"),
        (("budget: 2", "budget: long"), "budget"),
        (("claims:", "claims: ["), "YAML|could not be read"),
    ],
)
def test_a_table_of_claims_that_does_not_fit(change, complaint, tmp_path):
    text = "claims:\n  a:\n    section: two.md#x\n    commands: [marl plot x]\n    budget: 2\n"
    text += "    measured: {date: 2026-11-30, processor: AMD EPYC, version: 0.2.0}\n"
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    assert list(read(path).claims) == ["a"]
    path.write_text(text.replace(*change))
    with pytest.raises(UserError, match=complaint):
        read(path)
