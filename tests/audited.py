"""Run commands in this process while an audit hook listens: `python -m tests.audited FILE`, which is JSON.

FILE has `warm` and `hostile`, lists of [folder, arguments]. The first are run before the hook is armed, so that all is
imported that the commands themselves import. Of the second it prints exit codes, what the hook has heard, and what was
said to stderr.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from marl.cli.app import main

RUNS_CODE = {  # https://docs.python.org/3/library/audit_events.html
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *(
        "socket.connect",
        "ctypes.dlopen",
        "sqlite3.enable_load_extension",
        "sqlite3.load_extension",
        "pickle.find_class",
    ),
}
HEARD: list[str] = []


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what starts a program, and what is imported or executed; a hook cannot be taken away again."""
    if event in RUNS_CODE:
        HEARD.append(f"{event} {arguments!r}"[:300])
    elif event == "import":
        HEARD.append(f"import {arguments[0]}")
    elif event == "exec":
        HEARD.append(f"exec {getattr(arguments[0], 'co_filename', '')}")


def run(folder: str, arguments: list[str]) -> tuple[int, str]:
    """Run a command in a folder; return its exit code, and what it said to stderr."""
    said, before = io.StringIO(), sys.path.copy()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(arguments)
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            sys.path[:] = before
    return code, said.getvalue()


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    warmed = [run(*command) for command in asked["warm"]]
    assert all(code == 0 for code, _ in warmed), warmed
    sys.addaudithook(listen)
    ran = [run(*command) for command in asked["hostile"]]
    heard = list(HEARD)
    print(json.dumps([[code for code, _ in ran], heard, [said for _, said in ran]]))
