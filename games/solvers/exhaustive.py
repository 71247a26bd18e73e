"""A solver of small games in which nothing is hidden: backward induction over all positions.

The value of a position [N] is each player's return from there on, if every player maximises its own return: max^n,
which is minimax in zero-sum games of two players. With the rewards r of a move and the position s' after it:

    V(s) = 0                         at a terminal position
    V(s) = Σ P(o) [r + V(s')]        over the outcomes o of chance
    V(s) = r + V(s')                 of the move with the highest value for the mover; of the first of them in a tie
    V(s) = (v, c - v)                where two players move at the same time and are paid c together, with v the value
                                     of the stage game whose payoffs to player 0 are r + V(s') (Shapley 1953)

Positions are the same if their `State.key()` are equal.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import NamedTuple

import numpy as np

from games import rounding
from games.arrays import Floats
from games.contract import Game, State
from games.errors import UserError

Value = tuple[float, ...]  # [N]
Choose = Callable[[list[State]], Sequence[int]]  # an action for each position; deterministic
Stage = Callable[[Floats], float]  # the value of a zero-sum game with payoffs [A, A'] of the row player

ASKED = 256  # positions that an agent is asked about in one call
LIMIT = 1_000_000  # positions: they take some hundred megabytes, and ten seconds or more

_NOBODY = -1  # chance moves, or the game is over


class Edge(NamedTuple):
    """The actions of those who move, their probability (1), the rewards that they pay, and the position after them.

    At a chance node: one of its outcomes, in place of an action, and its probability.
    """

    actions: tuple[int, ...]  # by the numbers of the players who act
    probability: float
    paid: Value
    state: State

    @property
    def action(self) -> int:
        """The action where one player moves, or the outcome of chance."""
        return self.actions[0]


@dataclass(frozen=True)
class Ends:
    """The numbers of distinct terminal positions that can be reached against one agent, by their result for it."""

    won: int
    drawn: int
    lost: int
    decisions: int  # positions at which the agent was asked


class Solution:
    """The value of every position that can be reached from `start`, by default the game's initial position.

    Raises UserError for hidden information, a position that repeats, and more than `limit` positions; for simultaneous
    moves too unless `stage` solves them, and then for games that are not zero-sum games of two players.
    """

    def __init__(
        self, game: Game, start: State | None = None, limit: int = LIMIT, *, stage: Stage | None = None
    ) -> None:
        if stage is None:
            _refuse(game)
        else:
            _refuse_stages(game)
        self._name = game.spec.name
        begin = game.initial_state() if start is None else start
        self.values: dict[Hashable, Value] = _solve(self._name, begin, limit, stage or _no_stage)

    def value(self, state: State) -> Value:
        """Return each player's return from here on [N]."""
        key = state.key()
        if key not in self.values:
            raise UserError(f"expected a position that was reached when '{self._name}' was solved, got {key!r}")
        return self.values[key]

    def action_values(self, state: State) -> dict[int, float]:
        """Return the value of each legal action for the player to move."""
        mover = _mover(state)
        if mover == _NOBODY:
            raise UserError(f"expected a position of '{self._name}' with a player to move, got {state.key()!r}")
        return {edge.action: edge.paid[mover] + self.value(edge.state)[mover] for edge in edges(state)}

    def stage(self, state: State) -> Floats:
        """Return player 0's return from here on by both players' legal actions [A, A']; who is not acting has one."""
        acting = state.acting()
        if not acting:
            raise UserError(f"expected a position of '{self._name}' with a player to move, got {state.key()!r}")
        paid = [edge.paid[0] + self.value(edge.state)[0] for edge in edges(state)]
        return np.reshape(paid, [len(state.legal_actions(p)) if p in acting else 1 for p in (0, 1)])

    def choose(self, states: Sequence[State]) -> list[int]:
        """Play perfectly: return the first of the best actions of each position."""
        action_values = [self.action_values(state) for state in states]
        return [max(values, key=values.__getitem__) for values in action_values]


def every_end(game: Game, choose: Choose, seat: int, limit: int = LIMIT) -> Ends:
    """Play an agent against every move of the others and every outcome of chance; count the terminal positions.

    The agent is asked once about each position, in calls of up to ASKED positions of equal depth. A terminal position
    is won if the agent's return is the single highest, lost if another is higher, and drawn otherwise.
    Raises UserError for an illegal action, for games as `Solution` does, and for a seat that the game does not have.
    """
    _refuse(game)
    players = game.spec.num_players
    if players < 2 or seat not in range(players):
        raise UserError(f"expected two players or more and one of their seats, got seat {seat} of '{game.spec.name}'")
    level = [game.initial_state()]
    seen = {level[0].key()}
    ends, decisions, depth = [], 0, 0
    while level:
        own = [state for state in level if _mover(state) == seat]
        others = [state for state in level if _mover(state) != seat]
        decisions += len(own)
        error = rounding.of_sums(game.spec, depth)
        ends += [int(rounding.sign(_lead(state.returns(), seat), error)) for state in others if state.is_terminal()]
        depth += 1
        chosen = (
            after for first in range(0, len(own), ASKED) for after in _chosen(own[first : first + ASKED], choose, seat)
        )
        level = []
        for after in chain(chosen, (edge.state for state in others for edge in edges(state))):
            if (key := after.key()) not in seen:
                seen.add(key)
                level.append(after)
                _check(len(seen), limit, game.spec.name)
    return Ends(sum(e > 0 for e in ends), sum(e == 0 for e in ends), sum(e < 0 for e in ends), decisions)


def edges(state: State) -> Iterator[Edge]:
    """Yield every (joint) action of those who move, or every possible outcome of chance; none at a terminal position.

    Joint actions come in the order of a table with an axis for each player who acts, by number.
    """
    acting, before = sorted(state.acting()), state.returns()
    choices: Iterator[tuple[tuple[int, ...], float]]
    if acting:
        choices = ((actions, 1.0) for actions in product(*(state.legal_actions(player) for player in acting)))
    else:
        choices = (((outcome,), probability) for outcome, probability in state.chance_outcomes() if probability > 0)
    for actions, probability in choices:
        after = _after(state, acting, actions)
        paid = tuple(now - then for now, then in zip(after.returns(), before, strict=True))
        yield Edge(actions, probability, paid, after)


class _Visit:
    """A position whose value is not computed until those of its successors are."""

    def __init__(self, state: State) -> None:
        self.players = len(state.returns())
        self.choices = {player: len(state.legal_actions(player)) for player in sorted(state.acting())}
        self.pending = edges(state)
        self.seen: list[tuple[float, Value, Hashable]] = []  # by edge: probability, rewards, key of the successor

    def value(self, values: dict[Hashable, Value], stage: Stage) -> Value:
        edge_values = [
            (probability, tuple(now + later for now, later in zip(paid, values[key], strict=True)))
            for probability, paid, key in self.seen
        ]
        if len(self.choices) > 1:
            payoffs = np.reshape([value[0] for _, value in edge_values], list(self.choices.values()))
            worth = stage(payoffs)
            return worth, sum(edge_values[0][1]) - worth
        for mover in self.choices:
            return max((value for _, value in edge_values), key=lambda value: value[mover])
        return tuple(sum(probability * value[n] for probability, value in edge_values) for n in range(self.players))


def _solve(name: str, start: State, limit: int, stage: Stage) -> dict[Hashable, Value]:
    values: dict[Hashable, Value] = {}
    path = {start.key(): _Visit(start)}  # from `start` to the present position; games are deeper than Python's stack
    while path:
        key, visit = next(reversed(path.items()))
        for edge in visit.pending:
            successor = edge.state.key()
            visit.seen.append((edge.probability, edge.paid, successor))
            if successor in path:
                raise UserError(f"expected a game that never repeats a position, got '{name}' with {successor!r}")
            if successor not in values:
                path[successor] = _Visit(edge.state)
                _check(len(values) + len(path), limit, name)
                break
        else:
            values[key] = visit.value(values, stage)
            path.popitem()
    return values


def _no_stage(payoffs: Floats) -> float:
    raise AssertionError("a game of turns has no stage games")


def _refuse(game: Game) -> None:
    spec = game.spec
    if not spec.perfect_information or spec.turns != "sequential":
        raise UserError(f"expected a game of turns and perfect information, got '{spec.name}'; choose another game")


def _refuse_stages(game: Game) -> None:
    spec = game.spec
    if not spec.perfect_information or spec.num_players != 2 or spec.payoff != "zero_sum":
        raise UserError(
            "expected a zero-sum game of two players that hides nothing but simultaneous choices, got "
            f"'{spec.name}'; choose another game"
        )


def _check(positions: int, limit: int, name: str) -> None:
    if positions > limit:
        raise UserError(f"expected at most {limit:,} positions, got more in '{name}'; choose a smaller game")


def _mover(state: State) -> int:
    acting = state.acting()
    if len(acting) > 1:
        raise UserError(f"expected one player to move at a time, got players {acting} at {state.key()!r}")
    return acting[0] if acting else _NOBODY


def _after(state: State, acting: Sequence[int], actions: Sequence[int]) -> State:
    after = state.clone()
    if acting:
        joint = [0] * len(state.returns())
        for player, action in zip(acting, actions, strict=True):
            joint[player] = action
        after.apply(joint)
    else:
        after.apply_chance(actions[0])
    return after


def _chosen(states: list[State], choose: Choose, seat: int) -> list[State]:
    """Return the positions after the agent's moves."""
    actions = choose(states) if states else []
    if len(actions) != len(states):
        raise UserError(f"expected an action for each of {len(states)} positions, got {len(actions)}")
    for state, action in zip(states, actions, strict=True):
        if action not in state.legal_actions(seat):
            raise UserError(f"expected a legal action of player {seat}, got {action} at {state.key()!r}")
    return [_after(state, (seat,), (int(action),)) for state, action in zip(states, actions, strict=True)]


def _lead(returns: Sequence[float], seat: int) -> float:
    """Return how much more the seat was paid than the best of the others."""
    return returns[seat] - max(paid for player, paid in enumerate(returns) if player != seat)
