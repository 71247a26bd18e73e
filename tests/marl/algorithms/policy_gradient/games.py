"""A game with everything that a row may be left out for, and what tests of policy gradients do with it."""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.batch import Batch
from games.contract import Array, Box, Discrete, Spec
from games.keys import fold
from games.registry import make
from marl.learning.registry import algorithm
from marl.rollout.loop import Carry, rollout


class Skirmish(Batch):
    """Three players who act at some steps, wait at others, and die; what is left is truncated after 9 steps.

    An action of 1 pays. `noise` is what is shown of a player who does not act and whose view is never read. Without
    `waits` all players act who are not dead.
    """

    def __init__(self, num_envs: int, noise: float = 0.0, waits: bool = True, state: bool = True) -> None:
        spec = Spec(
            name="skirmish",
            num_players=3,
            observation=Array((4,)),
            action=Discrete(3),
            payoff="general_sum",
            turns="mixed" if waits else "simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            idle_steps=True,
            global_state_size=5 if state else 0,
            max_length=9,
        )
        super().__init__(spec, num_envs, horizon=9, truncate=True)
        self.noise, self.waits = noise, waits
        self.dead = np.zeros((num_envs, 3), bool)  # [E, N]

    def open(self, envs: NDArray[np.int64]) -> None:
        self.dead[envs] = False

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        self.timestep.reward[:] = np.where(self.dead, 0, 0.1 + (self.timestep.acting & (actions == 1)))
        self.dead |= self.draw(3) < 0.12
        return np.asarray(self.dead.all(1))

    def look(self) -> None:
        drawn = self.draw(23)
        self.timestep.obs[:] = drawn[:, 3:15].reshape(-1, 3, 4)
        self.timestep.global_state[:] = drawn[:, 15 : 15 + self.spec.global_state_size]

    def _observe(self) -> None:
        super()._observe()
        timestep, over = self.timestep, self._over[:, None]
        waits = (self.draw(23)[:, 20:23] < 0.4) & self.waits
        timestep.terminated |= self.dead
        timestep.truncated &= ~self.dead
        timestep.acting[:] = ~over & ~self.dead & ~waits
        timestep.action_mask[:] = timestep.acting[:, :, None]
        timestep.obs[~timestep.acting & ~over] = self.noise


LOW, HIGH = ((-2.0, 0.0), (10.0, 99.0)), ((1.0, 4.0), (12.0, 99.0))  # 99: the padding of the second player


class Aim(Batch):
    """Two players choose points of their own boxes, of two numbers and of one; each sees where it should aim.

    A player is paid minus the squared distance, in half widths of its box: an episode is worth 0 at best. Three steps.
    """

    def __init__(self, num_envs: int) -> None:
        spec = Spec(
            name="aim",
            num_players=2,
            observation=Array((2,)),
            action=Box(2, LOW, HIGH),
            payoff="general_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            max_length=3,
            action_sizes=(2, 1),
        )
        super().__init__(spec, num_envs, horizon=3, truncate=False)
        self.target = np.zeros((num_envs, 2, 2), np.float32)  # [E, N, D] in -0.9..0.9

    def open(self, envs: NDArray[np.int64]) -> None:
        pass

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        low, high = self.spec.action_bounds
        half = np.where(self.spec.action_numbers, (high - low) / 2, 1)
        missed = ((actions - low) / half - 1 - self.target) * self.spec.action_numbers
        self.timestep.reward[:] = -(missed**2).sum(2)
        return np.zeros(self.num_envs, bool)

    def look(self) -> None:
        self.target[:] = 1.8 * self.draw(4).reshape(-1, 2, 2) - 0.9
        self.timestep.obs[:] = self.target


class Player:
    """A learner that plays a game with itself, rollout after rollout."""

    def __init__(self, name, venv, *, seed=1, total_steps=10**6, opponents=(), **settings):
        if isinstance(venv, str):
            venv = make(venv, 16)
        learner = algorithm(name)
        self.venv, self.num_envs = venv, venv.num_envs
        small = {"hidden": (16,)} | ({"hidden_size": 8, "chunk_length": 4} if settings.get("recurrent") else {})
        small = {name: value for name, value in small.items() if name in learner.Config.model_fields}
        config = learner.Config(**(small | settings))
        self.learner = learner(config, venv.spec, key=seed, total_steps=total_steps, device="cpu")
        self.roster = [*self.learner.actors(), *opponents]
        self.seating = np.zeros((self.num_envs, venv.spec.num_players), np.int64)
        self.begin()

    def begin(self):
        """Open an episode in every environment, as a stretch does."""
        streams = fold(2, np.arange(len(self.roster)))
        self.carry = Carry(self.venv, self.roster, streams, fold(3, np.arange(self.num_envs)))

    def rollout(self, length=16):
        return rollout(self.venv, self.roster, self.seating, self.carry, length)

    def learn(self, updates, length=16):
        """Return the metrics of every update."""
        return [self.learner.update(self.rollout(length), [0]) for _ in range(updates)]

    def batches(self, trajectory):
        """Return the batches of an update."""
        shown = self.learner._shown(trajectory)
        return list(self.learner._batches(trajectory, trajectory.learnable([0]), shown)[0].values())

    def values(self, trajectory):
        """Return what the critics say of a trajectory."""
        return self.learner._critics(trajectory, self.learner._shown(trajectory))
