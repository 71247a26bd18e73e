"""The torture itself: what it counts, it sees; and a few kills of it."""

import json
import shutil
import sqlite3
import subprocess

import pytest

from tests import torture
from tests.marl.agents.test_checkpoint import flip, written
from tests.torture import Games, Runs, Torture, _alive, _descendants, main, seconds_of, subjects

RUNS, GAMES = Runs(), Games()


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "home" / "run"
    for step in (1, 2):
        written(folder, step, key=step)
    log(folder, [1, 2])
    return folder


def log(run, steps):
    """Leave logs with these steps."""
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        (run / name).write_text("".join(json.dumps({"step": step, "against": "random"}) + "\n" for step in steps))


def store(folder, rows):
    """Leave a store with games of these seeds."""
    folder.mkdir()
    with sqlite3.connect(folder / "games.sqlite") as db:
        db.execute("CREATE TABLE games (id, seed, agents, payoffs, termination, length, moves)")
        db.executemany("INSERT INTO games VALUES (?, ?, '[0, 1]', '[1, -1]', 'finished', 5, NULL)", rows)
    db.close()
    return folder


def test_a_checkpoint_that_is_gone_or_damaged_is_seen(run):
    seen = RUNS.committed(run.parent)
    assert len(seen) == 2 and RUNS.damaged(run.parent) == []
    flip(run / "checkpoints" / "000000002" / "learner.safetensors")
    assert len(RUNS.damaged(run.parent)) == 1
    shutil.rmtree(run / "checkpoints" / "000000002")
    assert RUNS.committed(run.parent).keys() < seen.keys() and RUNS.damaged(run.parent) == []


def test_what_is_being_written_is_seen(run):
    assert RUNS.writing(run.parent) is None
    (run / "checkpoints" / "000000003.partial").mkdir()
    assert RUNS.writing(run.parent) == "000000003.partial"


def test_steps_that_are_there_twice_are_seen(run):
    assert RUNS.doubled(run.parent) == []
    log(run, [1, 2, 2])
    assert len(RUNS.doubled(run.parent)) == 2


def test_units_are_seen(run):
    """A line that is gone, one that is there twice, and another output; times do not count, nor does a cut line."""
    journal, entry = run.parent / "journal.jsonl", {"id": "a", "output": 1, "ended": 2.0}
    journal.write_text(json.dumps(entry) + "\n" + '{"id": "b"')
    assert [name for name in RUNS.committed(run.parent) if "unit" in name] == ["the unit a"]
    whole = shutil.copytree(run.parent, run.parent.parent / "whole")
    journal.write_text(json.dumps(entry | {"ended": 3.0}) + "\n")
    assert RUNS.same(whole, run.parent) and RUNS.doubled(run.parent) == []
    journal.write_text(2 * (json.dumps(entry | {"output": 2}) + "\n"))
    assert not RUNS.same(whole, run.parent) and len(RUNS.doubled(run.parent)) == 1


def test_a_run_that_is_another_is_seen(run, tmp_path):
    whole = shutil.copytree(run, tmp_path / "whole")
    assert RUNS.same(whole, run)
    flip(run / "checkpoints" / "000000001" / "agent.safetensors")
    assert not RUNS.same(whole, run)


def test_games_are_judged_as_they_lie_there(tmp_path):
    whole = store(tmp_path / "whole", [("a", 1), ("b", 2)])
    again = store(tmp_path / "again", [("a", 1), ("b", 1)])
    assert GAMES.same(whole, whole) and not GAMES.same(whole, again)
    assert GAMES.doubled(whole) == GAMES.damaged(whole) == [] and len(GAMES.doubled(again)) == 1
    assert GAMES.committed(whole).keys() == {"a", "b"} and GAMES.committed(tmp_path / "nowhere") == {}
    assert GAMES.writing(whole) is None


def test_processes_are_found():
    assert _alive(1) and not _alive(2**22 + 1) and _descendants(2**22 + 1) == []


def test_a_command_hangs_that_stands_still_and_not_one_that_computes(tmp_path, monkeypatch):
    """However slowly: what another program takes of the processor is no fault of the command."""
    told = iter([1.0, 2.0, 3.0, 3.0, 3.0, 3.0])
    clock = iter(float(10 * n) for n in range(100))
    monkeypatch.setattr(torture, "_cpu_seconds", lambda pids: next(told))
    monkeypatch.setattr(torture.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(torture, "PATIENCE", 35.0)

    class Command:
        pid, waits = 2**22 + 1, 0

        def wait(self, seconds):
            self.waits += 1
            raise subprocess.TimeoutExpired("marl", seconds)

    command = Command()
    assert Torture(subjects()["ippo"], 1, "0", tmp_path / "home")._wait(command) is None
    assert command.waits > 4  # it was given longer than 35 seconds, as it computed


@pytest.mark.parametrize(
    ("time", "seconds"), [("00:00:07", 7), ("01:02:03", 3723), ("2-00:00:01", 172_801), ("3:04.50", 184.5)]
)
def test_cpu_times_are_read(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.slow
@pytest.mark.parametrize("name", subjects())
def test_a_few_kills(name, capsys):
    assert main(["--kills", "2", "--only", name]) == 0, capsys.readouterr().out
