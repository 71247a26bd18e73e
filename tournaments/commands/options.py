"""Options that several commands of `marl tournament` share."""

from pathlib import Path
from typing import Annotated

import typer

from marl.base.files import typed_path

StorePath = Annotated[Path, typer.Argument(help="A tournament's games.sqlite, or its folder.", parser=typed_path)]
Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", help="Run this code, a game or an agent, which the store names.", metavar="PACKAGE.MODULE:CLASS"
    ),
]
