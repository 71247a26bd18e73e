"""The CPU time that a population has spent, by round and on what: a log beside the files that are always the same."""

import json
import os
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marl.base.files import MOST_LOG, append_text, parse_json, read_text

FILE = "cpu.jsonl"
GAMES, TRAINING = "games", "training"


@contextmanager
def spending(folder: Path, number: int, what: str) -> Iterator[None]:
    """Log the CPU seconds of this process and of its workers when the block ends well.

    What other machines do is not counted, nor what a kill has ended.
    """
    before = _seconds()
    yield
    with append_text(folder / FILE) as file:
        file.write(json.dumps({"round": number, "what": what, "seconds": round(_seconds() - before, 3)}) + "\n")


def spent(folder: Path) -> dict[str, float]:
    """Return the CPU seconds that were spent, by what they were spent on."""
    try:
        lines = read_text(folder / FILE, MOST_LOG).splitlines()
    except FileNotFoundError:
        return {}
    total: Counter[str] = Counter()
    for line in lines:
        try:
            said = parse_json(line)
            total[said["what"]] += said["seconds"]
        except (ValueError, KeyError, TypeError):  # a line that a kill has cut short
            continue
    return dict(total)


def _seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(map(_seconds_of, _children(os.getpid())))


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started and that run: none where the system does not tell (Linux)."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for listed in lists for child in listed.split()]


def _seconds_of(pid: int) -> float:
    """Return the CPU seconds of a process and of those that it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # utime, stime, and those of children that have ended
    return own + sum(map(_seconds_of, _children(pid)))
