"""Files that travel with a task to a machine that does not see them, and back.

    Reads     a reference that may begin with a folder's path: the folder goes along, and the task gets where it lies
    Writes    a folder below which the task writes one part: what is there goes along, and what is there then comes back

Anywhere else both are the text that they are. Only files of a task's own are carried: what a config names by a path has
to be on every machine.
"""

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from games.errors import RunFailed
from marl.base import lock
from marl.base.files import inside

MOST = 64 << 20  # bytes of one folder that travels: more belongs on a drive that all machines share
Get = Callable[[Any], bytes]  # the bytes of a parcel, where it is needed

_kept: "tempfile.TemporaryDirectory[str] | None" = None  # of this process: what its tasks have read


class Reads(str):
    """A reference that a task reads, such as the path of a checkpoint, with or without arguments behind it."""


class Writes(str):
    """A folder of which a task reads and writes one part, a folder below it, and nothing else."""

    part: str

    def __new__(cls, folder: str | Path, part: str) -> "Writes":
        """Return the folder's path, which knows the part."""
        made = super().__new__(cls, folder)
        made.part = part
        return made

    def __reduce__(self) -> tuple[type["Writes"], tuple[str, str]]:
        """Return what makes a copy, as in another process."""
        return Writes, (str(self), self.part)


@dataclass(frozen=True)
class Parcel:
    """Stands in a task for a folder that travels."""

    content: Any  # of which `Get` makes the bytes
    digest: str
    name: str  # of the folder
    behind: str = ""  # what follows the folder in a reference
    part: str | None = None  # of a folder that is written


def packed(task: Any, put: Callable[[bytes, str], Any]) -> Any:
    """Return a task with parcels in place of its folders; `put` keeps their bytes, by digest, until they are needed.

    Raises RunFailed for a folder that is larger than MOST.
    """
    if isinstance(task, Writes):
        folder = Path(task) / task.part
        _put_back(folder)
        return _parcel(folder, put, part=task.part)
    if isinstance(task, Reads):
        path = _path_in(task)
        return str(task) if path is None else _parcel(Path(path), put, behind=task.removeprefix(path))
    return _each(task, lambda value: packed(value, put))


def placed(task: Any) -> Any:
    """Return a task whose folders have absolute paths: the process that does it may work in another folder."""
    if isinstance(task, Writes):
        return Writes(os.path.abspath(task), task.part)
    if isinstance(task, Reads):
        path = _path_in(task)
        return task if path is None else Reads(os.path.abspath(path) + task.removeprefix(path))
    return _each(task, placed)


@contextmanager
def opened(task: Any, get: Get) -> Iterator[tuple[Any, Callable[[], bytes | None]]]:
    """Lay out the parcels of a task on this machine.

    Yield the task with paths in their place, and a function that packs the part that it has written, None of a task
    that writes none.
    """
    with ExitStack() as stack:
        written: list[Path] = []
        yield _laid(task, get, stack, written), lambda: pack(written[0]) if written else None


def out_of_sight(task: tuple[Any, ...]) -> bool:
    """Return whether a task is to write in a folder that this machine does not see."""
    return any(isinstance(value, Writes) and not os.path.isdir(value) for value in task)


def delivered(task: Any, content: bytes) -> None:
    """Put what a task has written in its place, all at once; raises RunFailed where it cannot be written."""
    folder = next(value for value in task if isinstance(value, Writes))
    path = Path(folder) / folder.part
    partial, before = path.with_name(f"{path.name}.partial"), _aside(path)
    try:
        _put_back(path)
        for left in (partial, before):
            shutil.rmtree(left, ignore_errors=True)
        _unpack(content, partial)
        if path.exists():
            path.rename(before)
        partial.rename(path)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise RunFailed(
            f"'{path}' could not be written ({error}); what was written before is kept: make room, and run again to "
            "go on"
        ) from error


def _aside(path: Path) -> Path:
    """Return where a folder lies while another takes its place."""
    return path.with_name(f"{path.name}.before")


def _put_back(path: Path) -> None:
    """Put a folder back in its place: a process that was killed while it was replaced left it aside."""
    if _aside(path).exists() and not path.exists():
        _aside(path).rename(path)


def pack(folder: Path) -> bytes:
    """Return the files of a folder, without its lock; of one that is not there, none. Raises RunFailed beyond MOST."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    files = [path for path in files if path.name != lock.FILE]
    if (size := sum(path.stat().st_size for path in files)) > MOST:
        raise RunFailed(
            f"'{folder}' has {size:,} bytes, and {MOST:,} are the most that travel to a machine that does not see it; "
            "name a folder on a drive that all machines share (--run-dir)"
        )
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in files:
            about = tarfile.TarInfo(str(path.relative_to(folder)))
            about.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(about, file)
    return content.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    """Lay out what `pack` has returned: regular files, all of them in the folder."""
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for about in archive:
            path, file = inside(folder, about.name), archive.extractfile(about)
            assert file is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())


def _path_in(reference: str) -> str | None:
    """Return the path of a folder with which a reference begins; None for one that names no path, such as `random`."""
    ends = [len(reference), *(place for place, letter in enumerate(reference) if letter == "(")]
    paths = [reference[:end] for end in ends]
    return next((path for path in paths if os.sep in path and os.path.isdir(path)), None)


def _parcel(folder: Path, put: Callable[[bytes, str], Any], *, behind: str = "", part: str | None = None) -> Parcel:
    content = pack(folder)
    digest = hashlib.sha256(content).hexdigest()
    return Parcel(put(content, digest), digest, folder.name, behind, part)


def _laid(task: Any, get: Get, stack: ExitStack, written: list[Path]) -> Any:
    """Return a task with paths in place of its parcels; `written` gets the part of the folder that it writes."""
    if isinstance(task, Parcel):
        if task.part is None:
            return f"{_read(task, get)}{task.behind}"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="marl-task-"))
        written.append(Path(folder) / task.part)
        _unpack(get(task.content), written[-1])
        return folder
    return _each(task, lambda value: _laid(value, get, stack, written))


def _each(task: Any, change: Callable[[Any], Any]) -> Any:
    """Return a tuple, a list or a dictionary with all in it changed; anything else as it is."""
    if type(task) is dict:
        return {change(key): change(value) for key, value in task.items()}
    return type(task)(map(change, task)) if type(task) in (tuple, list) else task


def _read(parcel: Parcel, get: Get) -> Path:
    """Return where a folder lies that tasks of this process read: each is laid out once."""
    global _kept
    if _kept is None:
        _kept = tempfile.TemporaryDirectory(prefix="marl-read-")
    folder = Path(_kept.name) / parcel.digest / parcel.name
    if not folder.exists():
        partial = folder.with_name(f"{parcel.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        _unpack(get(parcel.content), partial)
        partial.rename(folder)
    return folder
