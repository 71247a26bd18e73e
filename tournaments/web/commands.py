"""`marl web`: a page to watch, compare and play, found through the entry-point group `marl.commands`."""

from pathlib import Path
from typing import Annotated

import typer

from games.errors import UserError
from marl.base.files import typed_path
from marl.cli.options import say

Folder = Annotated[
    Path,
    typer.Argument(help="A folder with runs and tournaments, or one of these.", parser=typed_path, metavar="FOLDER"),
]


def web(
    folder: Folder = Path("runs"),
    port: Annotated[int, typer.Option(help="The port; 0 is any free one.", min=0, max=65535)] = 8765,
    host: Annotated[
        str, typer.Option(help="The address; beyond this machine the page asks for a token.", metavar="ADDRESS")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help="Ask for this token; drawn by chance where one is needed.", envvar="MARL_WEB_TOKEN"),
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Open a page to watch, play and compare in a browser, until Ctrl-C."""
    try:
        from tournaments.web.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise UserError("`marl web` needs the extra 'web': type pip install 'marl[web]'") from None
    serve(folder, host, port, token, browser, say)
