"""Repeat the first symbol: a game of memory, as RepeatFirst of POPGym (Morad et al. 2023, https://arxiv.org/abs/2303.01859).

Each player of a team sees a symbol at the first step, and others, drawn at random, at the steps that follow. At the
last step it is to name its first one. The team is paid the share of players who do: 1 with memory, and on average
1 / `symbols` without.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Discrete, Spec


class RepeatFirst(Batch):
    """A player sees a symbol as a one-hot, and whether it is the first and the last one: [symbols + 2].

    The global state is the first symbols of all players [N * symbols]. Raises ValueError for arguments out of range.
    """

    def __init__(self, num_envs: int, steps: int = 8, symbols: int = 2, players: int = 2) -> None:
        if steps < 2 or symbols < 2 or players < 1:
            raise ValueError(
                f"expected at least two steps, two symbols and one player, got steps={steps}, symbols={symbols}, "
                f"players={players}"
            )
        spec = Spec(
            name="repeat_first",
            num_players=players,
            observation=Array((symbols + 2,)),
            action=Discrete(symbols),
            payoff="team",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            step_rewards=False,
            global_state_size=players * symbols,
            max_length=steps,
            return_bounds=(0.0, 1.0),
        )
        super().__init__(spec, num_envs, steps, truncate=False)
        self.symbols = symbols
        self.first = np.zeros((num_envs, players), np.int64)  # [E, N]
        self.shown = np.zeros((num_envs, players), np.int64)  # [E, N] at this step
        self._views = np.eye(symbols, dtype=np.float32)

    def open(self, envs: NDArray[np.int64]) -> None:
        self.first[envs] = self.shown[envs] = self._symbols(envs)

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        last = self.age >= self.horizon
        self.timestep.reward[:] = np.where(last, (actions == self.first).mean(1), 0)[:, None]
        self.shown = self._symbols(np.arange(self.num_envs))
        return np.zeros(self.num_envs, bool)

    def _symbols(self, envs: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(self.draw(self.spec.num_players, envs) * self.symbols, np.int64)

    def look(self) -> None:
        obs = self.timestep.obs
        obs[..., : self.symbols] = self._views[self.shown]
        obs[..., self.symbols] = (self.age == 0)[:, None]
        obs[..., self.symbols + 1] = (self.age == self.horizon - 1)[:, None]
        self.timestep.global_state[:] = self._views[self.first].reshape(self.num_envs, -1)

    def render(self, env: int) -> str:
        return f"first: {self.first[env].tolist()}; shown: {self.shown[env].tolist()}"
