"""A local server that speaks OpenAI's protocol, as a test wants it to: recorded answers, and every kind of fault."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DROP = object()  # close the connection without an answer


@dataclass
class Asked:
    """A request: its path, headers (names in lower case) and JSON."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def moves(self) -> list[str]:
        """The legal moves of its first message."""
        told = self.body["messages"][0]["content"]
        return told.partition("one on each line:\n\n")[2].partition("\n\n")[0].split("\n")


@dataclass(frozen=True)
class Faulty:
    """An answer that is none: another status, other headers, another body; `seconds`: it comes so late."""

    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class ChatServer:
    """Answer by `reply(asked)`: a text, which becomes a completion; a Faulty answer; or DROP."""

    def __init__(self, reply: Callable[[Asked], Any]) -> None:
        self.reply = reply
        self.asked: list[Asked] = []
        self.most = 0  # requests that were open at a time
        self._open, self._lock, self._stopped = 0, threading.Lock(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                server.handle(self)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["content-length"])))
        asked = Asked(request.path, {name.lower(): value for name, value in request.headers.items()}, body)
        with self._lock:
            self.asked.append(asked)
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            reply = self.reply(asked)
            if isinstance(reply, str):
                reply = Faulty(body=completion(reply), headers={"content-type": "application/json"})
            if reply is DROP:
                request.close_connection = True
                request.connection.shutdown(2)
                return
            self._stopped.wait(reply.seconds)
            data = reply.body.encode()
            request.send_response(reply.status)
            for name, value in (reply.headers | {"content-length": str(len(data))}).items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(data)
        except OSError:  # the client has gone
            request.close_connection = True
        finally:
            with self._lock:
                self._open -= 1

    def close(self) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def completion(text: str, prompt_tokens: int = 100, answer_tokens: int = 10, finish: str = "stop") -> str:
    """Return the JSON of an answer."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": answer_tokens}
    usage["total_tokens"] = prompt_tokens + answer_tokens
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    common = {"id": "x", "object": "chat.completion", "created": int(time.time()), "model": "m"}
    return json.dumps(common | {"choices": [choice], "usage": usage})


@contextmanager
def serving(reply: Callable[[Asked], Any]) -> Iterator[ChatServer]:
    server = ChatServer(reply)
    try:
        yield server
    finally:
        server.close()


def first_legal(asked: Asked) -> str:
    """Play the first legal move."""
    return f"The first one will do.\n\n**Final answer: {asked.moves[0]}**"
