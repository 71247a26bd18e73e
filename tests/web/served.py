"""A page that is served in a thread, on a free port, and asked as a browser asks."""

import asyncio
import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tournaments.web.app import create_app
from tournaments.web.security import Access
from tournaments.web.server import Server, bound


@dataclass
class Answer:
    """What the page answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Served:
    """A page that is served in a thread of its own."""

    def __init__(self, folder: Path, cache: Path, token: str | None = None) -> None:
        self.folder = folder
        self.app = create_app(folder, Access.of("127.0.0.1", token), cache)
        self._socket = bound("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = Server(self.app, self.app.state.events)
        self._thread = Thread(target=lambda: asyncio.run(self._server.serve([self._socket])))

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        self.app.state.desk.close()
        self.app.state.index.close()
        assert not self._thread.is_alive()

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Ask for a path as it is written; `headers` have underscores for dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "Content_Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
