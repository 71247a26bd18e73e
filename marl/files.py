"""Files that somebody else may have written: read within bounds, and never through a symbolic link to elsewhere."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from games.errors import UserError

MOST_TEXT = 64 << 20  # bytes of a JSON file
MOST_HEADER = 16 << 20  # bytes of the part of a safetensors file that says what follows


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Return a file of UTF-8 text; raises OSError or ValueError where it is none, or larger than `most` bytes."""
    size = _size(path)
    if size > most:
        raise ValueError(f"it has {size:,} bytes, and {most:,} are the most")
    return path.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """Return what JSON says; raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def check_tensors(path: Path) -> None:
    """Raise OSError or ValueError where a safetensors file is not of the size that its header declares, or too large.

    The header is 8 bytes that give its length, and then JSON: of each tensor its dtype, shape and place.
    """
    size = _size(path)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise ValueError(f"it has {size:,} bytes, and this machine's memory {memory:,}")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, size - 8):
            raise ValueError(f"its header declares {length:,} bytes of itself, and the file has {size:,}")
        header = parse_json(file.read(length).decode())
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        declared = 8 + length + max(ends, default=0)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("its header is none of safetensors'") from error
    if declared != size:
        raise ValueError(f"its header declares {declared:,} bytes, and the file has {size:,}")


def inside(folder: Path, name: str) -> Path:
    """Return a path below a folder; raises ValueError for a name that leads out of it, by itself or by a link."""
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"'{name}' is not in the folder")
    return path


def refuse_links(folder: Path) -> None:
    """Raise UserError where a folder in which we write and delete holds a symbolic link; it may be one itself."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (found := Path(path, name)).is_symlink():
                raise UserError(
                    f"'{found}' is a symbolic link, and what runs here writes and deletes in its folder; put there "
                    "what it leads to, or name another folder"
                )


def _size(path: Path) -> int:
    """Return a file's bytes; raises OSError for what is no file, such as a pipe, which one would wait for."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"'{path}' is no file")
    return found.st_size
