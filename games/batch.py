"""Base class for games in numpy, which step all environments at once (games/native/, and plug-ins).

A game keeps its positions in arrays [E, ...] and writes three methods:

    open(envs)      place the chosen environments at the start of an episode
    move(actions)   step all environments, write `timestep.reward`, and return which games are over
    look()          write the observations, and `legal` where not every action always is

All players act at every step. An episode ends when its game is over, or after `horizon` steps: `terminated` if the
horizon is a rule of the game, `truncated` if only the recording stops there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.contract import Spec, TimeStep
from games.keys import fold, uniform


class Batch:
    """Open, count and close the episodes of `num_envs` environments; a subclass writes the rules."""

    ACTIONS: tuple[str, ...] = ()  # names of the actions, if the game has names for them

    def __init__(self, spec: Spec, num_envs: int, horizon: int, truncate: bool) -> None:
        self.spec, self.num_envs = spec, num_envs
        self.horizon, self.truncate = horizon, truncate
        self.timestep = TimeStep.empty(spec, num_envs)
        self.legal = np.ones(self.timestep.action_mask.shape, bool)  # [E, N, A] by the rules, acting or not
        self.age = np.zeros(num_envs, np.int64)  # [E] steps since the episode opened
        self._over = np.zeros(num_envs, bool)  # [E] the last step ended the episode
        self._root = np.zeros(num_envs, np.uint64)  # [E] the seed given to reset
        self._episode = np.zeros(num_envs, np.uint64)  # [E] number of the episode since that reset, from 0

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        envs = np.arange(self.num_envs) if where is None else np.flatnonzero(where)
        self._root[envs] = np.asarray(seeds).astype(np.uint64)[envs]
        self._episode[envs] = 0
        self._over[envs] = False
        self._open_episodes(envs, self._root[envs])
        self._observe()
        return self.timestep

    def step(self, actions: Actions) -> TimeStep:
        timestep = self.timestep
        (opening,) = self._over.nonzero()
        if opening.size:  # these environments are stepped too; the result is overwritten below
            actions = actions.copy()
            actions[opening] = 0
        timestep.first.fill(False)
        self.age += 1
        over = self.move(actions)
        cut = self.age >= self.horizon
        if opening.size:
            over[opening] = cut[opening] = False
            self._episode[opening] += np.uint64(1)
            self._open_episodes(opening, fold(self._root[opening], self._episode[opening]))
        self._over = over | cut
        timestep.terminated[:] = (over if self.truncate else self._over)[:, None]
        if self.truncate:
            timestep.truncated[:] = (cut & ~over)[:, None]
        self._observe()
        return timestep

    def _open_episodes(self, envs: NDArray[np.int64], seeds: NDArray[np.uint64]) -> None:
        timestep = self.timestep
        timestep.seed[envs] = seeds
        timestep.first[envs] = True
        timestep.reward[envs] = 0
        timestep.terminated[envs] = False
        timestep.truncated[envs] = False
        self.age[envs] = 0
        self.open(envs)

    def _observe(self) -> None:
        timestep = self.timestep
        self.look()
        timestep.acting[:] = ~self._over[:, None]
        np.logical_and(self.legal, timestep.acting[:, :, None], out=timestep.action_mask)

    def draw(self, n: int, envs: Any = slice(None)) -> NDArray[np.float64]:
        """Draw `n` numbers in [0, 1) for this step of each chosen environment: [len(envs), n]."""
        return uniform(fold(self.timestep.seed[envs], self.age[envs]), n)

    def open(self, envs: NDArray[np.int64]) -> None:
        """Place the chosen environments at the start of an episode; `draw(n, envs)` gives its randomness."""
        raise NotImplementedError

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        """Apply actions [E, N], write `timestep.reward`, and return a new array [E]: whether each game is over."""
        raise NotImplementedError

    def look(self) -> None:
        """Write `timestep.obs`, `timestep.global_state` and `legal`, from the position alone."""
        raise NotImplementedError

    def render(self, env: int) -> str:
        """Return one environment's position as text."""
        raise NotImplementedError

    def action_name(self, env: int, player: int, action: int) -> str:
        """Return the name of an action; its number if the game has no names."""
        return self.ACTIONS[action] if self.ACTIONS else str(action)
