"""Small games by their whole tree: expected returns, best responses and mixtures of policies.

A policy is an array [K, A]: the probability of each action at each of the K information states, 0 at illegal ones. It
holds what every player does, so one array is a policy for all seats. The functions here use the sequence form (von
Stengel 1996, https://doi.org/10.1006/game.1996.0050). A sequence is an information state of a player and an action
there, with all that the player did before; sequence 0 is that of a player who has not moved. The reach of a sequence is
the product of the probabilities of its player's own actions:

    x(I) = x(the sequence that leads to I)        x(I, a) = x(I) π(a | I)

    returns          u_p = Σ_z chance(z) Π_q x_q(z) u_p(z), over the terminal positions z
    best response    V(I) = max over a of [Σ_z chance(z) Π_(q ≠ p) x_q(z) u_p(z) + Σ_I' V(I')], over the terminal
                     positions and the information states of p that come next after (I, a)
    mixture          π(a | I) = Σ_k σ_k x_k(I) π_k(a | I) / Σ_k σ_k x_k(I)

Where players move at the same time each adds an action to its own sequence, and none knows what the others choose.

A mixture of policies k with weights σ draws one policy at the beginning of a game and plays it to the end. What others
see of it is the last line, with each policy weighted by its own reach (Kuhn 1953). A mean without the reach is another
policy.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from games.arrays import Bools, Floats, Ints
from games.contract import Spec, State
from games.errors import UserError
from games.registry import load
from games.solvers.exhaustive import edges

LIMIT = 100_000  # the largest number of information states at which an agent is asked
POSITIONS = 1_000_000  # of the whole game
TIE = 1e-10  # values that differ by less, in units of the payoffs at stake, are equal but for rounding

Probabilities = Floats  # [K, A] by information state


class InformationState(NamedTuple):
    """An information state: its name, and one history that leads to it."""

    name: str
    player: int
    actions: list[int]  # legal ones
    decisions: tuple[State, ...]  # the player's own so far, this one last
    taken: tuple[int, ...]  # the player's own actions before this decision


@dataclass(frozen=True)
class Terminals:
    """The Z terminal positions of a game."""

    chance: Floats  # [Z] the probability of the outcomes of chance that lead there
    returns: Floats  # [Z, N]
    sequence: Ints  # [Z, N] the last sequence of each player


class Tree:
    """A small game with all its information states and terminal positions.

    `game` is its reference, if the Spec's name is none. Raises UserError for games without positions to clone, and for
    more than so many `positions`; `purpose` is the option that needs the tree.
    """

    def __init__(self, spec: Spec, purpose: str, positions: int = POSITIONS, *, game: str = "") -> None:
        self.spec = spec
        walk = Walk(_game(spec, purpose, game), positions)
        # By the number of the player's decisions before: what leads to an information state comes before it.
        order = sorted(range(len(walk.found)), key=lambda index: len(walk.found[index].decisions))
        place = np.empty(len(order), np.int64)  # by the order in which the walk found them
        place[order] = np.arange(len(order))
        self.known = [walk.found[index] for index in order]
        self.player: Ints = np.array([state.player for state in self.known])  # [K]
        self.legal: Bools = np.zeros((len(order), spec.num_actions), bool)  # [K, A]
        for legal, state in zip(self.legal, self.known, strict=True):
            legal[state.actions] = True
        self.leads: Ints = self._sequences(walk.leads, place)[order]  # [K] the sequence that leads there
        self.ends = Terminals(np.array(walk.chance), np.array(walk.returns), self._sequences(walk.last, place))
        depth = np.array([len(state.taken) for state in self.known])
        starts = np.searchsorted(depth, np.arange(depth[-1] + 2))
        self.layers = [slice(*ends) for ends in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]

    def _sequences(self, walked: Sequence[Any], place: Ints) -> Ints:
        """Return the numbers of sequences; (-1, 0) stands for that of a player who has not moved."""
        index, action = np.moveaxis(np.array(walked, np.int64), -1, 0)
        return np.where(index < 0, 0, 1 + place[index] * self.spec.num_actions + action)

    def uniform(self) -> Probabilities:
        """Return the policy that draws every legal action with the same probability."""
        return np.asarray(self.legal / self.legal.sum(1, keepdims=True))

    def reach(self, policy: Probabilities) -> Floats:
        """Return the reach of every sequence [1 + K * A]."""
        reach = np.ones(1 + policy.size)
        after = reach[1:].reshape(policy.shape)
        for layer in self.layers:
            after[layer] = reach[self.leads[layer], None] * policy[layer]
        return reach


def returns(tree: Tree, policies: Sequence[Probabilities]) -> Floats:
    """Return the expected return of each player [N] if each plays its own policy."""
    weight = tree.ends.chance * np.prod(_reached(tree, policies), axis=0)
    return np.asarray(weight @ tree.ends.returns)


def value(tree: Tree, player: int, policy: Probabilities, others: Probabilities) -> float:
    """Return the expected return of a player's policy, with another in all other seats."""
    players = range(tree.spec.num_players)
    return float(returns(tree, [policy if p == player else others for p in players])[player])


def best_responses(tree: Tree, policy: Probabilities) -> tuple[Probabilities, Floats]:
    """Return the best response of each player to a policy in the other seats, all in one table, and their values [N].

    Of the best actions at an information state it takes the one that is best if the others play uniformly, and of
    those the first. Where the others never let it come to, that decides alone: as a member of a population a response
    that plays sensibly there is worth more.
    """
    response = np.zeros_like(policy)
    values = np.zeros(tree.spec.num_players)
    seats = range(tree.spec.num_players)
    reached, uniform = (_reached(tree, [each] * len(seats)) for each in (policy, tree.uniform()))
    for player in seats:
        others, trembling = (
            tree.ends.chance * np.prod(np.delete(each, player, axis=0), axis=0) for each in (reached, uniform)
        )
        paid = tree.ends.returns[:, player]
        worth, against_uniform, stake = (
            np.bincount(tree.ends.sequence[:, player], of_ends, 1 + policy.size)
            for of_ends in (others * paid, trembling * paid, others * np.abs(paid))
        )
        for layer in reversed(tree.layers):
            own = np.flatnonzero(tree.player[layer] == player) + layer.start
            rows = np.arange(len(own))
            found = np.where(tree.legal[own], worth[1:].reshape(policy.shape)[own], -np.inf)
            at_stake, best = stake[1:].reshape(policy.shape)[own].sum(1), found.max(1)
            ties = found >= (best - TIE * at_stake)[:, None]
            second = against_uniform[1:].reshape(policy.shape)[own]
            chosen = np.where(ties, second, -np.inf).argmax(1)
            response[own, chosen] = 1
            np.add.at(worth, tree.leads[own], best)
            np.add.at(stake, tree.leads[own], at_stake)
            np.add.at(against_uniform, tree.leads[own], second[rows, chosen])
        values[player] = worth[0]
    return response, values


def reach_weighted(tree: Tree, policies: Sequence[Probabilities], weights: Any) -> Probabilities:
    """Return what others see of a mixture that draws one of M policies at the beginning of a game.

    `weights` [M, N] are those of each policy by seat; they need not sum to 1. Where no policy of the mixture plays to,
    its members count by their weights alone.
    """
    shares = np.asarray(weights, np.float64)[:, tree.player]  # [M, K]
    reach = np.array([tree.reach(policy)[tree.leads] for policy in policies])  # [M, K]
    seen = shares * reach
    seen = np.where(seen.sum(0) > 0, seen, shares)
    mixed: Probabilities = np.einsum("mk,mka->ka", seen / seen.sum(0), np.array(policies))
    return mixed


def _reached(tree: Tree, policies: Sequence[Probabilities]) -> Floats:
    """Return each player's reach of the terminal positions [N, Z] if each plays its own policy."""
    reach = {id(policy): tree.reach(policy) for policy in policies}
    return np.array([reach[id(policy)][tree.ends.sequence[:, p]] for p, policy in enumerate(policies)])


class Walk:
    """What a walk over all positions of a game finds, in its own order. A sequence is (information state, action)."""

    NOTHING = (-1, 0)

    def __init__(self, game: Any, most: int = POSITIONS) -> None:
        spec: Spec = game.spec
        self.found: list[InformationState] = []
        self.leads: list[tuple[int, int]] = []  # the sequence that leads to each
        self.chance: list[float] = []  # of terminal positions, as are those below
        self.returns: list[Sequence[float]] = []
        self.last: list[tuple[tuple[int, int], ...]] = []
        # OpenSpiel's names of positions at which nothing but simultaneous choices is hidden leave out the history.
        self._named = getattr(game, "recalls", False) and not (spec.perfect_information and spec.turns != "sequential")
        self._index: dict[str, int] = {}  # of information states, by name
        self._seen: dict[str, Hashable] = {}
        nothing: Any = ((),) * spec.num_players  # the player's own decisions: (state, information state, action)
        stack = [(game.initial_state(), nothing, 1.0)]
        positions = 0
        while stack:
            state, past, chance = stack.pop()
            positions += 1
            if len(self.found) > LIMIT or positions > most:
                raise UserError(
                    f"expected at most {LIMIT:,} information states and {most:,} positions, got more in "
                    f"'{spec.name}'; choose a smaller game"
                )
            if state.is_terminal():
                self.chance.append(chance)
                self.returns.append(tuple(state.returns()))
                self.last.append(tuple(self._sequence(own) for own in past))
            else:
                stack += [(after, before, chance * p) for after, before, p in self._after(spec.name, state, past)]

    def _after(self, game: str, state: Any, past: Any) -> Iterator[tuple[Any, Any, float]]:
        """Yield the positions after one, each with the decisions before it and the probability of chance's outcome."""
        acting = sorted(state.acting())
        index = [self._look_up(game, state, player, past[player]) for player in acting]
        for edge in edges(state):
            before = list(past)
            for player, own, action in zip(acting, index, edge.actions if acting else (), strict=True):
                before[player] = (*past[player], (state, own, action))
            yield edge.state, tuple(before), edge.probability

    def _look_up(self, game: str, state: Any, player: int, past: Any) -> int:
        """Return the index of a player's information state; raises UserError where two have one name."""
        seen = _information(state, player)
        name = state.native.information_state_string(player) if self._named else self._own_name(player, past, seen)
        known = self._index.get(name)
        if known is None:
            states, _, taken = zip(*past, strict=True) if past else ((), (), ())
            legal = list(state.legal_actions(player))
            known = self._index[name] = len(self.found)
            self.found.append(InformationState(name, player, legal, (*states, state), taken))
            self.leads.append(self._sequence(past))
            self._seen[name] = seen
        elif (
            self.found[known].player != player or self._seen[name] != seen or self.leads[known] != self._sequence(past)
        ):
            raise UserError(
                f"expected a name of its own for each information state, and two of '{game}' have the same name; "
                "choose another game"
            )
        return known

    def _own_name(self, player: int, past: Any, seen: Hashable) -> str:
        """Return a name for what a player knows: its last information state, its action there, and what it sees now."""
        return f"player {player} after {self._sequence(past)}: {seen!r}"

    def _sequence(self, past: Any) -> tuple[int, int]:
        return past[-1][1:] if past else self.NOTHING


def _game(spec: Spec, purpose: str, reference: str) -> Any:
    """Return the game of a Spec; raises UserError if it has no such tree."""
    if "|" in spec.name or not spec.searchable:
        raise UserError(
            f"{purpose} needs a small game with positions, without wrappers, got '{spec.name}'; choose one such as "
            "openspiel:leduc_poker"
        )
    game: Any = load(reference or spec.name)
    if not (spec.perfect_information or getattr(game, "recalls", hasattr(game.initial_state(), "information"))):
        raise UserError(
            f"{purpose} needs names of information states, and '{spec.name}' has none; choose another game, such as "
            "openspiel:leduc_poker"
        )
    return game


def _information(state: Any, player: int) -> Hashable:
    """Return what a player knows of a position: the position itself, where nothing is hidden."""
    knows = getattr(state, "information", None)
    known: Hashable = state.key() if knows is None else knows(player)
    return known
