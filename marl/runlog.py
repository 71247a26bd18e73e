"""What a run says while it goes: metrics.jsonl, evaluations.jsonl, TensorBoard; lines or a bar on the terminal."""

import json
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from games.text import shown
from marl.terminal import Terminal, Words

METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"


class RunLog:
    """Append to a run's logs. A resumed run first cuts them back to its checkpoint, as if the rest had never been."""

    def __init__(self, run: Path, step: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard's own imports
            from torch.utils.tensorboard import SummaryWriter
        for name in (METRICS, EVALUATIONS):
            _cut(run / name, step)
        self._metrics = (run / METRICS).open("a", encoding="utf-8")
        self._evaluations = (run / EVALUATIONS).open("a", encoding="utf-8")
        self._board: Any = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Write the metrics of a rollout and what was learned from it."""
        self._metrics.write(json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, step)

    def evaluation(self, step: int, opponent: str, result: dict[str, Any]) -> None:
        """Write one evaluation against one of the panel."""
        self._evaluations.write(json.dumps({"step": step, "against": opponent} | result) + "\n")
        for player, mean in enumerate(result["return_mean"]):
            self._board.add_scalar(f"evaluation/{opponent}/player_{player}", mean, step)

    def flush(self) -> None:
        """Bring everything to the disk: what a checkpoint says has happened must be in the logs."""
        for file in (self._metrics, self._evaluations):
            file.flush()
        self._board.flush()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for closing in (self._metrics, self._evaluations, self._board):
            closing.close()


def _cut(path: Path, step: int) -> None:
    """Drop the lines after a step, and a last line that was torn."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    beside = path.with_suffix(".partial")
    beside.write_text("".join(kept), encoding="utf-8")
    beside.replace(path)


class Display:
    """Show progress: a bar with the time left on a terminal, plain lines off it."""

    def __init__(self, label: str, total: int, unit: str, console: Terminal) -> None:
        self._label, self._total, self._console = label, total, console
        columns = (Words("{task.description}"), BarColumn(), MofNCompleteColumn(), Words(unit))
        self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
        self._task = self._bar.add_task(shown(label), total=total)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def advance_to(self, done: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=min(done, self._total))

    def line(self, text: str) -> None:
        """Print one line."""
        self._console.print(f"{self._label}: {text}")
