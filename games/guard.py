"""The guard watches a game that this project did not write, and reports the first promise that it breaks, and where.

The conformance kit (games/check.py) checks every promise once. The guard checks at every step what would silently
spoil a training run: shapes, masks that agree with `acting`, finite numbers, equal rewards in a team, and no reward
after a player's end. The adapters check the environments of other libraries against the spaces that these declare
(games/adapters/spaces.py).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.contract import SearchableVecEnv, Spec, State, TimeStep, VecEnv
from games.errors import GameFailed, UserError, in_words
from games.vector import Vector, with_verified_resamples
from games.wrappers import Wrapper

TOLERANCE = 1e-4  # relative rounding error allowed in sums of float32


class Guard(Wrapper):
    """Step another VecEnv and check what it returns; raises GameFailed at the first broken promise.

    Raises UserError for a searchable game without `states`.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, _verified(venv))
        self._expected = {
            name: (a.shape, a.dtype) for name, a in vars(TimeStep.empty(venv.spec, venv.num_envs)).items()
        }
        self._age = np.zeros(venv.num_envs, np.int64)  # [E] steps since the episode opened
        self._seed = np.zeros(venv.num_envs, np.uint64)
        self._complete = np.zeros((venv.num_envs, venv.spec.num_players), bool)  # [E, N] ended at the previous step
        self._floats = np.issubdtype(np.dtype(venv.spec.observation.dtype), np.floating)

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        opened = slice(None) if where is None else where
        self._seed[opened] = np.asarray(seeds)[opened]
        self._age[opened] = 0
        self._complete[opened] = False
        return self._inspect(self._ask(self.venv.reset, seeds, where))

    def step(self, actions: Actions) -> TimeStep:
        self._age += 1
        return self._inspect_ends(self._inspect(self._ask(self.venv.step, actions)))

    def _ask(self, method: Callable[..., TimeStep], *arguments: object) -> TimeStep:
        try:
            return method(*arguments)
        except UserError:
            raise
        except Exception as error:  # a plug-in may raise anything, and does not say in which environment
            what = f"raised {in_words(error)}; the whole batch stopped"
            raise GameFailed(self.spec.name, 0, int(self._age[0]), int(self._seed[0]), what) from error

    def _inspect(self, timestep: TimeStep) -> TimeStep:
        for name, (shape, dtype) in self._expected.items():
            array = getattr(timestep, name)
            if array.shape != shape or array.dtype != dtype:
                self._fail(0, f"returned '{name}' as {array.dtype} {array.shape}, expected {dtype} {shape}")
        self._age[timestep.first] = 0
        self._seed = timestep.seed.copy()
        self._inspect_rewards(timestep)
        # A sum is finite where all of its terms are: one pass without a temporary array.
        if self._floats and not np.isfinite(_sum(timestep.obs)):
            seats = timestep.acting.shape
            fresh = timestep.acting | timestep.last[:, None]
            finite = np.isfinite(timestep.obs).reshape(*seats, -1).all(2)
            self._fail_where(~finite & fresh, "showed a view that is not finite")
        if not np.isfinite(_sum(timestep.global_state)):
            finite = np.isfinite(timestep.global_state).all(1)
            if not finite.all():
                self._fail(int(finite.argmin()), "has a global state that is not finite")
        if self.spec.num_actions:
            may_choose = timestep.action_mask.any(2)
            if (may_choose != timestep.acting).any():
                self._fail_where(timestep.acting & ~may_choose, "let a player act without a legal action")
                self._fail_where(may_choose & ~timestep.acting, "has legal actions for a player who does not act")
        return timestep

    def _inspect_rewards(self, timestep: TimeStep) -> None:
        reward = timestep.reward
        if not np.isfinite(reward).all():
            self._fail_where(~np.isfinite(reward), "paid a reward that is not finite")
        if self.spec.payoff == "team" and (reward != reward[:, :1]).any():
            what = "paid members of a team differently (pay all the same, dead or alive, or add `| team_reward`)"
            self._fail_where(unequal(reward), what)

    def _inspect_ends(self, timestep: TimeStep) -> TimeStep:
        """Check that no player is paid after its end."""
        over = timestep.terminated | timestep.truncated
        if self._complete.any():
            self._fail_where((timestep.reward != 0) & self._complete & over, "paid a player after its end")
        self._complete = over
        return timestep

    def _fail_where(self, broken: NDArray[np.bool_], what: str) -> None:
        """Raise where an array [E, N] is true."""
        if broken.any():
            env, player = np.argwhere(broken)[0].tolist()
            self._fail(env, f"{what}, player {player}")

    def _fail(self, env: int, what: str) -> None:
        raise GameFailed(self.spec.name, env, int(self._age[env]), int(self._seed[env]), what)


def _verified(venv: VecEnv) -> Spec:
    """Return a VecEnv's Spec, with `resamples` False where its positions lack the methods for it."""
    spec = venv.spec
    if not spec.searchable or isinstance(venv, Vector):  # a Vector has done it already
        return spec
    if not isinstance(venv, SearchableVecEnv):
        raise UserError(
            f"expected `states(envs)` of '{spec.name}', whose Spec says searchable=True, got none; add it, or set "
            "searchable=False"
        )

    def position() -> State:
        venv.reset(np.zeros(venv.num_envs, np.uint64))
        return venv.states(np.array([0]))[0]

    return with_verified_resamples(spec, position)


def unequal(reward: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a player is paid less than another of its team, beyond rounding; rewards are [..., N]."""
    most = reward.max(-1, keepdims=True)
    return np.asarray(most - reward > TOLERANCE * np.maximum(1, abs(reward)))


def _sum(array: Views) -> float:
    with np.errstate(all="ignore"):
        return float(array.sum())
