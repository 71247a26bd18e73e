"""Progress on the terminal: a bar with the time left, or plain lines where the output is no terminal."""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from games.text import cut, shown
from marl.base.terminal import Terminal, Words

QUIET = 10.0  # seconds between two lines of progress


class _Bar(Progress):
    """A bar with lines below it."""

    lines: Sequence[str] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield from map(Text, self.lines)


class Display:
    """Show progress: a bar with the time left on a terminal, plain lines off it.

    The time left follows from the rate of the last RECENT seconds; steps that were `done` before do not count.
    """

    RECENT = 600.0
    LONGEST = 24  # characters of the label on the bar

    def __init__(
        self, label: str, total: int, unit: str, console: Terminal, done: int = 0, at_most: bool = False
    ) -> None:
        """`at_most`: the end is not known; the total, and so the time left, are the most that it can be."""
        self._label, self._total, self._console = label, total, console
        self._bar = _Bar(
            Words("{task.description}"),
            BarColumn(bar_width=10),
            *([Words("at most")] if at_most else []),
            MofNCompleteColumn(),
            Words(unit),
            Words("{task.fields[note]}"),
            TimeElapsedColumn(),
            *([Words("at most")] if at_most else []),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            speed_estimate_period=self.RECENT,
        )
        self._task = self._bar.add_task(cut(shown(label), self.LONGEST), total=total, completed=done, note="")
        self._last_line = time.monotonic()

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def advance_to(self, done: int, note: str = "") -> None:
        """Move the bar; `note` stands beside the number until there is another."""
        self._bar.update(self._task, completed=min(done, self._total))
        if note:
            self._bar.update(self._task, note=shown(note))

    def below(self, lines: Sequence[str]) -> None:
        """Show some lines below the bar, on a terminal, until there are others."""
        self._bar.lines = [cut(shown(line), max(10, self._console.width - 1)) for line in lines]

    def tell(self, done: int, total: int, text: str) -> None:
        """Move the bar on a terminal; off it print `text`, at most every QUIET seconds."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last_line >= QUIET:
            self._last_line = time.monotonic()
            self.line(text)

    def line(self, text: str) -> None:
        """Print one line."""
        self._console.print(f"{self._label}: {text}")
