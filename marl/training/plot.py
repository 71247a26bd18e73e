"""Learning curves as a picture, and their last values as a Markdown table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from games.text import duration, markdown_cell, markdown_table
from marl.base import picture
from marl.training.curves import Curve, Plot, mean


def beside(folders: Sequence[Path]) -> Path:
    """Return the folder for a picture: the one that is drawn, or else the parent of all, or the working folder."""
    places = {folder.absolute().parent for folder in folders}
    if len(folders) == 1:
        return folders[0]
    return folders[0].parent if len(places) == 1 else Path()


def table(plot: Plot) -> str:
    """Return the last values of the curves as a Markdown table."""
    titles = ["curve", "seeds", "steps", "at the end", "estimate", "interval", "wall time a run", "CPU time a run"]
    rows = []
    for curve in plot.curves:
        bounds = ""
        if curve.low is not None and curve.high is not None:
            bounds = f"{curve.low[-1]:.4g} to {curve.high[-1]:.4g} ({curve.interval})"
        cells = [curve.label, str(len(curve.runs)), _steps(curve), f"{curve.value[-1]:.4g}", curve.estimate, bounds]
        times = [mean([run.wall for run in curve.runs]), mean([run.cpu for run in curve.runs])]
        rows.append([*cells, *map(duration, times)])
    lines = markdown_table(titles, rows, words=("curve", "estimate", "interval"))
    return "\n".join([markdown_cell(f"{plot.game}: {plot.title}"), "", *lines])


def draw(plot: Plot, out: Path) -> None:
    """Write the curves as a picture; raises UserError where it cannot be written, or in that format."""
    sizes = {len(curve.runs) for curve in plot.curves}
    names = [f"{curve.label} ({_seeds(curve)})" if len(sizes) > 1 else curve.label for curve in plot.curves]
    names = [picture.label(name, picture.LEGEND_WIDTH) for name in names]
    several = len(names) > 1  # then a legend stands beside the axes; within them it would cover curves
    with picture.picture(out, 9.4 if several else 7.2, picture.height(names)) as figure:
        axes = picture.curve_axes(figure, plot.game, _drawn(plot))
        picture.step_axis(axes)
        axes.set_ylabel(picture.label(plot.title, 60))
        lines = []
        for curve, ((style, marker), colour) in zip(plot.curves, picture.looks(), strict=False):
            look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8, "markersize": 3.5}
            look["marker"] = marker if len(curve.step) <= 30 else ""
            lines += axes.plot(curve.step, curve.value, **look)
            if curve.low is not None and curve.high is not None:
                axes.fill_between(curve.step, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        if several:
            picture.legend(figure, lines, names)


def _drawn(plot: Plot) -> str:
    """Return a description of the lines and bands."""
    descriptions = {
        "IQM": "IQM over {}, 95 % bootstrap intervals",
        "mean": "mean over {}, and their range",
        "one seed": "{}",
    }
    sizes: dict[str, list[Curve]] = {}
    for curve in plot.curves:
        sizes.setdefault(curve.estimate, []).append(curve)
    return "; ".join(
        descriptions[name].format(_seeds(group[0]) if len({len(curve.runs) for curve in group}) == 1 else "seeds")
        for name, group in sizes.items()
    )


def _seeds(curve: Curve) -> str:
    return "1 seed" if len(curve.runs) == 1 else f"{len(curve.runs)} seeds"


def _steps(curve: Curve) -> str:
    """Return the last step of a curve, and that of its longest run if it is far beyond."""
    end, longest = curve.step[-1], max(run.step[-1] for run in curve.runs)
    return f"{end:,.0f}" if longest <= 1.1 * end else f"{end:,.0f} (the longest run: {longest:,.0f})"
