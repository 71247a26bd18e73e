"""Pages on which people play: the games, a form for a new one, and the board, with what its script asks."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from games.errors import RunFailed, UserError
from marl.agents.entrants import Identity
from tournaments.web.asking import Busy
from tournaments.web.deciding import Question
from tournaments.web.desk import Desk
from tournaments.web.explaining import explained
from tournaments.web.offers import SHELF, longer, playable, title_of
from tournaments.web.pages import Data
from tournaments.web.persons import keep, person, record
from tournaments.web.places import Missing
from tournaments.web.replay import replay_url
from tournaments.web.sessions import Session, name_of, shown
from tournaments.web.table import Line, Table

ADVISER = "uct(simulations={})"  # who gives hints where it can play; else the person's first opponent
THOUGHTS = (200, 400, 800, 1_600)  # simulations of a hint
USUAL = "mcts(simulations=100)"  # the opponent that a form begins with, where it is offered
OPENING = 1  # the seed of the positions that are shown with the games


def play_routes() -> list[Route]:
    """Return the routes of playing."""
    return [
        Route("/play", _games),
        Route("/play/new", _new),
        Route("/play/new", _start, methods=["POST"]),
        Route("/play/{id}", _board),
        Route("/api/play/{id}", _state),
        Route("/api/play/{id}/{what}", _do, methods=["POST"]),
    ]


async def _games(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    games = await desk.do(_listed, desk)
    answer: Response = request.app.state.pages.answer(request, "shelf.j2", title="Play", games=games)
    return answer


def _listed(desk: Desk) -> list[dict[str, Any]]:
    """Return the games to choose from: those of the folder first, then the shelf's."""
    here, listed = desk.games(), []
    for game in dict.fromkeys([*here, *(game for _, game in SHELF)]):
        try:
            table = desk.tables.at(Line(game, OPENING))
            if not playable(table.spec, table.speaks):
                said = "in this folder" if game in here else ""
                listed.append({"game": game, "title": title_of(game), "svg": table.drawing(0).svg, "here": said})
        except UserError:
            continue
    return listed


async def _new(request: Request) -> Response:
    """Show the form of a new game."""
    desk: Desk = request.app.state.desk
    game = request.query_params.get("game", "")
    facts = await desk.do(_form, desk, game)
    answer: Response = request.app.state.pages.answer(request, "new.j2", title=title_of(game), **facts)
    return answer


def _form(desk: Desk, game: str) -> dict[str, Any]:
    """Return what the form of a new game offers; raises Missing for a game that is not offered."""
    names = _seats(_opening(desk, game))
    groups: dict[str, list[Any]] = {}
    for offer in desk.offers(game):
        groups.setdefault(offer.group, []).append(offer)
    svg = desk.tables.at(Line(game, OPENING)).drawing(0).svg
    return {"game": game, "seats": range(len(names)), "names": names, "groups": groups, "usual": USUAL, "svg": svg}


def _opening(desk: Desk, game: str) -> Table:
    """Return a table with a new game; raises Missing for one that is not offered, and UserError for one not played."""
    if game not in _offered(desk):
        raise Missing(f"the game '{game}' is not offered here; choose one of the list")
    table = desk.tables.at(Line(game, OPENING))
    if reason := playable(table.spec, table.speaks):
        raise UserError(reason)
    return table


def _named(desk: Desk, game: str, fields: Mapping[str, str]) -> list[str]:
    """Return the references of the opponents that a form names, in their order; raises UserError for other agents."""
    others = range(_opening(desk, game).spec.num_players - 1)
    against = [fields.get(f"agent{k}") or fields.get("agent", "") for k in others]
    known = {offer.reference for offer in desk.offers(game, set(against))}
    if unknown := [reference for reference in against if reference not in known]:
        raise UserError(f"the agent '{unknown[0]}' is not offered for this game; choose one of the list")
    return against


def _seats(table: Table) -> list[str]:
    """Return what the seats are called: of two, who moves first, where chance does not decide that."""
    begins = set()
    for seed in range(OPENING, OPENING + 4):
        table.set(Line(table.game, seed))
        begins.add(table.acting)
    seats = range(table.spec.num_players)
    if len(seats) == 2 and len(begins) == 1 and table.spec.turns == "sequential":
        return ["you move first" if seat in table.acting else "you move second" for seat in seats]
    return [f"player {seat}" for seat in seats]


def _offered(desk: Desk) -> list[str]:
    return [*desk.games(), *(game for _, game in SHELF)]


async def _start(request: Request) -> Response:
    """Open a session, and go to its board."""
    desk: Desk = request.app.state.desk
    fields = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
    game, seat = fields.get("game", ""), _number(fields.get("seat", "0"))
    against = await desk.do(_named, desk, game, fields)
    if seat not in range(len(against) + 1):
        raise UserError(f"this game has seats 0 to {len(against)}; choose one of them")
    known = {reference: await desk.identify(game, reference) for reference in dict.fromkeys(against)}
    seats = [known[reference] for reference in against]
    seats.insert(seat, person(fields.get("name", "") or "guest"))
    session = desk.sessions.start(game, seats, request.client.host if request.client else "")
    return RedirectResponse(f"/play/{session.id}", 303)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


async def _board(request: Request) -> Response:
    session = _session(request)
    game = session.line.game
    answer: Response = request.app.state.pages.answer(
        request, "play.j2", title=title_of(game), game=game, session=session.id
    )
    return answer


def _session(request: Request) -> Session:
    session = request.app.state.desk.sessions.find(request.path_params["id"])
    if session is None:
        raise Missing(
            "this game is not on the table any more: the server was started again, or nobody played; start another"
        )
    return session  # type: ignore[no-any-return]


async def _state(request: Request) -> Response:
    desk, session = request.app.state.desk, _session(request)
    return Data(await desk.do(_told, desk, session))


async def _do(request: Request) -> Response:
    """Do what the board's script asks for; one thing at a time for each session."""
    desk, session = request.app.state.desk, _session(request)
    act = _ACTS.get(request.path_params["what"])
    if act is None:
        raise Missing("the board has no such button; look at the page again")
    given = _json(await request.body())
    async with session.lock:
        try:
            return Data(await act(desk, session, given))
        except RunFailed as error:  # the worker ended: the game is as it was, and the agents can be asked again
            session.fault = str(error)
            return Data(await desk.do(_told, desk, session))


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, int) for value in found.values()):
        raise UserError("expected numbers by name, as the script of this page sends them")
    return found


async def _move(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    def move() -> dict[str, Any]:
        session.choose(desk.tables.at(session.line), given.get("ply", -1), given.get("action", -1))
        return _told(desk, session)

    return await desk.do(move)


async def _go(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    """Ask the agents that must move now, and make the step."""
    questions = await desk.do(lambda: session.questions(desk.tables.at(session.line)))
    answers = await asyncio.gather(*(desk.ask(question) for question in questions))

    def hear() -> dict[str, Any]:
        session.hear(desk.tables.at(session.line), questions, answers)
        return _told(desk, session)

    return await desk.do(hear)


async def _back(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    session.back()
    return await desk.do(_told, desk, session)


async def _swap(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    def swap() -> dict[str, Any]:
        session.swap(desk.tables.of(session.line.game).spec, given.get("seat", -1))
        return _told(desk, session)

    return await desk.do(swap)


async def _longer(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    """Let the agents in the other seats think twice as long from now on."""
    agents = {}
    for agent in session.seats:
        reference = None if agent is session.seats[session.you] else longer(agent.reference)
        if reference:
            agents[agent.digest] = await desk.identify(session.line.game, reference)
    if not agents:
        raise UserError("none of the others can think longer here; choose another opponent in a new game")
    session.reseat(agents)
    return await desk.do(_told, desk, session)


async def _hint(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    """Tell what an adviser would play in the person's seat, and why."""
    line, you = session.line, session.you
    adviser = await _adviser(desk, session, given.get("simulations", THOUGHTS[0]))
    answer = await desk.ask(Question(line, you, adviser, explain=True))
    why = answer.explanation
    if why is None:
        raise UserError(answer.fault or "nobody here can give a hint; make your move")
    session.help("hint")
    told = await desk.do(lambda: explained(desk.tables.at(line), you, you, why))
    return told | {"agent": name_of(adviser), "ply": len(line.moves)}


async def _adviser(desk: Desk, session: Session, simulations: int) -> Identity:
    if simulations not in THOUGHTS:
        raise UserError(f"a hint takes {', '.join(map(str, THOUGHTS))} simulations, got {simulations}")
    try:
        return await desk.identify(session.line.game, ADVISER.format(simulations))
    except Busy:
        raise
    except UserError:  # this game is none for it
        others = [agent for agent in session.seats if agent is not session.seats[session.you]]
        if not others:
            raise UserError("nobody here can give a hint for this game; make your move") from None
        return others[0]


async def _again(desk: Desk, session: Session, given: dict[str, int]) -> dict[str, Any]:
    """Open another game of the same players; with `swap`, each has the seat of the one before."""
    seats = session.seats[-1:] + session.seats[:-1] if given.get("swap") else session.seats
    return {"url": f"/play/{desk.sessions.start(session.line.game, seats, session.address).id}"}


def _told(desk: Desk, session: Session) -> dict[str, Any]:
    """Return what the person is shown; a game that has ended is stored first."""
    table = desk.tables.at(session.line)
    if table.over and session.stored is None:
        _store(desk, session)
    data = shown(session, table) | {"longer": any(_thinks_longer(session))}
    if session.stored is not None:
        place = desk.places.name_of(session.home)
        data |= {"replay": replay_url(place, session.stored.fixture.id), "seed": str(session.line.seed)}
    return data


def _thinks_longer(session: Session) -> list[bool]:
    others = (agent for agent in session.seats if agent is not session.seats[session.you])
    return [longer(agent.reference) is not None for agent in others]


def _store(desk: Desk, session: Session) -> None:
    """Store a game that has ended; where that fails, the person is told why."""
    table = desk.tables.of(session.line.game)
    try:
        game = record(session.line, session.seats, session.notes)
        session.home = keep(desk.places.folder, table.spec, game, session.seats)
        session.stored, session.fault = game, ""
    except (UserError, RunFailed) as error:
        session.fault = str(error)


_ACTS: dict[str, Callable[[Desk, Session, dict[str, int]], Awaitable[dict[str, Any]]]] = {
    "move": _move,
    "go": _go,
    "back": _back,
    "hint": _hint,
    "swap": _swap,
    "longer": _longer,
    "again": _again,
}
