"""The routes of the page."""

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from games.errors import UserError, unforeseen
from games.text import sentence
from tournaments.web.asking import Busy
from tournaments.web.boards import board_routes
from tournaments.web.desk import Desk
from tournaments.web.events import Events, event_routes
from tournaments.web.index import Index
from tournaments.web.pages import Data, Link, Pages, file_routes
from tournaments.web.places import Missing, Places
from tournaments.web.play import play_routes
from tournaments.web.populations import population_routes
from tournaments.web.replay import replay_routes
from tournaments.web.runs import run_routes
from tournaments.web.security import LOOPBACK, Access, Guard

STATUS: dict[type[Exception], int] = {Missing: 404, Busy: 503}  # of answers that are one sentence; others are 422
NAVIGATION = (
    Link("Runs", "/", ("/runs", "/sweeps", "/compare", "/populations")),
    Link("Tournaments", "/tournaments", ("/tournaments/", "/games/")),
    Link("Play", "/play", ("/play/",)),
)


def create_app(folder: Path, access: Access | None = None, cache: Path | None = None) -> Starlette:
    """Return the page of a folder; `cache` is where aggregates are kept, by default the user's cache folder.

    Its `state` has `places`, `pages`, `events` and `index`, which the handlers of all routes use. Raises UserError
    where there is no folder.
    """
    places = Places(folder)
    events = Events(places.marks)
    app = Starlette(
        routes=[
            *run_routes(),
            *population_routes(),
            *board_routes(),
            *event_routes(events),
            *play_routes(),
            *replay_routes(),
            *file_routes(),
        ],
        middleware=[Middleware(Guard, access=access or Access.of(LOOPBACK))],
        exception_handlers={UserError: _refused, HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    app.state.places, app.state.events, app.state.index = places, events, Index(cache, events.changed)
    app.state.pages = Pages(str(folder), NAVIGATION)
    app.state.desk = Desk(places)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Answer with one sentence: what is not there, or what could not be read."""
    status = error.status_code if isinstance(error, HTTPException) else STATUS.get(type(error), 422)
    said = "there is no such page" if status == 404 and not isinstance(error, Missing) else str(error)
    return _sentence(request, status, said)


async def _failed(request: Request, error: Exception) -> Response:
    return _sentence(request, 500, f"{unforeseen(error)} (please report it)")


def _sentence(request: Request, status: int, said: str) -> Response:
    text = sentence(said)
    if request.url.path.startswith("/api/"):
        return Data({"error": text}, status)
    pages: Any = request.app.state.pages
    answer: Response = pages.answer(request, "sentence.j2", status, title="Nothing to show", text=text)
    return answer
