"""The two-step game of the QMIX paper (Rashid et al. 2018, section 5.1), a team of two.

In the first step player 0 chooses the matrix of the second step; player 1's action has no effect. Matrix A always pays
7, matrix B pays [[0, 1], [1, 8]]: the best return is 8; VDN, which cannot represent B, learns the policy that pays 7.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Discrete, Spec

START, A, B = range(3)
PAYS = np.array([[[0, 0], [0, 0]], [[7, 7], [7, 7]], [[0, 1], [1, 8]]], np.float32)  # [state, action, action]


class TwoStep(Batch):
    """Both players see the state, start, A or B, as a one-hot [3]."""

    def __init__(self, num_envs: int) -> None:
        spec = Spec(
            name="two_step",
            num_players=2,
            observation=Array((3,)),
            action=Discrete(2),
            payoff="team",
            turns="simultaneous",
            perfect_information=False,
            chance=False,
            searchable=False,
            step_rewards=False,
            global_state_size=3,
            max_length=2,
            return_bounds=(0.0, 8.0),
        )
        super().__init__(spec, num_envs, horizon=2, truncate=False)
        self.state = np.zeros(num_envs, np.int64)  # [E]
        self._views = np.eye(3, dtype=np.float32)

    def open(self, envs: NDArray[np.int64]) -> None:
        self.state[envs] = START

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        self.timestep.reward[:] = PAYS[self.state, actions[:, 0], actions[:, 1]][:, None]
        over: NDArray[np.bool_] = self.state != START
        self.state = np.where(over, self.state, A + actions[:, 0])
        return over

    def look(self) -> None:
        self.timestep.global_state[:] = self._views[self.state]
        self.timestep.obs[:] = self.timestep.global_state[:, None]

    def render(self, env: int) -> str:
        return ("start", "matrix A", "matrix B")[self.state[env]]
