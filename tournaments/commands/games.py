"""`marl tournament games`: the recorded games of a store, listed, shown move by move, and exported."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from games.errors import RunFailed, UserError
from marl.base.files import require_folder_of, write_parts
from marl.base.terminal import Terminal
from marl.cli.options import PATH
from tournaments.commands.options import StorePath, Trusted

if TYPE_CHECKING:
    from tournaments.records.store import Selection, Store


class Form(StrEnum):
    """The forms in which games are shown; each but `text` is also a file's suffix."""

    TEXT = "text"
    JSON = "json"
    PGN = "pgn"
    SGF = "sgf"


SUFFIXES = {f".{form}": form for form in Form} | {".jsonl": Form.JSON, ".txt": Form.TEXT}


def tournament_games(
    store: StorePath,
    agent: Annotated[str | None, typer.Option(help="Games of this agent: its name, or how its digest begins.")] = None,
    against: Annotated[str | None, typer.Option(help="Games in which this agent is seated, too.")] = None,
    game: Annotated[
        str | None, typer.Option(help="One game, move by move: its id, or how that begins.", metavar="ID")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Games from this seed.", min=0, max=2**64 - 1)] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file; its suffix gives the form.", **PATH)] = None,
    form: Annotated[
        Form | None,
        typer.Option("--format", help="A list as text by default; json has one line for each game."),
    ] = None,
    trust: Trusted = None,
) -> None:
    """List the games of a tournament, show one move by move, or export them as text, JSON lines, PGN or SGF."""
    from tournaments.playback.recorded import select
    from tournaments.records.store import stored

    form = form or _form_of(out)
    if out is not None:
        require_folder_of(out)
    with stored(store) as opened:
        chosen = select(opened, [name for name in (agent, against) if name is not None], game or "", seed)
        parts = _parts(opened, chosen, form, trust or [])
        if out is None:
            _print(parts)
            return
        try:
            write_parts(out, parts)
        except OSError as error:
            raise RunFailed(f"expected to write games to '{out}', got '{error}'; name another file (--out)") from error
        count = opened.count(chosen)
    Terminal().print(f"games: {out} ({count:,} as {form})")


def _form_of(out: Path | None) -> Form:
    """Return the form that a file's suffix gives: text without one; raises UserError for one that says nothing."""
    if out is None or not out.suffix:
        return Form.TEXT
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"expected a file's name that ends in {', '.join(SUFFIXES)}, or --format, got '{out}'")
    return SUFFIXES[out.suffix.lower()]


def _print(parts: Iterator[str]) -> None:
    console = Terminal()
    for part in parts:
        console.block(part.removesuffix("\n"))


def _parts(store: "Store", chosen: "Selection", form: Form, trusted: list[str]) -> Iterator[str]:
    """Yield the text of the chosen games, whole lines at a time."""
    from tournaments.playback import pgn, sgf
    from tournaments.playback.recorded import environments, played_back, records, whole
    from tournaments.playback.text import json_line, lines, move_by_move
    from tournaments.records.facts import Facts

    count, game = store.count(chosen), Facts.of(store).game
    if form is Form.TEXT and not (chosen.id and count == 1):
        yield from (f"{line}\n" for line in lines(store, records(store, chosen)))
        return
    venv = environments(store, count, trusted)
    opening_moves = store.get("opening_moves", 0)
    if form is Form.TEXT:
        for record, again in played_back(store, chosen, venv, positions=True):
            yield from (f"{line}\n" for line in move_by_move(record, again, opening_moves, store.notes(record.id)))
    elif form is Form.JSON:
        for record, again in whole(store, chosen, venv):
            yield f"{json_line(record, again, venv.spec, opening_moves, store.notes(record.id))}\n"
    elif form is Form.PGN:
        pgn.refuse(venv.spec)
        for record, again in whole(store, chosen, venv, positions=pgn.is_chess(game)):
            yield "".join(f"{line}\n" for line in pgn.pgn(record, again))
    else:
        sgf.refuse(game)
        for record, again in whole(store, chosen, venv):
            yield sgf.sgf(record, again, venv.spec)
