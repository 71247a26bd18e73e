"""The report of a population: one HTML page, a pure function of its files, without a clock."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from games.errors import RunFailed
from marl.base.files import write_text
from tournaments.page import page
from tournaments.pairs import SHADES
from tournaments.populations.history import History, with_error

PAGE = "report.html"
DIGITS = 3  # of payoffs in the page
WIDTH, HEIGHT = 640.0, 200.0  # of a chart, in its own units
MARKS = 8  # on an axis of rounds, at most


@dataclass(frozen=True)
class Line:
    """A curve over rounds."""

    name: str
    values: Sequence[float | None]


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


def write_report(history: History) -> Path:
    """Write the page and return its path; raises RunFailed where it cannot be written."""
    path = history.folder / PAGE
    try:
        write_text(path, _html(history))
    except OSError as error:
        raise RunFailed(f"expected to write the report '{path}', got '{error}'; make room there") from error
    return path


def _html(history: History) -> str:
    return page(
        Path(__file__).with_name("population.html.j2"),
        history=history,
        status=history.to_json(),
        exploitability=chart(_exploitability(history)),
        values=chart(_values(history)),
        width=WIDTH,
        height=HEIGHT,
        seats=[_weights(history, seat) for seat in range(2)],
        names=[member.id for member in history.members],
        tables=_tables(history),
        warnings=list(_warnings(history)),
        shades=SHADES,
        with_error=with_error,
    )


def _exploitability(history: History) -> list[Line]:
    """Return the NashConv of the mixtures, exact where it is known, the best so far, and what responses gained."""
    exact = [found["nash_conv"] for found in history.found]
    best = np.minimum.accumulate([np.inf if value is None else value for value in exact]).tolist()
    gains = [
        None if found["gain"] is None else sum(max(0.0, gain) for gain in found["gain"]["mean"])
        for found in history.found
    ]
    at_least = [*gains[1:], None]  # a response answers the mixture of the round before
    lines = [Line("of the round's mixture, exact", exact), Line("of the best mixture so far, exact", best)]
    known = lines if any(value is not None for value in exact) else []
    return [*known, Line("at least: what the next response gained", at_least)]


def _values(history: History) -> list[Line]:
    return [
        Line(f"value of the mixture to the {which} seat", [found["values"][seat] for found in history.found])
        for seat, which in enumerate(("first", "second"))
    ]


def _weights(history: History, seat: int) -> list[list[float]]:
    """Return the weight of each member in each round [rounds][members]."""
    return [
        [found["weights"].get(member.digest, (0.0, 0.0))[seat] for member in history.members] for found in history.found
    ]


def _tables(history: History) -> str:
    """Return the payoff tables of all rounds as JSON: what the row's member is paid in the first seat."""
    tables = [np.round(history.payoff(k)["payoff"][0], DIGITS).tolist() for k in range(len(history.found))]
    return json.dumps(tables, separators=(",", ":"))


def _warnings(history: History) -> Iterator[str]:
    """Yield what a reader should know before the numbers are trusted."""
    idle = [member.id for member in history.members if (gain := history.gain(member)) and not gain.clear]
    if idle:
        yield (
            f"Responses that gained less than two standard errors in both seats: {', '.join(idle)}. Either the mixture "
            "can hardly be exploited, or the learner did not find how: a longer response, or another learner, would "
            "tell."
        )
