"""A conversation with a model about one decision: it is asked again until its answer can be read."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from games.words import Words
from marl.agents.chat import prompts
from marl.agents.chat.answers import moves_named, value_named
from marl.agents.chat.cache import Answer
from marl.agents.chat.server import Message, TooSlow
from marl.base.digests import canonical
from marl.rollout.types import AgentFailed

Ask = Callable[[Sequence[Message], float], Awaitable[tuple[Answer, float]]]  # with the seconds that are left, and taken


@dataclass
class Conversation:
    """What was said at one decision: the messages, the tokens, and what came of it."""

    messages: list[Message]
    tokens: list[int] = field(default_factory=lambda: [0, 0])  # of the prompts, and of the answers
    shares: dict[int, float] = field(default_factory=dict)  # of the actions that were named; they sum to 1
    value: float = 0.5  # from 0 to 1, where that was asked for
    failure: AgentFailed | None = None

    @property
    def transcript(self) -> str:
        """What is kept with the game, as JSON."""
        return canonical({"messages": self.messages, "tokens": self.tokens})


@dataclass(frozen=True)
class Fault:
    """Why a model is asked again, in words that begin with a verb, and what it is told."""

    what: str
    reply: str


class NameMoves:
    """The task to name `most` legal moves."""

    failed = "named no legal move"

    def __init__(self, most: int) -> None:
        self.most = most
        self.text = prompts.MOVE if most == 1 else prompts.filled(prompts.CANDIDATES, candidates=most)

    def read(self, said: Conversation, answer: Answer, words: Words) -> Fault | None:
        """Read the moves that an answer names; return what is wrong with it, if anything."""
        said.shares, other = moves_named(answer.text, words.moves, self.most)
        if said.shares:
            return None
        if answer.cut or not other:
            return _unreadable(answer)
        return Fault(f"named '{other}'", prompts.filled(prompts.ILLEGAL, said=other, moves=prompts.listed(words)))


class GiveValue:
    """The task to value a position."""

    failed, text = "gave no value", prompts.VALUE

    def read(self, said: Conversation, answer: Answer, words: Words) -> Fault | None:
        """Read the value that an answer gives; return what is wrong with it, if anything."""
        found = value_named(answer.text)
        if found is None:
            return _unreadable(answer)
        said.value = found
        return None


Task = NameMoves | GiveValue


async def converse(told: str, words: Words, task: Task, ask: Ask, attempts: int, seconds: float) -> Conversation:
    """Ask until an answer can be read, or there are no attempts or no seconds left.

    `told` tells of the position, which is `words`; `seconds` are the limit of all attempts together.
    """
    said, left = Conversation([{"role": "user", "content": f"{told}\n\n{task.text}"}]), seconds
    fault = None
    for _ in range(attempts):
        if fault is not None:
            said.messages.append({"role": "user", "content": fault.reply + task.text})
        try:
            answer, taken = await ask(said.messages, left)
        except TooSlow:
            said.failure = AgentFailed("timeout", f"took longer than {seconds:g} s to answer")
            return said
        left = max(left - taken, 0.0)
        said.messages.append({"role": "assistant", "content": answer.text})
        said.tokens = [said.tokens[0] + answer.prompt_tokens, said.tokens[1] + answer.answer_tokens]
        fault = task.read(said, answer, words)
        if fault is None:
            return said
    assert fault is not None, "there is an attempt"
    last = f"in {attempts} answers; the last" if attempts > 1 else "in its answer, which"
    said.failure = AgentFailed("illegal_action", f"{task.failed} {last} {fault.what}")
    return said


def _unreadable(answer: Answer) -> Fault:
    if answer.cut:
        return Fault("was cut off", prompts.CUT)
    return Fault("could not be read" if answer.text.strip() else "was empty", prompts.UNREADABLE)
