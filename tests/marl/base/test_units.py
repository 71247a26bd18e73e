"""Units of work: done once, whatever order they end in, and whatever was killed on the way."""

import errno
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from games.errors import RunFailed, UserError
from marl.base import digests, engine, units
from marl.base.lock import held
from marl.base.units import Journal, Unit, as_ended, work
from tests.marl.base.tasks import halves, square, writes


def unit(number, **inputs) -> Unit:
    return Unit("square", {"number": number} | inputs, seed=0)


def squares(*numbers):
    return {unit(number): (number,) for number in numbers}


def lines(journal) -> list[dict]:
    """A journal as a set, without times: its lines in the order of their ids."""
    found = [json.loads(line) for line in journal.path.read_text().splitlines()]
    return sorted(({k: v for k, v in each.items() if k not in ("ended", "integrity")} for each in found), key=str)


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_an_id_is_that_of_the_kind_the_inputs_the_seed_and_the_code(monkeypatch):
    same = Unit("train", {"b": [1, 2.5], "a": {"y": None, "x": "ä"}}, 3)
    assert same == Unit("train", {"a": {"x": "ä", "y": None}, "b": (1, 2.5)}, 3) and len({same, same}) == 1
    others = [Unit("play", same.inputs, 3), Unit("train", {"b": [1, 2.5]}, 3), Unit("train", same.inputs, 4)]
    assert len({same.id, *(other.id for other in others)}) == 4
    monkeypatch.setattr(units, "fingerprint", lambda: "another")
    assert Unit("train", same.inputs, 3).id != same.id


def test_an_id_is_made_of_the_distinct_inputs_and_the_one_of_all_is_found_too(journal):
    """A journal of an earlier version has ids of all inputs."""
    whole = {"config": {"a": 1, "b": 2}}
    unit, former = Unit("train", whole, 3, {"config": {"b": 2}}), Unit("train", whole, 3)
    added = Unit("train", {"config": {"a": 1, "b": 2, "c": 0}}, 3, {"config": {"b": 2}})
    assert unit == added and unit.id == Unit("train", {"config": {"b": 2}}, 3).id and unit.id != former.id
    journal.add(former, "trained")
    assert unit in journal and journal.output(unit) == "trained" and added not in journal
    journal.add(unit, "again")  # it is there
    assert len(journal.entries) == 1
    journal.drop([unit])
    assert unit not in journal and former not in journal
    journal.add(unit, "trained")
    assert added in journal and journal.entries[unit.id]["inputs"] == whole and former not in journal


def test_ids_are_the_same_on_every_machine(monkeypatch):
    """The text that is hashed is fixed: sorted keys, no spaces, ASCII."""
    assert digests.canonical({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"\\u00e4","b":[1,2.5,null]}'
    monkeypatch.setattr(units, "fingerprint", lambda: "code")
    expected = digests.digest({"fingerprint": "code", "inputs": {"n": 1}, "kind": "square", "seed": 0})
    assert Unit("square", {"n": 1}, 0).id == expected
    assert expected == "8b5ec0fbfaecaaf3fb2ed1a6099f4cd93b133b84555a7d1e9ca7e115f7525160"
    with pytest.raises(ValueError):
        digests.digest({"a": float("nan")})


def test_ids_do_not_confuse_separators():
    """Test 30: 'a-b' and 'c' are not 'a' and 'b-c'."""
    pairs = [("a-b", "c"), ("a", "b-c"), ("a,b", "c"), ("a", "b,c"), ('a","b', "c")]
    assert len({Unit("play", {"agents": list(pair)}, 0).id for pair in pairs}) == len(pairs)


def test_a_unit_says_its_short_inputs():
    assert str(Unit("train", {"member": "a", "config": {"x": 1}, "digest": "f" * 64, "round": 3}, 0)) == (
        "train(member=a, round=3)"
    )


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_outputs_come_in_the_order_of_ids(journal, workers):
    todo = squares(5, 3, 4, 1)
    found = work(journal, todo, square, workers)
    assert list(found) == sorted(each.id for each in todo)
    assert found == {each.id: number * number for each, (number,) in todo.items()} == journal.outputs
    assert Journal(journal.path).outputs == found


def test_what_the_journal_has_is_not_run_again(journal):
    work(journal, squares(1, 2), square, 1)
    before = journal.path.read_bytes()
    assert work(Journal(journal.path), squares(2, 1), untouchable, 1) == journal.outputs
    assert journal.path.read_bytes() == before


def untouchable(_):
    raise AssertionError


@pytest.fixture(params=["reversed", "shuffled", "twice"])
def delivered(request, monkeypatch):
    """Outcomes that come in another order, or several times (tests 12 and 16)."""
    real = engine.outcomes

    def outcomes(*arguments, **more):
        found = list(real(*arguments, **more))
        if request.param == "twice":
            return iter([each for each in found for _ in range(2)])
        found.reverse()
        if request.param == "shuffled":
            random.Random(3).shuffle(found)
        return iter(found)

    monkeypatch.setattr(engine, "outcomes", outcomes)


def test_no_order_of_arrival_changes_anything(delivered, tmp_path):
    todo = squares(*range(9))
    told = []
    journal = Journal(tmp_path / "delivered.jsonl")
    found = work(journal, todo, square, 1, tell=lambda unit, ended: told.append(unit.id))
    assert list(found.items()) == sorted((each.id, number * number) for each, (number,) in todo.items())
    assert sorted(told) == list(found) and len(lines(journal)) == 9


def test_a_unit_that_fails_stops_no_other(journal):
    todo = {unit(number): (number,) for number in (4, 3, 2, 1)}
    with pytest.raises(RunFailed, match=r"^2 of 4 units of work failed, square\(number=3\) first: expected an even"):
        work(journal, todo, halves, 2)
    assert sorted(journal.outputs.values()) == [1, 2]
    ended = {each: result for each, result in as_ended(journal, todo, halves, 1)}
    assert set(ended) == {unit(3), unit(1)} and all(isinstance(each.error, UserError) for each in ended.values())


def test_a_line_that_was_cut_does_not_count(journal):
    work(journal, squares(1, 2, 3), square, 1)
    whole = journal.path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (*range(ends[1], ends[2], 50), ends[2] - 1):
        journal.path.write_bytes(whole[:cut])
        again = Journal(journal.path)
        assert journal.path.read_bytes() == whole[:cut]  # reading writes nothing
        assert len(again.outputs) == 2
        assert work(again, squares(1, 2, 3), square, 1) == journal.outputs
        assert lines(again) == lines(journal)


def test_a_line_that_was_changed_is_refused(journal):
    work(journal, squares(1, 2, 3), square, 1)
    text = journal.path.read_text()
    for old, new in (('"output": 4', '"output": 5'), ('"number": 2', '"number": 7'), ('{"id"', '"id"')):
        first, second, third = text.splitlines(keepends=True)
        journal.path.write_text(first + second.replace(old, new) + third)
        with pytest.raises(UserError, match=r"line 2 of .* is not what was written; delete the line"):
            Journal(journal.path)
    journal.path.write_text(first + third)
    assert len(Journal(journal.path).outputs) == 2


def test_a_unit_whose_files_are_gone_is_dropped(journal):
    work(journal, squares(1, 2, 3), square, 1)
    kept = lines(journal)
    journal.drop([unit(2), unit(9)])
    assert unit(2) not in journal and unit(1) in journal
    assert Journal(journal.path).outputs == journal.outputs and len(lines(journal)) == 2
    work(journal, squares(2), square, 1)
    assert lines(journal) == kept


def test_a_full_disk_is_one_sentence_and_the_rest_is_kept(journal, monkeypatch):
    """Half of a line reaches the disk; when there is space again, the work goes on."""
    work(journal, squares(1), square, 1)
    put = units._put

    def full(path, size, line):
        put(path, size, line[: len(line) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(units, "_put", full)
        with pytest.raises(
            RunFailed, match=r"could not be written \(No space left on device\); what has ended is kept"
        ):
            work(journal, squares(1, 2, 3), square, 1)
    assert Journal(journal.path).outputs.keys() == {unit(1).id}
    assert work(Journal(journal.path), squares(1, 2, 3), square, 1).keys() == {unit(n).id for n in (1, 2, 3)}
    assert len(lines(journal)) == 3


def test_a_journal_is_no_link(journal, tmp_path):
    journal.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="symbolic link"):
        Journal(journal.path)


KILLED = """
import os, signal, sys
from pathlib import Path
from marl.base import units
from tests.marl.base.tasks import writes

folder, at = Path(sys.argv[1]), int(sys.argv[2])
sync, syncs = os.fsync, 0

def fsync(file):
    global syncs
    syncs += 1
    if syncs == at:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(file)

os.fsync = fsync
todo = {units.Unit("write", {"number": n}, 0): (str(folder), n) for n in range(4)}
units.work(units.Journal(folder / "journal.jsonl"), todo, writes, 1)
"""


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_at_every_write_and_resumed(tmp_path, at):
    """Of four units, each syncs its file and its line: whichever is the last, the end is the same (test 14)."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(at)], env=environment)
    assert died.returncode == -signal.SIGKILL
    todo = {Unit("write", {"number": n}, 0): (str(tmp_path), n) for n in range(4)}
    journal = Journal(tmp_path / "journal.jsonl")
    assert len(journal.outputs) in ((at - 1) // 2, at // 2)  # the line of the last may have reached the disk
    found = work(journal, todo, writes, 1)
    assert found == {each.id: f"{number}.txt" for each, (_, number) in todo.items()}
    assert {path.name: path.read_text() for path in tmp_path.glob("*.txt")} == {f"{n}.txt": str(n) for n in range(4)}
    assert len(lines(journal)) == 4


def test_two_drivers_on_a_folder(tmp_path):
    with held(tmp_path, "a population"), pytest.raises(UserError, match="in use by a population"), held(tmp_path, "it"):
        pass
