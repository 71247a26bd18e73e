"""Sections of a report beyond its leaderboard: what they say, whatever they are shown on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from games.text import markdown_cell, markdown_table


@dataclass(frozen=True)
class Table:
    """A table whose first column names; `caption` says what it shows."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report: sentences, tables, and remarks behind them."""

    id: str  # its anchor on the page
    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    remarks: Sequence[str] = ()


def markdown_of(sections: Iterable[Section]) -> Iterator[str]:
    """Yield the lines of sections as Markdown."""
    for section in sections:
        yield from (f"## {section.title}", "")
        for text in section.texts:
            yield from (markdown_cell(text), "")
        for table in section.tables:
            if table.caption:
                yield from (markdown_cell(table.caption), "")
            yield from (*markdown_table(table.titles, table.rows, words=table.titles[:1]), "")
        for text in section.remarks:
            yield from (markdown_cell(text), "")
