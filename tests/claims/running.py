"""A claim's commands run one after the other in a folder of the claim, each once.

`done.jsonl` has a line for every command that has ended well: its CPU time, the day, the processor and the version of
this project. After a kill the next one is the
first without a line, and training commands go on in it (`--resume`). What commands print is in `log.txt`.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import marl
from games.errors import RunFailed, UserError
from tests.claims.table import ROOT, Claim, spread_out
from tournaments.records.provenance import processor

RUNS = Path("runs") / "claims"
_TAIL = 500  # characters of a failed command's output that are shown
# What shows that an extra of this package is installed: a module of it. Of all others it has the extra's name.
_EXTRAS = {"mpe": "mpe2", "classic": "pettingzoo"}


def refuse(claims: dict[str, Claim], minutes: float | None) -> None:
    """Raise UserError for the first claim that cannot be measured: it takes too long, or lacks what it needs."""
    for name, claim in claims.items():
        if minutes is not None and claim.budget > minutes:
            raise UserError(
                f"the claim '{name}' takes {claim.budget:g} CPU-minutes, and --minutes allows {minutes:g}; nothing was "
                "started; allow more, or leave it out"
            )
        if (cores := os.cpu_count() or 1) < claim.cores:
            raise UserError(f"the claim '{name}' needs {claim.cores} cores, and this machine has {cores}; leave it out")
        for extra in claim.extras:
            if not find_spec(_EXTRAS.get(extra, extra)):
                raise UserError(
                    f"the claim '{name}' needs the extra '{extra}', which is not installed; pip install '.[{extra}]'"
                )
        for package in claim.packages:
            if not find_spec(package):
                raise UserError(
                    f"the claim '{name}' needs the package '{package}', which cannot be imported; "
                    "install it into a folder that PYTHONPATH names"
                )
        for variable in claim.needs:
            if not os.environ.get(variable):
                raise UserError(
                    f"the claim '{name}' needs the variable {variable}, which is not set; "
                    "docs/how-to/results.md says what it names"
                )


@dataclass(frozen=True)
class Ended:
    """A command that has ended well. What an earlier version did not write down is empty."""

    cpu_seconds: float
    day: str  # as in 2026-11-29
    processor: str = ""
    version: str = ""

    @classmethod
    def now(cls, cpu_seconds: float) -> "Ended":
        """Return a command that has just ended here."""
        return cls(round(cpu_seconds, 3), date.today().isoformat(), processor(), marl.__version__)


def done(claim: Claim, folder: Path) -> dict[str, Ended]:
    """Return the claim's commands that have ended well in its folder.

    Of a line without a day it is that on which the file was written last.
    """
    path = folder / "done.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    last = date.fromtimestamp(path.stat().st_mtime).isoformat()
    ended = {}
    for line in lines:
        try:
            record = json.loads(line)
            command = record.pop("command")
            ended[command] = Ended(**{"day": last} | record)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # half a line: the tool was killed while it wrote
    wanted = spread_out(claim)
    return {command: ended[command] for command in wanted if command in ended}


def run(claim: Claim, folder: Path, say: Callable[[str], None] = print) -> list[Ended]:
    """Run the commands that are missing, and return all; raises RunFailed for one that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    ended, commands = done(claim, folder), spread_out(claim)
    for number, command in enumerate(commands, start=1):
        if command in ended:
            continue
        say(f"{number} of {len(commands)}: {command}")
        ended[command] = Ended.now(_run(resuming(command), folder))
        with (folder / "done.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps({'command': command} | asdict(ended[command]))}\n")
            file.flush()
            os.fsync(file.fileno())
    return list(ended.values())


def resuming(command: str) -> str:
    """Return a command that goes on where it was stopped, if it is one that trains."""
    begun = re.match(r"marl (train|sweep|population) (?!status|report|lineage|matches)", command)
    if not begun or "--resume" in command:
        return command
    return f"{begun[0]}--resume {command[begun.end() :]}"


def environment() -> dict[str, str]:
    """Return the environment of commands: this Python, this project, one thread."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    modules = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PATH": path, "PYTHONPATH": modules, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def _run(command: str, folder: Path) -> float:
    """Run one command, and return its CPU-seconds with those of its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("a+", encoding="utf-8") as log:
        log.write(f"\n$ {command}\n")
        log.flush()
        begin = log.tell()
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:  # Ctrl-C too: nothing is left running
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        if code:
            log.seek(begin)
            tail = " ".join(log.read()[-_TAIL:].split())
            raise RunFailed(f"the command `{command}` ended with exit code {code}: {tail} ('{folder / 'log.txt'}')")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
