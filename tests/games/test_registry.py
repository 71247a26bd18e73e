"""One reference syntax; and whatever is wrong with a reference is one sentence."""

import json
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from games import plugins, registry
from games.errors import UserError
from games.references import Reference, call, parse, rejoin
from games.registry import load, make

VALUE = st.one_of(
    st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text("ab,()='\"\\")
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUE, max_size=4))
def test_a_reference_reads_back(arguments):
    reference = Reference("openspiel", "connect_four", tuple(arguments.items()))
    assert parse(str(reference)) == reference


def test_forms():
    assert parse("random") == Reference("", "random", ())
    assert parse("runs/x/checkpoints/000500000") == Reference("", "runs/x/checkpoints/000500000", ())
    assert parse("a(x={[]}, y={1: [}})").arguments == (("x", "{[]}"), ("y", "{1: [}}"))  # no literals, so words
    assert parse("a.b:C(size=3, mode=B, deep=g(x=1))").arguments == (("size", 3), ("mode", "B"), ("deep", "g(x=1)"))


@pytest.mark.parametrize(
    "reference, said",
    [
        ("openspiel:conect_four", "did you mean 'connect_four'?"),
        ("openspiel:connect_four(row=3)", "did you mean 'rows'?"),
        ("openspiel:connect_four(rows=bla)", "could not load"),
        ("openspiel:connect_four(rows=3, rows=4)", "twice"),
        ("openspiel:connect_four(3)", "key=value"),
        ("openspiel:mfg_crowd_modelling", "mean-field"),
        ("openspiel:coin_game", "no observation tensor"),
        ("openspeil:x", "did you mean 'openspiel'?"),
        ("tic_tac_toe", "did you mean 'openspiel:tic_tac_toe'?"),
        ("tic_tac_to", "did you mean 'openspiel:tic_tac_toe'?"),
        ("nope", "expected a known game, got 'nope'; `marl games list` names them"),
        ("games.vector:Vectr", "did you mean 'Vector'?"),
        ("tests.games.plugin:Nim(stone=3)", "did you mean 'stones'?"),
        ("nowhere.games:Nim", "an importable module, got 'nowhere.games'"),
        ("nowhere:Nim", "'nowhere:Nim'; modules are found among installed packages and in the working folder"),
        ("tests.games.plugn:Nim", "an importable module, got 'tests.games.plugn'"),
        ("games.vector:GameEnv", "needs the argument 'game'"),
        ("math:pi", "expected a class or a function"),
        ("builtins:dict", "expected a class or a function"),
        ("tests.games.plugin:Nim(7)", "key=value"),
        ("games.contract:Array(shape=1)", "expected a Game, a VecEnv, or a PettingZoo AECEnv or ParallelEnv"),
        ("pettingzoo:tictactoe_v3", "did you mean 'classic.tictactoe_v3'?"),
        ("pettingzoo:mpe.simple_spread_v3", "did you mean 'mpe2'?"),
        ("pettingzoo:mpe2._mpe_utils", "'mpe2' has no environment '_mpe_utils'"),
        ("math:sqrt", "argument"),
        ("pettingzoo:classic.tictacto_v3", "did you mean 'classic.tictactoe_v3'?"),
        ("pettingzoo:mpe2.simple_spred_v3", "did you mean 'simple_spread_v3'?"),
        ("pettingzoo:mpe2.simple_spread_v3(M=3)", "takes no argument 'M'"),
        ("two_step" + 1000 * " | agent_id", "expected at most 100 wrappers, got 1000"),
        ("a b c", "expected"),
    ],
)
def test_bad_references_are_one_sentence(reference, said, capfd):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    assert said in str(caught.value)


def test_a_misspelt_module_of_the_working_folder_is_offered(tmp_path, monkeypatch):
    (tmp_path / "my_games.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"got 'my_gmes' in 'my_gmes:Nim'; did you mean 'my_games'\?$"):
        make("my_gmes:Nim", 1)


BROKEN = {
    "garbled": "class A:\n    def (:\n",
    "garbled_within": "import garbled\n",
    "raising": "import json\njson.loads('')\n",
    "lacking": "import not_there_at_all\n",
    "refusing": "from games.errors import UserError\nraise UserError('not today')\n",
    "broken_game": """
from tests.games.plugin import Nim
class Unmade(Nim):
    def __init__(self, size: int = 1):
        self.size = {}["x"]
class Unopened(Nim):
    def initial_state(self):
        raise LookupError("no start")
class Unspecified(Nim):
    def __init__(self):
        self.spec = {}
def batch(num_envs):
    return object()
from games.native.predator_prey import PredatorPrey
class Overfull(PredatorPrey):
    def __init__(self, num_envs: int):
        super().__init__(num_envs, size=3, predators=100)
from abc import ABC, abstractmethod
class Unfinished(ABC):
    @abstractmethod
    def initial_state(self): ...
""",
}


@pytest.mark.parametrize(
    "reference, said",
    [
        ("garbled:A", "'garbled:A' could not be imported: SyntaxError: invalid syntax (garbled.py, line 2); mend it"),
        ("garbled_within:A", "imported: SyntaxError: invalid syntax (garbled.py, line 2); mend it"),
        ("raising:A", "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (raising.py, line 2); mend it"),
        ("lacking:A", "'lacking' needs the package 'not_there_at_all', which is not installed"),
        ("refusing:A", "not today"),
        (
            "broken_game:Unmade(size=2)",
            "'broken_game:Unmade(size=2)' could not be built: KeyError: 'x' (broken_game.py, line 5); "
            "mend it or its arguments",
        ),
        (
            "broken_game:Overfull",
            "ValueError: expected room for 108 creatures, got a grid of 9 cells (broken_game.py, line 17); mend it",
        ),
        ("broken_game:Unfinished", "could not be built: TypeError: Can't instantiate abstract class Unfinished"),
        ("broken_game:Unopened", "could not be opened: LookupError: no start (broken_game.py, line 8); mend it"),
        ("broken_game:Unspecified", "expected `spec` of 'broken_game:Unspecified' to be a Spec"),
        ("broken_game:batch", "expected `spec` of 'broken_game:batch' to be a Spec"),
    ],
)
def test_a_broken_file_is_its_authors(reference, said, tmp_path, monkeypatch):
    for name, text in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    assert said in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "reference, said",
    [
        (
            "predator_prey(size=3, predators=100)",
            "'predator_prey(size=3, predators=100)' could not be built: "
            "expected room for 108 creatures, got a grid of 9 cells",
        ),
        (
            "coin_game | messy(phi=2)",
            "'messy(phi=2)' could not be built: expected phi in [0, 1] and steps >= 0, got phi=2, steps=10",
        ),
    ],
)
def test_what_a_game_of_ours_refuses_is_no_crash(reference, said):
    with pytest.raises(UserError) as caught:
        make(reference, 1)
    assert str(caught.value) == said


def test_what_a_class_raised_stays_behind_the_sentence():
    with pytest.raises(UserError) as caught:
        call(json.loads, Reference("json", "loads", (("s", "{"),)))
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_a_broken_entry_point_is_named(tmp_path, monkeypatch):
    (tmp_path / "fallen.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("nim", "fallen:Nim", "marl.games")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == plugins.GAMES else [])
    with pytest.raises(
        UserError,
        match=r"^'nim', which is 'fallen:Nim', could not be imported: ZeroDivisionError: .* \(fallen.py, line 1\)",
    ):
        make("nim", 1)


def test_an_environment_has_no_positions():
    with pytest.raises(UserError, match="positions"):
        load("pettingzoo:classic.tictactoe_v3")


def test_an_entry_points_plain_name_is_a_game(monkeypatch):
    point = EntryPoint("nim", "tests.games.plugin:Nim", "marl.games")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == plugins.GAMES else [])
    assert registry.names() == ["nim"]
    assert make("nim(stones=5)", 2).spec.name == "nim"
    with pytest.raises(UserError, match=r"did you mean 'nim'\?"):
        make("nimm", 1)


@given(st.lists(st.sampled_from(["a", "f(x=1, y=2)", "g(x='(', y=[1, 2])", "h(a=k(b=1, c=2), d=3)"]), max_size=5))
def test_references_that_were_parted_at_commas_are_rejoined(references):
    parted = [part.strip() for part in ", ".join(references).split(",")] if references else []
    assert rejoin(parted) == references == rejoin(references)
