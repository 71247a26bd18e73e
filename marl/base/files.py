"""Paths that a user types; files in folders that may be a stranger's: read within bounds, written beside and never
through a symbolic link."""

import errno
import json
import os
import stat
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from games.errors import UserError, closest, written
from marl.base.memory import physical_memory

MOST_TEXT = 64 << 20  # bytes of a JSON file
MOST_LOG = 1 << 30  # bytes of a run's log
MEMORY = physical_memory()  # no file that is read whole is larger


def typed_path(text: str) -> Path:
    """Return the path that a user typed; raises UserError where no file can be at it."""
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError):  # there may be one later, or it is said with what was expected
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"expected the path of a file or a folder, got {written(text)} ({reason}); name another"
        ) from error
    return Path(text)


def run_folder(config: Path, run_dir: Path | None, name: str = "{}") -> Path:
    """Return where a run is kept: the folder asked for, or `name` with the config's in it among the runs."""
    folder = run_dir or Path("runs") / name.format(config.stem)
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # bytes that are no text: logs and checkpoints could not be written there
        raise UserError(f"expected a folder's name in UTF-8, got '{folder}'; name another run folder") from None
    return folder


def absent(path: Path, remedy: str) -> str:
    """Return what to say of a path at which nothing is: which one was meant, or else what to do."""
    gone = path
    while gone.parent != gone and not os.path.lexists(gone.parent):
        gone = gone.parent
    try:
        meant = closest(gone.name, os.listdir(gone.parent))
    except OSError:
        meant = ""
    if not meant:
        return f"does not exist; {remedy}"
    whole = gone.with_name(meant) / path.relative_to(gone)
    return f"does not exist; did you mean '{whole if os.path.lexists(whole) else gone.with_name(meant)}'?"


def read_bytes(path: Path, most: int = MEMORY) -> bytes:
    """Return what a file holds; raises OSError where it is none, such as a pipe, or larger than `most` bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, and {most:,} are the most")
    return path.read_bytes()


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Return a file of UTF-8 text; raises OSError as `read_bytes` does, or ValueError where it is not UTF-8."""
    return read_bytes(path, most).decode()


def parse_json(text: str) -> Any:
    """Return what JSON says; raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def inside(folder: Path, name: str) -> Path:
    """Return a path below a folder; raises ValueError for a name that leads out of it, by itself or by a link."""
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"'{name}' is not in the folder")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file beside and rename it: it is there whole or not at all. Raises OSError.

    A symbolic link in its place is replaced, and none is followed.
    """
    beside = path.with_name(f"{path.name}.partial")
    beside.unlink(missing_ok=True)
    with beside.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def append_text(path: Path) -> TextIO:
    """Open a file to write behind what it holds; raises OSError, also where it is a symbolic link."""
    return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666), "a", encoding="utf-8")


def refuse_links(*paths: Path) -> None:
    """Raise UserError where a file or a folder, or anything below it, is a symbolic link: we write and delete there."""
    for path in paths:
        below = (Path(inner, name) for inner, *names in os.walk(path) for name in chain(*names))
        if (link := next((found for found in (path, *below) if found.is_symlink()), None)) is not None:
            raise UserError(
                f"'{link}' is a symbolic link, and what runs here writes and deletes in its place; put there what it "
                "leads to, or name another folder"
            )
