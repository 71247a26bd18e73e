"""Escape foreign text for display: names, messages, paths, the text of a game's positions.

    shown           for a terminal, and for all that follow: no control characters, and none that cannot be seen
    sentence        for a message: one line of limited length
    markdown_cell   for Markdown
    csv_line        for a file that a spreadsheet opens

Letters of all scripts stay as they are; characters that cannot be seen are escaped as in Python: \\x1b, \\u202e.
"""

import re
from collections.abc import Iterable, Sequence

LONGEST_SENTENCE = 500  # characters of a message
# `str.isprintable` is true of these, and they cannot be seen: fillers, joiners, selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_FORMULA = tuple("=+-@＝＋－＠")  # the first characters of a cell that a spreadsheet computes
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_PLAIN = re.compile(r"[\w.+:/-]*", re.ASCII)  # a cell that needs no quotes, whatever the separator


def shown(text: str) -> str:
    """Return text on one line, with control, direction and zero-width characters escaped: \\n, \\x1b, \\u202e."""
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(
        letter if letter.isprintable() and not _UNSEEN.match(letter) else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cut(text: str, most: int) -> str:
    """Return at most `most` characters: the beginning and the end of a longer text."""
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def sentence(text: str) -> str:
    """Return a message as it is printed: on one line, cut in its middle where it is long."""
    return cut(shown(text), LONGEST_SENTENCE)


def duration(seconds: float | None) -> str:
    """Return seconds as text in a unit that suits them, such as `3.5 h`; empty if they are not known."""
    if seconds is None:
        return ""
    unit, name = next((pair for pair in ((3600, "h"), (60, "min")) if seconds >= 2 * pair[0]), (1, "s"))
    return f"{seconds / unit:.3g} {name}"


def markdown_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ("agent",)
) -> list[str]:
    """Return the lines of a Markdown table; its columns of `words` are aligned to the left, all others to the right."""
    rule = [":--" if title in words else "--:" for title in titles]
    cells = [[markdown_cell(cell) for cell in row] for row in (titles, *rows)]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def markdown_cell(text: str) -> str:
    """Return text that Markdown shows as it is written, also in a table."""
    text = shown(text).replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\|*`\[\]~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word it marks no emphasis


def csv_line(cells: Iterable[object]) -> str:
    """Return cells as a line of CSV; an apostrophe is put before a text that a spreadsheet would compute."""
    return ",".join(map(_csv_cell, cells))


def _csv_cell(cell: object) -> str:
    text = shown(str(cell))
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return text if _PLAIN.fullmatch(text) else '"{}"'.format(text.replace('"', '""'))
