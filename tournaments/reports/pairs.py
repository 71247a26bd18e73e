"""What each pair of agents did: the tables of a report's page, and `pairs.csv`.

A page has the first MOST_SHOWN agents of the leaderboard; the file has all pairs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats
from games.text import csv_line, cut
from tournaments.ratings.elo import Ratings
from tournaments.ratings.matchups import Matchups
from tournaments.reports.summary import Summary

MOST_SHOWN = 100  # agents in a table of a page, which has their number squared cells
FEW, NAME = 30, 20  # of more agents than these, names in the titles of cells are cut to so many characters
SHADES = 13  # of each colour

Link = Callable[[str, str], str]  # from two agents, in either order, to where their games are listed; "" for nowhere


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: what it shows, small print, and its title."""

    text: str
    colour: str | None  # `good` or `bad` for the row, and a shade; None where there is nothing
    small: str
    title: str
    best: bool = False  # the row is a best response to the column
    link: str = ""  # to the games


NOTHING = Cell("", None, "", "")


def unlinked(agent: str, other: str) -> str:
    """Link the cell of two agents to nothing."""
    return ""


def written(mean: float | None, ci95: float | None = None) -> str:
    """Return a mean as text, with its interval where it has one."""
    if mean is None or np.isnan(mean):
        return "—"
    shown = f"{round(mean, 3) + 0.0:.3f}"  # and no minus before a zero
    return shown + (f" ± {ci95:.3f}" if ci95 is not None and not np.isnan(ci95) else "")


def cross_table(summary: Summary, link: Link = unlinked) -> list[list[Cell]]:
    """Return the row agent's score against the column agent, in percent; `link` leads from a cell to its games."""
    named = _named(summary.agents)
    wdl = summary.wdl[: len(named), : len(named)].tolist()

    def cell(i: int, j: int) -> Cell:
        w, d, loss = wdl[i][j]
        games = w + d + loss
        if i == j or not games:
            return NOTHING
        score = (w + d / 2) / games
        title = f"{named[i]} against {named[j]}: {w} won, {d} drawn, {loss} lost of {games}"
        agents = summary.agents[i], summary.agents[j]
        return Cell(f"{100 * score:.0f}", _colour(score), str(games), title, link=link(*agents))

    return _square(len(named), cell)


def superiority_table(summary: Summary, ratings: Ratings) -> list[list[Cell]]:
    """Return the likelihood that the row agent is the stronger, in percent."""
    named = _named(summary.agents)
    first = slice(len(named))
    superiority, half = ratings.superiority[first, first].tolist(), ratings.difference_ci95[first, first].tolist()
    elo = ratings.elo.tolist()

    def cell(i: int, j: int) -> Cell:
        likely = superiority[i][j]
        if i == j or np.isnan(likely):
            return NOTHING
        text = f"{100 * likely:.0f}" if 0.005 <= likely <= 0.995 else (">99" if likely > 0.5 else "<1")
        gap = f"{elo[i] - elo[j]:z.0f} ± {half[i][j]:.0f}"
        title = f"{named[i]} is {gap} Elo above {named[j]}; likelihood {likely:.4f}"
        return Cell(text, _colour(likely), "", title)

    return _square(len(named), cell)


def payoff_table(
    table: Matchups, payoff: Floats, ci95: Floats, best: NDArray[np.bool_], link: Link = unlinked
) -> list[list[Cell]]:
    """Return payoffs of the row agent against the column agent, coloured from the least of them to the most."""
    named = _named(table.agents)
    low, high = np.nanmin(payoff, initial=np.inf), np.nanmax(payoff, initial=-np.inf)

    def cell(i: int, j: int) -> Cell:
        mean, half, games = float(payoff[i, j]), float(ci95[i, j]), int(table.games[i, j])
        if np.isnan(mean):
            return NOTHING
        heat = float((mean - low) / (high - low)) if high > low else 0.5
        title = f"{named[i]} against {named[j]}: {written(mean, half)} per {table.unit}, {games} games"
        small = "" if np.isnan(half) else f"± {half:.3f}"
        return Cell(
            written(mean), _colour(heat), small, title, bool(best[i, j]), link(table.agents[i], table.agents[j])
        )

    return _square(len(named), cell)


def first_shown(agents: Sequence[str]) -> Sequence[str]:
    """Return the agents that the tables of a page have."""
    return agents[:MOST_SHOWN]


def left_out(agents: Sequence[str]) -> str:
    """Return a sentence that says which agents the tables of a page do not have; "" where they have all."""
    if len(agents) <= MOST_SHOWN:
        return ""
    return f"The first {MOST_SHOWN} of {len(agents)} agents; pairs.csv has every pair."


def csv_of_pairs(summary: Summary) -> str | None:
    """Return all pairs of agents as CSV; None for games of more than two players without Elo.

    With ratings each pair is one line, the agent that stands higher first; payoffs have a line for each direction.
    """
    if summary.ratings:
        return "\n".join(_rated_pairs(summary, summary.ratings)) + "\n"
    if summary.matchups:
        return "\n".join(_paid_pairs(summary.matchups)) + "\n"
    return None


def _rated_pairs(summary: Summary, ratings: Ratings) -> Iterator[str]:
    yield "agent,other,games,won,drawn,lost,score,elo_difference,ci95,superiority"
    names = [csv_line([agent]) for agent in summary.agents]
    i, j = np.triu_indices(len(names), 1)
    won, drawn, lost = summary.wdl[i, j].T
    games = won + drawn + lost
    score = np.divide(won + drawn / 2, games, out=np.full(len(games), np.nan), where=games > 0)
    gap = np.where(ratings.part[i] == ratings.part[j], ratings.elo[i] - ratings.elo[j], np.nan)
    counts = (numbers.tolist() for numbers in (games, won, drawn, lost))
    half = np.where(np.isnan(gap), np.nan, ratings.difference_ci95[i, j])
    means = ((score, 6), (gap, 3), (half, 3), (ratings.superiority[i, j], 6))
    pairs = zip(i.tolist(), j.tolist(), *counts, *(_decimals(*mean) for mean in means), strict=True)
    for a, b, g, w, d, ls, s, e, h, p in pairs:
        yield f"{names[a]},{names[b]},{g},{w},{d},{ls},{s},{e},{h},{p}"


def _paid_pairs(table: Matchups) -> Iterator[str]:
    yield "agent,other,games,payoff,ci95,welfare,welfare_ci95,nash_welfare,egalitarian,best_response,unit"
    names = [csv_line([agent]) for agent in table.agents]
    numbers = (table.payoff, table.ci95, table.welfare, table.welfare_ci95, table.nash_welfare, table.egalitarian)
    means = (_decimals(m.ravel(), 6) for m in numbers)
    best = np.where(table.best.ravel(), "true", "false").tolist()
    pairs = zip(table.games.ravel().tolist(), *means, best, strict=True)
    for k, (games, *cells) in enumerate(pairs):
        a, b = divmod(k, len(names))
        yield f"{names[a]},{names[b]},{games},{','.join(cells)},{table.unit}"


def _decimals(numbers: Floats, digits: int) -> Iterable[str]:
    """Write numbers; those that are not finite are empty."""
    form = f"%.{digits}f"
    finite = np.isfinite(numbers).tolist()
    return (form % number if known else "" for number, known in zip(numbers.tolist(), finite, strict=True))


def _named(agents: Sequence[str]) -> list[str]:
    """Return how to name the agents of a table in the titles of its cells."""
    return [agent if len(agents) <= FEW else cut(agent, NAME) for agent in first_shown(agents)]


def _square(size: int, cell: Callable[[int, int], Cell]) -> list[list[Cell]]:
    return [[cell(i, j) for j in range(size)] for i in range(size)]


def _colour(heat: float) -> str:
    """Return the colour of a cell from 0, bad for the row, to 1, good."""
    return f"{'good' if heat >= 0.5 else 'bad'} h{round(abs(heat - 0.5) * 2 * SHADES)}"
