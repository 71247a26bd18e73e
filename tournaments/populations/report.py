"""The report of a population: one HTML page, a pure function of its files, without a clock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from games.errors import RunFailed
from marl.base.files import write_text
from tournaments.populations.history import NOTHING, History, Line
from tournaments.reports.page import page
from tournaments.reports.pairs import SHADES

PAGE = "report.html"
DIGITS = 3  # of payoffs in the page
CELLS = 500_000  # of payoff tables in the page, at most: some megabytes
WIDTH, HEIGHT = 640.0, 200.0  # of a chart, in its own units
MARKS = 8  # on an axis of rounds, at most


@dataclass(frozen=True)
class Chart:
    """Curves over rounds, in the units of the picture."""

    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]  # name, points
    ticks: Sequence[tuple[float, str]]  # of the vertical axis: place, text
    rounds: Sequence[tuple[float, str]]  # of the horizontal axis


def chart(lines: Sequence[Line]) -> Chart | None:
    """Return curves as a chart; None where no curve has a value."""
    values = [value for line in lines for value in line.values if value is not None]
    if not values:
        return None
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    last = max(1, max(len(line.values) for line in lines) - 1)

    def place(value: float) -> float:
        return round(HEIGHT * (high - value) / (high - low), 2)

    def across(number: int) -> float:
        return round(WIDTH * number / last, 2)

    drawn = [
        (line.name, [(across(k), place(value)) for k, value in enumerate(line.values) if value is not None])
        for line in lines
    ]
    levels = [low + (high - low) * k / 4 for k in range(5)]
    marks = range(0, last + 1, -(-last // MARKS))
    return Chart(drawn, [(place(level), f"{level:.3g}") for level in levels], [(across(k), str(k)) for k in marks])


def write_report(history: History[Any]) -> Path:
    """Write the page and return its path; raises RunFailed where it cannot be written."""
    path = history.folder / PAGE
    try:
        write_text(path, _html(history))
    except OSError as error:
        raise RunFailed(f"expected to write the report '{path}', got '{error}'; make room there") from error
    return path


def _html(history: History[Any]) -> str:
    return page(
        Path(__file__).with_name("population.html.j2"),
        history=history,
        status=history.to_json(),
        members=[(member, history.row(member)) for member in history.members],
        sections=[(section, chart(section.lines)) for section in history.sections],
        width=WIDTH,
        height=HEIGHT,
        tables=json.dumps(tables_of(history), separators=(",", ":")).replace("<", "\\u003c"),
        shades=SHADES,
        nothing=NOTHING,
    )


def tables_of(history: History[Any]) -> list[dict[str, Any]]:
    """Return payoff tables as JSON data: of all rounds, or where that is too much for a page, of the newest ones."""
    found: list[dict[str, Any]] = []
    left = CELLS
    for number in reversed(range(len(history.found))):
        table = history.table(number)
        if table is None:
            continue
        left -= len(table.names) ** 2
        if found and left < 0:
            break
        paid = [[None if value is None else round(value, DIGITS) for value in row] for row in table.paid]
        found.append({"round": table.round, "names": list(table.names), "paid": paid})
    return found[::-1]
