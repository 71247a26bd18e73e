"""The commands about the configs that are shipped with the package: list them, copy one."""

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from games.errors import UserError, nearest
from marl.base import shipped
from marl.base.files import typed_path
from marl.base.terminal import Terminal
from marl.cli.groups import Commands
from marl.cli.options import AsJson, print_json, say

app = typer.Typer(cls=Commands, help="List the shipped configs, or copy one to change it.")


@app.callback(invoke_without_command=True)
def configs(context: typer.Context, as_json: AsJson = False) -> None:
    """List the shipped configs, by the command that takes them; `marl configs copy NAME` copies one."""
    if context.invoked_subcommand is not None:
        return
    found = shipped.configs()
    if as_json:
        listed = [{"kind": c.kind, "name": c.name, "about": c.about, "file": str(c.path)} for c in found]
        print_json({"configs": listed})
        return
    for kind, of_kind in groupby(found, key=lambda config: config.kind):
        say(f"marl {shipped.command(kind)} ...")
        table = Table(Column(no_wrap=True), Column(overflow="fold"), show_header=False, box=None, padding=(0, 1, 0, 2))
        for config in of_kind:
            table.add_row(config.name, config.about)
        Terminal().print(table)


@app.command("copy")
def configs_copy(
    name: Annotated[str, typer.Argument(help="A shipped config, or KIND/NAME where several have the name.")],
    to: Annotated[
        Path | None,
        typer.Argument(help="A new file, or a folder; NAME.yaml here by default.", parser=typed_path),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy a shipped config, to change it; a file that is there is not written over."""
    config = _named(name)
    path = to / config.path.name if to is not None and to.is_dir() else to or Path(config.path.name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config.path.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(f"'{path}' is there already and is not written over; name another file") from None
    except OSError as error:
        raise UserError(f"'{path}' could not be written ({error.strerror}); name another file") from error
    if as_json:
        print_json({"file": str(path)})
        return
    say(f"copied: {path}")
    say(f"run it: marl {shipped.command(config.kind)} {path}")


def _named(name: str) -> shipped.Shipped:
    """Return the shipped config of a name; raises UserError where there is none, or are several."""
    known = {f"{config.kind}/{config.name}": config for config in shipped.configs()}
    found = [key for key, config in known.items() if name in (key, config.name)]
    if len(found) > 1:
        raise UserError(f"expected the name of one config, got '{name}', which is {' and '.join(found)}; name one")
    if not found:
        hint = nearest(name, [*(config.name for config in known.values()), *known])
        raise UserError(f"expected the name of a shipped config, got '{name}'{hint or '; `marl configs` lists them'}")
    return known[found[0]]
