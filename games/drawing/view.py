"""What a player sees, drawn from its view where a game has no words for it: as a picture, or as numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.drawing.pixels import is_picture, pixels
from games.drawing.svg import Drawing
from games.drawing.words import words

MOST_NUMBERS = 96  # of a view that are written out


def view(seen: NDArray[Any], player: int, label: str) -> Drawing:
    """Return a player's view [*O] as a drawing."""
    if is_picture(seen):
        return pixels(seen, label)
    numbers = seen.astype(np.float64).round(3) + 0.0  # + 0.0 turns -0.0 into 0.0
    if np.isfinite(numbers).all() and (numbers == numbers.round()).all():
        numbers = numbers.astype(np.int64)
    written = np.array2string(numbers, max_line_width=72, precision=3, suppress_small=True, threshold=MOST_NUMBERS)
    return words(f"player {player} sees {' x '.join(map(str, seen.shape))} numbers:\n\n{written}", label)
