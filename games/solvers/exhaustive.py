"""Small games of perfect information, solved: every position is visited once and valued from the ends back.

A position's value is what each player is paid from there on [N] when each looks after its own pay alone: max^n, which
is minimax for two players and zero sum. With r what a move pays and s' the position after it:

    V(s) = 0                         at the end
    V(s) = Σ P(o) [r + V(s')]        over the outcomes o of chance
    V(s) = r + V(s')                 of the move with the most for who moves; of the first such, where several tie

Positions are told apart by `State.key()`.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from games import rounding
from games.contract import Game, State
from games.errors import UserError

Value = tuple[float, ...]  # [N]
Choose = Callable[[list[State]], Sequence[int]]  # an action for each position: the same again for the same position

ASKED = 256  # positions that an agent is asked about in a call
LIMIT = 1_000_000  # positions: some hundred megabytes, ten seconds or more

_NOBODY = -1  # chance moves, or the game is over


class Edge(NamedTuple):
    """A way on: the action or outcome, its probability (1 of an action), what it pays each player, where it leads."""

    action: int
    probability: float
    paid: Value
    state: State


@dataclass(frozen=True)
class Ends:
    """The distinct ends that one agent can be led to, and the positions at which it was asked."""

    won: int
    drawn: int
    lost: int
    decisions: int


class Solution:
    """The value of every position that can be reached from `start`, by default the game's beginning.

    Raises UserError for hidden information, simultaneous moves, a position that comes back, and too many positions.
    """

    def __init__(self, game: Game, start: State | None = None, limit: int = LIMIT) -> None:
        _refuse(game)
        self._name = game.spec.name
        self.values: dict[Hashable, Value] = _solve(self._name, game.initial_state() if start is None else start, limit)

    def value(self, state: State) -> Value:
        """Return what each player is paid from here on [N]."""
        key = state.key()
        if key not in self.values:
            raise UserError(f"expected a position that was reached when '{self._name}' was solved, got {key!r}")
        return self.values[key]

    def action_values(self, state: State) -> dict[int, float]:
        """Return what each legal action is worth to the player to move."""
        mover = _mover(state)
        if mover == _NOBODY:
            raise UserError(f"expected a position of '{self._name}' with a player to move, got {state.key()!r}")
        return {edge.action: edge.paid[mover] + self.value(edge.state)[mover] for edge in edges(state)}

    def choose(self, states: Sequence[State]) -> list[int]:
        """Play perfectly: return the first of the best actions of each position."""
        worth = [self.action_values(state) for state in states]
        return [max(actions, key=actions.__getitem__) for actions in worth]


def every_end(game: Game, choose: Choose, seat: int, limit: int = LIMIT) -> Ends:
    """Play an agent against every move of the others and every chance, and count the distinct ends.

    It is asked once about each position, about up to ASKED that lie equally far from the beginning in a call. An end is
    won where nobody else is paid as much, lost where somebody is paid more, and drawn otherwise.
    Raises UserError where it chooses what is not legal, for games as `Solution` does, and for a seat that there is not.
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
        off = rounding.of_sums(game.spec, depth)
        ends += [int(rounding.sign(_lead(state.returns(), seat), off)) for state in others if state.is_terminal()]
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
    """Yield every action of the player to move, or every outcome of chance that can be; nothing at the end."""
    mover, before = _mover(state), state.returns()
    if mover == _NOBODY:
        ways = [(outcome, probability) for outcome, probability in state.chance_outcomes() if probability > 0]
    else:
        ways = [(action, 1.0) for action in state.legal_actions(mover)]
    for action, probability in ways:
        after = _after(state, mover, action)
        paid = tuple(now - then for now, then in zip(after.returns(), before, strict=True))
        yield Edge(action, probability, paid, after)


class _Visit:
    """A position whose value waits for those behind it."""

    def __init__(self, state: State) -> None:
        self.mover, self.players = _mover(state), len(state.returns())
        self.pending = edges(state)
        self.seen: list[tuple[float, Value, Hashable]] = []  # probability, what is paid, and the position's key

    def value(self, values: dict[Hashable, Value]) -> Value:
        worth = [
            (probability, tuple(now + later for now, later in zip(paid, values[key], strict=True)))
            for probability, paid, key in self.seen
        ]
        if self.mover != _NOBODY:
            return max((value for _, value in worth), key=lambda value: value[self.mover])
        return tuple(sum(probability * value[n] for probability, value in worth) for n in range(self.players))


def _solve(name: str, start: State, limit: int) -> dict[Hashable, Value]:
    values: dict[Hashable, Value] = {}
    path = {start.key(): _Visit(start)}  # from the start to where we are: a stack, for games are deeper than Python's
    while path:
        key, visit = next(reversed(path.items()))
        for edge in visit.pending:
            behind = edge.state.key()
            visit.seen.append((edge.probability, edge.paid, behind))
            if behind in path:
                raise UserError(f"expected a game that never comes back to a position, got '{name}' with {behind!r}")
            if behind not in values:
                path[behind] = _Visit(edge.state)
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
    """Return where the agent goes from each of its positions."""
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
