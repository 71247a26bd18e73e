"""`marl render`: one game as a still picture or an animation, found through the entry-point group `marl.commands`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from games.errors import UserError
from games.text import shown
from marl.base.files import typed_path
from marl.cli.options import MOST_SEED, PATH, Algorithms, say
from tournaments.commands.options import Trusted

if TYPE_CHECKING:
    from games.contract import VecEnv
    from tournaments.playback.recorded import Record

NARROWEST, WIDEST = 64, 4096  # pixels
SHORTEST, LONGEST = 0.02, 60  # seconds for a position


def render(
    game_or_store: Annotated[
        str,
        typer.Argument(help="A tournament's folder or store, or a game, which agents then play.", metavar="GAME|STORE"),
    ],
    out: Annotated[Path, typer.Option(help="The picture, .svg or .png, or the animation, .gif or .mp4.", **PATH)],
    game: Annotated[
        str | None,
        typer.Option(help="Of a store: the game's id, or how that begins; the first by default.", metavar="ID"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of a new game: its seed, 0 by default. Of a store: a game from this seed.", min=0),
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option(help="Of a new game: an agent for each seat (repeat it), or one for all; random by default."),
    ] = None,
    player: Annotated[
        int | None, typer.Option(help="Draw what this player sees; everything by default.", min=0)
    ] = None,
    move: Annotated[
        int | None,
        typer.Option(help="Of a still picture: the position after so many moves; the last by default.", min=0),
    ] = None,
    every_move: Annotated[
        bool, typer.Option("--every-move", help="Write a still picture of each position: NAME-000, NAME-001, ...")
    ] = False,
    seconds: Annotated[float, typer.Option(help="Of an animation: how long a position is shown.")] = 0.7,
    width: Annotated[int, typer.Option(help="Pixels.", min=NARROWEST, max=WIDEST)] = 640,
    dark: Annotated[bool, typer.Option("--dark", help="Draw for a dark page.")] = False,
    trust: Trusted = None,
    algorithm: Algorithms = None,
) -> None:
    """Draw a game of a tournament, or a new one, as a still picture (.svg, .png) or an animation (.gif, .mp4)."""
    from marl.base.film import ANIMATED, Look, check, write_animation, write_still
    from tournaments.playback.moves import steps_of
    from tournaments.playback.pictures import drawings
    from tournaments.playback.recorded import SHORT, ending

    check(out)
    animated = out.suffix.lower() in ANIMATED
    if animated and (every_move or move is not None):
        raise UserError(f"--move and --every-move draw still pictures, .svg or .png, got '{out}'")
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(f"expected {SHORTEST} to {LONGEST} seconds for each position, got --seconds {seconds:g}")
    record, venv = _played(game_or_store, game, seed, agents or [], trust or [], algorithm or [])
    steps = steps_of(record.game)
    if player is not None and player >= venv.spec.num_players:
        raise UserError(f"'{venv.spec.name}' has players 0 to {venv.spec.num_players - 1}, got --player {player}")
    if move is not None and move > steps:
        raise UserError(f"the game {record.id[:SHORT]} has {steps} moves, got --move {move}")
    say(f"game: {record.id[:SHORT]}, {' – '.join(map(shown, record.agents))}: {ending(record)}")

    places = range(steps + 1) if animated or every_move else [steps if move is None else move]
    drawn, look = drawings(venv, record.game, player, places), Look(width, dark)
    if animated:
        width, height = write_animation(list(drawn), out, look, seconds)
    else:
        files = [_numbered(out, place, steps) if every_move else out for place in places]
        width, height = [write_still(drawing, file, look) for drawing, file in zip(drawn, files, strict=True)][-1]
    many = f" ({len(places)} files, numbered from 000 on)" if every_move else ""
    say(f"picture: {out}{many}, {width} x {height}")


def _played(
    text: str, game: str | None, seed: int | None, agents: list[str], trusted: list[str], classes: list[str]
) -> "tuple[Record, VecEnv]":
    """Return a game of the store at a path, or a new one of the game that is named, and an environment for it."""
    from marl.agents.load import name_algorithm
    from tournaments.playback.pictures import new_game, stored_game
    from tournaments.playback.recorded import select
    from tournaments.records.store import STORE, stored

    path = typed_path(text)
    if path.is_file() or (path / STORE).is_file() or (os.sep in text and not set(text) & set(":(")):
        if agents:
            raise UserError(f"--agents play a new game, and '{text}' has games; name one with --game")
        with stored(path) as store:
            return stored_game(store, select(store, [], game or "", seed), trusted)
    if game is not None:
        raise UserError(f"--game names a game of a store, and '{text}' is a game; leave it out")
    if (seed or 0) > MOST_SEED:
        raise UserError(f"expected a seed up to {MOST_SEED}, got --seed {seed}")
    return new_game(text, [name_algorithm(agent, classes) for agent in agents or ["random"]], seed or 0)


def _numbered(out: Path, place: int, last: int) -> Path:
    """Return the name of a file for one of several positions: NAME-000, NAME-001, ..."""
    return out.with_stem(f"{out.stem}-{place:0{max(3, len(str(last)))}}")
