"""The table of claims, `docs/claims.yaml`, and the figures that were measured, `docs/measured/*.csv`.

A claim is some commands, which run in a folder of their own, and tables of figures that are read from what these write.
A table's CSV file is the table as its page shows it. Where the figures of a cell are read is what `cells`, the cell's
row and its column say together (tests/claims/sources.py).
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from games.errors import UserError, nearest
from marl.base import yaml
from marl.base.files import read_text
from marl.base.origin import Origin
from marl.base.schema import Frozen, validate
from tests.claims import cells
from tests.claims.sources import Source, placeholders, source

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "claims.yaml"
MEASURED = ROOT / "docs" / "measured"
GIVEN = "given"  # a column, a row that is not measured by the claim's commands: a target, another program's figure
NAME = r"[a-z][a-z0-9_]*"

Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
Seeds = Annotated[tuple[int, ...], BeforeValidator(lambda v: tuple(range(v)) if isinstance(v, int) else tuple(v))]
Part = dict[str, Any] | str


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a date such as 2026-11-29, got '{text}'") from None
    return text


class Measurement(Frozen):
    """When a claim's figures were measured, on what, and with which version of this project."""

    date: Annotated[str, AfterValidator(_day)]
    processor: str
    version: str

    @property
    def when(self) -> str:
        """The date in words, such as 29 November 2026."""
        day = date.fromisoformat(self.date)
        return f"{day.day} {day:%B %Y}"


class Reads(Frozen):
    """How the figures of a table are read. Of a mapping by label, what it leaves out has nothing to add to `cells`."""

    labels: int = 1  # columns on the left that name a row
    cells: dict[str, Any] = {}
    columns: dict[str, Part] = {}
    rows: dict[str, Part] = {}
    error: str = "interval"  # what stands after ±: a 95 % interval, or a `standard` error
    unread: str = ""  # why its figures are not read: they are compared by eye


class Claim(Frozen):
    """What was measured, and how to measure it again."""

    section: str  # of docs/explanation/results: page.md#anchor
    commands: Names
    budget: float  # CPU-minutes of one thread that the commands took
    measured: Measurement
    seeds: Seeds = (0,)
    tables: dict[str, Reads] = {}
    needs: Names = ()  # variables that name what commands need from outside, such as a checkout of another project
    extras: Names = ()  # of this package
    packages: Names = ()  # that commands import besides: those of other projects with which they compare
    cores: int = 1
    dated: str = ""  # why its figures are to be measured again


class Claims(Frozen):
    """The whole file."""

    claims: dict[Annotated[str, Field(pattern=f"^{NAME}$")], Claim]
    front_page: dict[str, str] = {}  # rows of the README's table; {table | row | column} is a cell


@dataclass(frozen=True)
class Figures:
    """A table as it was measured: its titles and its rows of cells."""

    name: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reads: Reads
    seeds: tuple[int, ...]

    @cached_property
    def labels(self) -> list[str]:
        """The label of each row: its first columns, an empty one as in the row above."""
        last, found = [""] * self.reads.labels, []
        for row in self.rows:
            last = [cell or above for cell, above in zip(row, last, strict=False)]
            found.append(" | ".join(filter(None, map(cells.plain, last))))
        return found

    def cell(self, row: str, column: str) -> str:
        """Return a cell by its labels; raises UserError that names near ones."""
        for what, name, known in (("row", row, self.labels), ("column", column, self.titles)):
            if name not in known:
                raise UserError(f"the table '{self.name}' has no {what} '{name}'{nearest(name, known)}")
        return self.rows[self.labels.index(row)][self.titles.index(column)]

    def sources(self) -> Iterator[tuple[int, int, Source]]:
        """Return each cell that is read, by its row and column, and where. Raises UserError for an unknown label."""
        reads = self.reads
        if reads.unread:
            return
        for what, known, given in (("row", self.labels, reads.rows), ("column", self.titles, reads.columns)):
            for label in given:
                if label not in known:
                    raise UserError(f"the table '{self.name}' has no {what} '{label}'{nearest(label, known)}")
        used = placeholders(f"{reads.cells} {reads.rows} {reads.columns}")
        for place, (label, row) in enumerate(zip(self.labels, self.rows, strict=True)):
            for column in range(reads.labels, len(self.titles)):
                parts = (reads.rows.get(label, {}), reads.columns.get(self.titles[column], {}))
                if GIVEN in parts or not cells.figures(row[column]):
                    continue
                if wrong := [part for part in parts if isinstance(part, str)]:
                    raise UserError(f"expected keys or 'given' in the table '{self.name}', got '{wrong[0]}'")
                labels = {"row": label, "column": self.titles[column]}
                said = dict(reads.cells)
                said |= {key: value for part in parts if isinstance(part, Mapping) for key, value in part.items()}
                try:
                    yield place, column, source(said, labels, used)
                except UserError as error:
                    where = f"the cell '{label} | {self.titles[column]}' of the table '{self.name}'"
                    raise UserError(f"{where}: {error}") from None

    def text(self) -> str:
        """Return the table as CSV."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([self.titles, *self.rows])
        return file.getvalue()

    def markdown(self) -> list[str]:
        """Return the table's lines in Markdown; columns of figures with few words are aligned to the right."""
        right = [self._right(column) for column in range(len(self.titles))]
        rule = ["--:" if each else ":--" for each in right]
        lines = [f"| {' | '.join(row)} |" for row in (self.titles, rule, *self.rows)]
        return [re.sub(r"\|  (?=\|)", "| ", line) for line in lines]

    def _right(self, column: int) -> bool:
        said = [row[column] for row in self.rows if row[column]]
        return (
            bool(said)
            and column >= self.reads.labels
            and not any(cells.by_seed(cell) or len(re.sub(r"[\d\s.,±/%*+−-]", "", cell)) > 12 for cell in said)
        )


def read(path: Path = TABLE) -> Claims:
    """Read the table of claims; raises UserError for the first thing that does not fit."""
    try:
        text = read_text(path, yaml.MOST)
        data = yaml.read(text)
    except (OSError, ValueError) as error:
        raise UserError(f"the table of claims '{path}' could not be read: {error}") from error
    return validate(Claims, data, Origin(f"'{path.name}'", data, text))


def figures_of(claim: Claim, table: str, folder: Path = MEASURED) -> Figures:
    """Read the figures of one table of a claim; raises UserError where there are none, or a row is not whole."""
    path = folder / f"{table}.csv"
    try:
        titles, *rows = csv.reader(io.StringIO(read_text(path)))
    except (OSError, ValueError) as error:
        raise UserError(f"the figures of the table '{table}' could not be read from '{path}': {error}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(titles):
            raise UserError(f"expected {len(titles)} cells in line {number} of '{path}', got {len(row)}")
    return Figures(table, tuple(titles), tuple(map(tuple, rows)), claim.tables[table], claim.seeds)


def chosen(claims: Claims, names: list[str]) -> dict[str, Claim]:
    """Return claims by their names; raises UserError for an unknown one, with near ones."""
    for name in names:
        if name not in claims.claims:
            hint = nearest(name, claims.claims) or "; `make claims` lists them"
            raise UserError(f"there is no claim '{name}'{hint}")
    return {name: claims.claims[name] for name in names}


def spread_out(claim: Claim) -> list[str]:
    """Return the commands of a claim; one with {seed} in it once for each seed, those in a row seed by seed."""
    lines: list[str] = []
    for block in blocks(claim):
        if "seed" in placeholders(block[0]):
            lines += [line.replace("{seed}", str(seed)) for seed in claim.seeds for line in block]
        else:
            lines += block
    return lines


def blocks(claim: Claim) -> list[list[str]]:
    """Return the commands in groups: those in a row that have {seed} in them, and those that have not."""
    groups: list[list[str]] = []
    for line in claim.commands:
        if groups and ("{seed}" in line) == ("{seed}" in groups[-1][0]):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups
