"""Groups of commands: ours, and what other packages add by the entry-point group `marl.commands`.

An entry point names a Typer app, which becomes a group (`marl tournament run`), or a function, which becomes one
command (`marl render`).
"""

from importlib.metadata import EntryPoint
from types import FunctionType
from typing import Any

import typer
from typer.core import TyperGroup

from games import plugins
from games.errors import UserError, nearest, theirs
from marl.base.terminal import Terminal


class Commands(TyperGroup):
    """A group of commands that hints at the one that was meant."""

    def names(self) -> list[str]:
        """Return the names of its commands."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = self.names()
        if not args[0].startswith("-") and args[0] not in known:
            hint = nearest(args[0], known) or f"; there are {', '.join(known)}"
            raise UserError(f"expected a command of `{ctx.command_path}`, got '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


class WithPlugIns(Commands):
    """The commands of this package, and behind them those that others add. One is imported when it is asked for.

    A plug-in that cannot be imported is named in its place; all other commands work.
    """

    def names(self) -> list[str]:
        ours = super().names()
        return [*ours, *(name for name in plugins.names(plugins.COMMANDS) if name not in ours)]

    def list_commands(self, ctx: Any) -> list[str]:
        for point in plugins.points(plugins.COMMANDS):
            if point.name in self.commands:
                Terminal(stderr=True).print(f"marl: {left_out(point)}")
        return self.names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        return _loaded(cmd_name) if found is None and cmd_name in plugins.names(plugins.COMMANDS) else found


def left_out(point: EntryPoint) -> str:
    """Say of a plug-in that its name is taken by a command of ours."""
    whose = plugins.whose(point)
    return f"'{point.name}' is a command of marl's own, and the plug-in of that name, {whose}, is left out; rename it"


def load(name: str) -> Any:
    """Return the group, or the command, that is registered by a name; raises UserError where it cannot be had."""
    registered = plugins.load(plugins.COMMANDS, name)
    with theirs(f"the commands of 'marl {name}' could not be built"):
        return _alone(registered) if isinstance(registered, FunctionType) else typer.main.get_group(registered)


def _alone(function: Any) -> Any:
    """Return a function as one command."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app)


def _loaded(name: str) -> Any:
    """Return what is registered by a name, or a command that says why it cannot be had."""
    try:
        command = load(name)
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
