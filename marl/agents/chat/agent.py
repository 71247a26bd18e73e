"""A language model as a player: what its player may see as text, and the move that its answer names.

    chat(model=llama3.2, url=http://localhost:11434/v1)
    chat(model=gpt-4.1-mini, url=https://api.openai.com/v1, key=OPENAI_API_KEY, temperature=0, dollars=2, ...)

After an answer that names no legal move the model is asked again, with what was wrong, up to `attempts` times (as in
DeepMind's game_arena). A decision is a function of what was asked: answers are kept on disk, and what was asked before
is not asked again. A model that is sampled (any temperature but 0) is asked once for each decision of each game; one of
temperature 0 once for each position.
"""

import json
from collections.abc import Coroutine, Sequence
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
from marl.agents.chat.budget import Budget
from marl.agents.chat.cache import Answer, Answers
from marl.agents.chat.conversation import Conversation, GiveValue, NameMoves, Task, converse
from marl.agents.chat.prompts import Prompt
from marl.agents.chat.server import Connection, Message, Server, together
from marl.base.digests import canonical, digest
from marl.base.engine import in_worker
from marl.rollout.agent import LogProbs, Stateless, Value, log_probs_of
from marl.rollout.referee import told as told_of
from marl.rollout.types import Decision, Hidden, View

CACHE = "runs/answers.sqlite"  # where answers are kept, unless `cache` says otherwise
OPERATION = ("url", "key", "seconds", "parallel", "tokens", "dollars", "prompt_price", "answer_price", "cache")

OURS = ("model", "messages", "stream", "n")  # of a request, which `options` cannot change

_log = getLogger(__name__)


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
        self._prompt, self._budget = Prompt(spec, prompt), Budget(tokens, dollars, prompt_price, answer_price)
        self._server, self._cache = Server(url.rstrip("/"), model, key, options, parallel), cache
        self._task, self._sampled = NameMoves(candidates), options.get("temperature") != 0
        self._opened: tuple[Connection, Answers] | None = None
        self._failures = 0  # of answers without which a search has gone on
        asked_of = {"model": model, "url": self._server.url, "options": options}
        asked_how = {"prompt": self._prompt.digest, "attempts": attempts, "candidates": candidates}
        # Who it is: never the key, and not how patiently it is asked.
        self.digest = digest({"chat": self.revision} | asked_of | asked_how)
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
            conversations = self._ask(view, GiveValue())
            self._say_what_failed(conversations, "the position is taken to be even")
            return np.array([low + (high - low) * said.value for said in conversations], np.float32)

        return value

    def close(self) -> None:
        """Close the connection and the file of the answers; the next decision opens them again."""
        if self._opened is not None:
            for part in self._opened:
                part.close()
        self._opened = None

    def _weights(self, view: View) -> tuple[Floats, list[Conversation]]:
        """Return the shares [B, A] of the moves, and what was said; where no legal one was named, all are alike."""
        conversations = self._ask(view, self._task)
        weights = view.action_mask.astype(np.float64)
        for row, said in enumerate(conversations):
            if said.shares:
                weights[row] = 0
                weights[row, list(said.shares)] = list(said.shares.values())
        return weights, conversations

    def _say_what_failed(self, conversations: Sequence[Conversation], instead: str) -> None:
        """Log the first failure of an answer that a search goes on without."""
        failures = [said.failure for said in conversations if said.failure]
        if failures and not self._failures:
            model, what = self._server.model, failures[0].detail
            _log.warning("note: %s %s; %s, here and where it fails again", model, told_of(what), instead)
        self._failures += len(failures)

    def _ask(self, view: View, task: Task) -> list[Conversation]:
        """Return what was said at each row [B]; rows at which the same is asked share a conversation."""
        words, players = view.in_words(self._spec), view.player.tolist()
        told = [self._prompt.position(*row) for row in zip(words, players, strict=True)]
        draws = [f"{key:016x}" if self._sampled else "" for key in view.key.tolist()]
        asked = list(zip(told, draws, strict=True))
        row_of = {same: row for row, same in reversed(list(enumerate(asked)))}  # the first one
        connection, answers = self._open()

        def begin(row: int) -> Coroutine[Any, Any, Conversation]:
            ask = partial(self._answer, connection, answers, draws[row])
            return converse(told[row], words[row], task, ask, self._attempts, self._seconds)

        rows = sorted(row_of.values())
        said = dict(zip(rows, connection.run(together([partial(begin, row) for row in rows])), strict=True))
        return [said[row_of[same]] for same in asked]

    def _open(self) -> tuple[Connection, Answers]:
        if self._opened is None:
            answers = Answers(None if self._cache is None else Path(self._cache))
            self._opened = self._server.connect(), answers
        return self._opened

    async def _answer(
        self, connection: Connection, answers: Answers, draw: str, messages: Sequence[Message], left: float
    ) -> tuple[Answer, float]:
        """Return the answer to a conversation, from the cache if it is there, and the seconds that it took."""
        server = self._server
        key = digest([server.url, server.model, server.options, messages, draw])  # with all attempts before this one
        if known := answers.get(key):
            return known, 0.0

        def within_budget() -> None:
            if self._budget.limited:
                self._budget.check(*answers.spent(self.digest))

        answer, seconds = await connection.answer(messages, left, within_budget)
        return answers.add(key, self.digest, answer), seconds


def _options(options: Any) -> dict[str, Any]:
    """Return what a request says besides the conversation; raises UserError for what is no JSON object."""
    if options is None:
        return {}
    try:
        if isinstance(options, dict) and all(isinstance(name, str) and name not in OURS for name in options):
            found: dict[str, Any] = json.loads(canonical(options))
            return found
    except (TypeError, ValueError):
        pass
    raise UserError(
        f"expected options of 'chat' as names and values, none of {', '.join(OURS)}, such as "
        f"{{'reasoning_effort': 'low'}}, got {written(options)}"
    )


@lru_cache
def _say_who_reads(url: str, key: str) -> None:
    """Log, once and not again in worker processes, to which server text goes, and with which key."""
    if not in_worker():
        whose = f", with the key in {key}" if key else ""
        whose += ", all of it unencrypted" if url.startswith("http:") else ""
        _log.warning("note: what chat's players see is sent to %s%s", shown(url), whose)
