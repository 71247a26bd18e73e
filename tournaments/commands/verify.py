"""`marl tournament verify`: the recorded games of a store, played again and compared."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from games.errors import UserError
from marl.base.terminal import Terminal
from marl.cli.options import MOST, AsJson, print_json
from tournaments.commands.options import StorePath, Trusted

if TYPE_CHECKING:
    from tournaments.playback.verify import Verdict

MOST_SHOWN = 20  # differences on the terminal


def tournament_verify(
    store: StorePath,
    sample: Annotated[
        int | None, typer.Option(help="Only so many games, drawn at random by their ids.", min=1, max=MOST)
    ] = None,
    agents: Annotated[bool, typer.Option("--agents", help="Also ask the agents again, and compare moves.")] = False,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """Play the recorded moves of a store again, and compare; exit code 1 where a game differs."""
    from tournaments.playback.verify import verify
    from tournaments.records.store import Selection, stored

    with stored(store) as opened:
        if not len(opened):
            raise UserError(f"expected games to verify, got '{opened.path}' without any; run its tournament first")
        verdict = verify(opened, Selection(sample=sample), agents=agents, trusted=trust or [])
    if as_json:
        print_json(asdict(verdict))
    else:
        _print(Terminal(), verdict)
    raise typer.Exit(1 if verdict.differences else 0)


def _print(console: Terminal, verdict: "Verdict") -> None:
    for difference in verdict.differences[:MOST_SHOWN]:
        who = " – ".join(difference.agents)
        console.print(f"{difference.game} (seed {difference.seed}, {who}): {difference.what}")
    if len(verdict.differences) > MOST_SHOWN:
        console.print(f"and {len(verdict.differences) - MOST_SHOWN:,} more; --json lists all")
    for note in verdict.notes:
        console.print(f"note: {note}", style="yellow")
    console.print(verdict.sentence)
