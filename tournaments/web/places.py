"""What lies below the folder of a page: runs, sweeps, populations and tournaments, each by the name of its folder.

A name is a path relative to the folder, or to its parent where the folder is itself a run or a tournament. No name
leads out of the folder: not by `..`, not as an absolute path, not through a symbolic link.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from games.errors import UserError
from marl.agents.cost import METRICS
from marl.agents.populations import FILE as POPULATION
from marl.base.files import absent
from marl.base.lock import FILE as LOCK
from marl.training.runlog import EVALUATIONS
from tournaments.records.store import STORE

CONFIG, MEMBERS, ROUNDS = "config.yaml", "members", "rounds"
NOT_ENTERED = frozenset({"checkpoints", "tensorboard", ROUNDS})
DEPTH = 6  # folders below the page's
MOST_FOLDERS = 20_000  # that are looked into
READ = (CONFIG, METRICS, EVALUATIONS, POPULATION, LOCK, STORE, f"{STORE}-wal", f"{STORE}-shm")  # files of a place

Mark = tuple[tuple[str, int, int, int], ...]  # name, inode, bytes and time of change of each file that is there


class Missing(UserError):
    """Report a name below which there is nothing to show."""


@dataclass(frozen=True)
class Place:
    """A folder that is a run, a sweep, a population or a tournament; a population in rounds is a tournament too."""

    name: str
    path: Path
    kinds: frozenset[str]  # of "run", "sweep", "population", "tournament"

    @property
    def mark(self) -> Mark:
        """What changes whenever its files do."""
        return mark_of(self.path, READ)


class Places:
    """What lies below a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where there is no folder."""
        if not folder.is_dir():
            what = "is a file" if folder.exists() else absent(folder, "`marl train` and `marl tournament run` make one")
            raise UserError(f"expected a folder with runs or tournaments, got '{folder}', which {what}")
        self.folder = folder.resolve()
        self._base = self.folder.parent if _kinds(self.folder) else self.folder

    def all(self) -> list[Place]:
        """Return everything there is, in the order of names; folders that cannot be read are left out."""
        found = (Place(self.name_of(path), path, kinds) for path in self._folders() if (kinds := _kinds(path)))
        return sorted(found, key=lambda place: place.name)

    def name_of(self, path: Path) -> str:
        """Return the name of a folder below this one."""
        return path.relative_to(self._base).as_posix()

    def marks(self) -> Mapping[str, Mark]:
        """Return what changes whenever the files of a place do, by its name."""
        return {place.name: place.mark for place in self.all()}

    def find(self, name: str, kind: str) -> Place:
        """Return the place of a kind with a name; raises Missing where there is none."""
        pure = PurePosixPath(name)
        plain = name and "\0" not in name and not pure.is_absolute() and ".." not in pure.parts and str(pure) == name
        path = self._base / name
        kinds = _kinds(path) if plain and self._within(path) else frozenset()
        if kind not in kinds:
            raise Missing(f"there is no {kind} '{name}' below the folder of this page; the list has what there is")
        linked = [each for each in READ if (path / each).is_symlink()]
        if linked:
            raise UserError(
                f"'{linked[0]}' of '{name}' is a symbolic link, which this page does not follow; copy the file"
            )
        return Place(name, path, kinds)

    def _within(self, path: Path) -> bool:
        """Return whether a path is the folder or below it, and no part of it below the folder is a link."""
        return path == self.folder or (path.is_relative_to(self.folder) and Path(os.path.realpath(path)) == path)

    def _folders(self) -> Iterator[Path]:
        """Yield the folder and those below it that may be places."""
        level, seen = [self.folder], 0
        for _ in range(DEPTH):
            yield from level
            below: list[Path] = []
            for folder in level:
                below += _subfolders(folder)
            seen += len(below)
            if seen > MOST_FOLDERS:
                return
            level = below
        yield from level


def mark_of(folder: Path, names: tuple[str, ...]) -> Mark:
    """Return the inode, the size and the time of change of those files in a folder that are there."""
    found = []
    for name in names:
        try:
            about = os.stat(folder / name, follow_symlinks=False)
        except OSError:
            continue
        found.append((name, about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and entry.name not in NOT_ENTERED and entry.name[0] != "."
            ]
    except OSError:
        return []
    return [folder / name for name in found if _is_text(name)]


def _is_text(name: str) -> bool:
    """Return whether a folder's name is text, and not bytes that no page can show."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kinds(folder: Path) -> frozenset[str]:
    """Return what a folder is; nothing for one that cannot be read, or has a name that no folder can have."""
    found = set()
    with suppress(OSError):
        if (folder / ROUNDS).is_dir():
            found.add("population")
        elif (folder / MEMBERS).is_dir():
            found.add("sweep")
        elif (folder / CONFIG).is_file() and any((folder / n).exists() for n in (METRICS, "checkpoints", LOCK)):
            found.add("run")
        if (folder / STORE).is_file():
            found.add("tournament")
    return frozenset(found)
