"""Agents make the decisions. An agent keeps no state between two calls; the rollout owns its hidden state.

An agent may have three more methods: `policy` tells the probabilities with which it acts, `value` the return that it
expects, `explain` why it chooses its action, `preferences` how it ranks the actions. An agent has no `policy` if its
randomness spans decisions (drawn once an episode), or if nobody can compute its probabilities (a search with random
playouts). It needs `preferences` only where it has no policy, or where its policy does not say what comes after its
best action. An agent with `whole_team = True` plays only where it holds all seats of a game, since each of its players
sees what those before it choose: `play_episodes` refuses other seatings.

random                              a legal action, uniformly
mcts(simulations=100)               OpenSpiel's own C++ search with random playouts: a fixed anchor
uct(simulations=100)                ours, for every game with positions (marl/search/agent.py)
rollout(base=runs/x)                any other that looks one move ahead (marl/search/rollout_agent.py)
minimax(propose=runs/x)             a tree over the proposals of others (marl/search/minimax.py)
tit_for_tat                         and others for social dilemmas (marl/agents/scripted.py)
runs/x/checkpoints/000500000        what a run trained (marl/agents/checkpoint.py)
my_package.bots:Pavlov()            anyone's class with `act(view, hidden)`
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.keys import choose
from games.random_play import random_points
from marl.rollout.types import Decision, Explanation, Hidden, View

LogProbs = NDArray[np.float32]  # [B, A] of the actions; -inf at illegal ones
Policy = Callable[[View, Hidden], tuple[LogProbs, Hidden]]
Value = Callable[[View, Hidden], NDArray[np.float32]]
Preferences = Callable[[View, Hidden], NDArray[Any]]  # [B, A]; higher is better, -inf where it proposes nothing
Explain = Callable[[View, Hidden], list[Explanation]]


class Agent(Protocol):
    """Decide for rows of seats."""

    def initial_hidden(self, rows: int) -> Hidden:
        """Return the hidden state of `rows` seats at an episode's start; None for an agent that has none."""
        ...

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        """Choose an action for every row of `view`, given the hidden states of those rows; keep no state."""
        ...


class AskableAgent(Agent, Protocol):
    """An agent with the optional methods. It may have one of them alone: `policy_of` and the like look them up."""

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        """Return the log-probabilities [B, A] with which `act` draws, and the hidden states that `act` returns.

        They are -inf at illegal actions, and exp of a row sums to 1. The hidden states are those after the action that
        `act` draws by the view's keys; they depend on the keys through that action only.
        """
        ...

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the return [B] that the view's player expects from this decision on, discounted as in training."""
        ...

    def preferences(self, view: View, hidden: Hidden) -> NDArray[Any]:
        """Return numbers [B, A] that rank the actions: higher is better, -inf for what the agent does not propose."""
        ...

    def explain(self, view: View, hidden: Hidden) -> list[Explanation]:
        """Return for each row [B] the action that `act` chooses there, by the same keys, and why."""
        ...


def policy_of(agent: Any) -> Policy | None:
    """Return an agent's method `policy`, or None if it has none."""
    found: Policy | None = _method(agent, "policy")
    return found


def value_of(agent: Any) -> Value | None:
    """Return an agent's method `value`, or None if it has none."""
    found: Value | None = _method(agent, "value")
    return found


def plays_whole_team(agent: Any) -> bool:
    """Return whether an agent plays only where it holds all seats."""
    return bool(getattr(agent, "whole_team", False))


def preferences_of(agent: Any) -> Preferences | None:
    """Return an agent's method `preferences`, or else the log-probabilities of its policy; None if it has neither."""
    found: Preferences | None = _method(agent, "preferences")
    ask = policy_of(agent)
    return found or (ask and (lambda view, hidden: ask(view, hidden)[0]))


def keeps_memory(agent: Agent) -> bool:
    """Return whether an agent has hidden states: what it did before counts in its next decision."""
    return agent.initial_hidden(1) is not None


def explain_of(agent: Any) -> Explain | None:
    """Return an agent's method `explain`; of an agent without, one that tells its policy and its value.

    None if it has none of the three.
    """
    found: Explain | None = _method(agent, "explain")
    if found is None and (policy_of(agent) or value_of(agent)):
        return partial(_explained, agent)
    return found


def _explained(agent: Any, view: View, hidden: Hidden) -> list[Explanation]:
    """Explain the decisions [B] of an agent by its policy and its value."""
    policy, value = policy_of(agent), value_of(agent)
    probabilities = np.exp(policy(view, hidden)[0].astype(np.float64)) if policy else [None] * len(view)
    values = value(view, hidden).tolist() if value else [None] * len(view)
    actions = agent.act(view, hidden)[0].action.tolist()
    return [Explanation(*row) for row in zip(actions, probabilities, values, strict=True)]


def _method(agent: Any, name: str) -> Any:
    found = getattr(agent, name, None)
    return found if callable(found) else None


def log_probs_of(weights: NDArray[Any]) -> LogProbs:
    """Return the log-probabilities of actions drawn in proportion to weights [B, A]; -inf where a weight is 0."""
    with np.errstate(divide="ignore"):
        logs: LogProbs = np.log(weights / weights.sum(1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return logs


def one_hot(action: NDArray[np.int64], view: View) -> NDArray[np.float32]:
    """Return the probabilities [B, A] of an agent that is certain to choose `action` [B]."""
    return np.asarray(np.arange(view.action_mask.shape[1]) == action[:, None], np.float32)


class Ensemble(Protocol):
    """Several agents that decide in one call, as networks of one shape can."""

    def initial_hidden(self, rows: int) -> Hidden:
        """Return the hidden state of `rows` seats at an episode's start, the same for all members."""
        ...

    def act(self, view: View, member: NDArray[np.int64], hidden: Hidden) -> tuple[Decision, Hidden]:
        """Choose an action for every row of `view`, as the `member` [B] that holds the row; keep no state."""
        ...


@dataclass(frozen=True)
class Member:
    """The agent that is one member of an ensemble. Members at successive roster entries decide in one call."""

    ensemble: Ensemble
    index: int | NDArray[np.int64]  # the member, or that of every row [B]

    def initial_hidden(self, rows: int) -> Hidden:
        return self.ensemble.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        return self.ensemble.act(view, self._member(view), hidden)

    @property
    def policy(self) -> Policy | None:
        """Return the ensemble's `policy(view, member, hidden)` for this member; None if it has none."""
        ask = _method(self.ensemble, "policy")
        return ask and (lambda view, hidden: ask(view, self._member(view), hidden))

    def _member(self, view: View) -> NDArray[np.int64]:
        return np.broadcast_to(self.index, len(view))


class Stateless:
    """Mixin for agents without hidden state."""

    def initial_hidden(self, rows: int) -> Hidden:
        return None


class Random(Stateless):
    """Choose a legal action, or a point of the box, uniformly."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        if isinstance(self._spec.action, Box):
            return Decision(random_points(self._spec, view.player, view.key)), None
        return Decision(choose(view.key, view.action_mask)), None

    @property
    def policy(self) -> Policy | None:
        """Return the uniform policy; None for continuous actions."""
        continuous = isinstance(self._spec.action, Box)
        return None if continuous else lambda view, hidden: (log_probs_of(view.action_mask), None)
