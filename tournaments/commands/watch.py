"""`marl tournament watch`: the leaderboard of a store that another process plays into."""

from typing import Annotated

import typer

from marl.base.terminal import Terminal
from tournaments.commands.options import StorePath


def tournament_watch(
    store: StorePath,
    every: Annotated[float, typer.Option(help="Seconds between two looks at the store.", min=0.1)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the leaderboard as it is now, and end.")] = False,
) -> None:
    """Print the leaderboard whenever games were added, while another process plays; Ctrl-C ends it."""
    from tournaments.reports.watch import watch

    watch(store, Terminal(), every, once=once)
