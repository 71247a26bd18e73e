"""The cells of a table: text with figures in it.

    2.37    98.3 %    1,002,682    2.3e-14     a number
    0.968 ± 0.018                              an estimate with the half width of its interval
    97.0 to 98.2 %                             the lowest and the highest of several
    9.95 10 10 8.17 0.38                       the values of the seeds, in their order
    0.60 / 0.44     65, 4, **0**     0.37 (30) several figures, with any text between them

A cell says how its figures are written: a new one takes the place of an old one with its decimals, its separators of
thousands and its sign.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from games.errors import UserError
from marl.base.intervals import estimate

_SIGNED = r"(?<![\w.])[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])"
_FIGURE = re.compile(rf"(?P<first>{_SIGNED})(?:(?P<join> ± | to )(?P<second>{_SIGNED}))?")

SEED_DECIMALS = 4  # of values of seeds that were all whole
Kind = Literal["number", "estimate", "range", "seeds"]


@dataclass(frozen=True)
class Figure:
    """One figure of a cell.

    `values`: the number; the mean and the half width; the lowest and the highest; or those of all seeds.
    """

    kind: Kind
    values: tuple[float, ...]
    texts: tuple[str, ...]  # of the values, as they are written
    spans: tuple[tuple[int, int], ...]  # of the texts, in the cell

    @property
    def rounding(self) -> float:
        """The largest error of a value by rounding: half a unit of the first one's last digit.

        Values of seeds have no zeros at their ends, so there it is that of the longest.
        """
        if self.kind == "seeds":
            return 0.5 * 10.0 ** -_seed_decimals(self.texts)
        mantissa, _, exponent = self.texts[0].partition("e")
        return 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


@dataclass(frozen=True)
class Reading:
    """What was read for one figure: the values of the seeds, or one value with the half width of its interval."""

    values: tuple[float, ...]
    half_width: float | None = None

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    def interval(self) -> float:
        """Return the half width: the one that was read, or Student's over the seeds; raises UserError for one seed."""
        if self.half_width is not None:
            return self.half_width
        if len(self.values) < 2:
            raise UserError("expected several seeds or an interval for a figure with ±, got one value; name `ci95`")
        return estimate(np.array(self.values)).interval


def figures(cell: str) -> list[Figure]:
    """Return the figures of a cell, in their order; numbers within words and within `code` are none."""
    found = []
    for match in _FIGURE.finditer(re.sub(r"`[^`]*`", lambda code: "`" * len(code[0]), cell)):
        parts = [part for part in ("first", "second") if match[part] is not None]
        kind: Kind = {None: "number", " ± ": "estimate", " to ": "range"}[match["join"]]  # type: ignore[assignment]
        texts = tuple(match[part] for part in parts)
        found.append(Figure(kind, tuple(map(number, texts)), texts, tuple(match.span(part) for part in parts)))
    return found


def number(text: str) -> float:
    """Return the value of a number as it is written."""
    return float(text.replace(",", "").replace("−", "-"))


def by_seed(cell: str) -> bool:
    """Say whether a cell lists the values of seeds: numbers with a space between them, and nothing else."""
    found = figures(cell)
    return (
        len(found) > 1 and all(figure.kind == "number" for figure in found) and not re.search(r"[^\s*\d.,+−e-]", cell)
    )


def matched(cell: str, readings: Sequence[Reading]) -> list[tuple[Figure, Reading]]:
    """Return each figure of a cell with what was read for it; raises UserError where their numbers differ."""
    found = figures(cell)
    if len(readings) == 1 and by_seed(cell) and len(found) == len(readings[0].values):
        values, texts, spans = zip(*((each.values[0], each.texts[0], each.spans[0]) for each in found), strict=True)
        return [(Figure("seeds", values, texts, spans), readings[0])]
    if len(readings) == 2 * len(found) and all(
        figure.kind == "range" for figure in found
    ):  # lowest, highest, lowest, ...
        readings = [Reading(low.values + high.values) for low, high in zip(readings[::2], readings[1::2], strict=True)]
    if len(readings) != len(found):
        raise UserError(f"expected {len(found)} figures for the cell '{cell}', got {len(readings)}; mend its source")
    return list(zip(found, readings, strict=True))


def filled(cell: str, readings: Sequence[Reading]) -> str:
    """Return a cell with new figures in the place of its old ones; values of seeds without zeros at their ends."""
    pairs = matched(cell, readings)
    if pairs and pairs[0][0].kind == "seeds":
        [(listed, reading)] = pairs
        texts = [written(value, f"0.{'0' * _seed_decimals(listed.texts)}") for value in reading.values]
        return " ".join(text.rstrip("0").rstrip(".") if "." in text else text for text in texts)
    for figure, reading in reversed(pairs):
        new = {
            "number": lambda r: (r.mean,),
            "estimate": lambda r: (r.mean, r.interval()),
            "range": lambda r: (min(r.values), max(r.values)),
        }[figure.kind](reading)
        for (start, end), old, value in reversed(list(zip(figure.spans, figure.texts, new, strict=True))):
            cell = cell[:start] + written(value, old) + cell[end:]
    return cell


def _seed_decimals(texts: Sequence[str]) -> int:
    """Return to how many decimals the values of seeds are rounded."""
    return max(len(text.partition(".")[2]) for text in texts) or SEED_DECIMALS


def written(value: float, like: str) -> str:
    """Return a number as another one is written: its decimals, separators of thousands, exponent and signs."""
    mantissa, exponent, _ = like.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if exponent:
        text = f"{value:.{decimals}e}"
    else:
        whole = mantissa.lstrip("+−-").partition(".")[0]
        text = f"{value:{',' if ',' in whole or (len(whole) < 4 and abs(value) >= 1000) else ''}.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("-")
    if like.startswith("+") and not text.startswith("-"):
        text = f"+{text}"
    return text if like.startswith("-") or exponent else re.sub("^-", "−", text)


def plain(cell: str) -> str:
    """Return a cell without emphasis, as a label is compared."""
    return " ".join(cell.replace("**", "").split())
