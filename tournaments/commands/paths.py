"""What the commands of tournaments take."""

from pathlib import Path
from typing import Annotated

import typer

from marl.base.files import typed_path

StorePath = Annotated[Path, typer.Argument(help="A tournament's games.sqlite, or its folder.", parser=typed_path)]
