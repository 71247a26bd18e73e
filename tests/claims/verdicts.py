"""New figures beside the claimed ones.

A claimed mean of n seeds with the half width h of its 95 % interval, and a new mean of m seeds: the new one lies within

    t(1 − α/2, n − 1) · s · √(1/n + 1/m),    s = h √n / t(0.975, n − 1)

of the claimed one with probability 1 − α, if both are drawn from one normal distribution (a prediction interval). Seeds
that were all equal show no deviation, though others may come out otherwise: then s is that of the m new ones. Where
both half widths were read and not computed from seeds, it is √(h² + h'²), widened in the same ratio. Half a unit of the
last digit is added for rounding. A figure without an interval is compared where the table says `within`.

α is 0.05 for one figure, so that of 20 honest ones one is outside. A claim of k figures is refuted only where a figure
is outside at α = 0.05 / k (Bonferroni): of 20 honest claims at most one is refuted, whatever the number of its figures.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from games.errors import UserError
from marl.base.intervals import Z95, quantile
from tests.claims.cells import Figure, Reading, matched
from tests.claims.sources import Source
from tests.claims.table import Figures

ALPHA = 0.05
Read = dict[tuple[int, int], tuple[Source, list[Reading]]]  # of cells by row and column: where, and what was read there


@dataclass(frozen=True)
class Compared:
    """One figure of a cell beside the new one."""

    row: str
    column: str
    claimed: float
    measured: float
    most: float | None  # by which the two may differ, at α; none: the figure is shown, and nothing is said of it
    strict: float | None  # the same at α / k

    @property
    def outside(self) -> bool:
        return self.most is not None and not abs(self.measured - self.claimed) <= self.most

    @property
    def refuted(self) -> bool:
        return self.strict is not None and not abs(self.measured - self.claimed) <= self.strict


def compared(figures: Figures, read: Read, family: int) -> list[Compared]:
    """Return each figure of a table beside what was read for it; `family` is the number of the claim's figures."""
    found = []
    for (row, column), (source, readings) in read.items():
        for place, (figure, reading) in enumerate(matched(figures.rows[row][column], readings)):
            within = source.within[place % len(source.within)] if source.within else ""
            most, strict = (
                _most(figure, reading, len(source.seeds or figures.seeds), figures.reads.error, within, alpha)
                for alpha in (ALPHA, ALPHA / max(1, family))
            )
            found.append(
                Compared(figures.labels[row], figures.titles[column], figure.values[0], reading.mean, most, strict)
            )
    return found


def count(figures: Figures, read: Read) -> int:
    """Return how many figures of a table are compared."""
    return sum(each.most is not None for each in compared(figures, read, 1))


def refuted(found: Iterable[Compared]) -> bool:
    """Say whether a claim does not hold."""
    return any(each.refuted for each in found)


def _most(figure: Figure, reading: Reading, seeds: int, error: str, within: str, alpha: float) -> float | None:
    """Return by how much a new figure may differ from the claimed one of `seeds` seeds; None: nothing says it."""
    if figure.kind == "estimate":
        return _predicted(figure, reading, seeds, error == "standard", alpha) + figure.rounding
    if figure.kind == "number" and within:
        return tolerance(within, figure.values[0]) + figure.rounding
    return None


def _predicted(figure: Figure, reading: Reading, n: int, standard: bool, alpha: float) -> float:
    """Return the half width of the prediction interval for a new mean, around a claimed one of n seeds."""
    half, m = figure.values[1], len(reading.values)
    if reading.half_width is not None:
        both = math.hypot(half, reading.half_width)
        return both * (float(-ndtri(alpha / 2)) * (1.0 if standard else 1 / Z95))
    if half:
        freedom, deviation = n, half * math.sqrt(n) / float(quantile(n))
    else:
        freedom, deviation = m, float(np.std(reading.values, ddof=1))
    return float(quantile(freedom, alpha)) * deviation * math.sqrt(1 / n + 1 / m)


def tolerance(within: str, value: float) -> float:
    """Return a stated tolerance as a difference: `10 %` is a share of the value, `0.05` the difference itself."""
    match = re.fullmatch(r"([\d.]+)( %)?", within)
    if not match:
        raise UserError(
            f"expected 'within' as a share, such as '10 %', or as a difference, such as '0.05', got '{within}'"
        )
    return float(match[1]) * (abs(value) / 100 if match[2] else 1.0)
