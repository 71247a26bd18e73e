"""The working folder is searched for the modules that a reference names, and for nothing else.

`my_games:Nim` finds `my_games.py` in the folder where the command is typed, and `my_games.py` may import what lies
beside it. No other import finds a file there: a `tqdm.py` that a stranger left beside a store is not run when some
library tests whether tqdm is installed. `sys.path` cannot tell these imports apart, so this module adds an import
finder, the last that Python asks: installed modules come first.
"""

import ast
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


def allow(module: str) -> None:
    """Let the module of a user's reference, and what it imports, be found in the working folder.

    Never called for a reference that was read from a file.
    """
    name = module.partition(".")[0]
    if name in sys.modules:
        return
    with suppress(FileNotFoundError):  # the working folder has been deleted, and holds nothing
        install({name: os.getcwd()})


def install(folders: Mapping[str, str]) -> None:
    """Let top-level modules be found in folders, {name: folder}: those of `allowed()` in another process."""
    _FINDER.allowed |= folders
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


def allowed() -> dict[str, str]:
    """Return what this process allows, for `install` in another: its classes are pickled by their modules' names."""
    return _FINDER.allowed | _FINDER.found


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.allowed: dict[str, str] = {}  # by the name of a top-level module: the folder where it may be found
        self.found: dict[str, str] = {}  # by its name: the folder where it was found; no installed modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:  # a part of a package, which Python looks for in the package
            return None
        folder = self.allowed.get(fullname) or self._importers_folder(fullname)
        spec = None if folder is None else PathFinder.find_spec(fullname, [folder])
        if spec is not None and folder is not None:
            self.found[fullname] = folder
        return spec

    def _importers_folder(self, name: str) -> str | None:
        """Return the folder of a module that was found here and imports `name`; None where there is no such module."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            folder = self.found.get(getattr(module, "__name__", "").partition(".")[0])
            if folder and file and Path(file).is_relative_to(folder) and name in _imported(file):
                return folder
        return None


@cache
def _imported(file: str) -> frozenset[str]:
    """Return the top-level names that the source of a module imports by its statements, wherever they stand."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):  # importing it raises the same
        return frozenset()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)


_FINDER = _Finder()
