"""Every public name of 0.1 is found under its old module, with a warning; the changelog tells where it is now."""

import importlib
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import marl
from marl.base.moved import FUNCTIONS, MOVED, RENAMED, Forwarder

ROOT = Path(__file__).parents[3]
NAMES = json.loads((ROOT / "tests" / "golden" / "names_of_0.1.json").read_text(encoding="utf-8"))  # by module
[CHANGELOG] = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("changelog.md")]


@pytest.fixture
def afresh(monkeypatch):
    """Let old modules be imported, and an old name be found, as if for the first time."""
    gone = [name for name in MOVED if isinstance(getattr(sys.modules.get(name), "__loader__", None), Forwarder)]
    for name in gone:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(importlib.import_module("marl.rollout")), "episodes", raising=False)


@pytest.mark.parametrize("old", NAMES)
def test_old_names_are_found_in_their_new_modules(old, afresh):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module(old)
        for name in NAMES[old]:
            found = getattr(module, name)
            homes = [vars(importlib.import_module(new)) for new in MOVED[old]]
            wanted = RENAMED.get(f"{old}.{name}", name)
            assert any(home.get(wanted) is found for home in homes), name


def test_the_table_has_every_module_that_lost_names():
    assert set(NAMES) == set(MOVED)
    assert {f"{old}.{name}" for old, names in NAMES.items() for name in names} >= set(RENAMED)


def test_a_module_that_is_gone_warns_once_when_it_is_imported(afresh):
    with pytest.warns(
        DeprecationWarning, match=r"^'marl\.types' is in marl\.rollout\.types now, .* until 0\.3$"
    ) as seen:
        from marl.types import Decision, View
    assert len(seen) == 1 and seen[0].filename == __file__
    assert (Decision, View) == (marl.Decision, marl.View)


def test_a_module_that_is_still_there_warns_of_each_name_that_left_it(afresh):
    says = r"^'marl\.rollout\.episodes' is marl\.rollout\.loop\.play_episodes now"
    with pytest.warns(DeprecationWarning, match=says) as seen:
        from marl.rollout import episodes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from marl.rollout import episodes as again
        from marl.rollout import loop, recording
    assert len(seen) == 1 and seen[0].filename == __file__
    assert again is episodes is loop.play_episodes and recording


@pytest.mark.parametrize(("module", "name"), [("marl.rollout", "nothing"), ("tournaments.report", "nothing")])
def test_a_name_that_never_was_is_an_attribute_error(module, name):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute '{name}'"):
        getattr(importlib.import_module(module), name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_module_has_no_name_that_it_never_had(afresh):
    types = importlib.import_module("marl.types")
    with pytest.raises(AttributeError, match=r"module 'marl\.types' has no attribute 'Sights'"):
        _ = types.Sights
    with pytest.raises(ImportError, match="cannot import name 'Sights'"):
        from marl.types import Sights  # noqa: F401


@pytest.mark.parametrize("old", FUNCTIONS)
def test_a_module_that_became_a_function_says_where_its_names_are(old):
    with pytest.raises(ImportError, match=rf"'{old}' is a function now, .* is in '{FUNCTIONS[old]}'"):
        importlib.import_module(old)
    assert importlib.import_module(FUNCTIONS[old])
    assert callable(getattr(marl, old.removeprefix("marl.")))


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'marl\.nothing'"):
        importlib.import_module("marl.nothing")


def test_a_public_name_is_said_to_be_marls_and_another_to_be_where_it_is_defined(afresh, monkeypatch):
    from marl.rollout import loop

    for name in ("Agent", "Answerable"):
        monkeypatch.delitem(vars(sys.modules["marl.rollout"]), name, raising=False)
    monkeypatch.setattr(loop, "Agent", marl.Agent, raising=False)
    monkeypatch.setattr(loop, "Answerable", importlib.import_module("marl.rollout.referee").Answerable, raising=False)
    with pytest.warns(DeprecationWarning) as seen:
        from marl.rollout import Agent, Answerable
    assert Agent is marl.Agent and Answerable.__module__ != "marl.rollout.loop"
    said = sorted(str(warning.message) for warning in seen)
    assert (
        said[0]
        == "'marl.rollout.Agent' is marl.Agent now, and public names are in 'marl'; the old name works until 0.3"
    )
    assert said[1].startswith(f"'marl.rollout.Answerable' is {Answerable.__module__}.Answerable now, ")
    assert {warning.filename for warning in seen} == {__file__}


def test_old_names_work_in_a_new_interpreter():
    code = "from marl.agent import Stateless; from tournaments.ratings import Results; import marl.search.symmetry"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert "DeprecationWarning: 'marl.agent' is in marl.rollout.agent and" in done.stderr
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_changelog_has_the_table():
    row = re.compile(r"^\| `([\w.]+)` \| (.*) \|$", re.MULTILINE)
    told = {old: tuple(re.findall(r"`([\w.]+)`", new)) for old, new in row.findall(CHANGELOG)}
    assert told == MOVED | {old: (new,) for old, new in FUNCTIONS.items()}
