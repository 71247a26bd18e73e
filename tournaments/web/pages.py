"""Templates, and the answers that pages and data are: all text in them is escaped, and control characters spelled out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from games.text import shown
from tournaments.reports.page import environment

PAGES, STATIC = Path(__file__).with_name("pages"), Path(__file__).with_name("static")


@dataclass(frozen=True)
class Link:
    """An entry of the navigation."""

    title: str
    url: str


class Pages:
    """The templates of a page with its navigation, which names all of its parts."""

    def __init__(self, folder: str, navigation: Sequence[Link]) -> None:
        self._environment = environment(PAGES)
        self._environment.globals |= {"folder": folder, "navigation": navigation, "url_of": url_of}

    def answer(self, request: Request, template: str, status: int = 200, **facts: Any) -> Response:
        """Return a page from its template and the facts that it shows."""
        text = self._environment.get_template(template).render(here=request.url.path, **facts)
        return HTMLResponse(text, status)


class Data(Response):
    """JSON for the scripts of a page. Numbers that JSON does not have become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(_plain(content), separators=(",", ":"), allow_nan=False).encode()


def url_of(*parts: str) -> str:
    """Return a path on this page: parts are joined by slashes, and what is no letter, digit or slash is escaped."""
    return "/" + "/".join(quote(part) for part in parts)


def _plain(value: Any) -> Any:
    """Return data with its text as it is shown, and null for numbers that are not finite."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
