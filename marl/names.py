"""Names that are taken: `games` and `tournaments` are packages of marl's, and a user's may be found in their place.

A command looks for nothing where it is typed. A script may have a file `games.py` beside it, which Python finds first;
then `import marl` says which file to rename.
"""

import importlib.util
import os
import sys
from pathlib import Path

HOME = Path(__file__).parents[1]  # the folder that holds our packages
BESIDE = ("games", "tournaments")


def keep_ours() -> None:
    """Make sure that our packages are found; raises ImportError, which names the file, where a user's is in the way."""
    if _is_command() and Path(sys.path[0]) != HOME:
        del sys.path[0]  # `python -m` has put the working folder there
    for name in BESIDE:
        ours = HOME / name / "__init__.py"
        loaded = sys.modules.get(name)
        spec = loaded.__spec__ if loaded else importlib.util.find_spec(name)
        found = spec.origin if spec else None
        if found and os.path.realpath(found) == os.path.realpath(ours):
            continue
        if found or loaded:
            where = found or next(iter(getattr(loaded, "__path__", [name])))
            raise ImportError(
                f"'{name}' is a package of marl's, and '{where}' is found in its place; rename that, to my_{name} for "
                "example"
            )
        _load(name, ours)  # a folder without code is in the way, and only before an editable install


def _is_command() -> bool:
    """Say whether this is `python -m marl`, while Python looks for it (its arguments begin with -m until then)."""
    if sys.argv[:1] != ["-m"] or sys.flags.safe_path:
        return False
    return sys.orig_argv[-len(sys.argv)].removeprefix("-m").partition(".")[0] == "marl"


def _load(name: str, file: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
