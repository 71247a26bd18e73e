"""What training has cost: the seconds of wall time and of CPU time that a run's log gives for its updates."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from marl.base.files import MOST_LOG, parse_json, read_text

METRICS = "metrics.jsonl"  # the log of a run's updates, beside its checkpoints
WALL, CPU = "steps_per_second", "steps_per_cpu_second"  # the speeds in it

Update = Mapping[str, float]


def seconds(updates: Sequence[Update], speed: str) -> float | None:
    """Return the seconds that all updates took, by their steps and their speed; None if these do not give them."""
    total, before = 0.0, 0.0
    for line in updates:
        if not (line.get(speed, 0.0) > 0 and line["step"] >= before):
            return None
        total += (line["step"] - before) / line[speed]
        before = line["step"]
    return total if updates and math.isfinite(total) else None


def cost(run: Path, step: int) -> dict[str, float | None]:
    """Return the wall and CPU seconds of a run's updates up to a step; None where its log does not say them."""
    log = run / METRICS
    try:
        changed = log.stat().st_mtime_ns
    except OSError:
        return {"wall_seconds": None, "cpu_seconds": None}
    updates = [update for update in _updates(log, changed) if update["step"] <= step]
    return {"wall_seconds": seconds(updates, WALL), "cpu_seconds": seconds(updates, CPU)}


@lru_cache(maxsize=4)  # agents are often checkpoints of one run
def _updates(log: Path, changed: int) -> list[Update]:
    """Return the steps and speeds in a log that has changed then; those before the first line that is damaged."""
    found: list[Update] = []
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        for line in read_text(log, MOST_LOG).splitlines():
            update = parse_json(line)
            found.append(
                {name: float(update[name]) for name in ("step", WALL, CPU) if name == "step" or name in update}
            )
    return found
