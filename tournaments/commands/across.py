"""`marl tournament across`: one table of several tournaments."""

from pathlib import Path
from typing import Annotated

import typer

from games.errors import RunFailed, UserError
from marl.base.files import typed_path
from marl.base.terminal import Terminal
from marl.cli.options import PATH, AsJson, print_json, say


def tournament_across(
    stores: Annotated[
        list[Path],
        typer.Argument(help="Tournaments' games.sqlite, or their folders; a game each.", parser=typed_path),
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="What an agent of a store is called in the table; agents of one name are one.", metavar="A=B"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for across.md and across.csv; none are written by default.", **PATH)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank the agents that have played several games: each game votes, and no payoffs of different games are added."""
    from marl.base.files import write_text
    from tournaments.reports.across import across
    from tournaments.reports.report import print_table

    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"expected a folder as --out, got the file '{out}'; name another")
    found = across(stores, _names(name or []))
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_text(out / "across.md", found.markdown())
            write_text(out / "across.csv", found.csv())
        except OSError as error:
            raise RunFailed(f"expected to write to '{out}', got '{error}'; give another folder") from error
    if as_json:
        print_json(found.to_json())
        return
    print_table(Terminal(), found.titles, found.rows)
    for sentence in found.sentences:
        say(sentence)


def _names(texts: list[str]) -> dict[str, str]:
    """Return what agents are called. Names may have `=`: the last one outside of brackets stands between them."""
    found = {}
    for text in texts:
        outside = [
            at for at, letter in enumerate(text) if letter == "=" and text.count("(", 0, at) == text.count(")", 0, at)
        ]
        agent, called = (text[: outside[-1]], text[outside[-1] + 1 :]) if outside else ("", "")
        if not (agent and called):
            raise UserError(f"expected --name as AGENT=NAME, got '{text}'")
        found[agent] = called
    return found
