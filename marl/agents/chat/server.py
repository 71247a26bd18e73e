"""A server that speaks OpenAI's protocol, asked by the official client; all that leaves this machine leaves it here.

A key goes to the server with which it was named, and nothing else that the client would send by itself: every request
carries the headers in `SENT` alone. Redirections are not followed. On this machine itself no proxy is used.

A request has its time limit. A connection that drops and a server that is busy are asked again after a while, which
does not count as time of the model. Whatever else keeps a server from answering ends the run, and is nobody's forfeit.
"""

import asyncio
import contextlib
import importlib.util
import ipaddress
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from games.errors import RunFailed, UserError, in_words
from games.text import cut
from marl.agents.chat.cache import Answer

Message = dict[str, str]  # role, content
Result = TypeVar("Result")

CONNECT_SECONDS = 10.0  # to reach a server
DROPPED, BUSY = 4, 8  # how often a request is sent, where connections drop and where the server is busy
PAUSE, MOST_PAUSE = 0.5, 120.0  # seconds before the second try, which double with each; the most, also of Retry-After
MOST_ANSWER = 200_000  # characters of an answer that are kept: the last ones
CHARACTERS_PER_TOKEN = 3  # where a server does not count
SENT = ("host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent")
GONE = (301, 302, 303, 307, 308)
RETRIED = (408, 409, 429)  # and all from 500 on
NO_CREDIT = "insufficient_quota"  # a 429 that waiting does not mend


class TooSlow(Exception):
    """A server took longer to answer than it may."""


@dataclass(frozen=True)
class Server:
    """A server, a model on it, and how it is asked.

    `key` is the environment variable that holds the key, "" for a server that needs none; `options` are sent with every
    request as they are. At most `parallel` requests are open at a time. Raises UserError for an address that is none,
    a variable that is not set, and where the client is not installed. Nothing is sent until `answer` is called.
    """

    url: str
    model: str
    key: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    parallel: int = 4

    def __post_init__(self) -> None:
        try:
            address = urlsplit(self.url)
            found = address.scheme in ("http", "https") and address.hostname and (address.port or True)
        except ValueError:
            found = False
        if not found or address.username is not None:
            raise UserError(
                f"expected url of 'chat' as http(s)://HOST:PORT/v1, got '{self.url}'; name the address of the server"
            )
        if self.key and not (self.secret and self.secret.isascii() and self.secret.isprintable()):
            got = "letters that no key has" if self.secret else "none"
            raise UserError(
                f"expected a key in the environment variable '{self.key}', got {got}; set it, or leave out key= for a "
                "server that needs none"
            )
        if importlib.util.find_spec("openai") is None:
            raise UserError("'chat' needs a package that is not installed; pip install 'marl[chat]'")

    @property
    def secret(self) -> str:
        """The key itself; "" for a server that needs none."""
        return os.environ.get(self.key, "").strip() if self.key else ""

    @property
    def host(self) -> str:
        """The server's name and port."""
        return urlsplit(self.url).netloc

    @property
    def local(self) -> bool:
        """Whether the server is this machine itself."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def connect(self) -> "Connection":
        """Return what asks the server; nothing is sent yet."""
        return Connection(self)


class Connection:
    """The client of a server, in an event loop of its own thread: a notebook has one in its main thread already."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name=f"chat with {server.host}", daemon=True)
        thread.start()
        self._slots = asyncio.Semaphore(server.parallel)
        self._client = self.run(_client(server))
        self.close = weakref.finalize(self, _close, self._loop, thread, self._client)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do some work in the loop, and return what comes of it; where this is interrupted, so is the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def answer(
        self, messages: Sequence[Message], seconds: float, before: Callable[[], None] = lambda: None
    ) -> tuple[Answer, float]:
        """Return the answer to a conversation, and the seconds that it took; `before` is called before each request.

        Raises TooSlow where one takes more than `seconds`, and RunFailed where the server cannot be asked.
        """
        tries = 0
        while True:
            async with self._slots:
                before()
                began = time.monotonic()
                try:
                    async with asyncio.timeout(seconds):
                        return await self._ask(messages), time.monotonic() - began
                except TimeoutError:
                    raise TooSlow from None
                except Exception as error:  # the client's, and those of what it reads
                    tries += 1
                    pause = _pause(self._server, error, tries)
            await asyncio.sleep(pause)

    async def _ask(self, messages: Sequence[Message]) -> Answer:
        server = self._server
        completion: Any = await self._client.chat.completions.create(
            model=server.model, messages=list(messages), extra_body=server.options
        )
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list) or not choices or not hasattr(choices[0], "message"):
            raise ValueError("its answer has no choices")
        text, usage = str(choices[0].message.content or "").encode(errors="replace").decode(), completion.usage
        asked = sum(len(message["content"]) for message in messages)
        counted = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        prompt, answer = (
            count if isinstance(count, int) and count >= 0 else -(-letters // CHARACTERS_PER_TOKEN)
            for count, letters in zip(counted, (asked, len(text)), strict=True)
        )
        return Answer(text[-MOST_ANSWER:], choices[0].finish_reason == "length", prompt, answer)


async def together(work: Sequence[Callable[[], Coroutine[Any, Any, Result]]]) -> list[Result]:
    """Return what comes of some work that is done side by side; where one part raises, the others stop."""
    tasks = [asyncio.ensure_future(part()) for part in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _client(server: Server) -> Any:
    """Return the official client, without its own tries, limits, redirections and headers."""
    import openai  # takes half a second

    secret = server.secret

    async def only_ours(request: Any) -> None:
        for name in list(request.headers):
            if name.lower() not in SENT:
                del request.headers[name]
        if secret:
            request.headers["authorization"] = f"Bearer {secret}"

    return openai.AsyncOpenAI(
        base_url=server.url,
        api_key="none",  # else it takes OPENAI_API_KEY; `only_ours` sets the key
        max_retries=0,
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
        http_client=openai.DefaultAsyncHttpxClient(
            trust_env=not server.local, follow_redirects=False, event_hooks={"request": [only_ours]}
        ),
    )


def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: Any) -> None:
    with contextlib.suppress(Exception):  # the server may have gone
        asyncio.run_coroutine_threadsafe(client.close(), loop).result(CONNECT_SECONDS)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _pause(server: Server, error: Exception, tries: int) -> float:
    """Return the seconds after which a request is sent again; raises RunFailed where that would not help."""
    status = getattr(error, "status_code", None)
    busy = status is not None and (status in RETRIED or status >= 500) and getattr(error, "code", None) != NO_CREDIT
    if status is not None and not busy:
        raise RunFailed(f"the server {server.url} {_refusal(server, status, error)}; {_LATER}") from error
    if tries >= (BUSY if busy else DROPPED):
        said = f"is busy ({status})" if busy else f"does not answer ({_words(server, error.__cause__ or error)})"
        remedy = "try later" if busy else "see whether it runs, and whether url= is right"
        raise RunFailed(f"the server {server.url} {said}, {tries} times in a row; {remedy}; {_LATER}") from error
    asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    pause = float(asked) if asked.isdecimal() else PAUSE * 2 ** (tries - 1)
    return min(pause, MOST_PAUSE)


_LATER = "all answers are kept: run again to go on"


def _refusal(server: Server, status: int, error: Exception) -> str:
    """Return what a server does, in words that begin with a verb, and what to do."""
    said = _words(server, error)
    if status in (401, 403):
        whose = f"the key in '{server.key}'" if server.key else "a request without a key: add key=VARIABLE"
        return f"refuses {whose} ({status}: {said})"
    if status == 404:
        return f"knows no model '{server.model}', or no such address ({said}): see whether model= and url= are right"
    if status in GONE:
        where = getattr(getattr(error, "response", None), "headers", {}).get("location", "elsewhere")
        return f"sends requests on to {where}: name that address by url=, if you trust it"
    return f"refuses a request ({status}: {said})"


def _words(server: Server, error: BaseException) -> str:
    """Return an error in words, without the key: some servers repeat what they refuse."""
    said = in_words(error)
    return cut(said.replace(server.secret, "...") if server.secret else said, 150)
