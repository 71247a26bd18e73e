"""Groups of commands that other packages add: the entry points of the group `marl.commands`, each a Typer app."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from games.errors import UserError, in_words

GROUP = "marl.commands"


class WithPlugIns(TyperGroup):
    """The commands of this package, and behind them those that others add. One is imported when it is asked for.

    A plug-in that cannot be imported is named in its place; all other commands work.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(_points())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or (_load(_points()[cmd_name]) if cmd_name in _points() else None)


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> Any:
    """Return the commands that an entry point names, or one that says why they could not be imported."""
    try:
        command = typer.main.get_group(point.load())
    except Exception as error:  # a plug-in may raise anything
        command = _broken(f"'marl {point.name}' ({point.value}) could not be imported: {in_words(error)}; mend it")
    command.name = point.name
    return command


def _broken(message: str) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command(help=message, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def refuse() -> None:
        raise UserError(message)

    return typer.main.get_command(app)
