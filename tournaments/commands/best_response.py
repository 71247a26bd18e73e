"""`marl tournament best-response`: how far an agent can be exploited, at least."""

from typing import Annotated

import typer

from marl.base.terminal import Terminal
from marl.cli.options import MOST, AsJson, Sets, print_json, say
from tournaments.commands.options import StorePath, Trusted


def tournament_best_response(
    store: StorePath,
    agent: Annotated[str, typer.Argument(help="The agent of the tournament that is answered.", show_default=False)],
    steps: Annotated[int, typer.Option(min=1, help="Environment steps of each response.")] = 200_000,
    seeds: Annotated[int, typer.Option(min=1, max=MOST, help="Responses that are trained, each by its seed.")] = 3,
    games: Annotated[
        int, typer.Option(min=2, max=MOST, help="Seeds of games that choose a response, and as many that measure it.")
    ] = 200,
    sets: Sets = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Processes; those of the tournament by default.")
    ] = None,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """Train responses to an agent, frozen in all other seats, and say what the best of them gains."""
    from tournaments.populations.best_response import Budget, best_response
    from tournaments.reports.report import print_table
    from tournaments.reports.responses import TITLES, row_of

    terminal = Terminal(stderr=as_json)
    found = best_response(store, agent, Budget(steps, seeds, games, tuple(sets or ()), workers), terminal, trust or [])
    if as_json:
        print_json(found)
        return
    print_table(Terminal(), TITLES, [row_of(found)])
    say("A lower bound: more training may gain more. `marl tournament report` has it from now on.")
