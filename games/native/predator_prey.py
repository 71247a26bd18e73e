"""Predator and prey with punishment: the stag hunt of DCG (Boehmer et al. 2020), a benchmark of WQMIX and ConcaveQ.

Predators, a team, hunt on a bounded grid. They move one after the other in random order; no two creatures share a cell.
Then each prey, in random order: if two or more predators beside it `catch`, it is captured, the team is paid 10, and
they leave the game with it; otherwise it walks to a random free neighbouring cell, and if one predator tried, the team
is paid `punishment`. The game is over when no prey or no predator is left; the recording is truncated after `horizon`
steps. With eight of each the best return is 40: every capture costs two predators.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.batch import Batch
from games.contract import Array, Discrete, Spec
from games.drawing.colours import of_player
from games.drawing.grid import Shape, Thing, grid
from games.drawing.svg import Drawing

STAY, CATCH = 4, 5
REWARD = 10.0
HUNTERS, PREY = 0, 1  # planes of the grid


class PredatorPrey(Batch):
    """A predator sees the predators and the prey around it [2, 2 * sight + 1, 2 * sight + 1].

    Moves into a wall are illegal, and so is `catch` if no prey is beside. A predator that has captured a prey may only
    stay, and sees zeros. The global state is the whole grid [2 * size * size].
    Raises ValueError for counts below 1, and for more creatures than cells.
    """

    ACTIONS = ("right", "down", "left", "up", "stay", "catch")

    def __init__(
        self,
        num_envs: int,
        size: int = 10,
        predators: int = 8,
        prey: int = 8,
        punishment: float = 0.0,
        sight: int = 2,
        horizon: int = 200,
    ) -> None:
        if predators < 1 or prey < 1 or sight < 1 or horizon < 1:
            raise ValueError(
                f"expected at least one of each, got {predators=}, {prey=}, {sight=}, {horizon=}".replace("'", "")
            )
        if predators + prey > size * size:
            raise ValueError(f"expected room for {predators + prey} creatures, got a grid of {size * size} cells")
        captures, tries = min(prey, predators // 2), prey * horizon  # failed catches: one per prey and step
        spec = Spec(
            name="predator_prey",
            num_players=predators,
            observation=Array((2, 2 * sight + 1, 2 * sight + 1)),
            action=Discrete(6),
            payoff="team",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=2 * size * size,
            max_length=horizon,
            return_bounds=(min(0.0, punishment) * tries, REWARD * captures + max(0.0, punishment) * tries),
        )
        super().__init__(spec, num_envs, horizon, truncate=True)
        self.size, self.sight, self.punishment = size, sight, punishment
        self.width = width = size + 2 * sight  # of the grid with a margin of `sight`, so that no window leaves it
        inside = np.arange(sight, sight + size)
        self._cells = (inside[:, None] * width + inside).reshape(-1)  # [size * size] the cells within the walls
        self._wall = np.ones(width * width, bool)
        self._wall[self._cells] = False
        self._steps = np.array([1, width, -1, -width, 0, 0])  # [A] right, down, left, up, stay, catch
        around = np.arange(-sight, sight + 1)
        self._window = (around[:, None] * width + around).reshape(-1)
        self.hunter = np.zeros((num_envs, predators), np.int64)  # [E, N] cells
        self.prey = np.zeros((num_envs, prey), np.int64)  # [E, prey] cells
        self.hunting = np.ones((num_envs, predators), bool)  # [E, N] has captured nothing yet
        self.alive = np.ones((num_envs, prey), bool)  # [E, prey]
        self.grid = np.zeros((2, num_envs, width * width), bool)
        self._env = np.arange(num_envs)

    def open(self, envs: NDArray[np.int64]) -> None:
        creatures = self.hunter.shape[1] + self.prey.shape[1]
        shuffled = self.draw(len(self._cells), envs).argsort(1)[:, :creatures]
        self.hunter[envs], self.prey[envs] = np.split(self._cells[shuffled], [self.hunter.shape[1]], axis=1)
        self.hunting[envs] = self.alive[envs] = True
        self.grid[:, envs] = False
        self.grid[HUNTERS, envs[:, None], self.hunter[envs]] = True
        self.grid[PREY, envs[:, None], self.prey[envs]] = True

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        hunters, prey = self.hunter.shape[1], self.prey.shape[1]
        draw = self.draw(hunters + 2 * prey)
        for hunter in draw[:, :hunters].argsort(1).T:
            self._walk_hunter(hunter, actions[self._env, hunter])
        self._catching = np.zeros_like(self.grid[HUNTERS])  # [E, cells] a predator catches from here
        self._catching[self._env[:, None], self.hunter] = (actions == CATCH) & self.hunting
        self.timestep.reward.fill(0)
        for prey_index, u in zip(draw[:, hunters : hunters + prey].argsort(1).T, draw[:, -prey:].T, strict=True):
            self._hunt(prey_index, u)
        return np.logical_not(self.alive.any(1) & self.hunting.any(1))

    def _walk_hunter(self, hunter: NDArray[np.int64], action: NDArray[np.int64]) -> None:
        """Move one predator of each environment [E] if the cell is free."""
        here = self.hunter[self._env, hunter]
        there = here + self._steps[action]
        moves = np.flatnonzero(self._free(self._env, there) & self.hunting[self._env, hunter])
        self.grid[HUNTERS, moves, here[moves]] = False
        self.grid[HUNTERS, moves, there[moves]] = True
        self.hunter[moves, hunter[moves]] = there[moves]

    def _hunt(self, prey: NDArray[np.int64], u: NDArray[np.float64]) -> None:
        """Capture one prey of each environment [E], or else move it to a free cell drawn by `u` [E] in [0, 1)."""
        here = self.prey[self._env, prey]
        beside = here[:, None] + self._steps[:4]  # [E, 4]
        alive = self.alive[self._env, prey]
        catchers = self._catching[self._env[:, None], beside].sum(1) * alive
        self.timestep.reward[catchers == 1] += self.punishment
        for env in np.flatnonzero(catchers >= 2).tolist():
            self._capture(env, int(prey[env]), beside[env])
        free = self._free(self._env[:, None], beside)
        ways = free.sum(1)
        walks = np.flatnonzero(alive & (catchers < 2) & (ways > 0))
        way = (np.cumsum(free, 1) > (u * ways).astype(np.int64)[:, None]).argmax(1)
        there = beside[self._env, way]
        self.grid[PREY, walks, here[walks]] = False
        self.grid[PREY, walks, there[walks]] = True
        self.prey[walks, prey[walks]] = there[walks]

    def _capture(self, env: int, prey: int, beside: NDArray[np.int64]) -> None:
        self.timestep.reward[env] += REWARD
        self.alive[env, prey] = False
        self.grid[PREY, env, self.prey[env, prey]] = False
        captors = beside[self._catching[env, beside]]
        self.hunting[env] &= ~np.isin(self.hunter[env], captors)
        self.grid[HUNTERS, env, captors] = self._catching[env, captors] = False

    def _free(self, env: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(~(self._wall[cell] | self.grid[HUNTERS, env, cell] | self.grid[PREY, env, cell]))

    def look(self) -> None:
        window = self.hunter[:, :, None] + self._window  # [E, N, window]
        views = self.timestep.obs.reshape(*self.hunter.shape, 2, -1)
        for plane in (HUNTERS, PREY):
            views[:, :, plane] = self.grid[plane, self._env[:, None, None], window] & self.hunting[:, :, None]
        inner = slice(self.sight, self.sight + self.size)
        whole = self.grid.reshape(2, self.num_envs, self.width, self.width)[:, :, inner, inner]
        self.timestep.global_state[:] = whole.swapaxes(0, 1).reshape(self.num_envs, -1)
        beside = self.hunter[:, :, None] + self._steps[:4]  # [E, N, 4]
        self.legal[:, :, :4] = ~self._wall[beside] & self.hunting[:, :, None]
        self.legal[:, :, CATCH] = self.grid[PREY, self._env[:, None, None], beside].any(2) & self.hunting

    def picture(self, env: int, player: int | None) -> Drawing:
        """Draw the whole grid, or the window around a predator as it is in its view."""
        if player is not None:
            return self._picture_of_view(self.timestep.obs[env, player], player)
        things = [self._thing(cell, "prey", "prey") for cell in self.prey[env, self.alive[env]]]
        for seat in np.flatnonzero(self.hunting[env]).tolist():
            things.append(self._thing(self.hunter[env, seat], "player", of_player(seat), str(seat)))
        return grid(self.size, self.size, things, "predator and prey")

    def _thing(self, cell: int, shape: Shape, colour: str, word: str = "") -> Thing:
        row, column = divmod(int(cell), self.width)
        return Thing((row - self.sight, column - self.sight), shape, colour, word)

    def _picture_of_view(self, view: Views, player: int) -> Drawing:
        """Draw what one predator sees [2, window, window]; the other predators look alike."""
        things = [Thing((row, column), "prey", "prey") for row, column in np.argwhere(view[PREY]).tolist()]
        for row, column in np.argwhere(view[HUNTERS]).tolist():
            own = row == column == self.sight
            colour, word = (of_player(player), str(player)) if own else ("faint", "")
            things.append(Thing((row, column), "player", colour, word, own))
        window = 2 * self.sight + 1
        note = "" if things else "has captured a prey, and left with it"
        return grid(window, window, things, "predator and prey", f"player {player} {note}".rstrip())

    def render(self, env: int) -> str:
        board = np.full(self.width * self.width, ".")
        board[self.hunter[env, self.hunting[env]]] = [str(k % 10) for k in np.flatnonzero(self.hunting[env])]
        board[self.prey[env, self.alive[env]]] = "@"
        return "\n".join("".join(row) for row in board[self._cells].reshape(self.size, self.size))
