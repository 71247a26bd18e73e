"""The commands of `marl tournament`, found through the entry-point group `marl.commands`."""

import typer

from marl.cli.groups import Commands
from tournaments.commands.across import tournament_across
from tournaments.commands.best_response import tournament_best_response
from tournaments.commands.credit import tournament_credit
from tournaments.commands.games import tournament_games
from tournaments.commands.match import tournament_add, tournament_match
from tournaments.commands.report import tournament_plot, tournament_rate, tournament_report
from tournaments.commands.run import tournament_run
from tournaments.commands.verify import tournament_verify
from tournaments.commands.watch import tournament_watch

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Play tournaments and rate the agents.")

app.command("run")(tournament_run)
app.command("rate")(tournament_rate)
app.command("report")(tournament_report)
app.command("plot")(tournament_plot)
app.command("add")(tournament_add)
app.command("match")(tournament_match)
app.command("watch")(tournament_watch)
app.command("games")(tournament_games)
app.command("verify")(tournament_verify)
app.command("credit")(tournament_credit)
app.command("best-response")(tournament_best_response)
app.command("across")(tournament_across)
