"""The pictures that PettingZoo's and Gymnasium's environments draw themselves, as `rgb_array`.

An environment is built without a mode of rendering, which would cost time at each step; it is put into that mode while
a picture is drawn.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from games.drawing.pixels import is_picture, pixels
from games.drawing.svg import Drawing

MODE = "rgb_array"


def frame(env: Any, label: str) -> Drawing | None:
    """Return what an environment draws of its present position; None where it cannot, as without a display."""
    if MODE not in (getattr(env.unwrapped, "metadata", {}).get("render_modes") or ()):
        return None
    try:
        with _in_mode(env.unwrapped), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drawing libraries, about displays
            picture = np.asarray(env.render())
    except Exception:  # it may raise anything, and the game goes on without a picture
        return None
    return pixels(picture, label) if is_picture(picture) else None


@contextmanager
def _in_mode(env: Any) -> Iterator[None]:
    """Let an environment, and one that it wraps, draw pixels for a while."""
    owners: list[Any] = [one for one in (env, getattr(env, "env", None)) if hasattr(one, "render_mode")]
    before = [one.render_mode for one in owners]
    for one in owners:
        one.render_mode = MODE
    try:
        yield
    finally:
        for one, mode in zip(owners, before, strict=True):
            one.render_mode = mode
