"""What all pictures share: how they are written, and how names appear in them.

matplotlib is imported where something is drawn: that takes half a second.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, product
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from games.errors import UserError
from games.text import cut, shown
from marl.base.files import refuse_links, require_folder_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A", "#555555")  # Okabe, Ito 2008
STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))  # lines and their markers, once the colours are used up
MOST_LINES = 3  # of a name
MOST_PIXELS = 20_000  # of a side: matplotlib draws 65,535 at most, and a picture is held in memory
LEGEND_WIDTH = 34  # letters
# Names are not read as mathematics (`$`), whatever the user's own settings of matplotlib are.
_PLAIN: Any = {"text.parse_math": False, "text.usetex": False, "axes.formatter.use_mathtext": False}


def check(out: Path) -> None:
    """Raise UserError if a picture cannot be written there, or in that format."""
    if out.suffix not in FORMATS:
        raise UserError(f"expected a picture's name that ends in {', '.join(FORMATS)}, got '{out}'")
    refuse_links(out)
    require_folder_of(out)


@contextmanager
def picture(out: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield matplotlib's figure, in inches, and write it afterwards; raises UserError where it cannot be written."""
    check(out)
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_PLAIN), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # letters that the font lacks are drawn as boxes
        dpi = min(160, MOST_PIXELS / max(width, height))
        figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
        yield figure
        save(figure, out)


def save(figure: "Figure", out: Path) -> None:
    """Write a figure; raises UserError where it cannot be written."""
    try:
        figure.savefig(out)
    except OSError as error:
        raise UserError(f"the picture '{out}' cannot be written: {error}; name another --out") from error


def label(text: str, width: int) -> str:
    """Return a name on a few lines of `width` letters; a longer one is cut in its middle."""
    return fill(cut(shown(text), MOST_LINES * width), width)


def looks() -> Iterator[tuple[tuple[str, str], str]]:
    """Yield ((line style, marker), colour) for one curve after the other."""
    return cycle(product(STYLES, COLOURS))


def height(names: Sequence[str]) -> float:
    """Return the inches that a picture of curves needs, so that its legend has room."""
    return max(4.4, 0.17 * sum(name.count("\n") + 1 for name in names) + 0.6)


def legend(figure: "Figure", lines: Sequence[Any], names: Sequence[str]) -> None:
    """Name curves beside the axes, in the order given."""
    places = [str(place) for place in range(len(names))]  # matplotlib would leave out a name that begins with _
    made = figure.legend(lines, places, loc="outside right upper", frameon=False, fontsize=8.5, handlelength=3.5)
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(name)


def curve_axes(figure: "Figure", title: str, note: str) -> "Axes":
    """Return axes for curves, with a title and a note below it."""
    axes = figure.add_subplot()
    axes.set_title(label(title, 80), loc="left", fontsize=11, fontweight="bold", pad=20)
    axes.annotate(note, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8.5, color="#666666")
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def step_axis(axes: "Axes") -> None:
    """Let the horizontal axis count environment steps."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
