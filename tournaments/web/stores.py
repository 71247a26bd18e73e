"""Stores that are read and left as they are, to the byte: also one that a killed process left in the middle of writing.

A store that is being written is read beside its writer, through the memory that SQLite lets processes share. Where
there is a write-ahead log and nobody writes, SQLite would recover the log in place: a copy is recovered instead.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from games.errors import UserError
from marl.base.lock import holder
from tournaments.records.store import STORE, Store
from tournaments.web.places import Mark, mark_of

WAL = f"{STORE}-wal"
TRIES = 3


def store_mark(folder: Path) -> Mark:
    """Return what changes whenever games are added to the store in a folder."""
    return mark_of(folder, (STORE, WAL))


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Open the store in a folder to read it; raises UserError where it cannot be read."""
    if not (folder / WAL).exists() or holder(folder) is not None:
        with Store(folder / STORE) as store:
            yield store
        return
    with tempfile.TemporaryDirectory(prefix="marl-store-") as apart:
        _copy(folder, Path(apart))
        with Store(Path(apart) / STORE) as store:
            yield store


def _copy(folder: Path, apart: Path) -> None:
    """Copy a store with its log, both of one moment."""
    try:
        for _ in range(TRIES):
            before = store_mark(folder)
            for name, *_ in before:
                shutil.copyfile(folder / name, apart / name)
            if store_mark(folder) == before:
                return
    except OSError as error:
        raise UserError(f"the store in '{folder}' cannot be read ({error.strerror or error}); try again") from error
    raise UserError(f"the store in '{folder}' is being written by a process that does not hold it; try again later")
