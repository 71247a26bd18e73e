"""Agents that fail or move illegally: they forfeit the game, or their failure ends the run."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.errors import RunFailed, UserError, in_words
from games.text import cut, shown
from marl.rollout.agent import (
    Agent,
    Explain,
    LogProbs,
    Policy,
    Value,
    explain_of,
    plays_whole_team,
    policy_of,
    value_of,
)
from marl.rollout.types import AgentFailed, Decision, Hidden, Offence, View

MOST_DETAIL = 300  # characters of a forfeit's detail
TOLERANCE = 1e-3  # of a sum of probabilities

Result = TypeVar("Result")


@dataclass(frozen=True)
class Forfeit:
    """A forfeited game: the player that forfeits, its offence, and what it did."""

    player: int
    how: Offence
    detail: str  # words that begin with a verb: `raised ValueError: no`
    error: Exception | None = field(default=None, compare=False, repr=False)  # what was raised


def told(text: str) -> str:
    """Return foreign text as one printable line of at most MOST_DETAIL characters."""
    return cut(shown(" ".join(text.split())), MOST_DETAIL)


class Referee:
    """Watch agents play: one that fails or moves illegally forfeits that game, and the rest plays on."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._forfeits: dict[int, Forfeit] = {}  # by row
        self._notes: dict[int, str] = {}  # by row

    def watch(self, agent: Agent) -> Agent:
        """Return the agent, watched by this referee."""
        return _Watched(agent, self._spec, self._forfeits, self._notes)

    def take(self, num_players: int) -> dict[int, list[Forfeit]]:
        """Return the forfeits since the last call, by environment, in the order of the players."""
        taken: dict[int, list[Forfeit]] = {}
        for row in sorted(self._forfeits):
            taken.setdefault(row // num_players, []).append(self._forfeits[row])
        self._forfeits.clear()
        return taken

    def take_notes(self, num_players: int) -> list[tuple[int, int, str]]:
        """Return what agents have noted of their decisions since the last call: (environment, player, note)."""
        taken = [(row // num_players, row % num_players, note) for row, note in sorted(self._notes.items())]
        self._notes.clear()
        return taken


class _Watched:
    """An agent whose failures and illegal moves are recorded by row. A UserError is no failure, and is raised here.

    `alone`: after a call that raises, each row is asked again by itself, so that only the failing row forfeits. After a
    timeout this is always done, because the time limit is for a single decision. An agent whose Decision says which
    rows have failed is not asked again.
    """

    def __init__(
        self,
        agent: Agent,
        spec: Spec,
        forfeits: dict[int, Forfeit],
        notes: dict[int, str] | None = None,
        *,
        alone: bool = True,
    ) -> None:
        self._agent, self._spec, self._forfeits, self._alone = agent, spec, forfeits, alone
        self._notes = {} if notes is None else notes
        self.unready: AgentFailed | None = None  # why there are no hidden states for new episodes
        self.whole_team = plays_whole_team(agent)

    def initial_hidden(self, rows: int) -> Hidden:
        """Return hidden states; None if the agent has none or fails: new episodes then forfeit at their decision."""
        try:
            return self._begin(rows)
        except AgentFailed as failure:
            if rows > 1:
                hidden = self.initial_hidden(1)
                return hidden if hidden is None else hidden[np.zeros(rows, np.int64)]
            self.unready = failure
            return None

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        if self.unready is not None:
            return self._act_without_hidden(view, hidden)
        try:
            actions, after = self._ask(view, hidden)
        except AgentFailed as failure:
            if len(view) > 1 and (self._alone or failure.how == "timeout"):
                return self._one_by_one(view, hidden)
            self._forfeit(view, 0, failure)
            return Decision(self._placeholder(view)), hidden
        judge = self._judge_points if isinstance(self._spec.action, Box) else self._judge_choices
        return Decision(judge(view, actions)), after

    def _begin(self, rows: int) -> Hidden:
        try:
            hidden = self._agent.initial_hidden(rows)
            if hidden is not None and len(hidden) != rows:
                raise ValueError(f"expected hidden states of {rows} rows, got {len(hidden)}")
        except (UserError, AgentFailed):
            raise
        except Exception as error:  # a user's code may raise anything
            raise _failed(error) from error
        return hidden

    def _ask(self, view: View, hidden: Hidden) -> tuple[Any, Hidden]:
        """Return actions and the next hidden states; raises AgentFailed for an error or malformed results."""
        try:
            decision, after = self._agent.act(view, hidden)
            actions, placeholder = np.asarray(decision.action), self._placeholder(view)
            expected = placeholder.shape
            if actions.shape != expected or actions.dtype.kind not in "biuf":
                raise ValueError(f"expected actions of shape {expected}, got {actions.dtype} of shape {actions.shape}")
            if hidden is not None and np.shape(after) != np.shape(hidden):
                raise ValueError(f"expected hidden states of shape {np.shape(hidden)}, got {np.shape(after)}")
            failed, notes = of_rows(decision, len(view))
        except (UserError, AgentFailed):
            raise
        except Exception as error:  # a user's code may raise anything
            raise _failed(error) from error
        self._notes |= {int(view.row[i]): note for i, note in notes.items()}
        if not failed:
            return actions, after
        for i, failure in failed.items():
            self._forfeit(view, i, failure)
        rows = np.isin(np.arange(len(view)), list(failed))
        return np.where(rows if actions.ndim == 1 else rows[:, None], placeholder, actions), after

    def _one_by_one(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        """Ask again row by row, so that only the failing row forfeits."""
        actions = []
        for i in range(len(view)):
            decision, kept = self.act(view.take(i), None if hidden is None else hidden[i : i + 1])
            actions.append(decision.action)
            if hidden is not None:
                hidden[i : i + 1] = kept
        return Decision(np.concatenate(actions)), hidden

    def _act_without_hidden(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        """Forfeit the rows that start an episode without hidden states; all rows if `hidden` is None."""
        assert self.unready is not None
        failure = self.unready
        begins = view.first if hidden is not None else np.ones(len(view), bool)
        for i in np.flatnonzero(begins).tolist():
            self._forfeit(view, i, failure)
        if hidden is None:
            return Decision(self._placeholder(view)), None
        self.unready = None
        actions = self._placeholder(view)
        for i in np.flatnonzero(~begins).tolist():
            decision, hidden[i : i + 1] = self.act(view.take(i), hidden[i : i + 1])
            actions[i] = decision.action[0]
        return Decision(actions), hidden

    def _judge_choices(self, view: View, actions: Any) -> Any:
        """Return discrete actions [B]; illegal ones forfeit, and a placeholder takes their place."""
        in_range = (actions >= 0) & (actions < view.action_mask.shape[1])
        chosen = np.where(in_range, actions, 0).astype(np.int64)
        legal = in_range & (chosen == actions) & view.action_mask[np.arange(len(view)), chosen]
        for i in np.flatnonzero(~legal).tolist():
            self._forfeit(view, i, AgentFailed("illegal_action", f"chose {actions[i]}"))
        return np.where(legal, chosen, self._placeholder(view))

    def _judge_points(self, view: View, actions: Any) -> Any:
        """Return continuous actions [B, D]; those outside the box forfeit, and a placeholder takes their place.

        What a player writes into its padding does not matter; it becomes 0.
        """
        low, high = (bound[view.player] for bound in self._spec.action_bounds)
        with np.errstate(over="ignore"):
            points = np.where(self._spec.action_numbers[view.player], actions, 0).astype(np.float32)
        inside = np.all(np.isfinite(points) & (points >= low) & (points <= high), axis=1)
        for i in np.flatnonzero(~inside).tolist():
            self._forfeit(view, i, AgentFailed("illegal_action", f"chose {actions[i].tolist()}"))
        return np.where(inside[:, None], points, self._placeholder(view))

    def _forfeit(self, view: View, i: int, failure: AgentFailed) -> None:
        cause = failure.__cause__
        error = cause if isinstance(cause, Exception) else None
        player = int(view.player[i])
        self._forfeits[int(view.row[i])] = Forfeit(player, failure.how, told(failure.detail), error)

    def _placeholder(self, view: View) -> Any:
        """Return a legal action for each row: the environment is stepped once more before the game is broken off."""
        if isinstance(self._spec.action, Box):
            return self._spec.action_bounds[0][view.player]
        return view.action_mask.argmax(1)


def of_rows(decision: Decision, rows: int) -> tuple[dict[int, AgentFailed], dict[int, str]]:
    """Return what a decision says of single rows: their failures and notes; raises ValueError for what is none."""
    failed, notes = (
        {int(row): what for row, what in getattr(decision, name, {}).items()} for name in ("failed", "notes")
    )
    for said, kind in ((failed, AgentFailed), (notes, str)):
        for row, what in said.items():
            if row not in range(rows) or not isinstance(what, kind):
                raise ValueError(f"expected {kind.__name__} of rows 0 to {rows - 1}, got {what!r} of row {row!r}")
    for note in notes.values():
        json.loads(note)
    return failed, notes


def _failed(error: Exception) -> AgentFailed:
    return AgentFailed("agent_error", f"raised {in_words(error)}")


class Answerable:
    """An agent whose failure or illegal move ends the run, with a sentence that names the agent.

    Raises RunFailed; a UserError that the agent raises stays as it is.
    """

    def __init__(self, agent: Agent, name: str, spec: Spec) -> None:
        self._forfeits: dict[int, Forfeit] = {}
        self._agent, self._name = _Watched(agent, spec, self._forfeits, alone=False), name
        self.unwatched = agent
        self.whole_team = plays_whole_team(agent)

    def initial_hidden(self, rows: int) -> Hidden:
        hidden, failure = self._agent.initial_hidden(rows), self._agent.unready
        if failure is not None:
            raise RunFailed(
                f"the agent '{self._name}' {told(failure.detail)}, as an episode began; mend it, or leave it out"
            ) from failure
        return hidden

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        answer = self._agent.act(view, hidden)
        if self._forfeits:
            forfeit = self._forfeits[min(self._forfeits)]
            self._forfeits.clear()
            did = "moved illegally: it " if forfeit.how == "illegal_action" else ""
            raise RunFailed(
                f"the agent '{self._name}' {did}{forfeit.detail}, as player {forfeit.player}; mend it, or leave it out"
            ) from forfeit.error
        return answer

    @property
    def policy(self) -> Policy | None:
        """Return the agent's policy, if it has one; it raises RunFailed where that fails or is no policy."""
        ask = policy_of(self.unwatched)
        return ask and (lambda view, hidden: self._answer(lambda: _judged(ask(view, hidden), view, hidden)))

    @property
    def value(self) -> Value | None:
        """Return the agent's value function, if it has one; it raises RunFailed where that fails."""
        ask = value_of(self.unwatched)
        return ask and (lambda view, hidden: self._answer(lambda: _finite(ask(view, hidden), view)))

    @property
    def explain(self) -> Explain | None:
        """Return the agent's `explain`, if it can tell anything; it raises RunFailed where that fails."""
        ask = explain_of(self.unwatched)
        return ask and (lambda view, hidden: self._answer(lambda: ask(view, hidden)))

    def _answer(self, ask: Callable[[], Result]) -> Result:
        try:
            return ask()
        except (UserError, RunFailed):
            raise
        except Exception as error:  # a user's code may raise anything
            detail = error.detail if isinstance(error, AgentFailed) else _failed(error).detail
            raise RunFailed(
                f"the agent '{self._name}' {told(detail)}, when asked for its policy, its value or an explanation; "
                "mend it, or leave it out"
            ) from error


def _judged(answer: tuple[Any, Hidden], view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
    """Return an answer of `policy`; raises ValueError if it is no policy."""
    log_probs, after = answer
    log_probs = np.asarray(log_probs, np.float32)
    expected = view.action_mask.shape
    if log_probs.shape != expected:
        raise ValueError(f"expected log-probabilities of shape {expected}, got {log_probs.shape}")
    if hidden is not None and np.shape(after) != np.shape(hidden):
        raise ValueError(f"expected hidden states of shape {np.shape(hidden)}, got {np.shape(after)}")
    probabilities = np.exp(log_probs.astype(np.float64))
    sums = probabilities.sum(1)
    if not (np.abs(sums - 1) <= TOLERANCE).all():
        raise ValueError(f"expected probabilities that sum to 1, got {sums[np.abs(sums - 1).argmax()]:g}")
    if (probabilities[~view.action_mask] > 0).any():
        raise ValueError("expected log-probabilities of -inf at illegal actions, got others")
    return log_probs, after


def _finite(values: Any, view: View) -> NDArray[np.float32]:
    """Return an answer of `value`; raises ValueError if it is not a finite number for each row."""
    found: NDArray[np.float32] = np.asarray(values, np.float32)
    if found.shape != (len(view),) or not np.isfinite(found).all():
        raise ValueError(f"expected {len(view)} finite values, got {found} of shape {found.shape}")
    return found


class Trusted:
    """A built-in agent or a checkpoint in a tournament, which plays in this process.

    Its error is a fault of the game or of this program, so nobody forfeits: it ends the run with RunFailed.
    """

    def __init__(self, agent: Agent, name: str) -> None:
        self._agent, self._name = agent, name
        self.whole_team = plays_whole_team(agent)

    @property
    def policy(self) -> Policy | None:
        ask = policy_of(self._agent)
        return ask and self._no_forfeit()(ask)

    @property
    def value(self) -> Value | None:
        ask = value_of(self._agent)
        return ask and self._no_forfeit()(ask)

    @property
    def explain(self) -> Explain | None:
        ask = explain_of(self._agent)
        return ask and self._no_forfeit()(ask)

    def initial_hidden(self, rows: int) -> Hidden:
        with self._no_forfeit():
            return self._agent.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        with self._no_forfeit():
            return self._agent.act(view, hidden)

    @contextmanager
    def _no_forfeit(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise RunFailed(
                f"the agent '{self._name}' {told(_failed(error).detail)}, which is a fault of the game or of this "
                "program, so nobody forfeits; mend the game, or leave the agent out, and run again to go on"
            ) from error
