"""The CPU time that a population has spent, by round and on what: a log beside the files that are always the same."""

import json
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
    """Log the CPU seconds of this process, and of those that it started and that have ended, when the block ends well.

    What another machine does, or a process that was killed, is not counted.
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
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
