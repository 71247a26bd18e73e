"""A case: built, run in this process or as a real command, and held against what is promised.

No traceback, nothing unexpected, no exit code but 0, 1, 2 and 130, no hang, no message of more than 500 characters, no
letter that a terminal obeys, one sentence and nothing written at exit code 2, nothing of a stranger's run.
"""

import io
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from marl.cli.app import main
from tests.fuzz.bases import Bases
from tests.fuzz.kinds import Trial, build
from tests.fuzz.limits import limited

ROOT = Path(__file__).parents[2]
LONGEST_MESSAGE = 500
MEMORY = 4 << 30  # bytes, beyond what this process has when a case begins
EXIT_CODES = (0, 1, 2, 130)


class Hung(BaseException):
    """Say that a command took longer than it may."""


@dataclass(frozen=True)
class Case:
    """A case by name; `only` are the changes that are made, all by default."""

    kind: str
    seed: int
    index: int
    only: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Return the case's name, as --case takes it."""
        return f"{self.kind}/{self.index}" + ("" if self.only is None else f"/{','.join(map(str, self.only))}")


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    exit_code: Any  # whatever main left with; None where it did not leave
    out: str
    err: str
    seconds: float
    raised: str = ""  # what came out of main instead of an exit code
    cut: bool = False  # the limits had it do less than it was told


@dataclass(frozen=True)
class Outcome:
    """A case, what was run, what came of it, and each promise that was broken."""

    case: Case
    trial: Trial
    ran: Ran
    broken: list[str]

    @property
    def command(self) -> str:
        """Return the command as a shell takes it."""
        return "marl " + shlex.join(self.trial.arguments)


class Fuzzer:
    """Run cases in a folder, from one set of sound bases. `limit` is how many seconds a command may take."""

    def __init__(self, folder: Path, limit: float) -> None:
        self._folder, self._limit = folder.resolve(), limit
        self._bases = Bases(self._folder / "bases")
        self.precious = self._folder / "precious"  # what a link leads to, and nobody writes
        self.precious.write_text("precious")

    def run(self, case: Case) -> Outcome:
        """Run a case in this process."""
        return self._run(case, lambda trial: run_here(trial, self._limit, self._folder))

    def run_really(self, case: Case) -> Outcome:
        """Run a case as a command of its own."""
        return self._run(case, lambda trial: run_there(trial, 12 * self._limit))

    def shrunk(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the first change of a case that alone breaks a promise, too; or the outcome itself."""
        for number in range(len(outcome.trial.notes) if len(outcome.trial.notes) > 1 else 0):
            case = outcome.case
            alone = self.run(Case(case.kind, case.seed, case.index, (number,)))
            if alone.broken:
                return alone
        return outcome

    def _run(self, case: Case, run: Any) -> Outcome:
        folder = self._folder / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        trial = build(case.kind, case.seed, case.index, case.only, self._bases, folder)
        before = contents(folder)
        ran = run(trial)
        broken = list(promises_broken(ran, before, contents(folder)))
        if self.precious.read_text() != "precious":
            self.precious.write_text("precious")
            broken.append("a file was written through a link")
        return Outcome(case, trial, ran, broken)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return what is in a folder by path: a file's bytes, a link's target, "folder", or "special"."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        # Python's of a plug-in, and what SQLite's readers share where a writer was killed
        if "__pycache__" in name or name.endswith((".sqlite-shm", ".sqlite-wal")):
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        else:
            found[name] = "folder" if path.is_dir() else path.read_bytes() if path.is_file() else "special"
    return found


def promises_broken(ran: Ran, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each promise that a command broke."""
    said = ran.out + ran.err
    if ran.raised:
        yield ran.raised
    elif ran.exit_code not in EXIT_CODES:
        yield f"exit code {ran.exit_code!r}"
    if "Traceback (most recent call last)" in said:
        yield "a traceback"
    if surprised := re.search(r".*unexpected ([\w.]+: |[\w.]+ \(|keyword).*", said):  # not "unexpected end of"
        yield f"'unexpected': {surprised[0]:.400}"
    if re.search(r"^\S.*:\d+: \w*Warning: ", said, re.MULTILINE):
        yield "a warning of Python"
    longest = max(map(len, ran.err.splitlines()), default=0)
    if longest > LONGEST_MESSAGE + len("marl: "):
        yield f"a message of {longest} characters"
    if raw := {letter for letter in said if not letter.isprintable() and letter not in "\n\t"}:
        yield f"raw letters {sorted(raw)}"
    if "canary" in after:
        yield "ran what is a stranger's"
    if ran.exit_code == 2:
        helped = "Usage: " in said
        if not helped and not (ran.err.startswith("marl: ") and ran.err.count("\n") == 1):
            yield "no sentence, or more than one"
        if changed := sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
            yield f"exit code 2, and changed: {', '.join(map(ascii, changed[:5]))}"


def run_there(trial: Trial, limit: float) -> Ran:
    """Run a command as a user does."""
    began = perf_counter()
    command = [sys.executable, "-m", "marl", *trial.arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=trial.folder, env=environment, input=trial.typed, capture_output=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return Ran(None, "", "", limit, f"hung for {limit:g} s")
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    return Ran(done.returncode, out, err, perf_counter() - began)


def run_here(trial: Trial, limit: float, folder: Path) -> Ran:
    """Run a command in this process, as `marl` would be run, with a limit on its time and its memory.

    What it prints is kept in two files in `folder`.
    """
    said = [folder / "out", folder / "err"]
    began, exit_code, raised = perf_counter(), None, ""
    with ExitStack() as stack:
        stack.enter_context(_captured(trial.typed, said))
        stack.enter_context(_restored(trial.folder))
        limits = stack.enter_context(limited())
        stack.enter_context(_little_memory())
        try:
            with _watched(limit):
                main(trial.arguments)
        except SystemExit as left:
            exit_code = left.code
        except Hung:
            raised = f"hung for {limit:g} s"
        except BaseException as error:  # whatever it is, it is a finding
            raised = f"main raised {type(error).__name__}: {error}"
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, UnicodeError) as error:
                raised = raised or f"its output raised {error}"
    out, err = (path.read_bytes().decode("utf-8", "backslashreplace") for path in said)
    return Ran(exit_code, out, err, perf_counter() - began, raised, limits.cut)


@contextmanager
def _watched(limit: float) -> Iterator[None]:
    """Raise Hung after `limit` seconds, and again each second for whoever catches it."""

    def ring(*_: Any) -> None:
        raise Hung

    held = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, held)


@contextmanager
def _little_memory() -> Iterator[None]:
    """Let a command have so much more memory, so that the machine outlives one that wants it all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):  # there is no such number, or no such limit, on this system
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _captured(typed: bytes, paths: list[Path]) -> Iterator[None]:
    """Send what is printed, by libraries in C too, to two files; give what is typed."""
    with ExitStack() as stack:
        streams = []
        for number, path in enumerate(paths, start=1):
            file = stack.enter_context(path.open("wb"))
            kept = os.dup(number)
            os.dup2(file.fileno(), number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            errors = "strict" if number == 1 else "backslashreplace"
            streams.append(io.TextIOWrapper(file, encoding="utf-8", errors=errors, write_through=True))
        stack.enter_context(patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8")))
        stack.enter_context(patch.object(sys, "stdout", streams[0]))
        stack.enter_context(patch.object(sys, "stderr", streams[1]))
        yield


@contextmanager
def _restored(folder: Path) -> Iterator[None]:
    """Stand in a folder; afterwards be where and what this process was."""
    where, path, environment, hook = Path.cwd(), list(sys.path), dict(os.environ), sys.excepthook
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        os.chdir(where)
        sys.path[:], sys.excepthook = path, hook
        sys.modules.pop("evil", None)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
