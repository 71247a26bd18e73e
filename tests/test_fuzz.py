"""The short form of the fuzzing (tests/fuzz): few cases, the same each time; and that it finds what it looks for."""

import pytest

from games.errors import UserError
from marl.cli import app as cli
from tests.fuzz.kinds import KINDS
from tests.fuzz.runner import Case, Fuzzer, Ran, promises_broken

SEED, CASES = 15, 12  # of each kind
LIMIT = 60.0  # seconds: no test of speed, an end to what hangs


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    return Fuzzer(tmp_path_factory.mktemp("fuzz") / "fuzz", LIMIT)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_breaks_no_promise(fuzzer, kind):
    outcomes = [fuzzer.run(Case(kind, SEED, index)) for index in range(CASES)]
    assert [(o.case.name, o.trial.notes, o.command, o.broken, o.ran.err) for o in outcomes if o.broken] == []
    assert any(outcome.ran.exit_code == 2 for outcome in outcomes)


def test_a_case_is_a_function_of_its_name(fuzzer):
    once, again = (fuzzer.run(Case("yaml", SEED, 3)) for _ in range(2))
    assert (once.command, once.trial.notes, once.ran.exit_code) == (
        again.command,
        again.trial.notes,
        again.ran.exit_code,
    )


@pytest.mark.parametrize(
    ("ran", "what"),
    [
        (Ran(2, "", "marl: no\n", 0.0), ""),
        (Ran(3, "", "", 0.0), "exit code 3"),
        (Ran(1, "Traceback (most recent call last)\n", "", 0.0), "traceback"),
        (Ran(1, "", "marl: unexpected KeyError: 'x'\n", 0.0), "unexpected"),
        (Ran(1, "", "marl: unexpected AssertionError (--debug shows where)\n", 0.0), "unexpected"),
        (Ran(2, "", "marl: f() got an unexpected keyword argument 'x'\n", 0.0), "unexpected"),
        (Ran(2, "", "marl: Got unexpected extra argument (x) (--help shows what there is)\n", 0.0), ""),
        (Ran(1, "", f"marl: {501 * 'x'}\n", 0.0), "507 characters"),
        (Ran(1, "", f"marl: {500 * 'x'}\n", 0.0), ""),
        (Ran(2, "", "marl: no\nmarl: no\n", 0.0), "more than one"),
        (Ran(0, "\x1b[31m", "", 0.0), "raw letters"),
        (Ran(0, "", "x.py:3: UserWarning: x\n", 0.0), "warning"),
        (Ran(None, "", "", 0.0, "hung for 10 s"), "hung"),
    ],
)
def test_a_broken_promise_is_found(ran, what):
    broken = list(promises_broken(ran, {}, {}))
    assert len(broken) == bool(what) and what in "".join(broken)


def test_what_was_written_is_found():
    ran = Ran(2, "", "marl: no\n", 0.0)
    assert list(promises_broken(ran, {"a": b"", "b": b""}, {"a": b"x", "c": b""})) == [
        "exit code 2, and changed: 'a', 'b', 'c'"
    ]
    assert next(promises_broken(ran, {}, {"canary": b""})) == "ran what is a stranger's"


def test_a_command_that_hangs_or_eats_memory_is_ended(fuzzer, tmp_path, monkeypatch):
    impatient = Fuzzer(tmp_path / "fuzz", 0.2)  # made before commands hang, for it runs some

    def forever(*_):
        while True:
            pass

    monkeypatch.setattr(cli, "_run", forever)
    assert "hung" in impatient.run(Case("stores", SEED, 0)).broken[0]
    monkeypatch.setattr(cli, "_run", lambda *_: bytearray(1 << 40))
    assert "MemoryError" in fuzzer.run(Case("stores", SEED, 0)).broken[0]
    monkeypatch.setattr(cli, "_run", lambda *_: fuzzer.precious.write_text("gone"))
    assert "through a link" in fuzzer.run(Case("stores", SEED, 0)).broken[-1]


def test_a_change_that_alone_breaks_a_promise_is_shown(fuzzer, monkeypatch):
    case = next(
        Case("configs", SEED, n) for n in range(99) if len(fuzzer.run(Case("configs", SEED, n)).trial.notes) > 1
    )
    monkeypatch.setattr(UserError, "exit_code", 7)
    outcome = fuzzer.run(case)
    assert outcome.broken and fuzzer.shrunk(outcome).case.only is not None
