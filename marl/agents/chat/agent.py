"""A language model as a player: what its player may see as text, and the move that its answer names.

    chat(model=llama3.2, url=http://localhost:11434/v1)
    chat(model=gpt-4.1-mini, url=https://api.openai.com/v1, key=OPENAI_API_KEY, temperature=0, dollars=2, ...)

After an answer that names no legal move the model is asked again, with what was wrong, up to `attempts` times (as in
DeepMind's game_arena). A decision is a function of what was asked: answers are kept on disk, and what was asked before
is not asked again. A model that is sampled (any temperature but 0) is asked once for each decision of each game; one of
temperature 0 once for each position.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats
from games.contract import Box, Spec
from games.errors import UserError, written
from games.keys import draw
from games.text import shown
from games.words import Words
from marl.agents.chat import prompts
from marl.agents.chat.answers import Named, moves_named, value_named
from marl.agents.chat.budget import Budget
from marl.agents.chat.cache import Answer, Answers
from marl.agents.chat.server import Connection, Message, Server, TooSlow
from marl.base.digests import canonical, digest
from marl.base.engine import in_worker
from marl.rollout.agent import LogProbs, Stateless, Value, log_probs_of
from marl.rollout.types import AgentFailed, Decision, Hidden, View

CACHE = "runs/answers.sqlite"  # where answers are kept, unless `cache` says otherwise
OPERATION = ("url", "key", "seconds", "parallel", "tokens", "dollars", "prompt_price", "answer_price", "cache")

_log = getLogger(__name__)


@dataclass
class Conversation:
    """What was said at one decision: the messages, the tokens, and what came of it."""

    messages: list[Message]
    tokens: list[int] = field(default_factory=lambda: [0, 0])  # of the prompts, and of the answers
    named: Named | None = None  # the moves
    value: float | None = None  # from 0 to 1
    failure: AgentFailed | None = None

    @property
    def transcript(self) -> str:
        """What is kept with the game, as JSON."""
        return canonical({"messages": self.messages, "tokens": self.tokens})


class Chat(Stateless):
    """Ask a language model on a server that speaks OpenAI's protocol, at the address that the user names.

    `candidates`: how many moves an answer may name, with shares, from which the move is drawn; that is the `policy`.
    `attempts`: how often it is asked for a legal move. `seconds`: the limit of one decision, in all attempts together.
    `parallel`: the most requests at a time. `prompt`: a file with another text than `prompts.POSITION`. `options`: what
    else a request says, such as {'reasoning_effort': 'low'}. `cache`: the file of the answers; None keeps none.

    A row without a legal move after all attempts has failed, and so has one that took too long. Raises UserError for a
    game of continuous actions and for arguments that do not fit, RunFailed for a server that cannot be asked and a
    budget that is spent.
    """

    revision = 1

    def __init__(
        self,
        spec: Spec,
        model: str,
        url: str,
        key: str = "",
        prompt: str | None = None,
        candidates: int = 1,
        temperature: float | None = None,
        max_tokens: int | None = None,
        options: Any = None,
        attempts: int = 3,
        seconds: float = 60.0,
        parallel: int = 4,
        tokens: int | None = None,
        dollars: float | None = None,
        prompt_price: float | None = None,
        answer_price: float | None = None,
        cache: str | None = CACHE,
    ) -> None:
        if isinstance(spec.action, Box):
            raise UserError(f"chat chooses among moves, and in '{spec.name}' actions are numbers; choose another agent")
        least = {"candidates": candidates, "attempts": attempts, "parallel": parallel, "max_tokens": max_tokens}
        for name, number in least.items():
            if number is not None and number < 1:
                raise UserError(f"expected {name} of 'chat' to be at least 1, got {number}")
        if not seconds > 0 or (temperature is not None and not temperature >= 0):
            raise UserError(
                f"expected seconds of 'chat' above 0, and temperature from 0 on, got {seconds} and {temperature}"
            )
        asked = {"temperature": temperature, "max_tokens": max_tokens}
        options = _options(options) | {name: value for name, value in asked.items() if value is not None}
        self._spec, self._candidates, self._attempts, self._seconds = spec, candidates, attempts, seconds
        self._prompt, self._budget = prompts.Prompt(spec, prompt), Budget(tokens, dollars, prompt_price, answer_price)
        self._server, self._cache = Server(url.rstrip("/"), model, key, options, parallel), cache
        self._task = prompts.filled(prompts.CANDIDATES, candidates=candidates) if candidates > 1 else prompts.MOVE
        self._sampled = options.get("temperature") != 0
        self._opened: tuple[Connection, Answers] | None = None
        self._failures = 0  # of answers without which a search has gone on
        asked_of = {"model": model, "url": self._server.url, "options": options}
        asked_how = {"prompt": self._prompt.digest, "attempts": attempts, "candidates": candidates}
        self.digest = digest(
            {"chat": self.revision} | asked_of | asked_how
        )  # who it is: never the key, nor how patiently it is asked
        if not self._server.local:
            _say_who_reads(self._server.url, key)

    @property
    def waiting(self) -> str:
        """What to tell whoever waits for a decision."""
        return f"waiting for {self._server.model} at {self._server.host}, at most {self._seconds:g} s"

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        weights, conversations = self._weights(view)
        failed = {row: said.failure for row, said in enumerate(conversations) if said.failure}
        notes = {row: said.transcript for row, said in enumerate(conversations)}
        return Decision(draw(view.key, weights), failed=failed, notes=notes), None

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        """Return the shares of the moves that answers name; where none is legal, all legal moves are alike."""
        weights, conversations = self._weights(view)
        self._say_what_failed(conversations, "all legal moves are taken to be alike")
        return log_probs_of(weights), hidden

    @property
    def value(self) -> Value | None:
        """Return what asks for the value of a position; None where the bounds of returns are not known.

        An answer from 1 to 100 is scaled to the bounds; where there is none, the value is their middle.
        """
        if self._spec.return_bounds is None:
            return None
        low, high = self._spec.return_bounds

        def value(view: View, hidden: Hidden) -> Any:
            conversations = self._ask(view, prompts.VALUE, self._read_value)
            self._say_what_failed(conversations, "the position is taken to be even")
            found = [0.5 if said.value is None else said.value for said in conversations]
            return np.array([low + (high - low) * share for share in found], np.float32)

        return value

    def close(self) -> None:
        """Close the connection and the file of the answers; the next decision opens them again."""
        if self._opened is not None:
            for part in self._opened:
                part.close()
        self._opened = None

    def _say_what_failed(self, conversations: Sequence[Conversation], instead: str) -> None:
        """Log the first failure of an answer that a search goes on without."""
        failures = [said.failure for said in conversations if said.failure]
        if failures and not self._failures:
            _log.warning(
                "note: %s %s; %s, here and where it fails again", self._server.model, failures[0].detail, instead
            )
        self._failures += len(failures)

    def _weights(self, view: View) -> tuple[Floats, list[Conversation]]:
        """Return the shares [B, A] of the moves, and what was said; where no legal one was named, all are alike."""
        conversations = self._ask(view, self._task, self._read_moves)
        weights = view.action_mask.astype(np.float64)
        for row, said in enumerate(conversations):
            if said.named is not None:
                weights[row] = 0
                weights[row, list(said.named.shares)] = list(said.named.shares.values())
        return weights, conversations

    def _ask(self, view: View, task: str, read: "Read") -> list[Conversation]:
        """Return what was said at each row [B]; rows at which the same is asked share an answer."""
        assert view.words is not None, "the loop and View.of give words"
        words, rows = view.words(), range(len(view))
        told = [self._prompt.position(words[row], int(view.player[row])) for row in rows]
        seed = [f"{key:016x}" if self._sampled else "" for key in view.key.tolist()]
        asked = list(zip(told, seed, strict=True))
        first: dict[tuple[str, str], int] = {}
        for row, same in enumerate(asked):
            first.setdefault(same, row)
        connection, answers = self._open()

        def begin(row: int) -> Awaitable[Conversation]:
            conversation = Conversation([{"role": "user", "content": f"{told[row]}\n\n{task}"}])
            ask = partial(self._answer, connection, answers, seed[row])
            return self._converse(conversation, ask, partial(read, words[row]))

        said = dict(zip(first, connection.run(_together([partial(begin, row) for row in first.values()])), strict=True))
        return [said[same] for same in asked]

    def _open(self) -> tuple[Connection, Answers]:
        if self._opened is None:
            answers = Answers(None if self._cache is None else Path(self._cache))
            self._opened = self._server.connect(), answers
        return self._opened

    async def _converse(
        self, said: Conversation, ask: "Ask", read: "Callable[[Conversation, Answer], Fault | None]"
    ) -> Conversation:
        """Ask until an answer can be read, or there are no attempts or no seconds left."""
        left = self._seconds
        for attempt in range(1, self._attempts + 1):
            try:
                answer, seconds = await ask(said.messages, left)
            except TooSlow:
                said.failure = AgentFailed("timeout", f"took longer than {self._seconds:g} s to answer")
                return said
            left = max(left - seconds, 0.0)
            said.messages.append({"role": "assistant", "content": answer.text})
            said.tokens = [said.tokens[0] + answer.prompt_tokens, said.tokens[1] + answer.answer_tokens]
            fault = read(said, answer)
            if fault is None:
                return said
            if attempt < self._attempts:
                said.messages.append({"role": "user", "content": fault.reply})
        answers = f"{self._attempts} answers" if self._attempts > 1 else "its answer"
        said.failure = AgentFailed("illegal_action", f"named no legal move in {answers}; the last {fault.what}")
        return said

    async def _answer(
        self, connection: Connection, answers: Answers, seed: str, messages: Sequence[Message], left: float
    ) -> tuple[Answer, float]:
        """Return the answer to a conversation, from the cache if it is there, and the seconds that it took."""
        server = self._server
        key = digest([server.url, server.model, server.options, messages, seed])  # with all attempts before this one
        if known := answers.get(key):
            return known, 0.0

        def within_budget() -> None:
            if self._budget.limited:
                self._budget.check(*answers.spent(self.digest))

        answer, seconds = await connection.answer(messages, left, within_budget)
        return answers.add(key, self.digest, answer), seconds

    def _read_moves(self, words: Words, said: Conversation, answer: Answer) -> "Fault | None":
        """Read the moves that an answer names."""
        named = moves_named(answer.text, words.moves, self._candidates)
        if named.shares:
            said.named = named
            return None
        if answer.cut or not named.said:
            return _unreadable(answer, self._task)
        reply = prompts.filled(prompts.ILLEGAL, said=named.said, moves=prompts.listed(words))
        return Fault(f"named '{named.said}'", reply + self._task)

    def _read_value(self, words: Words, said: Conversation, answer: Answer) -> "Fault | None":
        """Read the value that an answer gives."""
        said.value = value_named(answer.text)
        return _unreadable(answer, prompts.VALUE) if said.value is None else None


@dataclass(frozen=True)
class Fault:
    """Why an answer is asked again: in words that begin with a verb, and what the model is told."""

    what: str
    reply: str


def _unreadable(answer: Answer, task: str) -> Fault:
    if answer.cut:
        return Fault("was cut off", prompts.CUT + task)
    return Fault("could not be read" if answer.text.strip() else "was empty", prompts.UNREADABLE + task)


Ask = Callable[[Sequence[Message], float], Awaitable[tuple[Answer, float]]]
Read = Callable[[Words, Conversation, Answer], Fault | None]


async def _together(work: Sequence[Callable[[], Awaitable[Conversation]]]) -> list[Conversation]:
    """Return what comes of some work that is done side by side; where one part raises, the others stop."""
    tasks = [asyncio.ensure_future(part()) for part in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _options(options: Any) -> dict[str, Any]:
    """Return what a request says besides the conversation; raises UserError for what is no JSON object."""
    if options is None:
        return {}
    try:
        if isinstance(options, dict) and all(isinstance(name, str) for name in options):
            found: dict[str, Any] = json.loads(canonical(options))
            return found
    except (TypeError, ValueError):
        pass
    raise UserError(
        f"expected options of 'chat' as names and values, such as {{'reasoning_effort': 'low'}}, got {written(options)}"
    )


@lru_cache
def _say_who_reads(url: str, key: str) -> None:
    """Log, once and not again in worker processes, to which server text goes, and with which key."""
    if not in_worker():
        whose = f", with the key in {key}" if key else ""
        _log.warning("note: what chat's players see is sent to %s%s", shown(url), whose)
