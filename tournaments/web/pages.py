"""Templates, and the answers that pages and data are: text in them is escaped, and control characters spelled out."""

import json
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from games.drawing.colours import stylesheet
from games.text import shown
from tournaments.reports.page import environment
from tournaments.reports.pairs import SHADES

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
PAGES, STATIC = Path(__file__).with_name("pages"), Path(__file__).with_name("static")


@dataclass(frozen=True)
class Link:
    """An entry of the navigation."""

    title: str
    url: str
    below: tuple[str, ...] = ()  # the beginnings of addresses of the same part

    def covers(self, here: str) -> bool:
        """Return whether an address is of this part."""
        return here == self.url or here.startswith(self.below)


class Pages:
    """The templates of a page with its navigation, which names all of its parts."""

    def __init__(self, folder: str, navigation: Sequence[Link]) -> None:
        self._environment = environment(PAGES)
        self._environment.globals |= {"folder": folder, "navigation": navigation}
        self._environment.globals |= {"url_of": url_of, "ago": ago, "typed": typed, "many": many}

    def answer(self, request: Request, template: str, status: int = 200, **facts: Any) -> Response:
        """Return a page from its template and the facts that it shows."""
        text = self._environment.get_template(template).render(here=request.url.path, **facts)
        return HTMLResponse(text, status)


class Data(Response):
    """JSON for the scripts of a page. Numbers that JSON does not have become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(_plain(content), separators=(",", ":"), allow_nan=False).encode()


def file_routes() -> list[Route]:
    """Return the routes of scripts, styles and pictures: of this page, of drawings, and shared with reports."""
    templates = environment(PAGES)
    style = templates.get_template("page.css.j2").render(shades=SHADES)
    script = templates.get_template("parts/sortable.js.j2").render()
    files = {f"/static/{path.name}": path.read_bytes() for path in STATIC.iterdir() if path.suffix in KINDS}
    files |= {"/report.css": style.encode(), "/sortable.js": script.encode(), "/drawing.css": stylesheet().encode()}
    return [Route(path, _file(content, KINDS[Path(path).suffix])) for path, content in files.items()]


def _file(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that answers with a file, or that the browser's copy is still the same."""
    headers = {"ETag": f'"{sha256(content).hexdigest()[:16]}"', "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    return answer


def url_of(*parts: str) -> str:
    """Return a path on this page: parts are joined by slashes, and what is no letter, digit or slash is escaped."""
    return "/" + "/".join(quote(part) for part in parts)


def _plain(value: Any) -> Any:
    """Return data with its text as it is shown, markup as it is, and null for numbers that are not finite."""
    if isinstance(value, Markup):
        return str(value)
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def typed(value: object) -> str:
    """Return a path or a reference as it is typed in a shell."""
    return shlex.quote(str(value))


def many(number: int, what: str) -> str:
    """Return how many there are of something, such as "1 run" and "2 runs"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def ago(moment: float) -> str:
    """Return how long ago a moment was, in seconds since 1970, as text."""
    passed = max(0.0, time.time() - moment)
    for seconds, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed >= seconds:
            return f"{passed // seconds:.0f} {unit} ago"
    return "just now"
