"""The Coin Game (Lerer and Peysakhovich 2017), with the rules of LOQA (Aghajohari et al. 2024) and POLA.

Two players, X and O, walk on a torus; a coin belongs to one of them. A player that steps on the coin takes it and is
paid 1; if it is not the owner, the owner loses 2. Both may take the coin at once. The next coin belongs to the other
player and lies on a cell without a player. If both take every coin they reach, the average return is 0; if
each takes only its own, both gain.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Discrete, Spec
from games.drawing.colours import of_player
from games.drawing.grid import Thing, grid
from games.drawing.svg import Drawing

MOVES = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]])  # [A, (row, column)]


class CoinGame(Batch):
    """A player sees four planes [4, height, width]: itself, the other, its coin, the other's coin.

    The game never ends by its rules; the recording is truncated after `horizon` steps. Raises ValueError for a board of
    fewer than three cells, and for horizon < 1.
    """

    ACTIONS = ("left", "right", "up", "down")

    def __init__(self, num_envs: int, height: int = 3, width: int = 3, horizon: int = 50) -> None:
        if height < 1 or width < 1 or height * width < 3:
            raise ValueError(f"expected a board of at least three cells, got height={height}, width={width}")
        if horizon < 1:
            raise ValueError(f"expected a horizon of at least one step, got horizon={horizon}")
        spec = Spec(
            name="coin_game",
            num_players=2,
            observation=Array((4, height, width)),
            action=Discrete(4),
            payoff="general_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=4 * height * width,
            max_length=horizon,
            return_bounds=(-2.0 * horizon, float(horizon)),
        )
        super().__init__(spec, num_envs, horizon, truncate=True)
        self.height, self.width = height, width
        self.player = np.zeros((num_envs, 2), np.int64)  # [E, N] cells: row * width + column
        self.coin = np.zeros(num_envs, np.int64)  # [E] its cell
        self.owner = np.zeros(num_envs, np.int64)  # [E]
        cells = np.arange(height * width)
        row = (cells[:, None] // width + MOVES[:, 0]) % height
        column = (cells[:, None] % width + MOVES[:, 1]) % width
        self._next = row * width + column  # [cells, A]
        self._never = np.zeros(num_envs, bool)
        self._env = np.arange(num_envs)

    def open(self, envs: NDArray[np.int64]) -> None:
        draw = self.draw(4, envs)
        self.player[envs] = (draw[:, :2] * self.height * self.width).astype(np.int64)
        self.owner[envs] = draw[:, 2] < 0.5
        self._drop_coin(envs, draw[:, 3])

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        self.player = self._next[self.player, actions]
        takes = self.player == self.coin[:, None]  # [E, N]
        reward = self.timestep.reward
        reward[:] = takes
        reward[self._env, self.owner] -= 2 * takes[self._env, 1 - self.owner]
        taken = np.flatnonzero(takes.any(1))
        self.owner[taken] ^= 1
        self._drop_coin(taken, self.draw(1, taken)[:, 0])
        return self._never.copy()

    def _drop_coin(self, envs: NDArray[np.int64], u: NDArray[np.float64]) -> None:
        """Put the coins of the chosen environments on a uniform cell without a player; `u` [len(envs)] in [0, 1)."""
        low, high = self.player[envs].min(1), self.player[envs].max(1)
        free = self.height * self.width - 1 - (low != high)
        cell = (u * free).astype(np.int64)
        cell += cell >= low
        cell += (cell >= high) & (low != high)
        self.coin[envs] = cell

    def look(self) -> None:
        planes = self.timestep.obs.reshape(self.num_envs, 2, 4, -1)
        planes.fill(0)
        for me, other in ((0, 1), (1, 0)):
            planes[self._env, me, 0, self.player[:, me]] = 1
            planes[self._env, me, 1, self.player[:, other]] = 1
            planes[self._env, me, 2 + (self.owner != me), self.coin] = 1
        self.timestep.global_state[:] = planes[:, 0].reshape(self.num_envs, -1)

    def picture(self, env: int, player: int | None) -> Drawing:
        """Draw the whole board, which both players see."""
        owner = int(self.owner[env])
        things = [Thing(divmod(int(self.coin[env]), self.width), "coin", of_player(owner), "xo"[owner])]
        for seat, cell in enumerate(self.player[env].tolist()):
            things.append(Thing(divmod(cell, self.width), "player", of_player(seat), "XO"[seat], seat == player))
        return grid(self.height, self.width, things, "coin game")

    def describe(self, env: int, player: int) -> str:
        """Return the whole board, which both players see."""
        return f"{self.render(env)}\nyou are {'XO'[player]}, your coin {'xo'[player]}; * is both"

    def render(self, env: int) -> str:
        board = np.full(self.height * self.width, ".")
        board[self.coin[env]] = "xo"[self.owner[env]]
        x, o = self.player[env]
        board[x], board[o] = "X", "O"
        if x == o:
            board[x] = "*"  # both
        return "\n".join("".join(row) for row in board.reshape(self.height, self.width))
