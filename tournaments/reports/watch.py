"""A leaderboard that follows a store while another process plays into it."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from marl.base.terminal import Terminal
from tournaments.records.store import stored
from tournaments.reports.report import print_leaderboard
from tournaments.reports.summary import Summary, summarize

SHARE = 10  # a look at the store is followed by at least so many times the CPU time that it took


def watch(path: Path, console: Terminal, every: float, *, once: bool = False) -> None:
    """Print the leaderboard of a store, and again when there are new games, until Ctrl-C; `every` is in seconds.

    The store is opened for reading, and closed between two looks. Raises UserError where it cannot be read.
    """
    with suppress(KeyboardInterrupt):
        for games, summary in _looks(path, every):
            if console.is_terminal and not once:
                console.clear()
            console.print(f"{path}: {games:,} games")
            print_leaderboard(console, summary)
            console.file.flush()
            if once:
                return


def _looks(path: Path, every: float) -> Iterator[tuple[int, Summary]]:
    """Yield the number of games and the summary of a store, first as it is, then whenever games were added."""
    seen: tuple[int, int] | None = None
    while True:
        began = time.process_time()
        with stored(path) as opened:
            found = len(opened), opened.last_row
            summary = summarize(opened) if found != seen else None
        if summary is not None:
            yield found[0], summary
        seen = found
        time.sleep(max(every, SHARE * (time.process_time() - began)))
