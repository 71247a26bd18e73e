"""What installed packages register by entry point: games, sources of games, wrappers, agents, algorithms,
writers of metrics, commands.

    [project.entry-points."marl.games"]     in the pyproject.toml of any package
    nim = "my_games:Nim"

Each kind has a group (GAMES, SOURCES, ...), and all groups obey the same rules. A name that two packages register is
refused when it is asked for; so is one that cannot be imported. All other names go on working.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from games.errors import UserError, theirs

GAMES = "marl.games"
SOURCES = "marl.sources"
WRAPPERS = "marl.wrappers"
AGENTS = "marl.agents"
ALGORITHMS = "marl.algorithms"
WRITERS = "marl.writers"
COMMANDS = "marl.commands"
GROUPS = (GAMES, SOURCES, WRAPPERS, AGENTS, ALGORITHMS, WRITERS, COMMANDS)


def names(group: str) -> list[str]:
    """Return the names that are registered in a group, sorted; nothing is imported."""
    return sorted(_registered(group))


def points(group: str) -> list[EntryPoint]:
    """Return every entry point of a group, by name; nothing is imported."""
    found = _registered(group)
    return [point for name in sorted(found) for point in found[name]]


def entry_point(group: str, name: str) -> EntryPoint:
    """Return the entry point of a registered name; nothing is imported.

    Raises KeyError for a name that nobody registered; UserError for one that two packages register differently.
    """
    first, *others = _registered(group)[name]
    other = next((point for point in others if point.value != first.value), None)
    if other is not None:
        raise UserError(
            f"expected one '{name}' in the group '{group}', got two: {whose(first)} and {whose(other)}; "
            "uninstall one of them, or rename it there"
        )
    return first


def load(group: str, name: str) -> Any:
    """Import what a registered name stands for.

    Raises KeyError for a name that nobody registered; UserError where two packages register it, or where it cannot be
    imported.
    """
    point = entry_point(group, name)
    with theirs(f"'{name}', which is {whose(point)}, could not be imported", "mend or uninstall it"):
        return point.load()


def _registered(group: str) -> dict[str, list[EntryPoint]]:
    return _scanned(entry_points, group, tuple((folder, _changed(folder)) for folder in sys.path))


@lru_cache(maxsize=64)
def _scanned(
    scan: Callable[..., Iterable[EntryPoint]], group: str, folders: tuple[tuple[str, int], ...]
) -> dict[str, list[EntryPoint]]:
    """Return a group's entry points by name, read again only where a folder of `sys.path` has changed (5 ms a scan)."""
    found = defaultdict(list)
    for point in scan(group=group):
        found[point.name].append(point)
    return dict(found)


def _changed(folder: str) -> int:
    """Return when a folder of `sys.path` was last changed, in ns; 0 where it does not exist."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def whose(point: EntryPoint) -> str:
    """Return what an entry point names, and the package that registered it."""
    return f"'{point.value}'" + (f" (package '{point.dist.name}')" if point.dist else "")


def installed() -> dict[str, list[str]]:
    """Return what is registered by group, in order: each name, what it names, its package and that one's version."""
    return {
        group: sorted(
            f"{point.name} = {point.value}, {point.dist.name} {point.dist.version}" if point.dist else point.name
            for point in points(group)
        )
        for group in GROUPS
    }
