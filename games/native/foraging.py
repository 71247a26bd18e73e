"""Level-based foraging (Christianos et al. 2020, https://arxiv.org/abs/2006.07169), as in lbforaging 2.0.0.

Players walk on a square board, all at the same time. A player that cannot move because of a wall or a food chooses its
own cell, and so does one that stays. If several players choose the same cell, all of them stay where they are; another
player may then enter the cell that one of them has failed to leave, and they share it.

A player beside a food may load it. If the sum of the levels of the players that load it reaches its level, the food is
removed, and each of them is paid

    its own level * the food's level / (sum of their levels * sum of the levels of all food at the start)

If not, each of them pays `penalty`. The game is over when no food is left, or after `horizon` steps.

The names of boards in the original (https://github.com/semitable/lb-foraging) correspond to these arguments:

    Foraging-8x8-2p-3f-v3           Foraging(size=8, players=2, food=3)
    Foraging-2s-8x8-2p-3f-v3        ... sight=2
    Foraging-8x8-2p-3f-coop-v3      ... cooperative=True
    Foraging-8x8-2p-3f-pen-v3       ... penalty=0.1
    Foraging-grid-8x8-2p-3f-v3      ... grid=True
"""

from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from games.arrays import Actions, Bools, Ints, Views
from games.batch import Batch
from games.contract import Array, Discrete, Spec
from games.drawing.colours import of_player
from games.drawing.grid import Thing, grid
from games.drawing.svg import Drawing

LOAD = 5
MOVES = np.array([[0, -1, 1, 0, 0, 0], [0, 0, 0, -1, 1, 0]])  # [2, A] rows and columns
PLACE, LEVEL = slice(2), 2  # of a thing: (row, column, level)
ABSENT = np.array([-1, -1, 0])  # in place of a thing that is not there


class Foraging(Batch):
    """A player sees things, each as (row, column, level), [3 * (food + players)]: food, itself, the other players.

    It sees things up to `sight` cells away (None: all). Rows and columns are relative to the corner of the visible
    area. Things out of sight are (-1, -1, 0), after all visible food or players. With `grid` a player sees the cells
    around it, [3, 2 * sight + 1, 2 * sight + 1]: the players' levels, the food's levels, and 1 where a cell is free.
    The global state [3 * (food + players)] lists all things, relative to the corner of the board.

    Players have levels from 1 to `max_level`; food has levels from 1 to the sum of the three lowest players' levels,
    or exactly that sum if `cooperative`. As in the original every action is legal, and an impossible one does nothing;
    with `masks` only the possible ones are legal.

    Deviation: food is left out if no cell is far enough from other food, not after 1,000 attempts to find one.
    The environments are the last axis of the arrays, because numpy is fastest along a long last axis.
    Raises ValueError for arguments out of range, and for more players or food than the board has room for.
    """

    ACTIONS = ("none", "north", "south", "west", "east", "load")

    def __init__(
        self,
        num_envs: int,
        size: int = 8,
        players: int = 2,
        food: int = 3,
        cooperative: bool = False,
        sight: int | None = None,
        max_level: int = 2,
        penalty: float = 0.0,
        horizon: int = 50,
        grid: bool = False,
        masks: bool = False,
    ) -> None:
        sight = size if sight is None else sight
        for name, number in dict(players=players, food=food, sight=sight, max_level=max_level, horizon=horizon).items():
            if number < 1:
                raise ValueError(f"expected {name} of at least 1, got {number}")
        if penalty < 0:
            raise ValueError(f"expected a penalty of at least 0, got {penalty}")
        if players > size * size:
            raise ValueError(f"expected room for {players} players, got a board of {size * size} cells")
        if food > (most := (size * size - 4) // 5):  # no cell is beside two food
            raise ValueError(f"expected at most {most} food on a board of {size} by {size} cells, got {food}")
        spec = Spec(
            name="foraging",
            num_players=players,
            observation=Array((3, 2 * sight + 1, 2 * sight + 1) if grid else (3 * (food + players),)),
            action=Discrete(6),
            payoff="general_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=3 * (food + players),
            max_length=horizon,
            return_bounds=(min(0.0, -penalty * horizon), 1.0),
        )
        super().__init__(spec, num_envs, horizon, truncate=False)
        self.size, self.sight, self.max_level, self.penalty = size, sight, max_level, penalty
        self.cooperative, self.grid, self.masks = cooperative, grid, masks
        self.player = np.zeros((3, players, num_envs), np.int64)  # [3, N, E] things
        self.food = np.zeros((3, food, num_envs), np.int64)  # [3, F, E] things, row by row; ABSENT ones last
        self.spawned = np.zeros(num_envs, np.int64)  # [E] sum of the levels of all food at the start
        self._order = np.array([[p, *range(p), *range(p + 1, players)] for p in range(players)]).T  # [N, N] self first
        self._place = np.stack(np.divmod(np.arange(size * size), size))  # [2, cells] rows and columns
        self._inner = ((self._place > 0) & (self._place < size - 1)).all(0)  # [cells] where food may be

    def open(self, envs: Ints) -> None:
        players, food, cells = self.player.shape[1], self.food.shape[1], self.size**2
        draw = self.draw(cells + players + food, envs)
        lots, u_player, u_food = np.split(draw, [cells, cells + players], axis=1)
        player_cell, food_cell = self._draw_cells(lots)
        level = 1 + (u_player.T * self.max_level).astype(np.int64)  # [N, B]
        most = np.sort(level, axis=0)[:3].sum(0)
        least = most if self.cooperative else np.ones_like(most)
        food_level = least + (u_food.T * (most + 1 - least)).astype(np.int64)  # [F, B]
        self.player[:, :, envs] = np.stack([*np.divmod(player_cell, self.size), level])
        self.food[:, :, envs] = line_up(np.stack([*np.divmod(food_cell, self.size), food_level]), food_cell < cells)
        self.spawned[envs] = self.food[LEVEL][:, envs].sum(0)

    def _draw_cells(self, lots: NDArray[np.float64]) -> tuple[Ints, Ints]:
        """Return the cells of the players [N, B] and of the food [F, B], sorted; size² for food without a cell.

        Each cell has a lot [B, cells] in [0, 1): players get the cells with the lowest lots, and food gets those with
        the highest lots among the cells where food may be.
        """
        env = np.arange(len(lots))
        player = lots.argsort(axis=1).T[: self.player.shape[1]]
        lots = lots * self._inner
        lots[env, player] = 0
        food = np.empty((self.food.shape[1], len(lots)), np.int64)
        for f in range(len(food)):
            cell = lots.argmax(axis=1)
            food[f] = np.where(lots[env, cell] > 0, cell, self.size**2)
            lots *= abs(self._place[:, cell, None] - self._place[:, None]).sum(0) > 2  # keep others three steps away
        return player, np.sort(food, axis=0)

    def move(self, actions: Actions) -> Bools:
        action = actions.T
        here = self.player[PLACE]
        there = here + MOVES[:, action]  # [2, N, E]
        there = np.where(self._free(there), there, here)
        alone = (there[:, :, None] == there[:, None]).all(0).sum(0) == 1  # [N, E]
        self.player[PLACE] = np.where(alone, there, here)
        self._load(action == LOAD)
        return np.asarray((self.food[LEVEL] == 0).all(0))

    def _load(self, loads: Bools) -> None:
        """Pay or fine the players that load [N, E], and remove the food that they loaded."""
        level, food_level = self.player[LEVEL], self.food[LEVEL, :, None]  # [N, E] and [F, 1, E]
        groups = self._beside() & loads  # [F, N, E]
        strength = (groups * level).sum(1, keepdims=True)  # [F, 1, E]
        loaded = strength >= food_level
        share = level * food_level / np.maximum(strength * self.spawned, 1)
        self.timestep.reward[:] = (groups * np.where(loaded, share, -self.penalty)).sum(0).T
        self.food = line_up(self.food, ~loaded[:, 0])

    def _free(self, places: Ints) -> Bools:
        """Return which places [2, K, E] are on the board and without food [K, E]."""
        on_board = ((places >= 0) & (places < self.size)).all(0)
        on_food = (places[:, None] == self.food[PLACE, :, None]).all(0).any(0)
        return np.asarray(on_board & ~on_food)

    def _beside(self) -> Bools:
        """Return which players stand beside which food [F, N, E]; no player is beside two."""
        return np.asarray(abs(self.food[PLACE, :, None] - self.player[PLACE, None]).sum(0) == 1)

    def look(self) -> None:
        timestep = self.timestep
        timestep.global_state.reshape(self.num_envs, -1, 3)[:] = np.concatenate([self.food, self.player], axis=1).T
        if self.grid:
            timestep.obs[:] = self._cells()
        else:
            timestep.obs.reshape(*timestep.acting.shape, -1, 3)[:] = self._things().T
        if self.masks:
            self.legal[:] = self._possible().T

    def _things(self) -> Ints:
        """Return what each player sees [3, F + N, N, E]."""
        here, corner = self.player[PLACE], np.zeros_like(self.player)
        corner[PLACE] = np.maximum(here - self.sight, 0)
        food = self.food[:, :, None] - corner[:, None]
        players = self.player[:, self._order] - corner[:, None]
        # In the original, players near the upper and left walls see players from farther away than food.
        reach = np.minimum(here, self.sight)[:, None] + self.sight
        return np.concatenate([seen(food, reach), seen(players, 2 * self.sight)], axis=1)

    def _cells(self) -> NDArray[np.float32]:
        """Return the cells around each player [E, N, 3, window, window]."""
        sight, env = self.sight, np.arange(self.num_envs)
        width = self.size + 2 * sight
        board = np.zeros((self.num_envs, 3, width, width), np.float32)  # with a margin, into which ABSENT food falls
        board[:, 2, sight:-sight, sight:-sight] = 1
        for plane, (row, column, level) in enumerate((self.player, self.food)):
            board[env, plane, row + sight, column + sight] = level
            board[env, 2, row + sight, column + sight] = 0
        row, column = self.player[PLACE].swapaxes(1, 2)
        return sliding_window_view(board, (2 * sight + 1, 2 * sight + 1), axis=(2, 3))[env[:, None], :, row, column]

    def _possible(self) -> Bools:
        """Return which actions are possible at each player's place [A, N, E]."""
        there = self.player[PLACE, None] + MOVES[:, :, None, None]  # [2, A, N, E]
        possible = self._free(there.reshape(2, -1, self.num_envs)).reshape(there.shape[1:])
        possible[LOAD] = self._beside().any(0)
        return possible

    def picture(self, env: int, player: int | None) -> Drawing:
        """Draw the whole board, or what one player sees of it as it is in its view."""
        if player is not None:
            return self._picture_of_view(self.timestep.obs[env, player], player)
        food = [_food(*thing) for thing in self.food[:, :, env].T.tolist() if thing[LEVEL]]
        players = [
            Thing((row, column), "player", of_player(seat), str(level))
            for seat, (row, column, level) in enumerate(self.player[:, :, env].T.tolist())
        ]
        return grid(self.size, self.size, [*food, *players], "foraging")

    def _picture_of_view(self, view: Views, player: int) -> Drawing:
        """Draw a player's view: things relative to a corner, or the cells around it; the other players look alike."""
        window = 2 * self.sight + 1
        if self.grid:
            others, food = ([[*at, view[plane, *at]] for at in np.argwhere(view[plane] > 0)] for plane in (0, 1))
            own = [self.sight, self.sight, view[0, self.sight, self.sight]]
            others = [thing for thing in others if thing[:LEVEL] != own[:LEVEL]]
        else:
            things = view.reshape(-1, 3).tolist()
            count = self.food.shape[1]
            food, own, others = things[:count], things[count], things[count + 1 :]
            window = min(self.size, window)
        shown = [_food(*thing) for thing in food if thing[LEVEL] > 0]
        shown += [Thing((int(r), int(c)), "player", "faint", f"{level:g}") for r, c, level in others if level > 0]
        shown.append(Thing((int(own[0]), int(own[1])), "player", of_player(player), f"{own[LEVEL]:g}", framed=True))
        return grid(window, window, shown, "foraging", f"player {player}")

    def render(self, env: int) -> str:
        board = np.full((self.size, self.size), " .")
        for row, column, level in self.food[:, self.food[LEVEL, :, env] > 0, env].T:
            board[row, column] = f" {level}"
        for player, (row, column, level) in enumerate(self.player[:, :, env].T):
            board[row, column] = f"{ascii_uppercase[player % 26]}{level}"
        return "\n".join(" ".join(cells) for cells in board)


def _food(row: float, column: float, level: float) -> Thing:
    return Thing((int(row), int(column)), "food", "food", f"{level:g}")


def seen(things: Ints, reach: Any) -> Ints:
    """Return the things [3, K, N, E] whose rows and columns are from 0 to `reach` [2, 1, N, E], then ABSENT ones."""
    place = things[PLACE]
    return line_up(things, ((place >= 0) & (place <= reach)).all(0))


def line_up(things: Ints, present: Bools) -> Ints:
    """Return the things [3, K, ...] that are `present` [K, ...], in order, and then ABSENT ones."""
    line = np.where(present, things, ABSENT.reshape(3, *[1] * present.ndim))
    gaps: Any = np.nonzero((present[1:] > present[:-1]).any(0))
    order = (~present[:, *gaps]).argsort(0, kind="stable")
    line[:, :, *gaps] = np.take_along_axis(line[:, :, *gaps], order[None], 1)
    return line
