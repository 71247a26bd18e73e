"""What `import marl` is: it imports nothing heavy, gives every public name, and says the same to type checkers."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import marl

ROOT = Path(__file__).parents[2]
STUB = (ROOT / "marl" / "__init__.pyi").read_text(encoding="utf-8")


def loaded_after(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_importing_it_loads_nothing_heavy():
    ours = {"marl", "marl.base", "marl.base.moved", "marl.names"}
    before = loaded_after("")
    new = loaded_after("import marl; dir(marl); marl.__all__") - before
    assert not new & {"torch", "numpy", "pyspiel", "pydantic", "typer", "rich", "scipy", "importlib.metadata"}
    assert {name for name in new if name.partition(".")[0] in ("marl", "games", "tournaments")} - ours <= {
        "games",  # may look after the names of our packages
        *(name for name in new if name.startswith("games.") and name.count(".") == 1),
    }


def test_games_and_their_types_do_not_load_torch():
    assert "torch" not in loaded_after("import marl; marl.make('coin_game', 2); marl.Spec, marl.View, marl.Agent")


def test_every_public_name_is_there_and_is_listed():
    assert set(marl.__all__) <= set(dir(marl))
    for name in marl.__all__:
        assert getattr(marl, name) is getattr(marl, name)
    assert marl.__version__ == importlib.metadata.version("marl")
    with pytest.raises(AttributeError, match="module 'marl' has no attribute 'nothing'"):
        _ = marl.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from marl import nothing  # noqa: F401


def test_public_names_have_docstrings():
    assert [name for name in marl.__all__ if name != "__version__" and not getattr(marl, name).__doc__] == []


def test_type_checkers_see_the_same_names_from_the_same_modules():
    told = {"__version__": ""}
    for node in ast.parse(STUB).body:
        if isinstance(node, ast.ImportFrom):
            told |= {alias.asname or alias.name: node.module for alias in node.names}
    assert told == {"__version__": "", **marl._HOME}
    for package in ("games", "marl", "tournaments"):
        assert (ROOT / package / "py.typed").is_file()


def test_no_room_bears_the_name_of_a_public_function():
    below = {path.stem for path in (ROOT / "marl").iterdir()}
    assert not below & set(marl.__all__)
