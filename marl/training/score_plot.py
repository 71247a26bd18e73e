"""Performance profiles and aggregates of normalised scores, as pictures and as a Markdown table."""

from collections.abc import Callable
from pathlib import Path

from games.text import markdown_cell, markdown_table
from marl.base import picture
from marl.training.scores import Number, Scores, labels
from marl.training.statistics import AGGREGATES, interval, profile

NOTE = "95 % intervals: bootstrap of runs within each game"


def score_table(scores: Scores) -> str:
    """Return the aggregates of every method, and how games were normalised, as two Markdown tables."""
    titles = ["method", "runs a game", *AGGREGATES]
    rows = [
        [method.label, str(len(method.scores)), *map(_with_bounds, method.aggregates().values())]
        for method in scores.methods
    ]
    games = [
        [game, scores.against[game] or "", f"{low:.6g}", f"{high:.6g}"] for game, (low, high) in scores.bounds.items()
    ]
    return "\n".join(
        [
            markdown_cell(f"{scores.title} (95 % intervals)"),
            "",
            *markdown_table(titles, rows, words=("method",)),
            "",
            *markdown_table(["game", "against", "0 is", "1 is"], games, words=("game", "against")),
        ]
    )


def draw_profiles(scores: Scores, out: Path) -> None:
    """Draw the share of runs above each score as a picture; raises UserError where it cannot be written."""
    at = scores.places()
    names = [picture.label(name, picture.LEGEND_WIDTH) for name in labels(scores.methods)]
    with picture.picture(out, 9.4, picture.height(names)) as figure:
        axes = picture.curve_axes(figure, scores.title, NOTE)
        axes.set_xlabel("normalised score τ")
        axes.set_ylabel("share of runs with score > τ")
        axes.set_ylim(-0.02, 1.02)
        lines = []
        for method, ((style, _), colour) in zip(scores.methods, picture.looks(), strict=False):
            lines += axes.plot(at, profile(method.scores, at), color=colour, linestyle=style, linewidth=1.8)
            bounds = interval(lambda drawn: profile(drawn, at), method.scores)
            if bounds is not None:
                axes.fill_between(at, *bounds, color=colour, alpha=0.18, linewidth=0)
        picture.legend(figure, lines, names)


def draw_aggregates(scores: Scores, out: Path) -> None:
    """Draw every aggregate of every method with its interval; raises UserError where it cannot be written."""
    names = [picture.label(name, picture.LEGEND_WIDTH) for name in labels(scores.methods)][::-1]
    height = 1.4 + 0.25 * sum(name.count("\n") + 2 for name in names)
    with picture.picture(out, 12, height) as figure:
        figure.suptitle(picture.label(scores.title, 80), x=0.01, ha="left", fontsize=11, fontweight="bold")
        found = [method.aggregates() for method in scores.methods][::-1]
        for place, (axes, name) in enumerate(zip(figure.subplots(1, len(AGGREGATES)), AGGREGATES, strict=True)):
            axes.set_title(f"{name} (lower is better)" if name == "optimality gap" else name, fontsize=10)
            axes.use_sticky_edges = False  # bars keep away from the edges
            axes.margins(x=0.1)
            axes.locator_params(axis="x", nbins=5)
            axes.set_yticks(range(len(names)), names if place == 0 else [""] * len(names), fontsize=8.5)
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.grid(color="#dddddd", linewidth=0.8, axis="x")
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
            for row, (aggregates, colour) in enumerate(zip(found, _colours(len(names)), strict=True)):
                value, low, high = (aggregates[name][key] for key in ("value", "low", "high"))
                if low is not None and high is not None:
                    axes.barh(row, high - low, left=low, height=0.5, color=colour, alpha=0.3)
                axes.plot([value, value], [row - 0.3, row + 0.3], color=colour, linewidth=2)
        figure.supxlabel(f"normalised score; {NOTE}", fontsize=8.5, color="#666666")


def _colours(count: int) -> list[str]:
    """Return the colours of methods from the last to the first, those that profiles have."""
    return [colour for _, (_, colour) in zip(range(count), picture.looks(), strict=False)][::-1]


def _with_bounds(aggregate: Number) -> str:
    """Return a value with its interval in words."""
    value, low, high = aggregate["value"], aggregate["low"], aggregate["high"]
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


DRAW: dict[str, Callable[[Scores, Path], None]] = {"profile": draw_profiles, "aggregates": draw_aggregates}
