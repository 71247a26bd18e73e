"""Dec-Tiger (Nair et al. 2003): a team of two before two doors, with a tiger behind one of them.

Each player that listens hears the tiger behind the right door with probability 0.85. The first observation, and the
observations of a step at which a door is opened, are random. With `resetting`, opening a door puts the tiger behind a
random door and the game goes on, as in the literature; without, it ends the episode, as in the repository of AERIAL
(Phan et al. 2023). The optimal values at horizon 4 are 4.80 with `resetting` and 7.43 without.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Discrete, Spec

LEFT, RIGHT, LISTEN = range(3)
HEARS = 0.85  # the probability that a listener hears the right door
# [tiger, action, action]: the team's reward. Opening the tiger's door together costs half of opening it alone.
PAYS = np.array([[[-50, -100, -101], [-100, 20, 9], [-101, 9, -2]], [[20, -100, 9], [-100, -50, -101], [9, -101, -2]]])


class DecTiger(Batch):
    """A player sees what it last heard, left or right, as a one-hot [2]; the global state is the tiger's door [2].

    Raises ValueError for horizon < 1.
    """

    ACTIONS = ("open left", "open right", "listen")

    def __init__(self, num_envs: int, horizon: int = 4, resetting: bool = False) -> None:
        if horizon < 1:
            raise ValueError(f"expected a horizon of at least one step, got horizon={horizon}")
        spec = Spec(
            name="dec_tiger",
            num_players=2,
            observation=Array((2,)),
            action=Discrete(3),
            payoff="team",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=2,
            max_length=horizon,
            return_bounds=(-101.0 * horizon, 20.0 * horizon),
        )
        super().__init__(spec, num_envs, horizon, truncate=False)
        self.resetting = resetting
        self.tiger = np.zeros(num_envs, np.int64)  # [E] LEFT or RIGHT
        self.heard = np.zeros((num_envs, 2), np.int64)  # [E, N] LEFT or RIGHT
        self._views = np.eye(2, dtype=np.float32)

    def open(self, envs: NDArray[np.int64]) -> None:
        draw = self.draw(3, envs) < 0.5
        self.tiger[envs] = draw[:, 0]
        self.heard[envs] = draw[:, 1:]

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        self.timestep.reward[:] = PAYS[self.tiger, actions[:, 0], actions[:, 1]][:, None]
        opened = (actions != LISTEN).any(1)
        draw = self.draw(3)
        if self.resetting:
            self.tiger = np.where(opened, draw[:, 0] < 0.5, self.tiger)
        misheard = draw[:, 1:] >= np.where(opened, 0.5, HEARS)[:, None]
        self.heard = self.tiger[:, None] ^ misheard
        return np.zeros(self.num_envs, bool) if self.resetting else opened

    def look(self) -> None:
        self.timestep.obs[:] = self._views[self.heard]
        self.timestep.global_state[:] = self._views[self.tiger]

    def render(self, env: int) -> str:
        doors = ("left", "right")
        heard = ", ".join(doors[door] for door in self.heard[env])
        return f"tiger: {doors[self.tiger[env]]}; heard: {heard}"
