"""The process that serves a page: its socket, its limits on connections, and an end that takes seconds at most."""

import asyncio
import errno
import logging
import socket
import webbrowser
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from games.errors import UserError
from tournaments.web.app import create_app
from tournaments.web.events import Events
from tournaments.web.security import MOST_HEADERS, SHORTEST_TOKEN, Access

MOST_CONNECTIONS = 400  # at once; more are answered 503
LONGEST_HEADERS = 10.0  # seconds in which the head of a request comes
IDLE = 15.0  # seconds after which a connection without a request is closed
END = 2.0  # seconds that requests have to end when the server stops


class Punctual(H11Protocol):
    """HTTP in which a request's head comes within LONGEST_HEADERS seconds: slow clients do not hold connections."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiting = self.cycle is None or self.cycle.response_complete
        if not waiting:
            self._stop()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(LONGEST_HEADERS, self._close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """A server that ends its streams when it stops, and says when it has begun."""

    def __init__(self, app: Starlette, events: Events, begun: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Punctual,
                ws="none",
                lifespan="off",
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=int(IDLE),
                timeout_graceful_shutdown=int(END),
                h11_max_incomplete_event_size=MOST_HEADERS,
            )
        )
        self._events, self._begun = events, begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begun()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._events.close()
        await super().shutdown(sockets)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; port 0 is any free one. Raises UserError where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"port {port} of {host} is in use; name another by --port, or --port 0 for a free one"
            ) from error
        raise UserError(f"'{host}' port {port} cannot be opened ({error.strerror or error}); name another") from error


def serve(folder: Path, host: str, port: int, token: str | None, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page of a folder until Ctrl-C; `say` is told the address, and a browser is opened on it.

    Raises UserError where there is no folder, or the address cannot be had.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UserError(
            f"expected a token of at least {SHORTEST_TOKEN} characters, got {len(token)}; name a longer one"
        )
    access = Access.of(host, token)
    app = create_app(folder, access)
    listening = bound(host, port)
    address = address_of(host, listening.getsockname()[1])
    whole = f"{address}?token={access.token}" if access.token else address

    def begun() -> None:
        say(f"{folder}: {whole} (Ctrl-C ends it)")
        if browser:
            Thread(target=webbrowser.open, args=(whole,), daemon=True).start()

    server = Server(app, app.state.events, begun)
    with closing(listening), closing(app.state.index), closing(app.state.desk), suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def address_of(host: str, port: int) -> str:
    """Return the address to type into a browser; an address that stands for all of a machine's is its name."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"
