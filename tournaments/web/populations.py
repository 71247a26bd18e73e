"""Pages of populations that advance in rounds: what `marl population report` says, while it goes on."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from games.errors import UserError
from marl.base.lock import holder
from tournaments.web.pages import Data
from tournaments.web.places import MEMBERS, ROUNDS, Place


def population_routes() -> list[Route]:
    """Return the routes of populations in rounds."""
    return [
        Route("/populations/{name:path}", _population),
        Route("/api/populations/{name:path}", _rounds),
    ]


def _population(request: Request) -> Response:
    state = request.app.state
    place = state.places.find(request.path_params["name"], "population")
    history = _history(place)
    runs = {each.name for each in state.places.all() if "run" in each.kinds}
    answer: Response = state.pages.answer(
        request,
        "population.j2",
        title=place.name,
        place=place,
        history=history,
        about=history.to_json(),
        running=holder(place.path) is not None,
        board="tournament" in place.kinds,
        members=[
            (member, history.row(member), history.made_by(member), history.descent(member))
            for member in history.members
        ],
        run_of=lambda member: name if (name := f"{place.name}/{MEMBERS}/{member.id}") in runs else None,
        tables=any(history.table(number) is not None for number in range(len(history.found))),
    )
    return answer


def _rounds(request: Request) -> Response:
    """Answer with the curves over rounds, and the payoff tables."""
    from tournaments.populations.report import tables_of

    place = request.app.state.places.find(request.path_params["name"], "population")
    history = _history(place)
    sections = [
        {
            "title": section.title,
            "lines": [{"name": line.name, "values": list(line.values)} for line in section.lines],
            "shares": [
                {"title": each.title, "names": list(each.names), "rows": [list(row) for row in each.rows]}
                for each in section.shares
            ],
        }
        for section in history.sections
    ]
    return Data({"sections": sections, "tables": tables_of(history)})


def _history(place: Place) -> Any:
    """Return what a population has done; PyTorch, which that imports, is loaded where there is one."""
    from tournaments.populations.histories import history_of

    rounds = place.path / ROUNDS
    linked = next((path for path in (rounds, *rounds.rglob("*")) if path.is_symlink()), None)
    if linked:
        raise UserError(f"'{linked.name}' of '{place.name}' is a symbolic link, which this page does not follow")
    return history_of(place.path)
