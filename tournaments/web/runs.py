"""Pages of runs."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def run_routes() -> list[Route]:
    """Return the routes of runs, sweeps and populations."""
    return [Route("/", _list)]


def _list(request: Request) -> Response:
    state = request.app.state
    answer: Response = state.pages.answer(request, "runs.j2", title="Runs", places=state.places.all())
    return answer
