"""Strength against simulations or training: ratings by one number of the agents, with a curve for each family.

The number is an argument of a reference, or the steps of a run's checkpoint; agents that differ by it alone are a
family. It is read from the references in the store: no checkpoint is opened.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from games.errors import UserError, nearest
from games.references import parse
from games.text import markdown_cell, markdown_table
from marl.base import picture
from tournaments.ratings.elo import Rating
from tournaments.reports.families import STEPS, family_of, is_checkpoint, numbers
from tournaments.reports.report import half_width
from tournaments.reports.summary import Summary, listed, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINEAR_SPAN = 20  # the largest ratio of the highest to the lowest value on a linear axis


@dataclass(frozen=True)
class Family:
    """Agents that differ by one number alone, in its order."""

    name: str  # their reference without that number
    values: tuple[float, ...]
    ratings: tuple[Rating, ...]


@dataclass(frozen=True)
class Curves:
    """The ratings of one tournament against one number of its agents."""

    game: str
    opening_moves: int
    by: str
    families: list[Family]  # in the order of their best agents on the leaderboard
    others: list[Rating]  # agents without that number, the best first

    @property
    def logarithmic(self) -> bool:
        """Whether the number's axis is logarithmic: for arguments that are positive and far apart."""
        values = [value for family in self.families for value in family.values]
        return self.by != STEPS and min(values) > 0 and max(values) > LINEAR_SPAN * min(values)

    def to_json(self) -> dict[str, Any]:
        """Return the curves as JSON data."""
        families = [
            {
                "family": family.name,
                "points": [
                    {"value": value} | rating.to_json()
                    for value, rating in zip(family.values, family.ratings, strict=True)
                ],
            }
            for family in self.families
        ]
        others = [rating.to_json() for rating in self.others]
        return {
            "game": self.game,
            "opening_moves": self.opening_moves,
            "by": self.by,
            "curves": families,
            "others": others,
        }


def gather(summary: Summary, by: str) -> Curves:
    """Make one curve of the agents that differ by one number alone.

    Raises UserError where the game gets no Elo, nothing was played, ratings cannot be compared, no agent has that
    number, no two differ by it alone, or two of a family have the same value.
    """
    ratings = summary.ratings
    if ratings is None:
        raise UserError(summary.refused)
    if not ratings.parts:
        raise UserError("expected games to draw, got a tournament without any; run it first")
    if len(ratings.parts) > 1:
        raise UserError(
            f"no games connect the {len(ratings.parts)} parts of this tournament, so their ratings cannot stand on one "
            "axis; run it again to play between them"
        )
    references = {rating.agent: parse(summary.references[rating.agent]) for rating in ratings.ratings}
    found: dict[str, list[tuple[float, Rating]]] = {}
    others = []
    for rating in ratings.ratings:
        reference = references[rating.agent]
        value = numbers(reference).get(by)
        if value is None:
            others.append(rating)
        else:
            found.setdefault(family_of(reference, by).shown, []).append((value, rating))
    if not found:
        known = sorted({key for reference in references.values() for key in numbers(reference)})
        raise UserError(
            f"expected a number that agents here have ({', '.join(known) or 'none has any'}), got '{by}'"
            f"{nearest(by, known)}"
        )
    if all(len(points) < 2 for points in found.values()):
        alone = listed([rating.agent for points in found.values() for _, rating in points])
        raise UserError(f"expected two agents that differ by '{by}' alone, got {alone}; add one to the tournament")
    families = [_family(name, points, by) for name, points in zip(_names(list(found)), found.values(), strict=True)]
    return Curves(summary.game, summary.opening_moves, by, families, others)


def table(curves: Curves) -> str:
    """Return the ratings as a Markdown table."""
    rows = [
        [family.name, f"{value:,}", *_cells(rating)]
        for family in curves.families
        for value, rating in zip(family.values, family.ratings, strict=True)
    ]
    rows += [[rating.agent, "—", *_cells(rating)] for rating in curves.others]
    titles = ["agent", curves.by, "Elo", "±95 %", "games"]
    return "\n".join(
        [
            f"{markdown_cell(title(curves.game, curves.opening_moves))}: Elo by {curves.by}",
            "",
            *markdown_table(titles, rows),
        ]
    )


def draw(curves: Curves, out: Path) -> None:
    """Write the curves as a picture; raises UserError where it cannot be written, or in that format."""
    names = [family.name for family in curves.families] + [rating.agent for rating in curves.others]
    names = [picture.label(name, picture.LEGEND_WIDTH) for name in names]
    note = "relative to the mean of all agents, ± 95 %"
    note += f"; dashed: agents without {curves.by}" if curves.others else ""
    with picture.picture(out, 9.4, picture.height(names)) as figure:
        axes = picture.curve_axes(figure, title(curves.game, curves.opening_moves), note)
        axes.set_ylabel("Elo")
        if curves.by == STEPS:
            picture.step_axis(axes)
        else:
            axes.set_xlabel(curves.by)
        if curves.logarithmic:
            _logarithmic_axis(axes)
        lines: list[Any] = []  # curves and levels, for the legend
        looks = picture.looks()
        for family, ((style, marker), colour) in zip(curves.families, looks, strict=False):
            look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8, "marker": marker}
            elo = [rating.elo for rating in family.ratings]
            ci95 = [rating.ci95 if isfinite(rating.ci95) else nan for rating in family.ratings]  # NaN draws no bar
            lines.append(axes.errorbar(family.values, elo, ci95, elinewidth=1, markersize=4.5, capsize=3, **look))
        for rating, (_, colour) in zip(curves.others, looks, strict=False):
            lines.append(axes.axhline(rating.elo, color=colour, linestyle="--", linewidth=1.2, zorder=1))
            if isfinite(rating.ci95):
                low, high = rating.elo - rating.ci95, rating.elo + rating.ci95
                axes.axhspan(low, high, color=colour, alpha=0.1, linewidth=0, zorder=0)
        picture.legend(figure, lines, names)


def _logarithmic_axis(axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _family(name: str, points: list[tuple[float, Rating]], by: str) -> Family:
    """Put a family in order; raises UserError where two of it have the same value."""
    points = sorted(points, key=lambda point: point[0])
    for (value, one), (next_value, other) in pairwise(points):
        if value == next_value:
            raise UserError(
                f"'{one.agent}' and '{other.agent}' have the same {by}, and no other argument tells them apart; let "
                "them play in folders of their own (--run-dir)"
            )
    values, ratings = zip(*points, strict=True)
    return Family(name, values, ratings)


def _names(families: list[str]) -> list[str]:
    """Return the names of families: folders by their last part, as on the leaderboard, if that is unique."""
    short = []
    for text in families:
        reference = parse(text)
        path = Path(reference.name)
        name = f"{path.parent.parent.name}/{path.name}" if is_checkpoint(reference) else path.name or reference.name
        short.append(text if reference.source else replace(reference, name=name).shown)
    return [name if short.count(name) == 1 else text for name, text in zip(short, families, strict=True)]


def _cells(rating: Rating) -> list[str]:
    return [f"{rating.elo:z.0f}", half_width(rating.ci95), str(rating.games)]
