"""Tag: a team of chasers against a runner on a grid, a game of team against team whose sides differ.

All move at once, to a neighbouring cell or not at all; cells hold any number. The runner is caught where a chaser
stands on its cell after a move, or has exchanged cells with it. Then each chaser is paid 1, and the runner loses as
much as all of them gain; if it has not been caught after `turns` moves, it is the other way round.

The runner begins in the middle. Each chaser's cell is drawn uniformly from the others.
"""

from collections.abc import Hashable, Sequence

from games.arrays import Views
from games.contract import Array, Discrete, Spec
from games.drawing.colours import of_player
from games.drawing.grid import Thing, grid
from games.drawing.svg import Drawing

ACTIONS = ("stay", "up", "down", "left", "right")
STEPS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # (row, column) of each action


class Tag:
    """Players 0, 1, ... chase, and the last one runs.

    A view is [4, size, size]: where the player is, its team's others, and the other team (how many stand on a cell),
    and the share of turns gone. Raises ValueError for arguments out of range.
    """

    def __init__(self, chasers: int = 2, size: int = 5, turns: int = 10) -> None:
        if chasers < 1 or size < 2 or turns < 1:
            raise ValueError(f"expected chasers >= 1, size >= 2 and turns >= 1, got {chasers}, {size} and {turns}")
        self.chasers, self.size, self.turns = chasers, size, turns
        middle = size // 2
        self.start = (middle, middle)
        cells = [cell for cell in range(size * size) if divmod(cell, size) != self.start]
        self.cells = [(cell, 1 / len(cells)) for cell in cells]
        self.spec = Spec(
            name=f"tag(chasers={chasers}, size={size}, turns={turns})",
            num_players=chasers + 1,
            observation=Array((4, size, size)),
            action=Discrete(len(ACTIONS)),
            payoff="zero_sum",
            turns="simultaneous",
            perfect_information=True,
            chance=True,
            searchable=True,
            step_rewards=False,
            max_length=turns,
            return_bounds=(-float(chasers), float(chasers)),
            teams=(tuple(range(chasers)), (chasers,)),
        )

    def initial_state(self) -> "TagState":
        return TagState(self)


class TagState:
    """The cells (row, column) of the chasers who have been placed, and of the runner."""

    __slots__ = ("caught", "chasers", "game", "runner", "turn")

    def __init__(self, game: Tag) -> None:
        self.game = game
        self.chasers: tuple[tuple[int, int], ...] = ()
        self.runner = game.start
        self.caught = False
        self.turn = 0

    def clone(self) -> "TagState":
        other = object.__new__(TagState)
        other.game, other.chasers, other.runner = self.game, self.chasers, self.runner
        other.caught, other.turn = self.caught, self.turn
        return other

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """The cells of the players who have been placed; the runner is the last."""
        return (*self.chasers, self.runner)

    def acting(self) -> tuple[int, ...]:
        return () if self._places() or self.is_terminal() else tuple(range(self.game.spec.num_players))

    def legal_actions(self, player: int) -> Sequence[int]:
        at = self.cells[player]
        return [action for action in range(len(ACTIONS)) if self._inside(_moved(at, action))]

    def chance_outcomes(self) -> Sequence[tuple[int, float]]:
        return self.game.cells if self._places() else ()

    def apply_chance(self, outcome: int) -> None:
        self.chasers = (*self.chasers, divmod(outcome, self.game.size))

    def apply(self, actions: Sequence[int]) -> None:
        before = self.cells
        *chasers, runner = map(_moved, before, actions)
        self.caught = any(
            now == runner or (now == self.runner and was == runner)
            for was, now in zip(self.chasers, chasers, strict=True)
        )
        self.chasers, self.runner = tuple(chasers), runner
        self.turn += 1

    def is_terminal(self) -> bool:
        return self.caught or self.turn == self.game.turns

    def returns(self) -> Sequence[float]:
        won = (1.0 if self.caught else -1.0) if self.is_terminal() else 0.0
        return (*(won,) * self.game.chasers, -won * self.game.chasers)

    def observe(self, player: int, out: Views) -> None:
        planes = out.reshape(self.game.spec.observation.shape)
        planes[:] = 0
        runs = player == self.game.chasers
        for other, (row, column) in enumerate(self.cells):
            own_team = (other == self.game.chasers) is runs
            planes[0 if other == player else 1 if own_team else 2, row, column] += 1
        planes[3] = self.turn / self.game.turns

    def key(self) -> Hashable:
        return self.chasers, self.runner, self.turn, self.caught

    def action_name(self, player: int, action: int) -> str:
        return ACTIONS[action]

    def draw(self, player: int | None) -> Drawing:
        """Draw the grid, which everybody sees; chasers have their numbers."""
        things = [
            Thing(cell, "player", of_player(seat), str(seat), framed=seat == player)
            for seat, cell in enumerate(self.chasers)
        ]
        things.append(Thing(self.runner, "prey", "prey", framed=player == self.game.chasers))
        return grid(self.game.size, self.game.size, things, "tag", f"turn {self.turn} of {self.game.turns}")

    def __str__(self) -> str:
        board = [["."] * self.game.size for _ in range(self.game.size)]
        row, column = self.runner
        board[row][column] = "@"
        for seat, (row, column) in enumerate(self.chasers):
            board[row][column] = str(seat % 10)
        return "\n".join([*map("".join, board), f"turn {self.turn} of {self.game.turns}"])

    def _places(self) -> bool:
        return len(self.chasers) < self.game.chasers

    def _inside(self, cell: tuple[int, int]) -> bool:
        return all(0 <= place < self.game.size for place in cell)


def _moved(cell: tuple[int, int], action: int) -> tuple[int, int]:
    down, right = STEPS[action]
    return cell[0] + down, cell[1] + right
