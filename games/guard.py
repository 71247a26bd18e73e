"""A guard: it watches a game that this project did not write, and names the first promise that it breaks, and where.

The conformance kit (games/check.py) looks at everything, once; this looks at the little that would spoil a training run
without a word, at every step: shapes, masks that agree with who acts, and numbers that are finite.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import TimeStep, VecEnv
from games.errors import GameFailed, UserError
from games.wrappers import Wrapper


class Guard(Wrapper):
    """Step another VecEnv and look at what it returns; raises GameFailed at the first broken promise."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, venv.spec)
        self._expected = {
            name: (a.shape, a.dtype) for name, a in vars(TimeStep.empty(venv.spec, venv.num_envs)).items()
        }
        self._age = np.zeros(venv.num_envs, np.int64)  # [E] steps since the episode opened
        self._seed = np.zeros(venv.num_envs, np.uint64)
        self._floats = np.issubdtype(np.dtype(venv.spec.observation.dtype), np.floating)

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        opened = slice(None) if where is None else where
        self._seed[opened] = np.asarray(seeds)[opened]
        self._age[opened] = 0
        return self._inspect(self._ask(self.venv.reset, seeds, where))

    def step(self, actions: NDArray[Any]) -> TimeStep:
        self._age += 1
        return self._inspect(self._ask(self.venv.step, actions))

    def _ask(self, method: Any, *arguments: Any) -> TimeStep:
        try:
            return method(*arguments)  # type: ignore[no-any-return]
        except UserError:
            raise
        except Exception as error:  # a plug-in may raise anything; which of its environments did, it does not say
            what = f"raised {type(error).__name__}: {' '.join(str(error).split())}; the whole batch stopped"
            raise GameFailed(self.spec.name, 0, int(self._age[0]), int(self._seed[0]), what) from error

    def _inspect(self, timestep: TimeStep) -> TimeStep:
        for name, (shape, dtype) in self._expected.items():
            array = getattr(timestep, name)
            if array.shape != shape or array.dtype != dtype:
                self._fail(0, f"returned '{name}' as {array.dtype} {array.shape}, expected {dtype} {shape}")
        self._age[timestep.first] = 0
        self._seed = timestep.seed.copy()
        if not np.isfinite(timestep.reward).all():
            self._fail_where(~np.isfinite(timestep.reward), "paid a reward that is not finite")
        # A sum is finite where all of its terms are: one pass without a temporary array.
        if self._floats and not np.isfinite(_sum(timestep.obs)):
            seats = timestep.acting.shape
            fresh = timestep.acting | timestep.last[:, None]
            self._fail_where(~np.isfinite(timestep.obs).reshape(*seats, -1).all(2) & fresh, "showed a view not finite")
        if self.spec.num_actions:
            legal = timestep.action_mask.any(2)
            if (legal != timestep.acting).any():
                self._fail_where(timestep.acting & ~legal, "let a player act without a legal action")
                self._fail_where(legal & ~timestep.acting, "has legal actions for a player who does not act")
        return timestep

    def _fail_where(self, broken: NDArray[np.bool_], what: str) -> None:
        """Raise where an array [E, N] is true."""
        if broken.any():
            env, player = np.argwhere(broken)[0].tolist()
            self._fail(env, f"{what}, player {player}")

    def _fail(self, env: int, what: str) -> None:
        raise GameFailed(self.spec.name, env, int(self._age[env]), int(self._seed[env]), what)


def _sum(array: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        return float(array.sum())
