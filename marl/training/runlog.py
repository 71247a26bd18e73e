"""The logs of a run: metrics.jsonl, evaluations.jsonl and TensorBoard."""

import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from marl.base.files import MOST_LOG, append_text, parse_json, read_text, write_text

LOGS = METRICS, EVALUATIONS, BOARD = "metrics.jsonl", "evaluations.jsonl", "tensorboard"
FLUSH = 5.0  # seconds between flushes
TAIL = 65_536  # bytes at the end of a log in which to look for its last whole line


class RunLog:
    """Append to a run's logs. For a resumed run, lines after its checkpoint are removed first."""

    def __init__(self, run: Path, step: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard's own imports
            from torch.utils.tensorboard import SummaryWriter
        for name in (METRICS, EVALUATIONS):
            _truncate(run / name, step)
        self._metrics, self._evaluations = append_text(run / METRICS), append_text(run / EVALUATIONS)
        self._board = SummaryWriter(str(run / BOARD), purge_step=step + 1)
        self._flushed = time.monotonic()

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Write the metrics of a rollout and of the updates after it."""
        self._metrics.write(json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, step)
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def evaluation(self, step: int, opponent: str, result: dict[str, Any]) -> None:
        """Write one evaluation against one opponent of the panel."""
        self._evaluations.write(json.dumps({"step": step, "against": opponent} | result) + "\n")
        for player, mean in enumerate(result["return_mean"]):
            self._board.add_scalar(f"evaluation/{opponent}/player_{player}", mean, step)

    def flush(self) -> None:
        """Flush all logs: they must contain everything up to a checkpoint before it is written."""
        for file in (self._metrics, self._evaluations):
            file.flush()
        self._board.flush()
        self._flushed = time.monotonic()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for closing in (self._metrics, self._evaluations, self._board):
            closing.close()


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


def _truncate(path: Path, step: int) -> None:
    """Remove the lines after a step, and an incomplete last line."""
    if not path.exists():
        return
    kept = []
    for line in read_text(path, MOST_LOG).splitlines(keepends=True):
        try:
            if line.endswith("\n") and parse_json(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_text(path, "".join(kept))
