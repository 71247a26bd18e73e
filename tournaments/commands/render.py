"""`marl render`: one game as a still picture or an animation, found through the entry-point group `marl.commands`."""

import os
from collections.abc import Sequence
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


def render(
    game_or_store: Annotated[
        str, typer.Argument(help="A tournament's folder or games.sqlite, or a game, which agents then play.")
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
    seconds: Annotated[float, typer.Option(help="Of an animation: how long a position is shown.", min=0.02)] = 0.7,
    width: Annotated[int, typer.Option(help="Of pixels.", min=NARROWEST, max=WIDEST)] = 640,
    dark: Annotated[bool, typer.Option("--dark", help="Draw for a dark page.")] = False,
    trust: Trusted = None,
    algorithm: Algorithms = None,
) -> None:
    """Draw a game of a tournament, or a new one, as a still picture (.svg, .png) or an animation (.gif, .mp4)."""
    from marl.agents.load import name_algorithm
    from marl.base.film import ANIMATED, Look, check, write_animation, write_still
    from tournaments.playback.moves import steps_of
    from tournaments.playback.pictures import drawings
    from tournaments.playback.recorded import SHORT, ending

    check(out)
    animated = out.suffix.lower() in ANIMATED
    if animated and (every_move or move is not None):
        raise UserError(f"--move and --every-move draw still pictures, .svg or .png, got '{out}'")
    if (store := _store(game_or_store)) is not None:
        if agents:
            raise UserError(f"--agents play a new game, and '{game_or_store}' has games; name one with --game")
        record, venv = _stored(store, game, seed, trust or [])
    else:
        if game is not None:
            raise UserError(f"--game names a game of a store, and '{game_or_store}' is a game; leave it out")
        record, venv = _new(
            game_or_store, [name_algorithm(text, algorithm or []) for text in agents or ["random"]], seed
        )
    steps = steps_of(record.game)
    if player is not None and player >= venv.spec.num_players:
        raise UserError(f"'{venv.spec.name}' has players 0 to {venv.spec.num_players - 1}, got --player {player}")
    if move is not None and move > steps:
        raise UserError(f"the game {record.id[:SHORT]} has {steps} moves, got --move {move}")
    say(f"game: {record.id[:SHORT]}, {' – '.join(map(shown, record.agents))}: {ending(record)}")

    places = range(steps + 1) if animated or every_move else [steps if move is None else move]
    drawn, look = drawings(venv, record.game, player, places), Look(width, dark)
    if animated:
        files, size = [out], write_animation(list(drawn), out, look, seconds)
    else:
        files = _numbered(out, steps) if every_move else [out]
        size = [write_still(drawing, file, look) for drawing, file in zip(drawn, files, strict=True)][-1]
    say(f"picture: {' ... '.join(dict.fromkeys(str(file) for file in (files[0], files[-1])))} ({size[0]} x {size[1]})")


def _store(text: str) -> Path | None:
    """Return the path of a store; None for the reference of a game."""
    path = typed_path(text)
    from tournaments.records.store import STORE

    is_path = path.is_file() or (path / STORE).is_file() or (os.sep in text and "(" not in text)
    return path if is_path else None


def _stored(path: Path, game: str | None, seed: int | None, trusted: list[str]) -> "tuple[Record, VecEnv]":
    from tournaments.playback.pictures import stored_game
    from tournaments.playback.recorded import select
    from tournaments.records.store import stored

    with stored(path) as store:
        return stored_game(store, select(store, [], game or "", seed), trusted)


def _new(game: str, agents: Sequence[str], seed: int | None) -> "tuple[Record, VecEnv]":
    from tournaments.playback.pictures import new_game

    if (seed or 0) > MOST_SEED:
        raise UserError(f"expected a seed up to {MOST_SEED}, got --seed {seed}")
    return new_game(game, agents, seed or 0)


def _numbered(out: Path, steps: int) -> list[Path]:
    """Return a file's name for each position, from 000 on."""
    digits = max(3, len(str(steps)))
    return [out.with_stem(f"{out.stem}-{place:0{digits}}") for place in range(steps + 1)]
