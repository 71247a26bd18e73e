"""A position drawn as lines of text: every game that has no drawing of its own."""

from games.drawing.svg import MONOSPACED, Drawing, drawing, text
from games.text import cut

SIZE, LEADING, MARGIN = 15.0, 20.0, 20.0
NARROWEST = 240.0
MOST_LINES, MOST_LETTERS = 80, 160  # of a drawing


def words(lines: str, label: str = "") -> Drawing:
    """Return text as a drawing, line by line; long lines and many lines are cut in their middle."""
    rows = [cut(row.expandtabs(4), MOST_LETTERS) for row in lines.rstrip().split("\n")]
    if len(rows) > MOST_LINES:
        half = MOST_LINES // 2
        rows = [*rows[:half], "…", *rows[len(rows) - half + 1 :]]
    width = max(NARROWEST, 2 * MARGIN + max(map(len, rows)) * SIZE * MONOSPACED)
    shapes = [
        text(MARGIN, MARGIN + LEADING * place + SIZE, row, SIZE, anchor="start", monospaced=True)
        for place, row in enumerate(rows)
        if row.strip()
    ]
    return drawing(round(width, 2), 2 * MARGIN + LEADING * len(rows), shapes, label=label)
