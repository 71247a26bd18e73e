"""The lock of a folder: one process at a time, and whatever a dead one leaves behind keeps nobody out."""

import errno
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from games.errors import UserError
from marl.base import lock
from marl.base.lock import FILE, held

ROOT = Path(__file__).parents[3]

HOLDS = """
import sys
from pathlib import Path
from marl.base.lock import held
with held(Path(sys.argv[1]), "a training run"):
    print("held", flush=True)
    sys.stdin.read()
"""

IN_TURNS = """
import os, sys
from pathlib import Path
from games.errors import UserError
from marl.base.lock import held
folder, turns, log = Path(sys.argv[1]), 0, os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while turns < 20:
    try:
        with held(folder, "a turn"):
            os.write(log, b"in\\n")
            os.write(log, b"out\\n")
            turns += 1
    except UserError:
        pass
"""


def holding(folder: Path) -> subprocess.Popen:
    """Return a process that holds a folder until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen, how: int) -> None:
    process.send_signal(how)
    process.communicate()


def leave(folder: Path, **changes) -> None:
    """Leave the record of a holder that is gone: by default of this machine, with a pid that is this process's."""
    folder.mkdir(exist_ok=True)
    record = replace(lock._this_process("a training run"), **({"started": "1"} | changes))
    (folder / FILE).write_text(json.dumps(asdict(record)))


def check_free(folder: Path) -> None:
    with held(folder, "a training run"):
        assert json.loads((folder / FILE).read_text())["pid"] == os.getpid()
    assert not (folder / FILE).exists()


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
def kernel_locks(request, monkeypatch) -> bool:
    """On a disk with locks, and on one without."""
    if not request.param:

        def refuses(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuses)
    return request.param


def test_the_second_is_refused_and_told_who_is_there(tmp_path, kernel_locks):
    process = holding(tmp_path / "run")
    try:
        with (
            pytest.raises(UserError, match=r"run' is in use by a training run") as caught,
            held(tmp_path / "run", "x"),
        ):
            pass
        said = str(caught.value)
        record = json.loads((tmp_path / "run" / FILE).read_text())
        assert f"pid {process.pid} on {platform.node()}, since {record['since']}" in said and "\n" not in said
        assert caught.value.exit_code == 2 and len(said) < 500
    finally:
        process.communicate()
    assert not (tmp_path / "run" / FILE).exists()
    check_free(tmp_path / "run")


def test_one_process_holds_a_folder_once(tmp_path, kernel_locks):
    with held(tmp_path, "a training run"), pytest.raises(UserError, match="in use by a training run"):
        check_free(tmp_path)
    with pytest.raises(ZeroDivisionError), held(tmp_path, "a training run"):
        raise ZeroDivisionError
    with held(tmp_path / "other", "a training run"):
        check_free(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_leaves_is_taken_over(tmp_path, kernel_locks, how):
    end(holding(tmp_path), how)
    assert (tmp_path / FILE).exists()
    check_free(tmp_path)


@pytest.mark.parametrize("changes", [{"started": "1"}, {"pid": 2**22 + 1}, {"boot": "earlier"}], ids=str)
def test_a_reused_pid_is_another_process(tmp_path, kernel_locks, changes):
    leave(tmp_path, **changes)
    check_free(tmp_path)


@pytest.mark.skipif(not lock._this_process("").boot, reason="this system gives its boots no names")
def test_another_container_of_this_machine_is_known_by_its_boot(tmp_path):
    leave(tmp_path, host="container-before")
    check_free(tmp_path)


def test_another_machine_is_not_guessed_about(tmp_path, kernel_locks):
    leave(tmp_path, host="elsewhere", boot="theirs")
    with pytest.raises(UserError, match=r"on elsewhere, .*if it no longer runs there, delete '.*lock\.json'"):
        check_free(tmp_path)
    (tmp_path / FILE).unlink()
    check_free(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", '{"what": "a tr', "[" * 5000, "[1]", '{"pid": 1}', json.dumps(dict.fromkeys(lock.Holder.__annotations__))],
)
def test_a_record_that_was_torn(tmp_path, kernel_locks, text):
    (tmp_path / FILE).write_text(text)
    if kernel_locks:
        check_free(tmp_path)
    else:  # it may be being written now
        with pytest.raises(UserError, match=r"another process is using .*if none is, delete"):
            check_free(tmp_path)


def test_a_record_says_nothing_that_cannot_be_printed(tmp_path):
    leave(tmp_path, host="else\x1b[31mwhere", boot="theirs")
    check_free(tmp_path)


def test_a_lock_of_another_is_left_to_it(tmp_path):
    with held(tmp_path, "a training run"):
        (tmp_path / FILE).unlink()  # by hand
        process = holding(tmp_path)
    assert (tmp_path / FILE).exists()
    process.communicate()
    assert not (tmp_path / FILE).exists()


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    for leads_to in ("precious", "nowhere"):
        (tmp_path / "run" / FILE).symlink_to(tmp_path / leads_to)
        check_free(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "kept" and not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.*\); name another --run-dir"):
        check_free(tmp_path / "file" / "run")


def test_many_that_ask_at_once_take_turns(tmp_path):
    leave(tmp_path / "run")
    log = tmp_path / "log"
    command = [sys.executable, "-c", IN_TURNS, str(tmp_path / "run"), str(log)]
    asking = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=120) for process in asking] == [0, 0, 0]
    assert log.read_text() == "in\nout\n" * 60
