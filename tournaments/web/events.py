"""The one stream of events of a page: what has changed below the folder, told to every browser that listens.

One look at the files serves all listeners. Nothing is looked at while nobody listens.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tournaments.web.places import Mark

EVERY = 1.0  # seconds between two looks, at least
SHARE = 0.05  # of a processor's time that goes to looking, at most
BEAT = 15.0  # seconds after which a silent stream says that it is alive
MOST_LISTENERS, MOST_OF_ONE = 100, 8  # streams at once, and of one address
MOST_WAITING = 64  # events that wait for a listener; one who lags behind misses those after them
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class Events:
    """Listeners, and the task that looks at the files for them."""

    def __init__(self, marks: Callable[[], Mapping[str, Mark]], every: float = EVERY) -> None:
        self._marks, self._every = marks, every
        self._listeners: dict[asyncio.Queue[str | None], str] = {}  # with their addresses
        self._watching: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of the listeners
        self._closed = False

    def changed(self, name: str) -> None:
        """Tell all listeners that there is news of a place; in any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, [name])

    def _tell(self, places: Sequence[str]) -> None:
        text = f"event: changed\ndata: {json.dumps({'places': places}, separators=(',', ':'))}\n\n"
        for queue in self._listeners:
            if queue.qsize() < MOST_WAITING:
                queue.put_nowait(text)

    def close(self) -> None:
        """End all streams: the server stops."""
        self._closed = True
        for queue in self._listeners:
            queue.put_nowait(None)
        if self._watching:
            self._watching.cancel()

    async def listen(self, request: Request) -> Response:
        """Answer with the stream, which ends when the browser leaves or the server stops."""
        address = request.client.host if request.client else ""
        if len(self._listeners) >= MOST_LISTENERS or Counter(self._listeners.values())[address] >= MOST_OF_ONE:
            return PlainTextResponse("too many streams are open; close other windows\n", 503, {"Retry-After": "5"})
        return StreamingResponse(self._stream(address), media_type="text/event-stream", headers=HEADERS)

    async def _stream(self, address: str) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners[queue], self._loop = address, asyncio.get_running_loop()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            yield "retry: 2000\n\nevent: hello\ndata: {}\n\n"
            while not self._closed:
                try:
                    text = await asyncio.wait_for(queue.get(), BEAT)
                except TimeoutError:
                    text = ": alive\n\n"
                if text is None:
                    return
                yield text
        finally:
            del self._listeners[queue]

    async def _watch(self) -> None:
        """Look at the files while anybody listens, and tell which places have changed."""
        known: Mapping[str, Mark] | None = None
        while self._listeners and not self._closed:
            found, seconds = await asyncio.to_thread(self._look)
            if known is not None:
                changed = sorted(name for name in found.keys() | known.keys() if found.get(name) != known.get(name))
                if changed:
                    self._tell(changed)
            known = found
            await asyncio.sleep(max(self._every, seconds / SHARE))

    def _look(self) -> tuple[Mapping[str, Mark], float]:
        """Look at the files; return also the CPU seconds that it took."""
        began = time.thread_time()
        return self._marks(), time.thread_time() - began


def event_routes(events: Events) -> list[Route]:
    """Return the route of the stream."""
    return [Route("/events", events.listen)]
