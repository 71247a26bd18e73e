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
    from tournaments.reports.pairs import written
    from tournaments.reports.report import print_table
    from tournaments.reports.responses import TITLES, bound, row_of

    budget = Budget(steps, seeds, games, tuple(sets or ()), workers)
    searches = best_response(store, agent, budget, Terminal(stderr=as_json), trust or [])
    most, found = bound(searches), searches[-1]
    if as_json:
        print_json({**most, "searches": searches})
        return
    print_table(Terminal(), TITLES, [row_of(most)])
    say(f"responses by seat: {', '.join(seat['response'] for seat in most['seats'])}")
    if most is not found:
        gain = written(found["gain"]["mean"], found["gain"]["ci95"])
        say(f"This search found a gain of {gain}; an earlier one found more, and its bound stays.")
    say("A lower bound: more training may gain more. `marl tournament report` has it from now on.")
