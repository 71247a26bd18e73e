"""Who may ask the page, for what, how much and how long: decided before any other code sees a request.

    Host      a name of this machine, so that no foreign name that resolves to it is served (DNS rebinding)
    Origin    this page's own, wherever a browser sends it, and always for what changes anything (cross-site requests)
    token     of a cookie, where the page has one; compared in constant time
    limits    on the address, the body, and the time in which a body comes and an answer is taken

Every answer forbids scripts, styles and pictures from elsewhere, inline scripts and styles, frames, and guessed types.
"""

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers would hide the Origin of our own posts
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
LOOPBACK = "127.0.0.1"
SAFE = frozenset({"GET", "HEAD"})
MOST_BODY = 64 << 10  # bytes
MOST_HEADERS = 16 << 10  # bytes of a request's head
MOST_ADDRESS = 8 << 10  # bytes of a path and its query
LONGEST_WAIT = 10.0  # seconds in which a whole body comes
SLOWEST_READER = 30.0  # seconds in which a browser takes a part of an answer
SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Access:
    """By which names the page is asked for, and with which token; None: nobody needs one."""

    names: frozenset[str]
    addresses: bool = False  # whether any IP address will do as a name: no name service can forge one
    token: str | None = None

    @classmethod
    def of(cls, host: str, token: str | None = None) -> "Access":
        """Return who may ask a server that is bound to an address: beyond this machine, whoever has the token."""
        names = {"localhost", LOOPBACK, "::1"}
        if is_loopback(host):
            return cls(frozenset(names), token=token)
        names |= {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(frozenset(names), True, token or new_token())

    @property
    def cookie(self) -> str:
        """The name of the cookie: other servers of this machine, whose cookies browsers mix with ours, have others."""
        return f"marl_{sha256((self.token or '').encode()).hexdigest()[:12]}"

    def knows(self, host: str) -> bool:
        """Return whether a Host header has a name of this server; the port does not matter (it may be forwarded)."""
        name = _name(host)
        return name in self.names or (self.addresses and _is_address(name))

    def admits(self, token: str) -> bool:
        """Return whether a token is the page's, in a time that does not depend on where they differ."""
        return self.token is None or secrets.compare_digest(token.encode(), self.token.encode())


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


class _NotRead(Exception):
    """A browser does not take an answer."""


class Guard:
    """ASGI middleware that lets through what `Access` and the limits admit."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        send = _guarded(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] not in SAFE:
            body = await _body(receive)
            if isinstance(body, Response):
                await body(scope, receive, send)
                return
            receive = _once(body, receive)
        with suppress(_NotRead):
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further; None for one that does."""
        headers, query = Headers(scope=scope), scope["query_string"].decode("latin-1")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.knows(hosts[0]):
            return _no(421, "this server does not answer by that name; use the address that `marl web` printed")
        if scope["method"] not in SAFE | {"POST"}:
            return _no(405, "this page knows GET, HEAD and POST only")
        if not _same_origin(scope, headers, hosts[0]):
            return _no(403, "this request comes from another site, and was refused")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
            return _no(431, "the head of this request is too long")
        if len(scope.get("raw_path") or b"") + len(query) > MOST_ADDRESS:
            return _no(414, "this address is too long")
        if int(headers.get("content-length") or 0) > MOST_BODY:
            return _no(413, f"this request is too long: {MOST_BODY:,} bytes are the most")
        return self._token(scope, headers, query)

    def _token(self, scope: Scope, headers: Headers, query: str) -> Response | None:
        """Ask for the token, and keep it as a cookie of the browser that brings it in its first address."""
        access = self._access
        if access.token is None:
            return None
        pairs = parse_qsl(query, keep_blank_values=True)
        brought = [value for name, value in pairs if name == "token"]
        if brought and scope["method"] == "GET" and access.admits(brought[0]):
            left = urlencode([pair for pair in pairs if pair[0] != "token"])
            path = "/" + scope["path"].lstrip("/")  # never a "//host", which is another site
            answer = RedirectResponse(path + (f"?{left}" if left else ""), 303)
            answer.set_cookie(access.cookie, access.token, httponly=True, samesite="lax", path="/")
            return answer
        if access.admits(_cookies(headers).get(access.cookie, "")):
            return None
        return _no(401, "this page needs its token; open the address that `marl web` printed, which ends in it")


def _no(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, {"Cache-Control": "no-store", "Connection": "close"})


def _same_origin(scope: Scope, headers: Headers, host: str) -> bool:
    """Return whether a request comes from our own pages, or is a person's who typed or followed an address."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        if origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return False
    elif scope["method"] not in SAFE:
        return False
    visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return site in (None, "same-origin", "none") or (visit and scope["method"] in SAFE)


def _guarded(send: Send) -> Send:
    """Add the headers of every answer, and give up on a browser that does not take it."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(SLOWEST_READER):
                await send(message)
        except TimeoutError:
            raise _NotRead from None

    return guarded


async def _body(receive: Receive) -> bytes | Response:
    """Return a whole body, or the answer to one that is too long or does not come."""
    parts, length = [], 0
    try:
        async with asyncio.timeout(LONGEST_WAIT):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return _no(400, "the request ended early")
                parts.append(message.get("body", b""))
                length += len(parts[-1])
                if length > MOST_BODY:
                    return _no(413, f"this request is too long: {MOST_BODY:,} bytes are the most")
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return _no(408, "this request came too slowly")


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, then goes on."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


def _cookies(headers: Headers) -> Mapping[str, str]:
    try:
        return {name: cookie.value for name, cookie in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _name(host: str) -> str:
    """Return the name in a Host header without its port and brackets; nothing for what is no host."""
    try:
        return (urlsplit(f"//{host}").hostname or "") if host.isascii() and "@" not in host else ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
