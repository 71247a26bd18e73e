"""An agent's policy as a table over all information states of a small game of OpenSpiel's, in OpenSpiel's own form.

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
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyspiel
from numpy.typing import NDArray

from games.contract import Spec, State
from games.errors import UserError
from games.keys import fold
from games.registry import load
from games.solvers.exhaustive import edges
from marl.rollout.agent import Agent, policy_of
from marl.rollout.types import Hidden, View

LIMIT = 100_000  # the largest number of information states at which an agent is asked
POSITIONS = 1_000_000  # of the whole game: about 3 GB while OpenSpiel computes best responses
ASKED = 1024  # rows of one call of the agent
ALIKE = 1e-5  # of probabilities: a class of a user's own may compute a row a little differently beside other rows

Probabilities = NDArray[np.float64]  # [K, A] by information state


class InformationState(NamedTuple):
    """An information state: OpenSpiel's name for it, and one history that leads to it."""

    name: str
    player: int
    actions: list[int]  # legal ones
    decisions: tuple[State, ...]  # the player's own so far, this one last
    taken: tuple[int, ...]  # the player's own actions before this decision


@dataclass(frozen=True)
class Behaviour:
    """An agent's policy at every information state, and the policies of two halves of the draws."""

    policy: Any  # OpenSpiel's TabularPolicy, as are the halves
    halves: tuple[Any, Any]  # the policy twice, if it is exact
    draws: int  # 0: the policy is exact


class Tree:
    """A small game of OpenSpiel's with all its information states.

    Raises UserError for games that are not OpenSpiel's, let players move at the same time or are too large; `purpose`
    is the option that needs the tree.
    """

    def __init__(self, spec: Spec, purpose: str) -> None:
        game = _game(spec, purpose)
        self.spec = spec
        self.game: Any = game.native  # OpenSpiel's
        self.known = information_states(game)


def behaviour_of(tree: Tree, agent: Agent, key: int, draws: int) -> Behaviour:
    """Return an agent's policy: exact if it tells it, else from `draws` (at least 2) at each information state.

    Raises UserError for an agent that chooses an illegal action.
    """
    if (exact := told(tree, agent, key)) is not None:
        policy = tabular(tree.known, exact)
        return Behaviour(policy, (policy, policy), draws=0)
    if draws < 2:
        raise UserError(f"expected at least 2 draws at an information state, got {draws}")
    actions, counts = ask(tree, agent, key, draws)
    policy, *halves = (
        tabular(tree.known, _frequencies(tree.spec, actions[:, part], counts[:, part]))
        for part in (slice(None), slice(0, None, 2), slice(1, None, 2))
    )
    return Behaviour(policy, (halves[0], halves[1]), draws)


def told(tree: Tree, agent: Agent, key: int) -> Probabilities | None:
    """Return the policy that an agent tells; None if it tells none, or one that depends on what it drew before."""
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
    return View.of(spec, [state.decisions[t] for state in states], fold(games, t), first=t == 0)


def _frequencies(spec: Spec, actions: NDArray[np.int64], counts: NDArray[np.bool_]) -> Probabilities:
    """Return the frequencies [K, A] of actions [K, D] among those that count; among all where none does."""
    weight = np.where(counts.any(1, keepdims=True), counts, True)
    chosen = actions[..., None] == np.arange(spec.num_actions)  # [K, D, A]
    return np.asarray((chosen & weight[..., None]).sum(1) / weight.sum(1, keepdims=True))


def tabular(known: Sequence[InformationState], probabilities: Probabilities) -> Any:
    """Return a policy as OpenSpiel's TabularPolicy."""
    return pyspiel.TabularPolicy(
        {
            state.name: [(action, float(chances[action])) for action in state.actions]
            for state, chances in zip(known, probabilities, strict=True)
        }
    )


def best_responses(game: Any, policy: Any) -> tuple[list[Any], list[float]]:
    """Return a best response of each player to a policy in the other seats, and its value [N]."""
    policies, worth = [], []
    for player in range(game.num_players()):  # one after another: each holds the whole game
        response = pyspiel.TabularBestResponse(game, player, policy)
        worth.append(response.value_from_state(game.new_initial_state()))
        policies.append(response.get_best_response_policy())
    return policies, worth


def returns(game: Any, policies: Sequence[Any]) -> list[float]:
    """Return the expected return of each player [N] if each plays its own policy."""
    whole = -1  # depth
    return list(pyspiel.expected_returns(game.new_initial_state(), list(policies), whole, True))


def value(game: Any, player: int, policy: Any, others: Any) -> float:
    """Return the expected return of a player's policy, with another in all other seats."""
    return returns(game, [policy if p == player else others for p in range(game.num_players())])[player]


def information_states(game: Any) -> list[InformationState]:
    """Return all information states of a game, ordered by the number of the player's decisions before them."""
    spec: Spec = game.spec
    found: dict[str, InformationState] = {}
    seen: dict[str, Hashable] = {}
    nothing: tuple[tuple[tuple[State, int], ...], ...] = ((),) * spec.num_players
    stack = [(game.initial_state(), nothing)]
    positions = 0
    while stack:
        state, past = stack.pop()
        positions += 1
        if len(found) > LIMIT or positions > POSITIONS:
            raise UserError(
                f"expected at most {LIMIT:,} information states and {POSITIONS:,} positions, got more in "
                f"'{spec.name}'; choose a smaller game"
            )
        for player in state.acting():
            name = state.native.information_state_string(player)
            if name not in found:
                states, taken = zip(*past[player], strict=True) if past[player] else ((), ())
                legal = list(state.legal_actions(player))
                found[name] = InformationState(name, player, legal, (*states, state), taken)
                seen[name] = state.information(player)
            elif found[name].player != player or seen[name] != state.information(player):
                raise UserError(
                    f"expected OpenSpiel to name each information state differently, and two of '{spec.name}' have "
                    "the same name; choose another game"
                )
        stack += [(edge.state, _past(past, state, edge.action)) for edge in edges(state)]
    return sorted(found.values(), key=lambda state: len(state.decisions))


def _past(past: Any, state: State, action: int) -> Any:
    """Return each player's decisions, as (state, action), after an action in a state; chance adds none."""
    acting = state.acting()
    return tuple((*own, (state, action)) if player in acting else own for player, own in enumerate(past))


def _game(spec: Spec, purpose: str) -> Any:
    """Return the game of a Spec; raises UserError if it has no such tree."""
    if not spec.name.startswith("openspiel:") or "|" in spec.name or not spec.searchable:
        raise UserError(
            f"{purpose} needs one of OpenSpiel's games, without wrappers, got '{spec.name}'; choose one "
            "such as openspiel:leduc_poker"
        )
    if spec.turns != "sequential":
        raise UserError(
            f"{purpose} needs turns, and in '{spec.name}' players move at the same time; name the game as "
            "openspiel:turn_based_simultaneous_game(game=...)"
        )
    game: Any = load(spec.name)
    if not game.recalls:
        raise UserError(
            f"{purpose} needs OpenSpiel's names of information states, and '{spec.name}' has none; choose another "
            "game, such as openspiel:leduc_poker"
        )
    return game
