"""Stored games, step by step: the position, who sees what, the legal moves, and why agents chose theirs.

A store may be a stranger's. Its game is built only by registered code, its agents are asked only if they are no code
and lie in the folder of the page, and only if they are still those that played: their digests say so.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from games.drawing.drawing import Drawing
from games.errors import RunFailed, UserError, written
from games.registry import from_file
from marl.agents.built_in import MIXTURE
from marl.agents.entrants import Identity
from marl.agents.looking_ahead import looks_ahead, parts
from marl.agents.references import PERSON, not_to_run, read
from marl.base.film import NEEDS, Look, write_animation, write_still
from tournaments.playback.moves import moves_of, steps_of
from tournaments.playback.recorded import SHORT, Record, ending
from tournaments.records.facts import Facts
from tournaments.records.played import Note, StoredAgent
from tournaments.web.deciding import Question
from tournaments.web.desk import Desk
from tournaments.web.explaining import explained
from tournaments.web.offers import title_of
from tournaments.web.pages import Data, url_of
from tournaments.web.persons import ASSISTED
from tournaments.web.places import Missing
from tournaments.web.stores import opened
from tournaments.web.table import Done, Joint, Line, Table

MOST_LISTED = 60  # legal moves
SECONDS = 0.7  # for which an animation shows each position
KINDS = {"png": "image/png", "gif": "image/gif", "mp4": "video/mp4"}


def replay_url(place: str, game: str) -> str:
    """Return the address of a stored game: the place of its store, and its id."""
    return url_of("games", place, game)


def replay_routes() -> list[Route]:
    """Return the routes of stored games."""
    return [
        Route("/games/{name:path}/{id}/game.{kind}", _picture),
        Route("/games/{name:path}/{id}", _page),
        Route("/api/games/{name:path}/{id}/position", _step),
        Route("/api/games/{name:path}/{id}/why", _why),
    ]


@dataclass(frozen=True)
class Replay:
    """A stored game: the place of its store, the record, its agents by seat, all of its steps, the notes on it."""

    place: str
    record: Record
    agents: tuple[StoredAgent, ...]
    line: Line
    notes: tuple[Note, ...]


def read_game(desk: Desk, place: str, id: str) -> Replay:
    """Read a stored game; raises Missing where there is none, and UserError where it cannot be shown."""
    found = desk.places.find(place, "tournament")
    with opened(found.path) as store:
        game = store.find(id)
        if game is None:
            raise Missing(f"there is no game '{id}' in '{place}'; its tournament's page lists them")
        reference = from_file(Facts.of(store).game, "it is not shown; `marl tournament games` shows it after --trust")
        labels, agents = store.labels(), {agent.id: agent for agent in store.agents()}
        notes = tuple(store.notes(id))
    seats = game.fixture.agents
    try:
        moves = moves_of(game, desk.tables.of(reference).spec)
    except ValueError as error:
        raise UserError(f"the moves of the game '{id}' in '{place}' do not fit '{reference}' ({error})") from error
    if moves is None:
        raise UserError(f"'{place}' has no moves of the game '{id}', and it cannot be shown step by step")
    steps = tuple(_joint(row) for row in moves[: steps_of(game)].tolist())
    line = Line(reference, game.fixture.seed, steps, game.fixture.opening_moves)
    record = Record(id, game, tuple(labels[agent] for agent in seats))
    return Replay(place, record, tuple(agents[agent] for agent in seats), line, notes)


def _joint(row: list[Any]) -> Joint:
    return tuple(tuple(action) if isinstance(action, list) else action for action in row)


def steps_in_words(desk: Desk, line: Line) -> list[list[Done]]:
    """Return what was done at each step of a line."""
    table = desk.tables.at(line.cut(0))
    return [table.step(joint) for joint in line.moves]


async def _page(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    replay, steps = await desk.do(_told, desk, *_asked(request))
    record = replay.record
    answer: Response = request.app.state.pages.answer(
        request,
        "replay.j2",
        title=title_of(replay.line.game),
        replay=replay,
        seats=[label.removeprefix(PERSON) for label in record.agents],
        payoffs=record.game.payoffs,
        ending=ending(record),
        helped=sorted({how for note in replay.notes if note.kind == ASSISTED for how in note.value}),
        steps=steps,
        pictures=pictures(),
    )
    return answer


def pictures() -> list[str]:
    """Return the kinds of files as which a game can be had here: `marl render` makes them of its drawings."""
    return [kind for kind in ("png", "gif", "mp4") if all(find_spec(package) for package in NEEDS[f".{kind}"])]


async def _picture(request: Request) -> Response:
    """Answer with a game as an animation, or with its last position as a still picture."""
    desk: Desk = request.app.state.desk
    kind = request.path_params["kind"]
    if kind not in pictures():
        raise Missing(f"a game cannot be had as '{kind}' here; `pip install 'marl[render]'` brings pictures")
    async with desk.filming:
        drawings = await desk.do(_drawings, desk, *_asked(request), kind)
        data = await asyncio.to_thread(_written, drawings, kind)
    name = f"{request.path_params['id'][:SHORT]}.{kind}"
    return Response(data, media_type=KINDS[kind], headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _drawings(desk: Desk, place: str, id: str, kind: str) -> list[Drawing]:
    line = read_game(desk, place, id).line
    places = range(len(line.moves) + 1) if kind != "png" else [len(line.moves)]
    return [desk.tables.at(line.cut(ply)).drawing(None) for ply in places]


def _written(drawings: Sequence[Drawing], kind: str) -> bytes:
    """Return drawings as the bytes of a file, which takes seconds: not in the thread that sets tables."""
    with TemporaryDirectory() as folder:
        out = Path(folder, f"game.{kind}")
        if kind == "png":
            write_still(drawings[0], out, Look())
        else:
            write_animation(drawings, out, Look(), SECONDS)
        return out.read_bytes()


def _asked(request: Request) -> tuple[str, str]:
    return request.path_params["name"], request.path_params["id"]


def _told(desk: Desk, place: str, id: str) -> tuple[Replay, list[list[Done]]]:
    replay = read_game(desk, place, id)
    return replay, steps_in_words(desk, replay.line)


async def _step(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    ply, seat = (_number(request, name) for name in ("ply", "seat"))
    return Data(await desk.do(_position, desk, *_asked(request), ply, seat))


def _number(request: Request, name: str) -> int:
    """Return a number of the query; raises UserError for another text."""
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise UserError(f"expected a number as '{name}', as the script of this page sends it")
    return int(text)


def _position(desk: Desk, place: str, id: str, ply: int, seat: int) -> dict[str, Any]:
    """Return the position after `ply` steps as JSON data; the seat after the last one is everybody's."""
    replay = read_game(desk, place, id)
    ply = min(ply, len(replay.line.moves))
    table = desk.tables.at(replay.line.cut(ply))
    return {
        "ply": ply,
        "svg": Markup(table.drawing(_looks(table, seat)).svg),
        "acting": [
            {
                "player": player,
                "legal": [table.name(player, action) for action in table.legal(player)[:MOST_LISTED]],
                "more": max(0, len(table.legal(player)) - MOST_LISTED),
            }
            for player in table.acting
        ],
        "random": ply < replay.line.opening_moves,
    }


def _looks(table: Table, seat: int) -> int | None:
    return seat if seat < table.spec.num_players else None


async def _why(request: Request) -> Response:
    """Ask an agent of the game again, and tell why it chooses its action."""
    desk: Desk = request.app.state.desk
    ply, seat, player = (_number(request, name) for name in ("ply", "seat", "player"))
    replay = await desk.do(read_game, desk, *_asked(request))
    if player >= len(replay.agents) or not replay.line.opening_moves <= ply < len(replay.line.moves):
        raise UserError("nobody decides there; choose a step at which an agent moves")
    agent, line = replay.agents[player], replay.line.cut(ply)
    try:
        identity = await known(desk, line.game, agent)
        answer = await desk.ask(Question(line, player, identity, explain=True))
    except RunFailed as error:
        raise UserError(str(error)) from error
    why = answer.explanation
    if why is None:
        raise UserError(answer.fault)

    def tell() -> dict[str, Any]:
        table = desk.tables.at(line)
        return explained(table, player, _looks(table, seat), why)

    return Data(await desk.do(tell) | {"played": replay.line.moves[ply][player]})


async def known(desk: Desk, game: str, agent: StoredAgent) -> Identity:
    """Return who a stored agent is, if it can be asked; raises UserError for one that cannot, and why."""
    if agent.id.startswith(PERSON):
        raise UserError(f"{agent.name.removeprefix(PERSON)} is a person, who cannot be asked again")
    refuse_outside(desk.places.folder, agent)
    found = await desk.identify(game, agent.reference)
    if found.digest != agent.id:
        raise UserError(
            f"'{agent.name}' has changed since it played: it has the digest {found.digest[:8]}..., and "
            f"{agent.id[:8]}... has played"
        )
    return found


def refuse_outside(folder: Path, agent: StoredAgent) -> None:
    """Raise UserError for an agent whose reference, read from a store, is code, or leads out of the folder."""
    if not agent.reference:
        raise UserError(f"the store does not say where '{agent.name}' lies")
    if what := not_to_run(agent.reference):
        how = "is code" if what == "code" else f"asks {what}"
        raise UserError(f"'{agent.name}' {how}, {written(agent.reference)}, which this page does not run")
    for path in (Path(text) for text in _named(agent.reference) if os.path.lexists(text) or "/" in text):
        if not path.resolve().is_relative_to(folder):
            raise UserError(f"'{agent.name}' lies outside the folder of this page, and is not read")


def _named(text: str) -> Iterator[str]:
    """Yield what a reference names, and what the references in it do."""
    reference = read(text)
    yield reference.name
    values = [str(value) for _, value in reference.arguments]
    if looks_ahead(reference) or reference.name == MIXTURE:
        for part in parts(reference) if looks_ahead(reference) else values:
            yield from _named(part)
    else:
        yield from values
