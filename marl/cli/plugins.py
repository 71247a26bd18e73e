"""Groups of commands that other packages add: the entry points of the group `marl.commands`, each a Typer app."""

from typing import Any

import typer
from typer.core import TyperGroup

from games import plugins
from games.errors import UserError, theirs
from marl.base.terminal import Terminal


class WithPlugIns(TyperGroup):
    """The commands of this package, and behind them those that others add. One is imported when it is asked for.

    A plug-in that cannot be imported is named in its place; all other commands work.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        ours, added = super().list_commands(ctx), plugins.names(plugins.COMMANDS)
        for name in sorted({*ours} & {*added}):
            complaint = (
                f"marl: '{name}' is a command of marl's own, and the plug-in of that name is left out; rename it"
            )
            Terminal(stderr=True).print(complaint)
        return [*ours, *(name for name in added if name not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        return _load(cmd_name) if found is None and cmd_name in plugins.names(plugins.COMMANDS) else found


def _load(name: str) -> Any:
    """Return the commands that are registered by a name, or one that says why they cannot be had."""
    try:
        app = plugins.load(plugins.COMMANDS, name)
        with theirs(f"the commands of 'marl {name}' could not be built"):
            command = typer.main.get_group(app)
    except UserError as error:
        command = _broken(str(error))
    command.name = name
    return command


def _broken(message: str) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command(help=message, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def refuse() -> None:
        raise UserError(message)

    return typer.main.get_command(app)
