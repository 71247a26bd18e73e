"""Programs that are forked (tests/warm.py) are processes of their own, as if they had been started."""

import os
import signal
import subprocess
import sys

import pytest

SEEN = """
import os, sys
print(os.getcwd(), sorted(os.environ.items()), sys.argv, sys.stdin.read(), sorted(name for name in sys.modules
      if name.partition(".")[0] in ("games", "marl", "tournaments")))
"""


@pytest.mark.parametrize(
    ("program", "code", "complaint"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit()", 0, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_it_would(warm, program, code, complaint):
    done = warm.run([sys.executable, "-c", program])
    assert done.returncode == code and done.stdout == "" and done.stderr.strip().endswith(complaint)


def test_it_sees_what_it_would(warm, tmp_path):
    command, environment = [sys.executable, "-c", SEEN, "one", "two"], os.environ | {"PYTHONPATH": str(tmp_path)}
    plain = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    assert warm.run(command, tmp_path, environment).stdout == (
        subprocess.run(command, cwd=tmp_path, env=environment, **plain).stdout
    )


def test_a_command_complains_as_it_would(warm, tmp_path):
    done = warm.run(["marl", "games", "check", "tic_tac"], tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("marl: ")
