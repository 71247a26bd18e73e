"""New figures beside the claimed ones.

A claimed mean of n seeds with the half width h of its 95 % interval, and a new mean of m seeds: the new one lies within

    t(1 − α/2, n − 1) · s · √(1/n + 1/m),    s = h √n / t(0.975, n − 1)

of the claimed one with probability 1 − α, if both are drawn from one normal distribution (a prediction interval). Seeds
that were all equal show no deviation, though others may come out otherwise: then s is that of the m new ones. Where
both half widths were read and not computed from seeds, it is √(h² + h'²), widened in the same ratio. Half a unit of the
last digit is added for rounding. Values of n seeds are compared by their mean, with Student's h. A number without an
interval is compared where the table says `within`.

A range, the lowest and the highest of n seeds: j or more of m new seeds are above the highest with probability

    C(n + m − j, n) / C(n + m, n)

if all are drawn from one distribution, whatever it is (Rosenbaum 1954, Tables for a nonparametric test of location),
and below the lowest alike. Twice that is compared with α; what the table says `within` widens the range. Where only the
lowest and the highest new one were read, j is m if the ranges do not meet, and else at most 1.

α is 0.05 for one figure, so that of 20 honest ones one is outside. A claim of k figures is refuted only where a figure
is outside at α = 0.05 / k (Bonferroni): of 20 honest claims at most one is refuted, whatever the number of its figures.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from games.errors import UserError
from marl.base.intervals import Z95, estimate, quantile
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
    unsaid: str = "numbers without an interval or a tolerance"  # what it is where nothing is said of it

    @property
    def stands(self) -> bool:
        """Whether it is compared at all."""
        return self.most is not None

    @property
    def outside(self) -> bool:
        return self.most is not None and not abs(self.measured - self.claimed) <= self.most

    @property
    def refuted(self) -> bool:
        return self.strict is not None and not abs(self.measured - self.claimed) <= self.strict

    def __str__(self) -> str:
        return f"{self.measured:.4g}, claimed {self.claimed:.4g} ± {self.most:.2g}"


@dataclass(frozen=True)
class ComparedRange:
    """The lowest and the highest of some seeds beside new ones."""

    row: str
    column: str
    claimed: tuple[float, float]
    measured: tuple[float, float]
    chance: float  # that as many new seeds, or more, are beyond one of its ends, if all are of one distribution
    least: float  # the smallest that this chance can be
    alpha: float  # α / k
    unsaid: str = "ranges of too few seeds"

    @property
    def stands(self) -> bool:
        """Whether any seeds could be outside."""
        return self.least <= ALPHA

    @property
    def outside(self) -> bool:
        return self.chance <= ALPHA

    @property
    def refuted(self) -> bool:
        return self.chance <= self.alpha

    def __str__(self) -> str:
        (low, high), (lowest, highest) = self.measured, self.claimed
        return f"{low:.4g} to {high:.4g}, claimed {lowest:.4g} to {highest:.4g}"


Verdict = Compared | ComparedRange


def compared(figures: Figures, read: Read, family: int) -> list[Verdict]:
    """Return each figure of a table beside what was read for it; `family` is the number of the claim's figures.

    A range that is not of seeds is compared by its two ends.
    """
    found: list[Verdict] = []
    for (row, column), (source, readings) in read.items():
        where = figures.labels[row], figures.titles[column]
        seeds = len(source.seeds or figures.seeds)
        for place, (figure, reading) in enumerate(matched(figures.rows[row][column], readings)):
            within = source.within[place % len(source.within)] if source.within else ""
            if figure.kind == "range" and seeds > 1:
                found.append(_range(where, figure, reading, seeds, within, ALPHA / max(1, family)))
                continue
            for one, new in _ends(figure, reading):
                most, strict = (
                    _most(one, new, seeds, figures.reads.error, within, alpha)
                    for alpha in (ALPHA, ALPHA / max(1, family))
                )
                found.append(Compared(*where, float(np.mean(_claimed(one))), new.mean, most, strict))
    return found


def count(figures: Figures, read: Read) -> int:
    """Return how many figures of a table are compared."""
    return sum(each.stands for each in compared(figures, read, 1))


def refuted(found: Iterable[Verdict]) -> bool:
    """Say whether a claim does not hold."""
    return any(each.refuted for each in found)


def unsaid(found: Iterable[Verdict]) -> str:
    """Return what is shown and not compared, in words; empty where all figures are compared."""
    kinds = Counter(each.unsaid for each in found if not each.stands)
    return ", ".join(f"{kind}: {number}" for kind, number in sorted(kinds.items()))


def _claimed(figure: Figure) -> tuple[float, ...]:
    """Return the values whose mean is claimed."""
    return figure.values if figure.kind == "seeds" else figure.values[:1]


def _ends(figure: Figure, reading: Reading) -> list[tuple[Figure, Reading]]:
    """Return a figure with its reading; of a range its lowest and its highest as numbers."""
    if figure.kind != "range":
        return [(figure, reading)]
    parts = sorted(zip(figure.values, figure.texts, figure.spans, strict=True))
    return [
        (Figure("number", (value,), (text,), (span,)), Reading((end(reading.values),)))
        for (value, text, span), end in zip(parts, (min, max), strict=True)
    ]


def _most(figure: Figure, reading: Reading, seeds: int, error: str, within: str, alpha: float) -> float | None:
    """Return by how much a new figure may differ from the claimed one of `seeds` seeds; None: nothing says it."""
    if figure.kind == "estimate":
        return _predicted(figure.values[1], reading, seeds, error == "standard", alpha) + figure.rounding
    if figure.kind == "seeds":
        half = estimate(np.array(figure.values)).interval
        return _predicted(half, reading, len(figure.values), False, alpha) + figure.rounding
    if within:
        return tolerance(within, figure.values[0]) + figure.rounding
    return None


def _range(
    where: tuple[str, str], figure: Figure, reading: Reading, n: int, within: str, alpha: float
) -> ComparedRange:
    """Compare the range of n seeds with new ones, of which all were read, or the lowest and the highest of n."""
    low, high = sorted(figure.values)
    below, above = (figure.rounding + (tolerance(within, end) if within else 0.0) for end in (low, high))
    new = np.array(reading.values)
    whole = len(new) >= n
    m = len(new) if whole else n
    beyond = max(np.sum(~(new >= low - below)), np.sum(~(new <= high + above)))
    if not whole:
        beyond = m if beyond == len(new) else min(beyond, 1)
    return ComparedRange(
        *where, (low, high), (new.min(), new.max()), _exceedance(n, m, int(beyond)), _exceedance(n, m, m), alpha
    )


def _exceedance(n: int, m: int, j: int) -> float:
    """Return twice the probability that j or more of m values exceed the highest of n, all of one distribution."""
    return min(1.0, 2 * math.comb(n + m - j, n) / math.comb(n + m, n))


def _predicted(half: float, reading: Reading, n: int, standard: bool, alpha: float) -> float:
    """Return the half width of the prediction interval for a new mean, around one of n seeds with an interval."""
    m = len(reading.values)
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
