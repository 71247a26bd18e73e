"""Paths that a user types; files in folders that may be a stranger's: reading is limited in size; writing replaces a
whole file at once, and never follows a symbolic link."""

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from games.errors import UserError, closest, written
from marl.base.memory import physical_memory

MOST_TEXT = 64 << 20  # bytes of a JSON file
MOST_LOG = 1 << 30  # bytes of a run's log
MEMORY = physical_memory()  # the largest file that is read whole, in bytes


def typed_path(text: str) -> Path:
    """Return the path that a user typed; raises UserError where no file can be at it."""
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError):  # it may be written later, or the caller says what was expected
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"expected the path of a file or a folder, got {written(text)} ({reason}); name another"
        ) from error
    return Path(text)


def run_folder(config: Path, run_dir: Path | None, name: str = "{}") -> Path:
    """Return the folder of a run: `run_dir`, or by default `runs/NAME`, where {} in `name` is the config's name."""
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
    """Return the contents of a file; raises OSError if it is not a regular file, or larger than `most` bytes."""
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
    """Return the data of a JSON text; raises ValueError."""
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
    """Write a file whole, as `write_parts` does."""
    write_parts(path, [text])


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Write a file of text whole, as `written_whole` does."""
    with written_whole(path) as partial, partial.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(parts)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, as `written_whole` does."""
    with written_whole(path) as partial, partial.open("xb") as file:
        file.write(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield another name, under which a file is to be written; then rename it, so that it is never there in part.

    A symbolic link in its place is replaced, not followed. Raises OSError.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:  # the disk is full, or the parts could not be made
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)


def require_folder_of(out: Path) -> None:
    """Raise UserError where there is no folder for a file that a user has named by --out."""
    if not out.parent.is_dir():
        raise UserError(f"the folder of '{out}' does not exist; make it first, or name another --out")


def append_text(path: Path) -> TextIO:
    """Open a file to append to it; raises OSError, also if it is a symbolic link."""
    return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666), "a", encoding="utf-8")


def refuse_links(*paths: Path, below: bool = True) -> None:
    """Raise UserError where a file, a folder or what is `below` it is a symbolic link: we write and delete there."""
    for path in paths:
        inside = (Path(inner, name) for inner, *names in os.walk(path) for name in chain(*names)) if below else ()
        if (link := next((found for found in (path, *inside) if found.is_symlink()), None)) is not None:
            raise UserError(
                f"'{link}' is a symbolic link, and this run would write and delete there; replace it by the file or "
                "folder that it leads to, or name another folder"
            )
