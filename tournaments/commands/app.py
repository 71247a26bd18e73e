"""The commands of `marl tournament`, found through the entry-point group `marl.commands`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from games.errors import UserError
from marl.base.files import run_folder
from marl.base.terminal import Terminal
from marl.cli.groups import Commands
from marl.cli.options import (
    PATH,
    Algorithms,
    AsJson,
    Config,
    RunDir,
    Sets,
    print_json,
    say,
)
from tournaments.commands.across import tournament_across
from tournaments.commands.best_response import tournament_best_response
from tournaments.commands.credit import tournament_credit
from tournaments.commands.games import tournament_games
from tournaments.commands.match import tournament_add, tournament_match
from tournaments.commands.options import StorePath
from tournaments.commands.verify import tournament_verify
from tournaments.commands.watch import tournament_watch

if TYPE_CHECKING:
    from tournaments.reports.summary import Summary

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Play tournaments and rate the agents.")

LineageSd = Annotated[
    float | None,
    typer.Option(
        "--lineage",
        metavar="ELO",
        help="Rate checkpoints of one run as stages: the sd in Elo of the gain from each to the next, e.g. 50.",
    ),
]


@app.command("run")
def tournament_run(
    config: Config,
    sets: Sets = None,
    run_dir: RunDir = None,
    retry_timeouts: Annotated[
        bool, typer.Option("--retry-timeouts", help="Play the games again in which an agent took too long.")
    ] = False,
    algorithm: Algorithms = None,
    as_json: AsJson = False,
) -> None:
    """Play the games that are missing, rate the agents, and write the report."""
    from marl.agents.load import name_algorithm
    from marl.base.origin import typed
    from marl.base.schema import load
    from tournaments.tournament import TournamentConfig, run

    settings, terminal = load(TournamentConfig, config, typed(sets or [])), Terminal(stderr=as_json)
    agents = tuple(name_algorithm(agent, algorithm or []) for agent in settings.agents)
    settings = settings.model_copy(update={"agents": agents})
    store = run(settings, run_folder(config, run_dir), terminal, retry_timeouts=retry_timeouts)
    tournament_report(store, as_json=as_json)


@app.command("rate")
def tournament_rate(store: StorePath, lineage: LineageSd = None, as_json: AsJson = False) -> None:
    """Print the leaderboard."""
    from tournaments.records.store import stored
    from tournaments.reports.report import print_leaderboard
    from tournaments.reports.summary import summarize

    with stored(store) as opened:
        summary = summarize(opened, lineage)
    if summary.reason:
        raise UserError(summary.refused)
    if as_json:
        print_json(summary.to_json())
    else:
        print_leaderboard(Terminal(), summary)


@app.command("report")
def tournament_report(store: StorePath, *, lineage: LineageSd = None, as_json: AsJson = False) -> None:
    """Print the leaderboard, and write it as Markdown, CSV and one HTML page beside the store."""
    from tournaments.records.store import stored
    from tournaments.reports.games import games_of
    from tournaments.reports.report import print_leaderboard, write_report
    from tournaments.reports.summary import listed, summarize

    with stored(store) as opened:
        summary, games = summarize(opened, lineage), games_of(opened)
    paths = write_report(summary, opened.path.parent, games)
    if as_json:
        print_json(summary.to_json() | {"files": {name: str(path) for name, path in paths.items()}})
        return
    print_leaderboard(Terminal(), summary)
    page = next(name for name in paths if name.endswith(".html"))
    say(f"report: {paths[page]} (beside it: {listed([name for name in paths if name != page])})")


@app.command("plot")
def tournament_plot(
    store: StorePath,
    by: Annotated[
        str | None,
        typer.Option(
            help="Draw Elo instead, against an argument of the agents, or the steps of a run's checkpoints.",
            metavar="simulations|steps|...",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, .png, .pdf or .svg; matchups.png or elo_by_...png beside the store by default.", **PATH
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the payoffs of a two-player game's match-ups as a heat map, or Elo curves and their Markdown table."""
    from tournaments.records.store import stored
    from tournaments.reports.heatmap import draw
    from tournaments.reports.summary import summarize

    with stored(store) as opened:
        summary = summarize(opened)
    out = out or opened.path.parent / ("matchups.png" if by is None else f"elo_by_{by}.png")
    if by is not None:
        _plot_elo(summary, by, out, as_json)
        return
    table = draw(summary, out)
    if as_json:
        facts = {"game": summary.game, "opening_moves": summary.opening_moves}
        print_json(facts | {"matchups": table.to_json(), "file": str(out)})
        return
    say(f"match-ups: {out}")


def _plot_elo(summary: "Summary", by: str, out: Path, as_json: bool) -> None:
    """Draw the Elo of a tournament's agents against one of their numbers."""
    from tournaments.reports.curves import draw, gather, table
    from tournaments.reports.report import print_warnings

    curves = gather(summary, by)
    draw(curves, out)
    if as_json:
        print_json(curves.to_json() | {"file": str(out)})
        return
    Terminal().block(f"{table(curves)}\n")
    print_warnings(Terminal(), summary)
    say(f"curves: {out}")


app.command("add")(tournament_add)
app.command("match")(tournament_match)
app.command("watch")(tournament_watch)
app.command("games")(tournament_games)
app.command("verify")(tournament_verify)
app.command("credit")(tournament_credit)
app.command("best-response")(tournament_best_response)
app.command("across")(tournament_across)
