"""The payoff table of a two-player game as a picture: a row for each agent, coloured by what it earns from each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.arrays import Floats
from games.errors import UserError
from marl.base import picture
from tournaments.ratings.matchups import Matchups, matchups
from tournaments.reports.pairs import written
from tournaments.reports.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "RdYlBu"  # distinguishable for colour-blind readers
DARK = 0.5  # luminance below which text is white


def draw(summary: Summary, out: Path) -> Matchups:
    """Write the picture and return its table; raises UserError if there are no games, or it cannot be written."""
    picture.check(out)
    table = summary.matchups or matchups(summary.results)
    if not table.agents:
        raise UserError("expected games to draw, got a tournament without any; run it first")
    n = len(table.agents)
    with picture.picture(out, 3.6 + 0.95 * n, 2.6 + 0.68 * n) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(np.ma.masked_invalid(table.payoff), cmap=COLOURS, aspect="auto")
        _write_cells(axes, table, image.to_rgba(table.payoff)[..., :3] @ (0.299, 0.587, 0.114))
        names = [picture.label(agent, 28) for agent in table.agents]
        axes.set_xticks(range(n), names, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), names)
        axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        name = picture.label(summary.title, 20 + 12 * n)
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", pad=20)
        caption = f"the row's payoff per {table.unit} against the column, ± 95 %; bold: best response"
        note = axes.annotate(caption, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8.5, color="#666666")
        note.set_in_layout(False)
        figure.colorbar(image, label=f"payoff per {table.unit}").outline.set_visible(False)
    return table


def _write_cells(axes: "Axes", table: Matchups, luminance: Floats) -> None:
    """Write each payoff and its interval into its cell; `luminance` [n, n] is that of the cells."""
    for i, j in np.argwhere(table.games).tolist():
        payoff, half = table.payoff[i, j], table.ci95[i, j]
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if luminance[i, j] < DARK else "black"}
        look |= {"textcoords": "offset points", "weight": "bold" if table.best[i, j] else "normal"}
        axes.annotate(written(payoff), (j, i), (0, 5), size=10, **look)
        axes.annotate("" if np.isnan(half) else f"± {half:.3f}", (j, i), (0, -7), size=7.5, **look)
