"""The commands of `marl population`, found through the entry-point group `marl.commands`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from games.errors import UserError
from marl.base.files import run_folder, typed_path
from marl.base.terminal import Terminal
from marl.cli.groups import Commands
from marl.cli.options import AsJson, Config, Device, Resume, RunDir, Sets, print_json, say

RUN = "run"
Folder = Annotated[Path, typer.Argument(help="A population's folder.", parser=typed_path)]
MEMBER: Any = typer.Argument(help="A member's id, or the beginning of its digest.", show_default=False)
Name = Annotated[str, MEMBER]


class RunUnlessNamed(Commands):
    """`marl population CONFIG` is `marl population run CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = args and (args[0] in self.names() or args[0] in self.get_help_option_names(ctx))
        named = known or (
            len(args) > 1 and not any(text.startswith("-") for text in args[:2])
        )  # it has no such command
        return list(super().parse_args(ctx, [RUN, *args] if args and not named else args))


app = typer.Typer(
    cls=RunUnlessNamed,
    no_args_is_help=True,
    help="Train populations: members side by side, or members whose payoffs decide who meets whom.",
)


@app.command(RUN)
def population(
    config: Config,
    sets: Sets = None,
    run_dir: RunDir = None,
    resume: Resume = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Go on although the config has changed: later rounds are another run's."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Train a population and leave its folder. `marl population CONFIG` does the same."""
    from marl.base.origin import typed
    from marl.training.config import PopulationConfig
    from marl.training.population import train_members
    from tournaments.populations.config import load_population
    from tournaments.populations.histories import history_of
    from tournaments.populations.loop import run
    from tournaments.populations.report import write_report

    folder, settings = run_folder(config, run_dir), load_population(config, typed(sets or []))
    if isinstance(settings, PopulationConfig):
        say(f"population: {train_members(settings, folder, resume=resume, device=device, console=Terminal())}")
    else:
        path = run(settings, folder, resume=resume, device=device, console=Terminal(), accept_changes=accept_changes)
        say(f"population: {path}")
        history = history_of(folder)
        say(f"report: {write_report(history)}")
        if history.plays_as:
            say(history.plays_as)
    say(f"curves: tensorboard --logdir {shlex.quote(str(folder))}")


@app.command("status")
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Say how far a population is, and what its members are worth."""
    from tournaments.populations.histories import history_of
    from tournaments.populations.status import print_status

    history = history_of(folder)
    if as_json:
        print_json(history.to_json())
    else:
        print_status(Terminal(), history)


@app.command("report")
def report(folder: Folder) -> None:
    """Write one HTML page: what the rounds found, and what members are worth."""
    from tournaments.populations.histories import history_of
    from tournaments.populations.report import write_report

    say(f"report: {write_report(history_of(folder))}")


@app.command("lineage")
def lineage(
    folder: Folder,
    member: Annotated[str | None, MEMBER] = None,
    as_json: AsJson = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Of method pbt: print the commands that train the member again, each run below this folder.",
            parser=typed_path,
            metavar="FOLDER",
        ),
    ] = None,
) -> None:
    """Say where each member came from, or one of them: which mixture it answers, or whom it copied."""
    from tournaments.populations.histories import history_of
    from tournaments.populations.status import print_lineage

    history = history_of(folder)
    chosen = [history.member(member)] if member else list(history.members)
    if config is not None:
        if member is None:
            raise UserError("--config trains one member again; name it, such as `status` lists them")
        for command in history.replay(chosen[0], str(config)):
            say(command)
        return
    if as_json:
        print_json({"members": [history.origin(each) for each in chosen]})
    else:
        print_lineage(Terminal(), history, chosen)


@app.command("matches")
def matches(folder: Folder, member: Name, other: Name, as_json: AsJson = False) -> None:
    """Show what two members were paid against each other, and their games."""
    from tournaments.populations.histories import history_of
    from tournaments.populations.status import games_of, print_matches

    history = history_of(folder)
    found = games_of(history, history.member(member), history.member(other))
    if as_json:
        print_json(found)
    else:
        print_matches(Terminal(), found)
