"""The commands about games: list, show and check them."""

from pathlib import Path
from typing import Annotated

import typer

from games.errors import UserError
from marl.base.terminal import Terminal
from marl.cli.groups import Commands
from marl.cli.options import (
    MOST,
    MOST_SEED,
    PATH,
    AsJson,
    each_plug_in,
    print_json,
    say,
)

app = typer.Typer(cls=Commands, no_args_is_help=True, help="List, show and check games.")
Game = Annotated[str, typer.Argument(help="A game's reference, with its wrappers: 'spread | agent_id'.")]


@app.command("list")
def games_list(as_json: AsJson = False) -> None:
    """List the games that have a name here, and the sources of more."""
    from games import plugins, registry, sources
    from games.wrappers import ON_SPACES

    usable = [name for name, _ in each_plug_in(plugins.SOURCES, lambda _, name: sources.source(name))]
    found = registry.names() + list(sources.listed())
    wrappers = sorted((*plugins.names(plugins.WRAPPERS), *ON_SPACES))
    if as_json:
        print_json({"games": found, "sources": usable, "wrappers": wrappers})
        return
    for name in found:
        say(name)
    say(f"and {', '.join(f'{source}:...' for source in usable)}, package.module:Class(...)")
    say(f"each with wrappers behind it, as in 'spread | agent_id': {', '.join(wrappers)}, SuperSuit's")


@app.command("table")
def games_table(
    source: Annotated[str, typer.Argument(help="Where the games are from: openspiel, pettingzoo, ...")],
    episodes: Annotated[int, typer.Option(min=1, max=MOST, help="Random episodes to play of each game.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one game may take.")] = 900,
    workers: Annotated[int, typer.Option(min=1, help="Games to check at once.")] = 2,
) -> None:
    """Check every game of a source; print which pass, and why others are refused, as a Markdown table."""
    from games.survey import table

    Terminal().block(table(source, episodes, timeout, workers))


@app.command("show")
def games_show(
    game: Game,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="Seed of the random episode, 0 by default.")
    ] = None,
    views: Annotated[bool, typer.Option("--views", help="Print what every player sees, as numbers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the Spec alone, as one JSON object.")] = False,
) -> None:
    """Print what a game is, and a random episode of it."""
    from games.playthrough import playthrough
    from games.registry import make

    if as_json:
        if views or seed is not None:
            given = "--views" if views else f"--seed {seed}"
            raise UserError(f"--json prints the Spec alone, and no episode; leave {given} out")
        print_json(make(game, 1).spec.to_json())
        return
    for line in playthrough(game, seed=seed or 0, views=views):
        Terminal().block(line)


@app.command("check")
def games_check(
    game: Game,
    episodes: Annotated[int, typer.Option(min=1, max=MOST, help="Random episodes to play.")] = 20,
    write_playthrough: Annotated[
        Path | None,
        typer.Option(help="Write random episodes there as text, to keep and to compare.", **PATH),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play random games and check every promise of the contract; exit code 1 where one is broken."""
    from games.check import check_game
    from games.playthrough import write
    from marl.base.display import Display

    with Display(game, episodes, "parts", Terminal(stderr=True)) as display:
        report = check_game(game, episodes, progress=display.tell)
    if write_playthrough is not None:
        write(game, write_playthrough)
    if as_json:
        print_json(report.to_json())
    else:
        Terminal().block(str(report))
    if not report.passed:
        raise typer.Exit(1)
