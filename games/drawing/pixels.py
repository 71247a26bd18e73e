"""Pixels in a drawing: what an environment draws itself, and views that are pictures."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.drawing.svg import Area, Drawing, drawing, image

LARGEST, SMALLEST = 720.0, 240.0  # the longer side of a picture in a drawing


def pixels(picture: NDArray[Any], label: str = "") -> Drawing:
    """Return pixels of bytes [height, width] or [height, width, 1 | 3 | 4] as a drawing."""
    from PIL import Image

    array = np.ascontiguousarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture, np.uint8)
    height, width = array.shape[:2]
    scale = min(LARGEST / max(height, width), max(1.0, SMALLEST / max(height, width)))
    written = io.BytesIO()
    Image.fromarray(array).save(written, "PNG")
    area = Area(0, 0, round(width * scale, 2), round(height * scale, 2))
    return drawing(area.width, area.height, [image(area, written.getvalue())], label=label)


def is_picture(view: NDArray[Any]) -> bool:
    """Return whether an array is pixels: bytes, with one to four numbers for each."""
    return (
        view.dtype == np.uint8
        and (view.ndim == 2 or (view.ndim == 3 and view.shape[2] in (1, 3, 4)))
        and view.size > 64
    )
