"""Programs, each in a process of its own that begins with libraries loaded: it is forked from one that has loaded them.

Importing torch takes two CPU-seconds, more than most programs that tests start need themselves. Nothing of this project
is loaded beforehand, so that each program imports it as a user's would. Only Python's own start is not repeated:
tests/test_names.py and tests/marl/cli begin commands as a shell does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

FORKS = """
import atexit, importlib, json, os, signal, sys, traceback, types

import numpy, pydantic, pyspiel, rich, scipy.sparse.csgraph, scipy.special, torch, typer  # none starts a thread

def run(request):
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.alarm(request["seconds"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    found = os.environ.get("PYTHONPATH", "")
    sys.path[:] = [*filter(None, found.split(os.pathsep)), *own]
    importlib.invalidate_caches()  # folders on the path may be newer than this program
    program, *sys.argv[1:] = request["command"]
    code = 0
    try:
        if program == "marl":
            sys.argv[0] = program
            from marl.__main__ import main

            main()
        else:
            assert sys.argv.pop(1) == "-c", "expected marl, or python -c"
            text, sys.argv[:] = sys.argv[1], ["-c", *sys.argv[2:]]
            sys.path.insert(0, "")
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(text, "<string>", "exec"), vars(sys.modules["__main__"]))
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

own = sys.path[1:]
answers = os.dup(1)
for line in os.fdopen(os.dup(0)):  # sys.stdin is as a program finds it
    child = os.fork() or run(json.loads(line))
    os.write(answers, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Warm:
    """The process from which programs are forked, from the first one until the end of the block that this opens."""

    SECONDS = 300  # after which a program is ended by SIGALRM

    def __enter__(self) -> "Warm":
        """Prepare; nothing is started yet."""
        self._process = None
        self._folder = tempfile.TemporaryDirectory(prefix="marl-warm-")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process."""
        self._folder.cleanup()
        if self._process is not None:
            self._process.__exit__(kind, error, trace)  # it closes the pipes, and waits

    def run(
        self, command: list[str], cwd: Path | str = ".", env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run `marl ...`, or `python -c ...`, as subprocess.run(command, capture_output=True, text=True) would."""
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            environment = os.environ | {"OMP_NUM_THREADS": "1"}  # read when torch is imported
            self._process = subprocess.Popen([sys.executable, "-c", FORKS], env=environment, **pipes)
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        environment = dict(os.environ if env is None else env)
        request = {"command": command, "folder": os.path.abspath(cwd), "environment": environment}
        line = json.dumps(request | {"out": str(out), "err": str(err), "seconds": self.SECONDS})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(command, code, out.read_text("utf-8"), err.read_text("utf-8"))
