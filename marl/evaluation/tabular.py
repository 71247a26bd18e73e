"""An agent's policy as a table over all information states of a small game, and a table as an agent.

An agent that tells its policy (marl/rollout/agent.py) is read exactly. Any other is asked `draws` times at each
information state, with different keys, and the frequencies are the policy.

An agent with hidden state is first shown its earlier views of the history, in order. Its hidden state may hold what it
drew there: its earlier actions, or which member of a mixture plays. So only those draws count in which its own earlier
actions were those of the history. This weighs each member k of a mixture by its reach x_k, the probability with which
it chooses the history's actions:

    π(a | I) = Σ_k σ_k x_k(I) π_k(a | I) / Σ_k σ_k x_k(I)

If no draw agrees with the history, all count: the agent hardly reaches that information state.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec
from games.errors import UserError
from games.keys import fold
from marl.agents.mixture import Mixture
from marl.algorithms.tabular import names_of, table
from marl.evaluation.tree import InformationState, Probabilities, Tree, best_responses, reach_weighted
from marl.rollout.agent import Agent, plays_whole_team, policy_of
from marl.rollout.referee import Answerable
from marl.rollout.types import Hidden, Tensors, View

ASKED = 1024  # rows of one call of the agent
ALIKE = 1e-5  # of probabilities: a class of a user's own may compute a row a little differently beside other rows


@dataclass(frozen=True)
class Behaviour:
    """An agent's policy at every information state, and the policies of two halves of the draws."""

    policy: Probabilities
    halves: tuple[Probabilities, Probabilities]  # the policy twice, if it is exact
    draws: int  # 0: the policy is exact


def behaviour_of(tree: Tree, agent: Agent, key: int, draws: int) -> Behaviour:
    """Return an agent's policy: exact if it tells it, else from `draws` (at least 2) at each information state.

    Raises UserError for an agent that chooses an illegal action, and for one that has no policy for each seat.
    """
    if plays_whole_team(agent):
        raise UserError(
            "an agent that plays all seats of a team has no policy of its own for each seat: evaluate it against self, "
            "or train it with distil: true"
        )
    if (exact := told(tree, agent, key)) is not None:
        return Behaviour(exact, (exact, exact), draws=0)
    if draws < 2:
        raise UserError(f"expected at least 2 draws at an information state, got {draws}")
    actions, counts = ask(tree, agent, key, draws)
    policy, *halves = (
        _frequencies(tree.spec, actions[:, part], counts[:, part])
        for part in (slice(None), slice(0, None, 2), slice(1, None, 2))
    )
    return Behaviour(policy, (halves[0], halves[1]), draws)


def told(tree: Tree, agent: Agent, key: int) -> Probabilities | None:
    """Return the policy that an agent tells; None if it tells none, or one that depends on what it drew before.

    That of a mixture is combined from those of its members, each weighted by its reach.
    """
    mixture = agent.unwatched if isinstance(agent, Answerable) else agent
    if isinstance(mixture, Mixture):
        tables = [told(tree, member, key) for member in mixture.members]
        policies = [policy for policy in tables if policy is not None]
        return reach_weighted(tree, policies, mixture.weights) if len(policies) == len(tables) else None
    policy = policy_of(agent)
    if policy is None:
        return None
    draws = 1 if agent.initial_hidden(1) is None else 2
    found = np.zeros((len(tree.known), draws, tree.spec.num_actions))
    for k, draw, view, hidden, _ in _shown(tree, agent, key, draws):
        found[k, draw] = np.exp(policy(view, hidden)[0].astype(np.float64))
    return found[:, 0] if np.allclose(found, found[:, :1], rtol=0, atol=ALIKE) else None


def ask(tree: Tree, agent: Agent, key: int, draws: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return an agent's actions at each information state [K, D], and whether each counts.

    Each draw is a game of its own.
    """
    actions = np.zeros((len(tree.known), draws), np.int64)
    counts = np.zeros((len(tree.known), draws), bool)
    for k, draw, view, hidden, agrees in _shown(tree, agent, key, draws):
        actions[k, draw], counts[k, draw] = agent.act(view, hidden)[0].action, agrees
    for state, chosen in zip(tree.known, actions, strict=True):
        if illegal := set(chosen.tolist()) - set(state.actions):
            raise UserError(f"expected a legal action of player {state.player}, got {min(illegal)} at {state.name!r}")
    return actions, counts


def _shown(
    tree: Tree, agent: Agent, key: int, draws: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], View, Hidden, NDArray[np.bool_]]]:
    """Show an agent the way to each information state, `draws` times, in batches of B games.

    Yield the information states [B], the numbers of the draws [B], the agent's views and hidden states there, and
    whether all its actions before were those of the history [B].
    """
    for decisions, group in groupby(range(len(tree.known)), lambda k: len(tree.known[k].decisions)):
        rows = np.array([(k, draw) for k in group for draw in range(draws)])
        for first in range(0, len(rows), ASKED):
            k, draw = rows[first : first + ASKED].T
            states = [tree.known[i] for i in k.tolist()]
            games = fold(fold(key, np.array([zlib.crc32(state.name.encode()) for state in states])), draw)
            hidden = agent.initial_hidden(len(k))
            agrees = np.ones(len(k), bool)
            for t in range(0 if hidden is not None else decisions - 1, decisions - 1):
                decision, hidden = agent.act(_view(tree.spec, states, t, games), hidden)
                agrees &= decision.action == [state.taken[t] for state in states]
            yield k, draw, _view(tree.spec, states, decisions - 1, games), hidden, agrees


def _view(spec: Spec, states: Sequence[InformationState], t: int, games: NDArray[np.uint64]) -> View:
    """Return the views at the decisions `t` on the way to information states [B], in games with keys [B]."""
    players = [state.player for state in states]
    return View.of(spec, [state.decisions[t] for state in states], fold(games, t), first=t == 0, players=players)


def _frequencies(spec: Spec, actions: NDArray[np.int64], counts: NDArray[np.bool_]) -> Probabilities:
    """Return the frequencies [K, A] of actions [K, D] among those that count; among all where none does."""
    weight = np.where(counts.any(1, keepdims=True), counts, True)
    chosen = actions[..., None] == np.arange(spec.num_actions)  # [K, D, A]
    return np.asarray((chosen & weight[..., None]).sum(1) / weight.sum(1, keepdims=True))


def tensors_of(tree: Tree, policy: Probabilities) -> Tensors:
    """Return the tensors of the agent that plays a policy in every seat (marl/algorithms/tabular.py).

    Raises UserError for a game in which a player sees the same on its way to two information states.
    """
    names = np.zeros(1 + len(tree.known), np.int64)  # the first: before a player's first decision
    came_from = -(-tree.leads // tree.spec.num_actions)  # [K] the information state before, counted from 1
    for layer in tree.layers:
        states, player = [state.decisions[-1] for state in tree.known[layer]], tree.player[layer]
        views = View.of(tree.spec, states, fold(0, player), first=False, players=player.tolist())
        names[1:][layer] = names_of(names[came_from[layer]], views.obs, player)
    return table(names[1:], policy)


def respond(tree: Tree, policy: Probabilities) -> Tensors:
    """Return the tensors of the agent that plays the best response to a policy in every seat (`best_responses`)."""
    return tensors_of(tree, best_responses(tree, policy)[0])
