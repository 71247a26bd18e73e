"""A claim's commands run once each, go on after a kill, and are refused before anything starts."""

import json
import os
from datetime import date, datetime

import pytest

from games.errors import RunFailed, UserError
from tests.claims import running
from tests.claims.table import Claim, Measurement, spread_out

MEASUREMENT = Measurement(date="2026-11-30", processor="AMD EPYC", version="0.2.0")


def claim(*commands, **more):
    return Claim(section="a.md#a", commands=commands, budget=2.0, measured=MEASUREMENT, **more)


def quiet(_):
    pass


class Day(date):
    """A calendar on which it is always this day."""

    def today(self):
        return self


def test_commands_with_a_seed_run_for_each_seed_block_by_block():
    made = claim("one", "two {seed}", "three {seed}", "four", seeds=(7, 8))
    assert spread_out(made) == ["one", "two 7", "three 7", "two 8", "three 8", "four"]


def test_each_command_runs_once(tmp_path):
    made = claim("echo {seed} >> seen", "echo end >> seen", seeds=(0, 1))
    spent = running.run(made, tmp_path, quiet)
    assert (tmp_path / "seen").read_text() == "0\n1\nend\n" and all(each.cpu_seconds >= 0 for each in spent)
    running.run(made, tmp_path, quiet)
    assert (tmp_path / "seen").read_text() == "0\n1\nend\n"


def test_after_a_failure_it_goes_on_with_the_command_that_failed(tmp_path):
    made = claim("echo a >> seen", "test -e mended", "echo b >> seen")
    with pytest.raises(RunFailed, match=r"`test -e mended` ended with exit code 1"):
        running.run(made, tmp_path, quiet)
    (tmp_path / "mended").touch()
    running.run(made, tmp_path, quiet)
    assert (tmp_path / "seen").read_text() == "a\nb\n"


def test_a_failed_command_is_told_with_what_it_printed(tmp_path):
    with pytest.raises(RunFailed, match=r"exit code 3: the reason \('.*log\.txt'\)"):
        running.run(claim("echo the reason >&2; exit 3"), tmp_path, quiet)


def test_half_a_line_of_a_kill_is_no_record(tmp_path):
    made = claim("echo a >> seen")
    whole = json.dumps({"command": "echo a >> seen", "cpu_seconds": 1.0})
    (tmp_path / "done.jsonl").write_text(whole[:-5])
    assert running.done(made, tmp_path) == {}
    running.run(made, tmp_path, quiet)
    assert running.done(made, tmp_path).keys() == {"echo a >> seen"}


def test_a_command_that_has_changed_runs_again(tmp_path):
    running.run(claim("echo a >> seen"), tmp_path, quiet)
    running.run(claim("echo b >> seen"), tmp_path, quiet)
    assert (tmp_path / "seen").read_text() == "a\nb\n"


def test_commands_that_train_go_on_in_their_runs():
    assert running.resuming("marl train ippo --seeds 2") == "marl train --resume ippo --seeds 2"
    assert running.resuming("marl sweep a --set 'b={\"c\": 1}'") == "marl sweep --resume a --set 'b={\"c\": 1}'"
    assert running.resuming("marl population a > b.txt") == "marl population --resume a > b.txt"
    for same in ("marl population status runs/a --json > b", "marl evaluate a", "marl train a --resume", "echo marl"):
        assert running.resuming(same) == same


def test_the_cpu_time_of_children_counts(tmp_path):
    made = claim("python -c 'sum(range(10**6))'")
    [ended] = running.run(made, tmp_path, quiet)
    assert ended.cpu_seconds > 0.005


def test_when_and_where_a_command_ended_is_kept(tmp_path, monkeypatch):
    made = claim("echo a >> seen", "echo b >> seen")
    monkeypatch.setattr(running, "date", Day(2026, 11, 28))
    monkeypatch.setattr(running, "processor", lambda: "AMD EPYC")
    ended = running.run(made, tmp_path, quiet)
    monkeypatch.setattr(running, "date", Day(2026, 12, 24))
    monkeypatch.setattr(running, "processor", lambda: "Intel Xeon")
    assert running.run(made, tmp_path, quiet) == ended
    assert [(each.day, each.processor) for each in ended] == [("2026-11-28", "AMD EPYC")] * 2


def test_of_a_line_without_a_day_it_is_that_of_the_file(tmp_path):
    path = tmp_path / "done.jsonl"
    path.write_text(json.dumps({"command": "echo a", "cpu_seconds": 1.0}))
    noon = datetime(2026, 11, 27, 12).timestamp()
    os.utime(path, (noon, noon))
    assert running.run(claim("echo a"), tmp_path, quiet) == [running.Ended(1.0, "2026-11-27")]


@pytest.mark.parametrize(
    ("more", "minutes", "complaint"),
    [
        ({}, 1.5, "takes 2 CPU-minutes, and --minutes allows 1.5; nothing was started"),
        ({"cores": 10_000}, None, "needs 10000 cores, and this machine has"),
        ({"extras": ("no_such_package",)}, None, "needs the extra 'no_such_package', which is not installed"),
        ({"packages": ("no_such_package",)}, None, "needs the package 'no_such_package', which cannot be imported"),
        ({"needs": ("NO_SUCH_CHECKOUT",)}, None, "needs the variable NO_SUCH_CHECKOUT"),
    ],
)
def test_what_cannot_be_measured_here_is_refused(more, minutes, complaint, monkeypatch):
    monkeypatch.delenv("NO_SUCH_CHECKOUT", raising=False)
    with pytest.raises(UserError, match=complaint):
        running.refuse({"a": claim("echo", **more)}, minutes)
    running.refuse({"a": claim("echo")}, 2.0)
    if "needs" in more:
        monkeypatch.setitem(os.environ, "NO_SUCH_CHECKOUT", "../there")
        running.refuse({"a": claim("echo", **more)}, None)
