"""What commands share: their options, lines and JSON on the terminal."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from games import plugins
from games.errors import UserError
from marl.base.files import typed_path
from marl.base.terminal import Terminal

MOST, MOST_SEED = 2**31 - 1, 2**63 - 1  # the largest count that an option takes, and the largest seed
PATH: Any = {"parser": typed_path, "metavar": "PATH"}  # of an option
Config = Annotated[
    Path,
    typer.Argument(help="A YAML file, or the name of a shipped config.", show_default=False, parser=typed_path),
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change one value: --set a.b=c.", metavar="A.B=C")]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="Where the run is kept; runs/<config's name> by default.", **PATH),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in the folder; start afresh if there is none.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or a GPU by its number: cuda:N.")]
Algorithms = Annotated[
    list[str] | None,
    typer.Option(
        "--algorithm",
        help="Trust this class, which is not registered: checkpoints that it trained may be loaded.",
        metavar="PACKAGE.MODULE:CLASS",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def each_plug_in(group: str, load: Callable[[str, str], Any]) -> Iterator[tuple[str, Any]]:
    """Yield what `load(group, name)` returns of every plug-in, by name; say on stderr which cannot be had."""
    for name in plugins.names(group):
        try:
            found = load(group, name)
        except UserError as error:
            Terminal(stderr=True).print(f"marl: {error}")
        else:
            yield name, found


def say(text: str) -> None:
    Terminal().print(text)


def print_json(data: dict[str, Any]) -> None:
    Terminal().write_json(data)
