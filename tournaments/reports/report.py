"""The report of a tournament: a leaderboard on the terminal, in Markdown and in CSV, and one HTML page.

Each is a pure function of the store and of what its schedule found, without a clock: the same store gives the same
bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.table import Table

from games.errors import RunFailed
from games.text import csv_line, duration, markdown_cell, markdown_table, shown
from marl.agents.populations import FILE as POPULATION
from marl.base.files import write_parts
from marl.base.terminal import Terminal
from tournaments.ratings.elo import K, Rating
from tournaments.ratings.matchups import Matchups
from tournaments.ratings.model import PRIOR_SD
from tournaments.records.played import TERMINATIONS, Game
from tournaments.reports.games import MOST_WRITTEN, Pairing, csv_of_games, games_page, pairings
from tournaments.reports.games import PAGE as GAMES_PAGE
from tournaments.reports.games import TABLE as GAMES_CSV
from tournaments.reports.metagame import metagame_lines, metagame_section
from tournaments.reports.page import page
from tournaments.reports.pairs import (
    SHADES,
    cross_table,
    csv_of_pairs,
    first_shown,
    left_out,
    payoff_table,
    superiority_table,
    written,
)
from tournaments.reports.responses import responses_section
from tournaments.reports.schedule import RESULT, RESULT_TABLE, schedule_section
from tournaments.reports.sections import Section, markdown_of
from tournaments.reports.summary import Summary, listed
from tournaments.reports.teams import team_lines, team_section

PAGE = "report.html"
FILES = {  # beside the page, and what they hold
    "leaderboard.csv": "the leaderboard",
    "leaderboard.md": "the leaderboard as Markdown",
    "pairs.csv": "every pair of agents",
    GAMES_PAGE: "the games of each pairing",
    GAMES_CSV: "every game",
    RESULT_TABLE: "what the schedule found",
    RESULT: "the same as JSON",
}
RATING_TITLES = ["rank", "agent", "Elo", "±95 %", "games", "score"]
CLEAN_TITLES = ["Elo without forfeits", "±95 %"]
WELFARE = ("welfare", "Nash product", "egalitarian")  # of a general-sum game; players of a team fare alike
PADDING = 2  # cells of a terminal beside each column
NAME_WIDTH = 6  # cells: the least width of names on a narrow terminal


def print_leaderboard(console: Terminal, summary: Summary) -> None:
    """Print the leaderboard, or the payoffs and why there is no Elo.

    Agents that never finished a game come first, warnings last, one line each.
    """
    for line in summary.never_finished.values():
        console.print(line, style="bold yellow")
    if summary.reason:
        console.print(summary.reason)
        print_table(console, ["agent", *_payoff_titles(summary)], _payoff_rows(summary))
    if summary.matchups:
        console.print(_unit_line(summary, summary.matchups))
    for number, part in enumerate(summary.ratings.parts if summary.ratings else [], start=1):
        if summary.ratings and len(summary.ratings.parts) > 1:
            console.print(f"Part {number} of {len(summary.ratings.parts)}", style="bold")
        print_table(console, _rating_titles(summary), [_rating_cells(summary, rating) for rating in part.ratings])
    if summary.ratings:
        console.print(_seat_line(summary))
    if summary.teams:
        console.print(_teams_line(summary))
    for line in (*metagame_lines(summary), *team_lines(summary)):
        console.print(line)
    print_warnings(console, summary)


def print_table(console: Terminal, titles: Sequence[str], rows: Sequence[Sequence[str]], name: str = "agent") -> None:
    """Print a table without cutting cells.

    The names in the column `name` wrap on a narrow terminal; numbers and piped output never do.
    """
    widths = [max(cell_len(shown(cell)) for cell in column) for column in zip(titles, *rows, strict=True)]
    width = sum(widths) + PADDING * len(widths)
    if console.is_terminal:
        names = titles.index(name)
        spare = min(max(0, width - console.width), max(0, widths[names] - NAME_WIDTH))
        width, widths[names] = width - spare, widths[names] - spare
    table = Table(box=None, header_style="bold", width=width)
    for title, column in zip(titles, widths, strict=True):
        if title == name:
            table.add_column(title, justify="left", overflow="fold", width=column)
        else:
            table.add_column(title, justify="right", overflow="fold", no_wrap=True, width=column)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_warnings(console: Terminal, summary: Summary) -> None:
    """Print the warnings about the numbers, one line each."""
    for warning in summary.warnings:
        console.print(f"warning: {warning}", style="yellow")


def _rating_titles(summary: Summary) -> list[str]:
    clean = CLEAN_TITLES if summary.clean else []
    return [*RATING_TITLES, *_tally_titles(summary), *clean, *(["mean payoff"] if summary.sides > 2 else [])]


def _rating_cells(summary: Summary, rating: Rating) -> list[str]:
    """Return the cells of `_rating_titles`."""
    rank = str(rating.rank) if rating.rank == rating.rank_worst else f"{rating.rank}–{rating.rank_worst}"
    score = "—" if np.isnan(rating.score) else f"{100 * rating.score:.1f} %"
    cells = [rank, rating.agent, f"{rating.elo:z.0f}", half_width(rating.ci95), str(rating.games), score]
    cells += map(str, summary.tallies.get(rating.agent, ()))
    if summary.clean:
        clean = summary.without_forfeits.get(rating.agent)
        cells += ["—", "—"] if clean is None else [f"{clean.elo:z.0f}", half_width(clean.ci95)]
    if summary.sides > 2:
        paid = summary.mean_payoff[rating.agent]
        cells.append(written(paid.mean, paid.ci95))
    return cells


def _tally_titles(summary: Summary) -> list[str]:
    return ["won", "drawn", "lost"] if summary.tallies else []


def half_width(ci95: float) -> str:
    """Return the half width of an interval in Elo as text; a dash if it is infinite, as with one seed."""
    return f"{ci95:.0f}" if np.isfinite(ci95) else "—"


def _payoff_titles(summary: Summary) -> list[str]:
    if summary.matchups:
        fares = WELFARE if summary.payoff_rule == "general_sum" else WELFARE[:1]
        return [f"payoff per {summary.matchups.unit}", "self-play", "cross-play", *fares, "games"]
    return ["mean payoff", *(f"{summary.side} {k}" for k in range(summary.sides)), "games"]


def _payoff_rows(summary: Summary) -> list[list[str]]:
    """Return a row for each agent: its name, then the columns of `_payoff_titles`."""
    if summary.matchups:
        fares = len(_payoff_titles(summary)) - 4
        return [
            [
                line.agent,
                written(line.payoff, line.ci95),
                *(written(payoff) for payoff in (line.self_play, line.cross_play)),
                *(written(fare) for fare in (line.welfare, line.nash_welfare, line.egalitarian)[:fares]),
                str(line.games),
            ]
            for line in summary.matchups.standings
        ]
    cells = {(p.agent, p.seat): p for p in summary.payoffs}
    return [
        [
            agent,
            *(
                written(cell.mean, cell.ci95) if (cell := cells.get((agent, seat))) else "—"
                for seat in (None, *range(summary.sides))
            ),
            str(cells[agent, None].games),
        ]
        for agent in summary.agents
    ]


def _unit_line(summary: Summary, table: Matchups) -> str:
    """Return a line with the unit of the payoffs and the best response to the pool."""
    lengths, steps = summary.results.lengths, ""
    if table.unit == "step" and lengths is not None and len(lengths):
        low, high = int(lengths.min()), int(lengths.max())
        steps = f" (a game has {low if low == high else f'{low} to {high}'})"
    best = f" Best response to the pool: {listed(table.best_against_pool)}." if table.agents else ""
    if summary.payoff_rule == "general_sum" and table.agents:
        best += f" Nash products are of payoffs above {written(table.least)}, the least of any pairing."
    return f"Payoffs are per {table.unit}{steps}, against the pool: all agents, itself included.{best}"


def sections_of(summary: Summary, folder: Path) -> list[Section]:
    """Return the sections beyond the leaderboard and its tables; what else `folder` has is among them."""
    responses = responses_section(folder, summary.partnerships if summary.payoff_rule == "team" else None)
    found = schedule_section(folder), metagame_section(summary), responses, team_section(summary)
    return [section for some in found for section in some]


def _seat_line(summary: Summary) -> str:
    ratings = summary.ratings
    if ratings is None or not len(summary.results):
        return "No game has a result."
    drawn = f"{100 * ratings.draw_rate:.1f} %"
    worth = [f"{seat.elo:z.0f} ± {half_width(seat.ci95)}" for seat in ratings.seats]
    if len(worth) == 2:
        return f"The first {summary.side} is worth {worth[0]} Elo; {drawn} of games drawn."
    seats = ", ".join(f"{summary.side} {k}: {elo}" for k, elo in enumerate(worth))
    worth_each = f"Elo that {summary.side}s are worth, against the mean of the others: {seats}"
    return f"{worth_each}; {drawn} of comparisons of two drawn."


def _teams_line(summary: Summary) -> str:
    """Return a sentence on who is in which team; "" for a game without teams."""
    if not summary.teams:
        return ""
    teams = "; ".join(
        f"team {k} has seat{'s' * (len(team) > 1)} {_counted(team)}" for k, team in enumerate(summary.teams)
    )
    return f"An agent holds all seats of a team, and a team is paid the sum of what its players are: {teams}."


def _counted(numbers: Sequence[int]) -> str:
    """Return numbers in words, as 0, 1 and 2; consecutive ones of more than four by their ends, as 0 to 5."""
    if len(numbers) > 4 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    first, last = ", ".join(map(str, numbers[:-1])), str(numbers[-1])
    return f"{first} and {last}" if first else last


def _method(summary: Summary) -> str:
    """Return a description of how the numbers were computed."""
    return " ".join(filter(None, [_teams_line(summary), _model(summary)]))


def _model(summary: Summary) -> str:
    if summary.matchups:
        fares = (
            " Of a pairing's mean payoffs the Nash product is the geometric mean, above the least of any pairing, and "
            "egalitarian the lower one."
        )
        return (
            f"Payoffs per {summary.matchups.unit}, both seatings together. Against the pool: the mean over all agents, "
            "itself included. Self-play is against itself, cross-play the mean over the others, welfare the sum of the "
            f"players' payoffs.{fares if summary.payoff_rule == 'general_sum' else ''} A best response is the agent "
            "with the highest mean payoff against that agent. Intervals are 95 % intervals of Student's t over seeds, "
            "since the games of one seed share their chance events."
        )
    if not summary.ratings:
        return (
            "Mean payoffs with 95 % intervals. Games of one seed share their chance events and count as one cluster; "
            "the intervals are of Student's t over clusters."
        )
    opponents = "teams" if summary.teams else "players"
    model = (
        f"The {opponents} of a game are ranked by payoff. The model of Plackett and Luce, with ties of Davidson and "
        f"Luce (Firth, Kosmidis and Turner 2019) and an effect of each {summary.side}"
    )
    if summary.sides == 2:
        model = (
            f"The {opponents[:-1]} with the higher payoff has won. Davidson's model (1970) of wins, draws and losses, "
            f"with one {summary.side} effect"
        )
    prior = f"a normal prior on strength with a standard deviation of {PRIOR_SD:g} logits ({K * PRIOR_SD:.0f} Elo)"
    if lineage := summary.ratings.lineage:
        prior += f", and of {K * lineage.sd:.0f} Elo on the gain from each checkpoint of a run to the next"
    forfeits = ""
    if summary.clean:
        forfeits = " Elo without forfeits is by the games that nobody forfeited, relative to the mean of their agents."
        if summary.sides > 2:
            forfeits += " Of a forfeited game only this counts: whoever forfeited it is behind the others."
    return (
        f"{model}, fitted to all games at once with {prior}. Elo is relative to the mean of the agents it is shown "
        "with. Intervals are 95 % intervals of Student's t over seeds, since the games of one seed share their chance "
        "events and the agents' luck. An agent's best rank is 1 + the agents above it by more than the interval of the "
        "difference, its worst rank that of all others but those below it by more; agents that cannot be told apart "
        f"share a rank.{forfeits}"
    )


def _markdown(summary: Summary, sections: Sequence[Section]) -> str:
    lines = [f"# {markdown_cell(summary.title)}", ""]
    for line in summary.never_finished.values():
        lines += [f"**{markdown_cell(line)}**", ""]
    if summary.reason:
        titles = ["agent", *_payoff_titles(summary)]
        lines += [summary.reason, "", *markdown_table(titles, _payoff_rows(summary)), ""]
    if summary.matchups:
        table = summary.matchups
        lines += [markdown_cell(_unit_line(summary, table)), ""]
        first = first_shown(table.agents)
        n = len(first)
        best = ["best response", *(listed(line.best_responses, most=2) for line in table.standings[:n])]
        for title, mean, ci95, below in (
            ("The row's payoff against the column", table.payoff, table.ci95, [best]),
            ("Social welfare: the sum of both payoffs", table.welfare, table.welfare_ci95, []),
        ):
            rows = [
                [agent, *map(written, *cells)] for agent, *cells in zip(first, mean[:n, :n], ci95[:n, :n], strict=True)
            ]
            more = [left_out(table.agents), ""] if len(table.agents) > n else []
            lines += [f"## {title}", "", *more, *markdown_table(["agent", *first], rows + below), ""]
    for number, part in enumerate(summary.ratings.parts if summary.ratings else [], start=1):
        if summary.ratings and len(summary.ratings.parts) > 1:
            lines += [f"## Part {number}", ""]
        rows = [_rating_cells(summary, rating) for rating in part.ratings]
        lines += [*markdown_table(_rating_titles(summary), rows), ""]
    if summary.ratings:
        lines += [_seat_line(summary), ""]
    lines += markdown_of(sections)
    lines += [f"- {markdown_cell(warning)}" for warning in summary.warnings] + ([""] if summary.warnings else [])
    return "\n".join([*lines, _method(summary), ""])


def _csv(summary: Summary) -> str:
    return "".join(f"{csv_line(row)}\n" for row in _csv_rows(summary))


def _csv_rows(summary: Summary) -> Iterator[list[str | int]]:
    if summary.ratings:
        fields = ["rank", "rank_worst", "agent", "elo", "ci95", "games", "score", "part", "prior_dominated"]
        yield [*fields, *_tally_titles(summary), "elo_without_forfeits", "ci95_without_forfeits"]
        for r in summary.ratings.ratings:
            score, prior_dominated = _decimal(r.score, 6), str(r.prior_dominated).lower()
            clean, tally = summary.without_forfeits.get(r.agent), summary.tallies.get(r.agent, ())
            numbers = [_decimal(clean.elo, 3), _decimal(clean.ci95, 3)] if clean else ["", ""]
            elo, ci95 = _decimal(r.elo, 3), _decimal(r.ci95, 3)
            yield [r.rank, r.rank_worst, r.agent, elo, ci95, r.games, score, r.part, prior_dominated, *tally, *numbers]
    elif summary.matchups:
        unit = summary.matchups.unit
        means = ["payoff", "ci95", "self_play", "cross_play", "welfare", "nash_welfare", "egalitarian"]
        yield ["agent", *means, "games", "best_responses", "unit"]
        for line in summary.matchups.standings:
            values = (getattr(line, name) for name in means)
            numbers = ["" if mean is None else f"{mean:.6f}" for mean in values]
            yield [line.agent, *numbers, line.games, "; ".join(line.best_responses), unit]
    else:
        yield ["agent", "seat", "mean", "ci95", "games"]
        for p in summary.payoffs:
            ci95 = "" if p.ci95 is None else f"{p.ci95:.6f}"
            mean = "" if p.mean is None else f"{p.mean:.6f}"
            yield [p.agent, "all" if p.seat is None else p.seat, mean, ci95, p.games]


def _decimal(number: float, digits: int) -> str:
    """Write a number; it is empty where it is not known or infinite."""
    return f"{number:.{digits}f}" if np.isfinite(number) else ""


@dataclass(frozen=True)
class _Bar:
    """The bar of a rating, in percent of the width: the interval from `left` to `right`, the rating at `middle`."""

    left: float
    middle: float
    right: float


def _bars(part: Sequence[Rating]) -> tuple[list[_Bar], float]:
    """Return the bars of a part on one axis, which an infinite interval spans, and the place of 0 Elo on it."""
    ends = [end for r in part for end in (r.elo - r.ci95, r.elo, r.elo + r.ci95) if np.isfinite(end)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = 0.04 * (high - low) or 1.0

    def place(elo: float) -> float:
        return min(100.0, max(0.0, 100 * (elo - low + margin) / (high - low + 2 * margin)))

    return [_Bar(place(r.elo - r.ci95), place(r.elo), place(r.elo + r.ci95)) for r in part], place(0.0)


def page_facts(summary: Summary, sections: Sequence[Section], link: Callable[[str, str], str]) -> dict[str, Any]:
    """Return what the parts of a page show; `link` leads from two agents to their games, or is empty."""
    ratings, table = summary.ratings, summary.matchups
    parts = [(part, *_bars(part.ratings)) for part in ratings.parts] if ratings else []
    no_best = np.zeros((len(summary.agents),) * 2, bool)
    return {
        "summary": summary,
        "ratings": ratings,
        "parts": parts,
        "rating_titles": _rating_titles(summary),
        "rating_cells": lambda rating: _rating_cells(summary, rating),
        "seat_line": _seat_line(summary),
        "half_width": half_width,
        "payoff_titles": _payoff_titles(summary),
        "payoff_rows": [] if ratings else _payoff_rows(summary),
        "shown_agents": first_shown(summary.agents),
        "left_out": left_out(summary.agents),
        "cross_table": cross_table(summary, link) if ratings else [],
        "superiority": superiority_table(summary, ratings) if ratings else [],
        "matchups": table,
        "unit_line": _unit_line(summary, table) if table else "",
        "payoff_table": payoff_table(table, table.payoff, table.ci95, table.best, link) if table else [],
        "welfare_table": payoff_table(table, table.welfare, table.welfare_ci95, no_best) if table else [],
        "sections": sections,
        "terminations": [kind for kind in TERMINATIONS if any(ending.counts[kind] for ending in summary.endings)],
        "method": _method(summary),
        "duration": duration,
    }


def _html(summary: Summary, sections: Sequence[Section], found: Sequence[Pairing], files: Mapping[str, str]) -> str:
    anchors = {frozenset(pairing.agents): f"{GAMES_PAGE}#{pairing.anchor}" for pairing in found}

    def link(agent: str, other: str) -> str:
        return anchors.get(frozenset((agent, other)), "")

    facts = page_facts(summary, sections, link) | {"shades": SHADES, "linked": bool(found)}
    facts |= {"files": files, "most_written": MOST_WRITTEN}
    return page(Path(__file__).with_name("report.html.j2"), **facts)


def write_report(summary: Summary, folder: str | Path, games: Sequence[Game] | None = None) -> dict[str, Path]:
    """Write `leaderboard.md`, `leaderboard.csv`, `report.html` and tables of pairs (`pairs.csv`) into a folder.

    Games without Elo have pairs if they have two players. With `games` (`games_of`) also `games.csv` and, if they are
    few, `games.html`, to which the cells of the page's tables lead; without, such files of an earlier report are
    removed. The page is `tournament.html` in the folder of a population, whose own report is `report.html`. Return the
    paths by file name. Raises UserError for a damaged `schedule.json`.
    """
    folder = Path(folder)
    page = "tournament.html" if (folder / POPULATION).exists() else PAGE
    sections = sections_of(summary, folder)
    texts: dict[str, Iterable[str]] = {
        "leaderboard.md": [_markdown(summary, sections)],
        "leaderboard.csv": [_csv(summary)],
    }
    if (pairs := csv_of_pairs(summary)) is not None:
        texts["pairs.csv"] = [pairs]
    found = pairings(games or (), summary.agents, summary.teams)
    if games is not None:
        texts[GAMES_CSV] = csv_of_games(games, summary.num_players)
    beside = [
        *texts,
        *([GAMES_PAGE] if found else []),
        *(name for name in (RESULT, RESULT_TABLE) if (folder / name).exists()),
    ]
    texts[page] = [_html(summary, sections, found, {name: what for name, what in FILES.items() if name in beside})]
    if found:
        texts[GAMES_PAGE] = [games_page(summary.title, found, page)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, parts in texts.items():
            write_parts(folder / name, parts)
        for name in {GAMES_CSV, GAMES_PAGE} - texts.keys():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(f"expected to write a report to '{folder}', got '{error}'; give another folder") from error
    return {name: folder / name for name in texts}
