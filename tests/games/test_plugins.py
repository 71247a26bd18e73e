"""Plug-ins of every group obey the same rules; what is wrong with one is one sentence, and the others go on working."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from games import plugins, registry, sources
from games.check import check_game
from games.contract import Spec
from games.errors import UserError
from games.registry import from_file, make
from games.survey import references
from marl.agents.load import load_entrant
from marl.cli.app import main

EXAMPLE = Path(__file__).parents[1] / "plugin_source"
PACKAGE = SimpleNamespace(name="other-package", version="1.2")
NOTHING = """
from games.sources import Source
class Nothing(Source):
    def make(self, *rest): ...
class Unmade(Source): ...
"""


FAILING = """
from games.sources import Source
class Failing(Source):
    positions = True
    def make(self, *rest): raise ValueError("no make")
    def load(self, *rest): raise KeyError("no load")
    def is_own(self, name): raise RuntimeError("no is_own")
    def names(self):
        yield "x"
        raise RuntimeError("no names")
"""
COMMANDS = """
import typer
app = typer.Typer(help="Say something.")
@app.command()
def hello(): print("hello to you")
@app.command()
def bye(): print("bye")
"""


@pytest.fixture
def install(monkeypatch):
    """Register more plug-ins: install(group, name="module:attribute", ...)."""
    known = plugins.entry_points
    more: list[EntryPoint] = []

    def entry_points(group):
        return [*known(group=group), *(point for point in more if point.group == group)]

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    monkeypatch.syspath_prepend(EXAMPLE)
    return lambda group, **points: more.extend(
        EntryPoint(name, value, group)._for(PACKAGE) for name, value in points.items()
    )


def test_a_source_that_somebody_plugs_in(install, capsys):
    install(plugins.SOURCES, cards="my_cards:Cards")
    assert check_game("cards:high(cards=3) | agent_id", 20).passed
    assert references("cards") == ["cards:high", "cards:low"]
    assert from_file("cards:low", "") == "cards:low"
    with pytest.raises(UserError, match="did you mean 'cards:high'"):
        make("hihg", 1)
    with pytest.raises(SystemExit) as left:
        main(["games", "list"])
    said = capsys.readouterr().out.split()
    assert left.value.code == 0 and {"cards:high", "cards:low", "cards:...,"} <= set(said)


def test_a_source_of_a_stranger_is_not_its_own(install, tmp_path, monkeypatch):
    (tmp_path / "nothing.py").write_text(NOTHING)
    monkeypatch.syspath_prepend(tmp_path)
    install(plugins.SOURCES, nothing="nothing:Nothing", unmade="nothing:Unmade", spec="games.contract:Spec")
    with pytest.raises(UserError, match="not run"):
        from_file("nothing:evil", "type it")
    with pytest.raises(UserError, match="'nothing' keeps no list of its games"):
        references("nothing")
    with pytest.raises(UserError, match=r"the source 'unmade' \('nothing:Unmade'\) could not be made: TypeError.*make"):
        make("unmade:x", 1)
    with pytest.raises(UserError, match=r"expected a subclass of games.sources.Source at 'games.contract:Spec'"):
        make("spec:x", 1)
    assert "openspiel:tic_tac_toe" in set(sources.listed())


def test_whatever_a_source_raises_is_one_sentence_and_the_others_go_on(install, tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    install(plugins.SOURCES, failing="failing:Failing")
    for method, ask in (
        ("make", lambda: make("failing:x", 1)),
        ("load", lambda: registry.load("failing:x")),
        ("is_own", lambda: from_file("failing:x", "type it")),
        ("names", lambda: sources.source("failing").names()),
    ):
        with pytest.raises(UserError, match=rf"the source 'failing' failed in {method}\(\): .*no {method}.*failing.py"):
            ask()
    assert "openspiel:tic_tac_toe" in set(sources.listed())


def test_commands_that_are_plugged_in(install, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(COMMANDS)
    monkeypatch.syspath_prepend(tmp_path)
    install(plugins.COMMANDS, greet="mine:app", wave="mine:hello", broken="mine:gone", games="mine:app")

    def marl(*arguments):
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    assert marl("greet", "hello") == (0, "hello to you\n", "")
    assert marl("wave") == (0, "hello to you\n", "")  # a function is one command
    code, _, complaint = marl("broken", "whatever", "--option")
    assert code == 2 and "'mine:gone'" in complaint and complaint.count("\n") == 1
    code, listed, complaint = marl("--help")
    assert code == 0 and "greet" in listed and "broken" in listed and "tournament" in listed
    assert "'games' is a command of marl's own, and the plug-in of that name, 'mine:app' (package 'other-p" in complaint
    assert listed.count(" games ") == 1
    assert marl("games", "list")[0] == 0  # ours


@pytest.mark.parametrize(
    "group, ask",
    [
        (plugins.GAMES, lambda: make("spread", 1)),
        (plugins.SOURCES, lambda: make("openspiel:tic_tac_toe", 1)),
        (plugins.WRAPPERS, lambda: make("two_step | agent_id", 1)),
        (plugins.ALGORITHMS, lambda: plugins.load(plugins.ALGORITHMS, "ippo")),
        (plugins.AGENTS, lambda: load_entrant("random", make("two_step", 1).spec)),
    ],
)
def test_two_plug_ins_of_one_name(group, ask, install):
    names = {plugins.GAMES: "spread", plugins.SOURCES: "openspiel", plugins.WRAPPERS: "agent_id"}
    name = names.get(group, "ippo" if group == plugins.ALGORITHMS else "random")
    install(group, **{name: "other_package:Thing"})
    theirs = r"'other_package:Thing' \(package 'other-package'\)"
    with pytest.raises(UserError, match=rf"expected one (agent )?'{name}'.*got two: .*{theirs}.*uninstall"):
        ask()
    assert make("predator_prey", 1).num_envs == 1  # the rest works


@pytest.mark.parametrize("group", [plugins.SOURCES, plugins.ALGORITHMS])
def test_an_entry_point_that_cannot_be_imported_is_named_and_the_rest_works(group, install, capsys):
    install(group, fallen="no_such_module:Thing")
    with pytest.raises(SystemExit) as left:
        main(["algorithms"] if group == plugins.ALGORITHMS else ["games", "list"])
    said = capsys.readouterr()
    assert left.value.code == 0 and ("ippo: " in said.out or "openspiel:tic_tac_toe" in said.out)
    assert "'fallen', which is 'no_such_module:Thing' (package 'other-package'), could not be" in said.err


def test_a_wrapper_and_an_agent_by_entry_point(install):
    install(plugins.WRAPPERS, who="games.wrappers:AgentId")
    assert make("spread | who", 1).spec.name == "spread | who"
    with pytest.raises(UserError, match="did you mean 'who'"):
        make("spread | whoo", 1)
    spec: Spec = make("two_step", 1).spec
    assert registry.names() and not load_entrant("random", spec).foreign


def test_plug_ins_are_listed_and_one_that_does_not_load_is_named(install, tmp_path, monkeypatch, capsys):
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    (tmp_path / "mine.py").write_text(COMMANDS)
    monkeypatch.syspath_prepend(tmp_path)
    install(plugins.GAMES, gone="no_such_module:Thing", leaves="leaves:Thing", spread="other_package:Thing")
    install(plugins.SOURCES, cards="my_cards:Cards", spec="games.contract:Spec")
    install(plugins.AGENTS, random="mine:app", mine="mine:app")
    install(plugins.ALGORITHMS, spec="games.contract:Spec")
    install(plugins.COMMANDS, games="mine:app", greet="mine:app", path="pathlib:Path")

    def listed(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["plugins", *arguments])
        said = capsys.readouterr()
        assert left.value.code == 0 and said.err == ""
        return said.out

    found = json.loads(listed("--json"))["plugins"]
    reasons = {(one["group"], one["name"]): one["reason"] for one in found if one["package"] == "other-package"}
    assert {key for key, reason in reasons.items() if reason is None} == {
        (plugins.SOURCES, "cards"),
        (plugins.AGENTS, "mine"),
        (plugins.COMMANDS, "greet"),
    }
    for key, reason in (
        ((plugins.GAMES, "gone"), "No module named 'no_such_module'"),
        ((plugins.GAMES, "leaves"), "SystemExit: 3"),
        ((plugins.GAMES, "spread"), "got two: "),
        ((plugins.SOURCES, "spec"), "expected a subclass of games.sources.Source"),
        ((plugins.AGENTS, "random"), "marl's own and 'mine:app' (package 'other-package')"),
        ((plugins.ALGORITHMS, "spec"), "inherits from marl.Learner"),
        ((plugins.COMMANDS, "games"), "is a command of marl's own"),
        ((plugins.COMMANDS, "path"), "could not be built"),
    ):
        assert reason in reasons[key], reasons[key]
    assert all(one["loads"] is (one["reason"] is None) for one in found)
    [ours] = [one for one in found if one["name"] == "ippo"]
    assert (ours["group"], ours["package"], ours["loads"]) == (plugins.ALGORITHMS, "marl", True)
    lines = listed().splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(plugins.GROUPS)
    assert "  cards: my_cards:Cards (other-package 1.2)" in lines
    assert any(line.startswith("  gone: no_such_module:Thing (other-package 1.2): fails: ") for line in lines)


def test_listing_plug_ins_imports_no_torch_that_none_needs():
    code = (
        "import sys; from marl.cli.app import main\ntry: main(['plugins'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "ippo: " in done.stdout, done.stderr
