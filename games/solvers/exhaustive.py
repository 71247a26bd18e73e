"""A solver of small games of perfect information: backward induction over all positions.

The value of a position [N] is each player's return from there on, if every player maximises its own return: max^n,
which is minimax in zero-sum games of two players. With the rewards r of a move and the position s' after it:

    V(s) = 0                         at a terminal position
    V(s) = Σ P(o) [r + V(s')]        over the outcomes o of chance
    V(s) = r + V(s')                 of the move with the highest value for the mover; of the first of them in a tie

Positions are the same if their `State.key()` are equal.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from games import rounding
from games.contract import Game, State
from games.errors import UserError

Value = tuple[float, ...]  # [N]
Choose = Callable[[list[State]], Sequence[int]]  # an action for each position; deterministic

ASKED = 256  # positions that an agent is asked about in one call
LIMIT = 1_000_000  # positions: they take some hundred megabytes, and ten seconds or more

_NOBODY = -1  # chance moves, or the game is over


class Edge(NamedTuple):
    """An action or outcome, its probability (1 for an action), the rewards that it pays, and the position after it."""

    action: int
    probability: float
    paid: Value
    state: State


@dataclass(frozen=True)
class Ends:
    """The numbers of distinct terminal positions that can be reached against one agent, by their result for it."""

    won: int
    drawn: int
    lost: int
    decisions: int  # positions at which the agent was asked


class Solution:
    """The value of every position that can be reached from `start`, by default the game's initial position.

    Raises UserError for hidden information, simultaneous moves, a position that repeats, and more than `limit`
    positions.
    """

    def __init__(self, game: Game, start: State | None = None, limit: int = LIMIT) -> None:
        _refuse(game)
        self._name = game.spec.name
        self.values: dict[Hashable, Value] = _solve(self._name, game.initial_state() if start is None else start, limit)

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
    """Yield every action of the player to move, or every possible outcome of chance; none at a terminal position."""
    mover, before = _mover(state), state.returns()
    if mover == _NOBODY:
        choices = [(outcome, probability) for outcome, probability in state.chance_outcomes() if probability > 0]
    else:
        choices = [(action, 1.0) for action in state.legal_actions(mover)]
    for action, probability in choices:
        after = _after(state, mover, action)
        paid = tuple(now - then for now, then in zip(after.returns(), before, strict=True))
        yield Edge(action, probability, paid, after)


class _Visit:
    """A position whose value is not computed until those of its successors are."""

    def __init__(self, state: State) -> None:
        self.mover, self.players = _mover(state), len(state.returns())
        self.pending = edges(state)
        self.seen: list[tuple[float, Value, Hashable]] = []  # by edge: probability, rewards, key of the successor

    def value(self, values: dict[Hashable, Value]) -> Value:
        edge_values = [
            (probability, tuple(now + later for now, later in zip(paid, values[key], strict=True)))
            for probability, paid, key in self.seen
        ]
        if self.mover != _NOBODY:
            return max((value for _, value in edge_values), key=lambda value: value[self.mover])
        return tuple(sum(probability * value[n] for probability, value in edge_values) for n in range(self.players))


def _solve(name: str, start: State, limit: int) -> dict[Hashable, Value]:
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
            values[key] = visit.value(values)
            path.popitem()
    return values


def _refuse(game: Game) -> None:
    spec = game.spec
    if not spec.perfect_information or spec.turns != "sequential":
        raise UserError(f"expected a game of turns and perfect information, got '{spec.name}'; choose another game")


def _check(positions: int, limit: int, name: str) -> None:
    if positions > limit:
        raise UserError(f"expected at most {limit:,} positions, got more in '{name}'; choose a smaller game")


def _mover(state: State) -> int:
    acting = state.acting()
    if len(acting) > 1:
        raise UserError(f"expected one player to move at a time, got players {acting} at {state.key()!r}")
    return acting[0] if acting else _NOBODY


def _after(state: State, mover: int, action: int) -> State:
    after = state.clone()
    if mover == _NOBODY:
        after.apply_chance(action)
    else:
        after.apply([action] * len(state.returns()))  # only the mover's entry is read
    return after


def _chosen(states: list[State], choose: Choose, seat: int) -> list[State]:
    """Return the positions after the agent's moves."""
    actions = choose(states) if states else []
    if len(actions) != len(states):
        raise UserError(f"expected an action for each of {len(states)} positions, got {len(actions)}")
    for state, action in zip(states, actions, strict=True):
        if action not in state.legal_actions(seat):
            raise UserError(f"expected a legal action of player {seat}, got {action} at {state.key()!r}")
    return [_after(state, seat, int(action)) for state, action in zip(states, actions, strict=True)]


def _lead(returns: Sequence[float], seat: int) -> float:
    """Return how much more the seat was paid than the best of the others."""
    return returns[seat] - max(paid for player, paid in enumerate(returns) if player != seat)
