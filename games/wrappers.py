"""Wrappers change what a VecEnv shows. They are written after a game, and applied from left to right.

    foraging | team_reward | agent_id                        the team's mean reward; the player's index in its view
    pettingzoo:sisl.pursuit_v5 | last_action                 the player's last action in its view
    spread | messy(phi=0.15, steps=10)                       views that may be negated, random openings
    spread | my_package.wrappers:Noise(scale=0.1)            a class of your own

A wrapper is a class, or a function, that takes the VecEnv as `venv` and the arguments in its brackets, and returns a
VecEnv. A package gives its wrapper a plain name by an entry point of the group `marl.wrappers`, as this one does.

SuperSuit's wrappers, and those that change spaces (ON_SPACES), are written the same way, before these; they are applied
to each environment by its adapter, before environments are batched.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.contract import Box, Spec, State, TimeStep, VecEnv
from games.drawing.svg import Drawing
from games.drawing.view import view
from games.keys import fold, uniform
from games.random_play import random_actions

# Draws of an episode's seed.
_NOISE = 0x6D657373  # the noise of its views
_AGAIN = 0x616761696E  # the seeds from which its game begins again


class Wrapper:
    """Step another VecEnv and pass on its time steps as `_see` changes them; a subclass writes `_see`."""

    def __init__(self, venv: VecEnv, spec: Spec) -> None:
        self.venv, self.num_envs = venv, venv.num_envs
        self.spec = spec

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        return self._see(self.venv.reset(seeds, where), None)

    def step(self, actions: Actions) -> TimeStep:
        return self._see(self.venv.step(actions), actions)

    def _see(self, timestep: TimeStep, actions: Actions | None) -> TimeStep:
        """Return the changed time step; `actions` [E, N] led to it, None after a reset."""
        raise NotImplementedError

    def states(self, where: NDArray[np.int64]) -> list[State]:
        positions: list[State] = self.venv.states(where)  # type: ignore[attr-defined]
        return positions

    def render(self, env: int) -> str:
        rendered = getattr(self.venv, "render", None)
        return rendered(env) if rendered else ""

    def describe(self, env: int, player: int) -> str:
        described = getattr(self.venv, "describe", None)
        return described(env, player) if described else ""

    def picture(self, env: int, player: int | None) -> Drawing | None:
        drawn = getattr(self.venv, "picture", None)
        return drawn(env, player) if drawn else None

    def action_name(self, env: int, player: int, action: int) -> str:
        named = getattr(self.venv, "action_name", None)
        return named(env, player, action) if named else str(action)


class Flatten(Wrapper):
    """Flatten views to rows [E, N, prod(O)]."""

    def __init__(self, venv: VecEnv) -> None:
        shape = (int(np.prod(venv.spec.observation.shape)),)
        super().__init__(venv, replace(venv.spec, observation=replace(venv.spec.observation, shape=shape)))

    def _see(self, timestep: TimeStep, actions: Actions | None) -> TimeStep:
        return replace(timestep, obs=timestep.obs.reshape(self.num_envs, self.spec.num_players, -1))


class _Appended(Wrapper):
    """Flatten views to float32 and append `extra` numbers to each."""

    def __init__(self, venv: VecEnv, extra: int) -> None:
        self._size = int(np.prod(venv.spec.observation.shape))
        views = replace(venv.spec.observation, shape=(self._size + extra,), dtype="float32")
        super().__init__(venv, replace(venv.spec, observation=views, observation_sizes=()))
        self._obs = np.zeros((self.num_envs, self.spec.num_players, *views.shape), np.float32)
        self._extra = self._obs[:, :, self._size :]  # [E, N, extra]

    def _see(self, timestep: TimeStep, actions: Actions | None) -> TimeStep:
        self._obs[:, :, : self._size] = timestep.obs.reshape(*timestep.acting.shape, -1)
        return replace(timestep, obs=self._obs)


class AgentId(_Appended):
    """Append the player's index to its view, as a one-hot [N], so that one network can play every seat."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, venv.spec.num_players)
        self._extra[:] = np.eye(venv.spec.num_players)


class LastAction(_Appended):
    """Append the player's last action to its view: a one-hot [A] or a continuous action [D]; zeros before the first."""

    def __init__(self, venv: VecEnv) -> None:
        self._box = isinstance(venv.spec.action, Box)
        super().__init__(venv, venv.spec.action.size if isinstance(venv.spec.action, Box) else venv.spec.num_actions)
        self._acted = np.zeros((venv.num_envs, venv.spec.num_players), bool)

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        self._extra[slice(None) if where is None else where] = 0
        return super().reset(seeds, where)

    def _see(self, timestep: TimeStep, actions: Actions | None) -> TimeStep:
        if actions is not None:
            env, player = np.nonzero(self._acted)
            self._extra[env, player] = 0
            if self._box:
                self._extra[env, player] = actions[env, player]
            else:
                self._extra[env, player, actions[env, player]] = 1
            self._extra[timestep.first] = 0
        self._acted = timestep.acting.copy()
        return super()._see(timestep, actions)


class TeamReward(Wrapper):
    """Pay each player the mean, or the sum, of all rewards; all players end together, at the episode's last step.

    Raises ValueError for a zero-sum game, and for another `how`.
    """

    def __init__(self, venv: VecEnv, how: Literal["mean", "sum"] = "mean") -> None:
        if how not in ("mean", "sum"):
            raise ValueError(f"expected how=mean or how=sum, got how={how}")
        if venv.spec.payoff == "zero_sum":
            raise ValueError(f"'{venv.spec.name}' is zero-sum: a team would always be paid the same")
        bounds, players = venv.spec.return_bounds, venv.spec.num_players
        if bounds is not None and how == "sum":
            bounds = (bounds[0] * players, bounds[1] * players)
        super().__init__(venv, replace(venv.spec, payoff="team", teams=(), return_bounds=bounds))
        self._share = 1 / players if how == "mean" else 1.0

    def _see(self, timestep: TimeStep, actions: Actions | None) -> TimeStep:
        seats = timestep.acting.shape
        paid = timestep.reward.sum(1, keepdims=True) * np.float32(self._share)
        cut = (timestep.last & timestep.truncated.any(1))[:, None]
        return replace(
            timestep,
            reward=np.broadcast_to(paid, seats).copy(),
            terminated=np.broadcast_to(timestep.last[:, None] & ~cut, seats).copy(),
            truncated=np.broadcast_to(cut, seats).copy(),
        )


class Messy(Wrapper):
    """MessySMAC's rule (Phan et al. 2023) for any game: noisy views, random openings.

    Each view is negated as a whole with probability `phi`. An episode opens with `steps` random joint steps, in which
    nobody acts and nobody is paid; if the game ends during them, it begins again from a hash of the episode's seed. The
    first views after them are zeros, as in MessySMAC.
    Raises ValueError for views of bytes, which have no negative, and for `phi` or `steps` out of range.
    """

    def __init__(self, venv: VecEnv, phi: float = 0.15, steps: int = 10) -> None:
        if not 0 <= phi <= 1 or steps < 0:
            raise ValueError(f"expected phi in [0, 1] and steps >= 0, got phi={phi}, steps={steps}")
        if venv.spec.observation.dtype == "uint8":
            raise ValueError(f"the views of '{venv.spec.name}' are bytes, and have no negative")
        # A game of perfect information has no `resample` for what the noise hides.
        resamples = venv.spec.resamples and not (venv.spec.searchable and venv.spec.perfect_information)
        spec = replace(venv.spec, chance=True, perfect_information=False, resamples=resamples)
        if steps:
            longest = None if spec.max_length is None else spec.max_length + steps + 1
            spec = replace(spec, max_length=longest, return_bounds=None, idle_steps=True)
        super().__init__(venv, spec)
        self.phi, self.steps = phi, steps
        self._root = np.zeros(self.num_envs, np.uint64)  # [E] the seed given to reset
        self._episode = np.zeros(self.num_envs, np.uint64)  # [E] number of the episode since that reset, from 0
        self._age = np.zeros(self.num_envs, np.int64)  # [E] steps since the episode opened
        self._seed = np.zeros(self.num_envs, np.uint64)  # [E] the episode's seed, also after the game has begun again
        self._restarts = np.zeros(self.num_envs, np.uint64)  # [E] how often the game has begun again in this episode
        self._opening = np.zeros(self.num_envs, bool)  # [E] random steps are being played
        self._opened = np.zeros(self.num_envs, np.int64)  # [E] the age at which the random steps were over

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        chosen = np.ones(self.num_envs, bool) if where is None else where
        self._inner = self.venv.reset(seeds, where)
        self._root[chosen] = np.asarray(seeds).astype(np.uint64)[chosen]
        self._episode[chosen] = 0
        self._begin(chosen)
        return self._show()

    def step(self, actions: Actions) -> TimeStep:
        if self._opening.any():
            chosen = random_actions(self.spec, self._inner, self._age)
            actions = np.where(self._opening.reshape(-1, *[1] * (actions.ndim - 1)), chosen, actions)
        self._inner = self.venv.step(actions)
        self._age += 1
        if self._inner.first.any():
            self._reopen(self._inner.first & ~self._opening, self._inner.first & self._opening)
        return self._show()

    def _reopen(self, next_episode: NDArray[np.bool_], again: NDArray[np.bool_]) -> None:
        """Open the next episode, or begin this one's game again, from the right seed where the inner game opened [E].

        The inner game counts each beginning as an episode, so after a game has begun again its seeds are wrong.
        """
        self._episode[next_episode] += np.uint64(1)
        self._restarts[again] += np.uint64(1)
        restart_seeds = fold(fold(self._seed, _AGAIN), self._restarts)
        seeds = np.where(again, restart_seeds, fold(self._root, self._episode))
        wrong = (next_episode | again) & (self._inner.seed != seeds)
        if wrong.any():
            self._inner = self.venv.reset(seeds, wrong)
        self._begin(next_episode)

    def _begin(self, envs: NDArray[np.bool_]) -> None:
        self._age[envs] = self._opened[envs] = self._restarts[envs] = 0
        self._seed[envs] = self._inner.seed[envs]
        self._opening[envs] = self.steps > 0

    def _show(self) -> TimeStep:
        inner, age = self._inner, self._age
        opens = self._opening & (age >= self.steps) & ~inner.last
        self._opening &= ~opens
        self._opened[opens] = age[opens]
        opening, playing = self._opening, ~self._opening[:, None]
        first_views = (age == self._opened) & (self.steps > 0)
        sign = np.where(self._noise() < self.phi, -1, 1) * ~first_views[:, None]
        self._views = views = inner.obs * sign.astype(np.float32).reshape(*sign.shape, *[1] * (inner.obs.ndim - 2))
        return replace(
            inner,
            obs=views,
            action_mask=inner.action_mask & playing[:, :, None],
            acting=inner.acting & playing,
            reward=inner.reward * ~(opening | first_views)[:, None],
            terminated=inner.terminated & playing,
            truncated=inner.truncated & playing,
            first=age == 0,
            seed=self._seed.copy(),
        )

    def picture(self, env: int, player: int | None) -> Drawing | None:
        """Draw the position for everybody; for a player its view, whose noise the position would give away."""
        if player is None:
            return super().picture(env, player)
        return view(self._views[env, player], player, self.spec.name)

    def _noise(self) -> NDArray[np.float64]:
        """Draw one number in [0, 1) for each view of this step [E, N]."""
        return uniform(fold(fold(self._seed, _NOISE), self._age), self.spec.num_players)


# Wrappers of single environments, which change their spaces before they are batched (games/adapters/reshaping.py).
ON_SPACES = ("flatten_actions", "flatten_views", "scale_actions")
