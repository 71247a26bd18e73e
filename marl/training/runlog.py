"""The logs of a run: metrics.jsonl and evaluations.jsonl, and the writers that show their values elsewhere."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from games.errors import in_words, theirs
from marl.agents.cost import METRICS
from marl.base.files import MOST_LOG, append_text, parse_json, read_text, write_text
from marl.training.writers import BOARD, Writer

EVALUATIONS = "evaluations.jsonl"
LOGS = METRICS, EVALUATIONS, BOARD
WALL = "time/wall_seconds"
FLUSH = 5.0  # seconds between flushes
TAIL = 65_536  # bytes at the end of a log in which to look for its last whole line


_log = logging.getLogger(__name__)


class RunLog:
    """Append to a run's logs. For a resumed run, lines after its checkpoint are removed first.

    A writer that fails on the way is dropped, and `warn` is told why: training goes on, and the logs have everything.
    """

    def __init__(
        self,
        run: Path,
        step: int,
        writers: Mapping[str, Writer] | None = None,
        config: Mapping[str, Any] | None = None,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        """`step` is that of the run's checkpoint, -1 without one; raises UserError where a writer cannot be opened."""
        metrics, _ = (_truncate(run / name, step) for name in (METRICS, EVALUATIONS))
        self._metrics, self._evaluations = append_text(run / METRICS), append_text(run / EVALUATIONS)
        self._writers: dict[str, Writer] = {}
        self._warn = warn
        for name, writer in (writers or {}).items():
            try:
                with theirs(f"the writer '{name}' could not be opened", "mend that, or leave it out of writers"):
                    writer.open(run, config or {}, step)
            except BaseException:
                self.close()
                raise
            self._writers[name] = writer
        self._flushed = time.monotonic()
        self._begun = self._flushed - _number(metrics.get(WALL))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a rollout and of the updates after it, and the seconds since the run was begun."""
        values = {**values, WALL: round(time.monotonic() - self._begun, 3)}
        self._metrics.write(json.dumps({"step": step} | values) + "\n")
        self._show(step, {name if "/" in name else f"train/{name}": value for name, value in values.items()})
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def evaluation(self, step: int, opponent: str, result: Mapping[str, Any]) -> None:
        """Write one evaluation against one opponent of the panel."""
        self._evaluations.write(json.dumps({"step": step, "against": opponent, **result}) + "\n")
        means = enumerate(result["return_mean"])
        self._show(step, {f"evaluation/{opponent}/player_{player}": mean for player, mean in means})

    def flush(self) -> None:
        """Flush all logs: they must contain everything up to a checkpoint before it is written."""
        for file in (self._metrics, self._evaluations):
            file.flush()
        self._each(lambda writer: writer.flush())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush all logs, and end the writers."""
        for file in (self._metrics, self._evaluations):
            file.close()
        self._each(lambda writer: writer.close())

    def _show(self, step: int, values: Mapping[str, float]) -> None:
        self._each(lambda writer: writer.write(step, values))

    def _each(self, act: Callable[[Writer], None]) -> None:
        """Let every writer act; drop one that fails."""
        for name, writer in list(self._writers.items()):
            try:
                act(writer)
            except Exception as error:  # a service or a plug-in may raise anything
                del self._writers[name]
                self._warn(f"the writer '{name}' failed and is left out from here on: {in_words(error)}")

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def logged_step(run: Path) -> int:
    """Return the last step in a run's metrics, or 0 if there are none yet."""
    try:
        with (run / METRICS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        # An incomplete line is still being written, or is the first of the tail.
        with suppress(ValueError, KeyError, TypeError, OverflowError):
            return int(parse_json(line.decode())["step"])
    return 0


def _truncate(path: Path, step: int) -> dict[str, Any]:
    """Remove the lines after a step, and an incomplete last line; return the last one that stays, if there is one."""
    if not path.exists():
        return {}
    kept, last = [], {}
    for line in read_text(path, MOST_LOG).splitlines(keepends=True):
        try:
            found = parse_json(line)
            if line.endswith("\n") and found["step"] <= step:
                kept.append(line)
                last = found
        except (ValueError, KeyError, TypeError):
            continue
    write_text(path, "".join(kept))
    return last


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0.0
