"""What the worker process does: agents decide, or explain a decision, in games as far as they were played.

A question is a line and a player, and its answer a function of these: a View with the keys of a tournament, and the
agent's hidden states, which are found again by asking the agent for its decisions before. What was found is remembered,
so that a game costs each decision once; what is forgotten, or was lost with a worker, is found again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

from games.errors import RunFailed, UserError
from games.keys import fold
from marl.agents.entrants import Entrant, Identity
from marl.agents.load import identify
from marl.base.threads import use_one_thread
from marl.rollout.agent import Agent, Explain, explain_of
from marl.rollout.types import Explanation, Hidden, View
from tournaments.playing.held import Held
from tournaments.playing.match import KEY
from tournaments.web.table import Line, Table, Tables, together

MOST_REMEMBERED = 5_000  # hidden states of single seats, after a decision
SECONDS = 20.0  # for one decision of an agent


@dataclass(frozen=True)
class Question:
    """What an agent does, or would do, as a player after a line; with `explain`, also why."""

    line: Line
    player: int
    agent: Identity
    explain: bool = False


@dataclass(frozen=True)
class Answer:
    """The action, or why the agent would choose it; or in one sentence why there is no answer."""

    action: int | None = None
    explanation: Explanation | None = None
    fault: str = ""


Place = tuple[str, Line, int]  # an agent's digest, and a player who decides after a line


class Decider:
    """Agents and tables of a worker process, and hidden states that were found."""

    def __init__(self) -> None:
        use_one_thread()  # as in a tournament: a result may depend on the number of threads
        self._held = Held()
        self._tables = Tables()
        self._remembered: OrderedDict[Place, Hidden] = OrderedDict()

    def identify(self, game: str, references: Sequence[str]) -> list[Identity | str]:
        """Return who the agents are that references name, or in one sentence why they cannot play the game."""
        spec = self._tables.of(game).spec
        found: list[Identity | str] = []
        for reference in references:
            try:
                agents = identify([reference], spec)
            except UserError as error:
                found.append(str(error))
            else:
                found.append(_plain(agents[0]) if len(agents) == 1 else f"'{reference}' names {len(agents)} agents")
        return found

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer questions: those to the same agent of the same game in one call."""
        answers: dict[int, Answer] = {}
        groups: dict[Any, list[int]] = {}
        for number, question in enumerate(questions):
            groups.setdefault((question.line.game, question.agent.digest, question.explain), []).append(number)
        for numbers in groups.values():
            answers |= zip(numbers, self._answer_all([questions[number] for number in numbers]), strict=True)
        return [answers[number] for number in range(len(questions))]

    def _answer_all(self, questions: list[Question]) -> list[Answer]:
        """Answer questions to one agent of one game; where it fails, one by one, so that only its failures are told."""
        try:
            return self._ask(questions)
        except (UserError, RunFailed) as error:
            if len(questions) == 1:
                return [Answer(fault=str(error))]
        return [answer for question in questions for answer in self._answer_all([question])]

    def _ask(self, questions: list[Question]) -> list[Answer]:
        first = questions[0]
        game, table = first.line.game, self._tables.of(first.line.game)
        (entrant,) = self._held.entrants(game, [first.agent.reference], table.spec, SECONDS, {first.agent.digest})
        agent = entrant.answerable(table.spec)
        views, hidden = [], agent.initial_hidden(len(questions))
        for row, question in enumerate(questions):
            if hidden is not None:
                hidden[row : row + 1] = self._hidden(table, entrant, agent, question.line, question.player)
            views.append(_seen(table, entrant, question.line, question.player))
        view = together(views)
        if first.explain:
            explain = explain_of(agent)
            return [Answer(explanation=each) for each in (explain or _without_reasons(agent))(view, hidden)]
        decision, after = agent.act(view, hidden)
        for row, question in enumerate(questions):
            self._remember((entrant.digest, question.line, question.player), after, row)
        return [Answer(int(action)) for action in decision.action]

    def _hidden(self, table: Table, entrant: Entrant, agent: Agent, line: Line, player: int) -> Hidden:
        """Return an agent's hidden state [1] before a player's decision after a line."""
        before = _decisions_before(table, line, player)
        known = next(
            (n for n in reversed(range(len(before))) if (entrant.digest, before[n], player) in self._remembered), -1
        )
        hidden = self._remembered[entrant.digest, before[known], player] if known >= 0 else agent.initial_hidden(1)
        for earlier in before[known + 1 :]:
            hidden = agent.act(_seen(table, entrant, earlier, player), hidden)[1]
            self._remember((entrant.digest, earlier, player), hidden, 0)
        return hidden

    def _remember(self, place: Place, hidden: Hidden, row: int) -> None:
        """Remember one row of hidden states, which are those after the decision at a place."""
        if hidden is not None:
            self._remembered[place] = copy(hidden[row : row + 1])
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)


def _seen(table: Table, entrant: Entrant, line: Line, player: int) -> View:
    """Return what a player sees after a line, with the key of a tournament's game of this seed."""
    table.set(line)
    if player not in table.acting:
        raise UserError(f"player {player} does not move after {len(line.moves)} steps; ask for one that does")
    key = fold(fold(fold(entrant.stream(KEY), line.seed), player), table.decision(player))
    return table.view(player, key)


def _decisions_before(table: Table, line: Line, player: int) -> list[Line]:
    """Return the lines after which a player has decided, in their order, on the way to a line."""
    found = []
    for length in range(line.opening_moves, len(line.moves)):
        table.set(line.cut(length))
        if player in table.acting:
            found.append(table.line)
    return found


def _without_reasons(agent: Agent) -> Explain:
    """Return what tells the actions of an agent that cannot explain them."""
    return lambda view, hidden: [Explanation(action) for action in agent.act(view, hidden)[0].action.tolist()]


def _plain(agent: Identity) -> Identity:
    """Return who an agent is, without the agent."""
    kept = {each.name: getattr(agent, each.name) for each in fields(Identity)}
    return Identity(**kept)
