"""One reference syntax; and whatever is wrong with a reference is one sentence."""

from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from games import registry
from games.errors import UserError
from games.registry import Reference, load, make, parse, rejoin

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
        ("games.vector:Vectr", "did you mean 'Vector'?"),
        ("tests.games.plugin:Nim(stone=3)", "did you mean 'stones'?"),
        ("nowhere.games:Nim", "an importable module, got 'nowhere.games'"),
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
        ("pettingzoo:mpe2.simple_spread_v3(M=3)", "unexpected keyword argument 'M'"),
        ("a b c", "expected"),
    ],
)
def test_bad_references_are_one_sentence(reference, said, capfd):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    assert said in str(caught.value)


def test_an_environment_has_no_positions():
    with pytest.raises(UserError, match="positions"):
        load("pettingzoo:classic.tictactoe_v3")


def test_an_entry_points_plain_name_is_a_game(monkeypatch):
    point = EntryPoint("nim", "tests.games.plugin:Nim", "marl.games")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    assert registry.names() == ["nim"]
    assert make("nim(stones=5)", 2).spec.name == "nim"
    with pytest.raises(UserError, match=r"did you mean 'nim'\?"):
        make("nimm", 1)


@given(st.lists(st.sampled_from(["a", "f(x=1, y=2)", "g(x='(', y=[1, 2])", "h(a=k(b=1, c=2), d=3)"]), max_size=5))
def test_references_that_were_parted_at_commas_are_rejoined(references):
    parted = [part.strip() for part in ", ".join(references).split(",")] if references else []
    assert rejoin(parted) == references == rejoin(references)
