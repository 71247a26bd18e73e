"""A game on the table: one environment, brought to the position that a seed and the moves so far make.

Nothing but the seed, the moves and the number of opening moves decides the position, so that sessions of persons,
stored games and questions to agents are all this: a line, played again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec, State, TimeStep
from games.drawing.drawing import Drawing, drawing_of_frame
from games.errors import UserError
from games.keys import Keys
from games.registry import make
from games.witness import tells_moves
from marl.rollout.types import View

Joint = tuple[Any, ...]  # the actions of one step [N], numbers or tuples of numbers; 0 of players who did not act


@dataclass(frozen=True)
class Line:
    """A game as far as it was played: its reference, its seed, the joint actions of its steps, its random opening."""

    game: str
    seed: int
    moves: tuple[Joint, ...] = ()
    opening_moves: int = 0

    def cut(self, length: int) -> "Line":
        """Return the line as it was after `length` steps."""
        return replace(self, moves=self.moves[:length])

    def then(self, joint: Joint) -> "Line":
        """Return the line after one more step."""
        return replace(self, moves=(*self.moves, joint))


@dataclass(frozen=True)
class Done:
    """What one player did at a step, and by which players it is seen."""

    player: int
    action: Any
    name: str
    seen: frozenset[int]


@dataclass
class Table:
    """One environment of a game, at the position of the line that was set last. Not for several threads at once."""

    game: str
    spec: Spec = field(init=False)
    line: Line = field(init=False)
    over: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Raises UserError for a game that cannot be made."""
        self._venv = make(self.game, 1)
        self.spec = self._venv.spec
        self._numbers = isinstance(self.spec.action, Box)  # actions are numbers: nothing is legal or not
        self.line = self._nowhere = Line(self.game, -1)  # of no game: the next `set` begins anew
        self._timestep: TimeStep
        self._decisions: NDArray[np.int64]  # [N] since the opening

    def set(self, line: Line) -> None:
        """Bring the table to the position after a line; raises UserError for a move that cannot be made there."""
        now = self.line
        known = len(now.moves)
        if (now.seed, now.opening_moves, now.moves) != (line.seed, line.opening_moves, line.moves[:known]):
            known = 0
            self._open(line)
        for joint in line.moves[known:]:
            self.step(joint)

    def step(self, joint: Joint) -> list[Done]:
        """Make one step; return what was done. Raises UserError, with nothing changed, for a move that is not legal."""
        if self.over:
            raise UserError("this game is over, and no move can be made; start another")
        done = [self._done(player, joint[player]) for player in self.acting]
        if len(self.line.moves) == self.line.opening_moves:
            self._decisions[:] = 0  # agents begin where the opening ends
        self._decisions += self._timestep.acting[0]
        line, self.line = self.line, self._nowhere  # should the game fail now
        self._timestep = self._venv.step(np.array([joint], np.float32 if self._numbers else np.int64))
        self.over, self.line = bool(self._timestep.last[0]), line.then(joint)
        return done

    def _open(self, line: Line) -> None:
        self._timestep = self._venv.reset(np.array([line.seed], np.uint64))
        self._decisions = np.zeros(self.spec.num_players, np.int64)
        self.over, self.line = False, replace(line, moves=())

    def _done(self, player: int, action: Any) -> Done:
        if not self._numbers and action not in self.legal(player):
            raise UserError(f"{action} is not a move of player {player} here; choose one of those that are shown")
        return Done(player, action, self.name(player, action), self._witnesses(player))

    def _witnesses(self, mover: int) -> frozenset[int]:
        """Return the players who can tell which move a player makes now."""
        players = frozenset(range(self.spec.num_players))
        if self.spec.perfect_information and self.spec.turns == "sequential":
            return players
        if len(self.acting) > 1:  # what is chosen at the same time is seen by all, unless the game hides anything
            return players if self.spec.perfect_information else frozenset({mover})
        state = self.state
        told = (p for p in players if state is not None and tells_moves(self.spec, state, mover, p))
        return frozenset({mover, *told})

    @property
    def speaks(self) -> bool:
        """Whether the game has words for what a player sees."""
        described = getattr(self._venv, "describe", None)
        return bool(described and described(0, 0))

    @property
    def acting(self) -> tuple[int, ...]:
        """The players who must choose now."""
        return () if self.over else tuple(np.flatnonzero(self._timestep.acting[0]).tolist())

    @property
    def state(self) -> State | None:
        """A clone of the position; None of a game without positions."""
        if not self.spec.searchable:
            return None
        states: list[State] = self._venv.states(np.zeros(1, np.int64))  # type: ignore[attr-defined]
        return states[0]

    def legal(self, player: int) -> list[int]:
        """Return the actions that a player may choose now."""
        return [] if self.over else np.flatnonzero(self._timestep.action_mask[0, player]).tolist()

    def name(self, player: int, action: Any) -> str:
        """Return the game's word for an action, or its number, or its numbers."""
        if self._numbers:
            return f"({', '.join(f'{number:.3g}' for number in action)})"
        named = getattr(self._venv, "action_name", None)
        return str(named(0, player, action)).strip() if named else str(action)

    def drawing(self, player: int | None) -> Drawing:
        """Draw the position: as a player may see it, or all of it for None."""
        seen = None if player is None else self._timestep.obs[0, player]
        return drawing_of_frame(self._venv, 0, player, seen)

    def decision(self, player: int) -> int:
        """Return how many decisions a player has made since the opening."""
        return 0 if len(self.line.moves) == self.line.opening_moves else int(self._decisions[player])

    def view(self, player: int, key: Keys) -> View:
        """Return what an acting player sees, as one row; `key` [1] names all randomness of the decision."""
        at = np.zeros(1, np.int64), np.array([player])
        seen = View.at(self._venv, self._timestep, *at, key, np.array([self.decision(player) == 0]))
        state = self.state
        return replace(seen, states=None if state is None else lambda: [state.clone()])


def joint_of(chosen: dict[int, int], num_players: int) -> Joint:
    """Return the joint action of the players' choices; 0 of those who do not act."""
    return tuple(chosen.get(player, 0) for player in range(num_players))


def together(views: Sequence[View]) -> View:
    """Return single rows as one view of B rows, each of a seat of its own."""
    states = [view.states for view in views]
    return View(
        obs=np.concatenate([view.obs for view in views]),
        action_mask=np.concatenate([view.action_mask for view in views]),
        player=np.concatenate([view.player for view in views]),
        row=np.arange(len(views)),
        first=np.concatenate([view.first for view in views]),
        key=np.concatenate([view.key for view in views]),
        states=None if None in states else lambda: [each()[0] for each in states if each],
    )


class Tables:
    """The tables of some games, those that were used last."""

    MOST = 8

    def __init__(self) -> None:
        self._tables: OrderedDict[str, Table] = OrderedDict()

    def of(self, game: str) -> Table:
        """Return the table of a game; raises UserError where there is none (Table)."""
        if game not in self._tables:
            self._tables[game] = Table(game)
            while len(self._tables) > self.MOST:
                self._tables.popitem(last=False)
        self._tables.move_to_end(game)
        return self._tables[game]

    def at(self, line: Line) -> Table:
        """Return the table of a line's game, brought to its position."""
        table = self.of(line.game)
        table.set(line)
        return table
