"""Foreign agents: classes of a user's own (`package.module:Class`), each of which plays in a process of its own.

    our process                                          the agent's process
    ForeignAgent.act     request: a view, hidden states ->    Host: the agent's act
                         <- request for positions             if it calls view.states()
                         positions ->
                         <- answer: actions, hidden states

So whatever an agent does (it ends its process, changes its folder, closes files, writes into its view, fills memory,
never answers) affects its own process only. A process that ends, or takes longer than the limit of one decision, is
replaced; the agent keeps nothing between two calls, so the new process goes on.

Requests are pickled. Answers never are: what comes from the agent's process is JSON and plain arrays. Hidden states
travel as bytes that only the agent's own process reads.
"""

import contextlib
import json
import os
import pickle  # noqa: TID251 - from our process to the agent's, never in a file, and never from the agent's to ours
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, get_args

import numpy as np

from games import plugins
from games.contract import Spec, State
from games.errors import RunFailed, UserError, in_words
from games.processes import PATIENCE, how_it_ended, launch
from games.references import call, parameters_of, parse, resolve
from marl.agents.functions import OfPositions, is_of_positions
from marl.agents.identity import digest_of_code
from marl.base.memory import physical_memory
from marl.rollout.agent import Policy, Preferences, Value, policy_of, preferences_of, value_of
from marl.rollout.referee import of_rows, told
from marl.rollout.types import AgentFailed, Decision, Hidden, Offence, View

DECISION_SECONDS = 60.0  # the limit for one decision, asked alone
BUILD_SECONDS = 600.0  # the limit for importing a class and building the agent
MOST_MEMORY = physical_memory() // 2  # bytes, for one agent's process
MOST_ANSWER = 1 << 30  # bytes
TICK, MOMENT = 0.2, 0.001  # seconds: between two checks of a silent process; the shortest wait

OFFENCES = {how: how for how in get_args(Offence)}
ASKED = {"policy": policy_of, "value": value_of, "preferences": preferences_of}  # optional methods of agents

Answer = tuple[dict[str, Any], list[bytes]]  # an object of JSON, and bytes behind it


class _Gone(Exception):
    """An agent's process has ended, or has been silent for too long."""

    def __init__(self, how: Offence, detail: str) -> None:
        self.how, self.detail = how, detail


class ForeignAgent:
    """Our side of an agent that plays in a process of its own.

    Raises UserError if the class cannot be found or built; AgentFailed if it raises, ends its process, or takes longer
    than `seconds` (with a single row: twice); RunFailed if its code has changed since it was built.
    """

    def __init__(self, reference: str, spec: Spec, seconds: float = DECISION_SECONDS) -> None:
        self._reference, self._spec, self._seconds = reference, spec, seconds
        self._channel: _Channel | None = None
        self._requests = 0
        try:
            self.digest = self._start()
        except (_Gone, AgentFailed) as failure:
            raise UserError(f"'{reference}' could not be built: it {failure.detail}; mend it") from failure

    def initial_hidden(self, rows: int) -> Hidden:
        hidden = self._ask_twice(rows, "initial_hidden", rows)[1]
        return self._rows(hidden, rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        action, after, answer = self._ask_about("act", view, hidden)
        try:
            failed = {row: AgentFailed(OFFENCES[how], str(detail)) for row, how, detail in answer["failed"]}
            notes = dict(answer["notes"])
        except (LookupError, TypeError, ValueError) as error:
            raise self._unreadable() from error
        return Decision(action, failed=failed, notes=notes), after

    @property
    def policy(self) -> Policy | None:
        """Return the agent's policy, asked in its process; None if its class has none."""
        return partial(self._decide, "policy") if self._has["policy"] else None

    @property
    def value(self) -> Value | None:
        """Return the agent's value function, asked in its process; None if its class has none."""
        return (lambda view, hidden: self._decide("value", view, hidden)[0]) if self._has["value"] else None

    @property
    def preferences(self) -> Preferences | None:
        """Return how the agent ranks actions, asked in its process; None if it does not."""
        return (lambda view, hidden: self._decide("preferences", view, hidden)[0]) if self._has["preferences"] else None

    def _decide(self, method: str, view: View, hidden: Hidden) -> tuple[Any, Hidden]:
        """Return an array about the rows of a view, and their next hidden states, by a method of the Host."""
        return self._ask_about(method, view, hidden)[:2]

    def _ask_about(self, method: str, view: View, hidden: Hidden) -> tuple[Any, Hidden, dict[str, Any]]:
        """Return what `_decide` does, and the whole answer."""
        plain = replace(view, states=None, words=None)
        given = None if hidden is None else hidden.tolist()
        answer, after = self._ask_twice(len(view), method, plain, given, view.states is not None, states=view.states)
        try:
            blob = after.pop(0)
            found = np.frombuffer(blob, np.dtype(answer["dtype"])).reshape(answer["shape"])
        except (LookupError, TypeError, ValueError) as error:
            raise self._unreadable() from error
        return found, None if hidden is None else self._rows(after, len(view)), answer

    def close(self) -> None:
        """End the process and its children; the next call starts another process."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def _rows(self, blobs: list[bytes], rows: int) -> Hidden:
        if not blobs:
            return None
        if len(blobs) != rows:
            raise self._unreadable()
        hidden = np.empty(rows, object)
        hidden[:] = blobs
        return hidden

    def _unreadable(self) -> AgentFailed:
        self.close()
        return AgentFailed("agent_error", "sent an answer that cannot be read")

    def _ask_twice(self, rows: int, *request: Any, states: Callable[[], list[State]] | None = None) -> Answer:
        """Send a request; if the process ends or takes too long over a single row, ask a new process once more."""
        for last in (rows > 1, True):
            try:
                if self._channel is None:
                    self._restart()
                return self._ask(self._seconds, *request, states=states)
            except _Gone as gone:
                if last:
                    raise AgentFailed(gone.how, gone.detail) from gone
        raise AssertionError("the last attempt returns or raises")

    def _restart(self) -> None:
        try:
            digest = self._start()
        except RunFailed:
            raise
        except UserError as refusal:
            raise AgentFailed("agent_error", f"could not be built again: {told(str(refusal))}") from refusal
        if digest != self.digest:
            raise RunFailed(f"the agent '{self._reference}' changed while it was being played; run again to go on")

    def _start(self) -> str:
        """Start the process, and return the digest of the agent that it has built."""
        process, connection = launch(f"the process of '{self._reference}'", "marl.agents.foreign:serve", shielded=True)
        self._channel = _Channel(process, connection)
        answer, _ = self._ask(BUILD_SECONDS, "build", self._reference, self._spec, MOST_MEMORY)
        self._has = {method: answer.get(method) is True for method in ASKED}
        return str(answer.get("digest"))

    def _ask(self, seconds: float, *request: Any, states: Callable[[], list[State]] | None = None) -> Answer:
        assert self._channel is not None
        self._requests += 1
        deadline = time.monotonic() + seconds
        try:
            self._channel.send(pickle.dumps((self._requests, *request)), deadline)
            while True:
                answer, blobs = self._answer(deadline)
                if answer["kind"] != "states" or states is None:
                    break
                self._channel.send(self._pickled_states(states), deadline)
        except _Silent:
            self.close()
            raise _Gone("timeout", f"took longer than {seconds:g} s to answer") from None
        except BaseException:
            self.close()
            raise
        if answer["kind"] == "refused" and request[0] == "build":  # a UserError of a later request would end the run
            self.close()
            raise UserError(answer["detail"])
        if answer["kind"] == "failed":
            raise AgentFailed("agent_error", told(answer["detail"]))
        if answer["kind"] != "done":
            raise self._unreadable()
        return answer, blobs

    def _pickled_states(self, states: Callable[[], list[State]]) -> bytes:
        try:
            return pickle.dumps(states())
        except UserError:
            raise
        except Exception as error:  # the positions of a plug-in may raise anything: not the agent's fault
            raise RunFailed(
                f"the positions of '{self._spec.name}' cannot be sent to the process of '{self._reference}' "
                f"({in_words(error)}); let its State be cloned and pickled, or leave this agent out"
            ) from error

    def _answer(self, deadline: float) -> Answer:
        """Return the next answer of the process."""
        assert self._channel is not None
        try:
            answer, blobs = _unpacked(self._channel.receive(deadline))
        except EOFError:
            raise _Gone("agent_error", f"stopped because its process {self._channel.end()}") from None
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise self._unreadable() from error
        if answer.get("request") != self._requests or not isinstance(answer.get("detail"), str):
            raise self._unreadable()
        return answer, blobs


class _Silent(Exception):
    """A process did not answer by the deadline."""


class _Channel:
    """Our end of the connection with a process: messages framed as by `multiprocessing`, each with a deadline."""

    def __init__(self, process: "subprocess.Popen[bytes]", connection: Connection) -> None:
        self._process = process
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        connection.close()
        self.close = weakref.finalize(self, _end, process, self._socket)

    def send(self, message: bytes, deadline: float) -> None:
        """Send a message; a process that has ended gets none. Raises _Silent."""
        self._socket.settimeout(max(MOMENT, deadline - time.monotonic()))
        try:
            self._socket.sendall(struct.pack("!i", len(message)) + message)
        except TimeoutError:
            raise _Silent from None
        except OSError:  # the process has ended, and `receive` will say so
            pass

    def receive(self, deadline: float) -> bytes:
        """Return the next message; raises _Silent, EOFError if the process has ended, ValueError for a wrong size."""
        (size,) = struct.unpack("!i", self._read(4, deadline))
        if not 0 <= size <= MOST_ANSWER:
            raise ValueError(f"a message of {size} bytes")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        parts, ended = bytearray(), False
        while len(parts) < size:
            self._socket.settimeout(max(MOMENT, min(TICK, deadline - time.monotonic())))
            try:
                part = self._socket.recv(min(size - len(parts), 1 << 20))
            except TimeoutError:
                if ended:
                    raise EOFError from None
                ended = self._process.poll() is not None  # its children may keep the connection open
                if time.monotonic() >= deadline and not ended:
                    raise _Silent from None
                continue
            except OSError:
                raise EOFError from None
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def end(self) -> str:
        """Return in words how the process has ended."""
        try:
            return how_it_ended(self._process.wait(PATIENCE))
        except subprocess.TimeoutExpired:
            return "closed its connection"


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
    """Kill a process and its children, and wait until it has ended."""
    channel.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _packed(answer: dict[str, Any], blobs: list[bytes]) -> bytes:
    line = json.dumps(answer | {"sizes": [len(blob) for blob in blobs]}).encode()
    return b"".join([line, b"\n", *blobs])


def _unpacked(message: bytes) -> Answer:
    line, _, rest = message.partition(b"\n")
    answer = json.loads(line)
    ends = np.cumsum([0, *answer["sizes"]]).tolist()
    if ends[-1] != len(rest) or answer["kind"] not in ("done", "failed", "refused", "states"):
        raise ValueError("not an answer of a Host")
    return answer, [rest[start:end] for start, end in pairwise(ends)]


def serve(channel: int) -> None:
    """Run an agent's process: answer requests until the connection closes."""
    host = Host(Connection(channel))
    with contextlib.suppress(EOFError, OSError):
        while True:
            host.answer()
    os._exit(1)  # without waiting for threads that the agent has started


class Host:
    """Hold the agent in its own process, and answer requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._pid = connection, os.getpid()
        self._agent: Any = None

    def answer(self) -> None:
        """Receive the next request and answer it."""
        self._request, method, *arguments = pickle.loads(self._connection.recv_bytes())
        try:
            answer, blobs = getattr(self, method)(*arguments)
        except BaseException as error:  # a user's code may raise anything
            refused = method == "build" and isinstance(error, UserError)
            detail = str(error) if refused else f"raised {told(in_words(error))}"
            answer, blobs = {"kind": "refused" if refused else "failed", "detail": detail}, []
        self._send(answer, blobs)

    def _send(self, answer: dict[str, Any], blobs: list[bytes]) -> None:
        if os.getpid() != self._pid:  # this is a process that the agent has forked
            os._exit(0)
        self._connection.send_bytes(_packed({"kind": "done", "detail": "", "request": self._request} | answer, blobs))

    def build(self, text: str, spec: Spec, most_memory: int) -> Answer:
        """Import the class and build the agent."""
        _limit_memory(most_memory)
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # torch's
        reference = parse(text)
        try:
            target = resolve(reference, plugins.AGENTS, "agent")
            takes_spec = "spec" in parameters_of(target)
            if is_of_positions(target):
                self._agent = OfPositions(target, reference, spec)
            else:
                self._agent = call(target, reference, **({"spec": spec} if takes_spec else {}))
        except UserError:
            raise
        except BaseException as error:
            raise UserError(f"'{text}' could not be built: it raised {told(in_words(error))}; mend it") from error
        if not (hasattr(self._agent, "act") and hasattr(self._agent, "initial_hidden")):
            raise UserError(f"expected an agent with act(view, hidden) and initial_hidden(rows), got '{text}'")
        has = {method: look_up(self._agent) is not None for method, look_up in ASKED.items()}
        return {"digest": digest_of_code(target, reference)} | has, []

    def initial_hidden(self, rows: int) -> Answer:
        hidden = self._agent.initial_hidden(rows)
        return {}, [] if hidden is None else _split(hidden, rows)

    def act(self, view: View, given: list[bytes] | None, searchable: bool) -> Answer:
        def chosen(view: View, hidden: Hidden) -> tuple[Any, Hidden]:
            decision, after = self._agent.act(view, hidden)
            failed, notes = of_rows(decision, len(view))
            said["failed"] = [(row, failure.how, failure.detail) for row, failure in failed.items()]
            said["notes"] = [*notes.items()]
            return decision.action, after

        said: dict[str, Any] = {}
        answer, blobs = self._told(chosen, "actions", view, given, searchable)
        return answer | said, blobs

    def policy(self, view: View, given: list[bytes] | None, searchable: bool) -> Answer:
        return self._told(self._agent.policy, "log-probabilities", view, given, searchable)

    def preferences(self, view: View, given: list[bytes] | None, searchable: bool) -> Answer:
        rank = preferences_of(self._agent)
        assert rank is not None, "the agent's process has said that it ranks actions"
        return self._told(lambda view, hidden: (rank(view, hidden), hidden), "preferences", view, given, searchable)

    def value(self, view: View, given: list[bytes] | None, searchable: bool) -> Answer:
        def valued(view: View, hidden: Hidden) -> tuple[Any, Hidden]:
            return self._agent.value(view, hidden), hidden

        return self._told(valued, "values", view, given, searchable)

    def _told(
        self,
        ask: Callable[[View, Hidden], tuple[Any, Hidden]],
        what: str,
        view: View,
        given: list[bytes] | None,
        searchable: bool,
    ) -> Answer:
        """Answer with what the agent tells about a view, an array of numbers, and with its next hidden states."""
        for array in (view.obs, view.action_mask, view.player, view.row, view.first, view.key):
            array.flags.writeable = False
        hidden = None if given is None else _join(given)
        shape = None if hidden is None else tuple(hidden.shape)
        answer, after = ask(replace(view, states=self._positions if searchable else None), hidden)
        found = np.asarray(answer)
        if found.dtype.kind not in "biuf":
            raise ValueError(f"expected numbers as {what}, got {found.dtype} of shape {found.shape}")
        if shape is not None and tuple(np.shape(after)) != shape:
            raise ValueError(f"expected hidden states of shape {shape}, got {np.shape(after)}")
        blobs = [np.ascontiguousarray(found).tobytes()]
        blobs += [] if shape is None else _split(after, len(view))
        return {"dtype": found.dtype.str, "shape": list(found.shape)}, blobs

    def _positions(self) -> list[State]:
        self._send({"kind": "states"}, [])
        positions: list[State] = pickle.loads(self._connection.recv_bytes())
        return positions


def _split(hidden: Any, rows: int) -> list[bytes]:
    """Split hidden states into rows, as bytes."""
    if not hasattr(hidden, "shape"):
        raise TypeError(f"expected hidden states as an array or a tensor, got {type(hidden).__name__}")
    if len(hidden) != rows:
        raise ValueError(f"expected hidden states of {rows} rows, got {len(hidden)}")
    return [pickle.dumps(hidden[i : i + 1]) for i in range(rows)]


def _join(rows: list[bytes]) -> Any:
    """Join the rows that `_split` returned."""
    parts = [pickle.loads(row) for row in rows]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch  # an agent whose hidden states are tensors has imported it

    return torch.cat(parts)


def _limit_memory(most_memory: int) -> None:
    """Limit this process's memory, and make it the first to be killed where the machine runs out of it."""
    for limit, most in ((resource.RLIMIT_DATA, most_memory), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
