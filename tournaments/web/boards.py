"""Pages of tournaments: the list, one tournament, and the games of two of its agents."""

import re
from collections.abc import Sequence
from itertools import permutations
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from games.contract import Teams
from games.errors import UserError
from games.text import shown
from marl.base.lock import holder
from tournaments.records.fixture import by_seat
from tournaments.reports.games import paid
from tournaments.reports.report import FILES, PAGE
from tournaments.web.pages import url_of
from tournaments.web.places import Missing, Place
from tournaments.web.stores import opened

GAMES = 100  # on a page of games
MOST_NAMED = 4  # agents whose games are listed
REPORTS = {PAGE: "text/html", "tournament.html": "text/html"} | {
    name: "text/html" if name.endswith(".html") else "text/plain" for name in FILES
}
# A report is a page with scripts, and may be a stranger's: it gets an origin of its own, from which nothing is reached.
REPORT_POLICY = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


def board_routes() -> list[Route]:
    """Return the routes of tournaments."""
    return [
        Route("/tournaments", _list),
        Route("/tournaments/{name:path}", _board),
        Route("/reports/{name:path}/{file}", _report),
    ]


def _list(request: Request) -> Response:
    state = request.app.state
    places = [place for place in state.places.all() if "tournament" in place.kinds]
    boards = [
        {"place": place, "known": known, "facts": known.facts, "running": holder(place.path) is not None}
        for place, known in zip(places, state.index.stores(places), strict=True)
    ]
    boards.sort(key=lambda board: not board["running"])
    answer: Response = state.pages.answer(request, "tournaments.j2", title="Tournaments", boards=boards)
    return answer


def _board(request: Request) -> Response:
    state = request.app.state
    place = state.places.find(request.path_params["name"], "tournament")
    known = state.index.store(place)
    if known.facts is None and known.error:
        raise UserError(known.error)
    agents = request.query_params.getlist("agent")
    if agents or "games" in request.query_params:
        return _games(request, place, agents)
    answer: Response = state.pages.answer(
        request,
        "tournament.j2",
        title=known.facts["title"] if known.facts else place.name,
        place=place,
        facts=known.facts,
        stale=known.stale,
        running=holder(place.path) is not None,
        report=next((name for name in (PAGE, "tournament.html") if is_report(place, name)), None),
    )
    return answer


def _games(request: Request, place: Place, agents: list[str]) -> Response:
    """Answer with the games in which some agents, named by their ids, hold the seats, or with all; page by page."""
    number = request.query_params.get("page", "1")
    page = int(number) if re.fullmatch("[1-9][0-9]{0,8}", number) else 1
    with opened(place.path) as store:
        labels = store.labels()
        unknown = [agent for agent in agents if agent not in labels]
        if unknown or len(agents) > MOST_NAMED:
            what = f"'{shown(unknown[0])}', which is none" if unknown else f"{len(agents)}"
            raise UserError(
                f"expected at most {MOST_NAMED} agents of '{place.name}', got {what}; follow a link of its page"
            )
        games = list(store.added(_seatings(agents, store.teams()), GAMES + 1, GAMES * (page - 1)))
    links = [("agent", agent) for agent in agents] or [("games", "all")]
    answer: Response = request.app.state.pages.answer(
        request,
        "games.j2",
        title=" – ".join(shown(labels[agent]) for agent in agents) or "All games",
        place=place,
        games=[(game, paid(game), url_of("games", place.name, game.id)) for game in games[:GAMES]],
        first=GAMES * (page - 1) + 1,
        before="?" + urlencode([*links, ("page", page - 1)]) if page > 1 else "",
        after="?" + urlencode([*links, ("page", page + 1)]) if len(games) > GAMES else "",
    )
    return answer


def _seatings(agents: Sequence[str], teams: Teams) -> set[tuple[str, ...]] | None:
    """Return all ways in which agents hold the seats, or as many agents as teams hold those; None without agents."""
    if not agents:
        return None
    tables = permutations(agents)
    return {by_seat(table, teams) for table in tables} if len(agents) == len(teams) else set(tables)


def _report(request: Request) -> Response:
    """Answer with a file of a tournament's report, as it stands beside the store."""
    place = request.app.state.places.find(request.path_params["name"], "tournament")
    name = request.path_params["file"]
    if not is_report(place, name):
        raise Missing(f"there is no report '{name}' of '{place.name}'; `marl tournament report` writes one")
    return FileResponse(place.path / name, media_type=REPORTS[name], headers={"Content-Security-Policy": REPORT_POLICY})


def is_report(place: Place, name: str) -> bool:
    """Return whether a file of a report is there, and is a file of that folder."""
    path = place.path / name
    return name in REPORTS and path.is_file() and not path.is_symlink()
