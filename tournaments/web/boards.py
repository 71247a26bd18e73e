"""Pages of tournaments."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def board_routes() -> list[Route]:
    """Return the routes of tournaments."""
    return [Route("/tournaments", _list)]


def _list(request: Request) -> Response:
    state = request.app.state
    answer: Response = state.pages.answer(request, "tournaments.j2", title="Tournaments", places=state.places.all())
    return answer
