"""Drawings of games (games/drawing/) as files: a still picture as SVG or PNG, and an animation as GIF or MP4.

SVG needs nothing. resvg makes pixels of it, Pillow a GIF, and ffmpeg an MP4: `pip install 'marl[render]'`. Text is set
in the fonts that matplotlib brings, so a picture does not depend on the fonts of a machine.
"""

import io
import math
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from games.drawing.colours import COLOURS
from games.drawing.svg import Drawing, in_dark
from games.errors import RunFailed, UserError
from marl.base.files import refuse_links, require_folder_of, write_bytes, write_text, written_whole

if TYPE_CHECKING:
    from PIL.Image import Image

STILL, ANIMATED = (".svg", ".png"), (".gif", ".mp4")
NEEDS = {".svg": (), ".png": ("resvg_py",), ".gif": ("resvg_py",), ".mp4": ("resvg_py", "imageio_ffmpeg")}  # packages
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
FRAMES_PER_SECOND = 10  # of an MP4
QUALITY = 10  # the constant rate factor of its encoder: 0 loses nothing, 51 is the worst
HOLD = 3  # the last position of an animation is shown so many times as long
MOST_POSITIONS = 2000  # of an animation
MOST_OF_A_GIF = 500_000_000  # pixels of all its pictures, which are held in memory until it is written
HIGHEST = 8192  # pixels of a picture, whose width is then less than was asked for


@dataclass(frozen=True)
class Look:
    """How a drawing is shown: its width in pixels, and whether on a dark page."""

    width: int = 640
    dark: bool = False


def check(out: Path) -> None:
    """Raise UserError if a picture cannot be written there, or in that format."""
    suffix = out.suffix.lower()
    if suffix not in STILL + ANIMATED:
        raise UserError(f"expected a picture's name that ends in {', '.join(STILL + ANIMATED)}, got '{out}'")
    refuse_links(out)
    require_folder_of(out)
    for package in NEEDS[suffix]:
        if find_spec(package) is None:
            raise UserError(
                f"a picture as {suffix} needs the package '{package}', which is not installed; "
                "pip install 'marl[render]', or name an .svg, which needs nothing"
            )


def write_still(drawing: Drawing, out: Path, look: Look) -> tuple[int, int]:
    """Write one picture; return its width and height in pixels, of an SVG in its own units."""
    drawing = in_dark(drawing) if look.dark else drawing
    with _writing(out):
        if out.suffix.lower() == ".svg":
            write_text(out, drawing.svg + "\n")
            return round(drawing.width), round(drawing.height)
        png = _png(drawing, min(look.width / drawing.width, HIGHEST / drawing.height))
        write_bytes(out, png)
        return _opened(png).size


def write_animation(drawings: Sequence[Drawing], out: Path, look: Look, seconds: float) -> tuple[int, int]:
    """Write one picture after the other, each for so many seconds; return the width and height in pixels.

    All are drawn to one scale, on a canvas that holds the largest. Raises UserError for more than MOST_POSITIONS, and
    for a GIF of more than MOST_OF_A_GIF pixels.
    """
    if len(drawings) > MOST_POSITIONS:
        raise UserError(
            f"expected at most {MOST_POSITIONS:,} positions in an animation, got {len(drawings):,}; "
            "draw some of them as still pictures (--move N)"
        )
    widest, highest = max(drawing.width for drawing in drawings), max(drawing.height for drawing in drawings)
    scale = min(look.width / widest, HIGHEST / highest)
    size = _even(scale * widest), _even(scale * highest)  # as an MP4's sides are
    if out.suffix.lower() == ".gif" and size[0] * size[1] * len(drawings) > MOST_OF_A_GIF:
        raise UserError(
            f"expected at most {MOST_OF_A_GIF:,} pixels in a GIF, got {len(drawings):,} pictures of "
            f"{size[0]} x {size[1]}; make an .mp4, or smaller ones (--width)"
        )
    frames = (_frame(in_dark(drawing) if look.dark else drawing, scale, size, look) for drawing in drawings)
    with _writing(out), written_whole(out) as partial:
        (_write_gif if out.suffix.lower() == ".gif" else _write_mp4)(partial, frames, size, len(drawings), seconds)
    return size


def _even(side: float) -> int:
    return 2 * max(1, math.ceil(round(side, 2) / 2))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn the failure of writing into one sentence."""
    try:
        yield
    except OSError as error:
        raise RunFailed(f"the picture '{out}' cannot be written: {error}; name another --out") from error


def _frame(drawing: Drawing, scale: float, size: tuple[int, int], look: Look) -> "Image":
    """Return a drawing in the middle of a canvas of the page's colour."""
    from PIL import Image

    canvas = Image.new("RGB", size, COLOURS["ground"][look.dark])
    picture = _opened(_png(drawing, scale)).convert("RGB")
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas


def _write_gif(path: Path, frames: Iterator["Image"], size: tuple[int, int], count: int, seconds: float) -> None:
    from PIL.Image import Dither

    each = round(1000 * seconds)  # milliseconds
    first, *others = (frame.quantize(255, dither=Dither.NONE) for frame in frames)
    durations = [each] * (count - 1) + [each * HOLD]
    with path.open("xb") as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _write_mp4(path: Path, frames: Iterator["Image"], size: tuple[int, int], count: int, seconds: float) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    # One thread, and nothing of the machine or the day in the file: the same pictures give the same bytes.
    exact = "-threads 1 -fflags +bitexact -flags:v +bitexact -map_metadata -1"
    raw = f"-f rawvideo -pix_fmt rgb24 -s {size[0]}x{size[1]} -r {FRAMES_PER_SECOND} -i -"
    command = f"-v error -y {raw} -an -c:v libx264 -pix_fmt yuv420p -crf {QUALITY} {exact} -f mp4".split()
    # An absolute path, or a name such as -x.mp4 would be taken for an option.
    ffmpeg = subprocess.Popen(
        [get_ffmpeg_exe(), *command, str(path.absolute())], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    repeats = max(1, round(FRAMES_PER_SECOND * seconds))
    assert ffmpeg.stdin is not None
    with ffmpeg:
        with suppress(BrokenPipeError):  # it has ended, and says why
            for number, frame in enumerate(frames):
                pixels = np.ascontiguousarray(frame).tobytes()
                for _ in range(repeats * (HOLD if number == count - 1 else 1)):
                    ffmpeg.stdin.write(pixels)
        said = ffmpeg.communicate()[1].decode(errors="replace")
    if ffmpeg.returncode:
        raise OSError(said.strip() or f"ffmpeg ended with {ffmpeg.returncode}")


def _png(drawing: Drawing, scale: float) -> bytes:
    """Return a drawing as PNG, `scale` pixels to one of its units."""
    import matplotlib
    import resvg_py

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    made: bytes = resvg_py.svg_to_bytes(
        svg_string=drawing.svg,
        zoom=scale,
        skip_system_fonts=True,
        font_files=[str(folder / font) for font in FONTS],
        sans_serif_family="DejaVu Sans",
        monospace_family="DejaVu Sans Mono",
    )
    return bytes(made)


def _opened(png: bytes) -> "Image":
    from PIL import Image

    return Image.open(io.BytesIO(png))
