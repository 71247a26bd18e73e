"""Batch any single environment as one `VecEnv`, and play any `Game` as a single environment.

    Game ── GameEnv ──┐
                      ├── Vector, a VecEnv
    PettingZooEnv ────┘

A single environment writes its own row of the batch's arrays; `Vector` opens episodes and steps the environments.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.contract import Game, Spec, State, TimeStep
from games.drawing.svg import Drawing
from games.errors import GameFailed, UserError, in_words
from games.keys import draw_one, fold, fold_one, uniform_one


class Row:
    """One environment's row of a TimeStep: [N, ...] slices of arrays that `Vector` clears before each step."""

    def __init__(self, timestep: TimeStep, index: int) -> None:
        self.obs: Views = timestep.obs[index]  # [N, *O]
        self.action_mask = timestep.action_mask[index]  # [N, A]
        self.acting = timestep.acting[index]  # [N]
        self.reward = timestep.reward[index]  # [N]
        self.terminated = timestep.terminated[index]  # [N]
        self.truncated = timestep.truncated[index]  # [N]
        self.global_state = timestep.global_state[index]  # [S]


class SingleEnv(Protocol):
    """One environment, which writes the result of `reset` and `step` into its row."""

    spec: Spec

    def reset(self, seed: int) -> None:
        """Open an episode."""
        ...

    def step(self, actions: Sequence[Any]) -> bool:
        """Apply actions [N] and return whether the episode ended."""
        ...

    def render(self) -> str:
        """Return the position as text; empty if there is none."""
        ...

    def action_name(self, player: int, action: int) -> str: ...


class GameEnv:
    """Play a Game: chance is drawn from the episode's seed, rewards are differences of `returns()`."""

    def __init__(self, game: Game, row: Row) -> None:
        self.spec = game.spec
        self._game = game
        # Sliced once, as memoryviews for single items: slicing arrays at every step would cost as much as the rules.
        self._obs = [view.reshape(-1) for view in row.obs]
        self._mask = [memoryview(view.view(np.uint8)) for view in row.action_mask]
        self._acting = memoryview(row.acting.view(np.uint8))
        self._reward: Any = memoryview(row.reward)
        self._terminated = row.terminated
        self._step_rewards = game.spec.step_rewards
        self._nothing = (0.0,) * game.spec.num_players
        self.state: State = game.initial_state()

    def reset(self, seed: int) -> None:
        self._seed, self._chance_events = seed, 0
        self._paid: Sequence[float] = self._nothing
        self.state = self._game.initial_state()
        if self._settle():
            raise ValueError(f"'{self.spec.name}' is over before anyone moves; a game needs at least one decision")

    def step(self, actions: Sequence[int]) -> bool:
        self.state.apply(actions)
        return self._settle()

    def render(self) -> str:
        return position(self.state)

    def describe(self, player: int) -> str:
        described: Any = getattr(self.state, "describe", None)
        return str(described(player)) if described else ""

    def action_name(self, player: int, action: int) -> str:
        return action_name(self.state, player, action)

    def _settle(self) -> bool:
        """Draw chance, then write what the players who must act now may see; return whether the game is over."""
        state = self.state
        acting = state.acting()
        while not acting:
            if state.is_terminal():
                self._close()
                return True
            state.apply_chance(self._draw(state.chance_outcomes()))
            acting = state.acting()
        if self._step_rewards:
            self._pay()
        for player in acting:
            self._acting[player] = 1
            state.observe(player, self._obs[player])
            mask = self._mask[player]
            for action in state.legal_actions(player):
                mask[action] = 1
        return False

    def _close(self) -> None:
        self._pay()
        self._terminated.fill(True)
        for player, obs in enumerate(self._obs):
            self.state.observe(player, obs)

    def _pay(self) -> None:
        returns = self.state.returns()
        for player, total in enumerate(returns):
            self._reward[player] = total - self._paid[player]
        self._paid = returns

    def _draw(self, outcomes: Sequence[tuple[int, float]]) -> int:
        self._chance_events += 1
        return draw_one(outcomes, uniform_one(fold_one(self._seed, self._chance_events)))


class Vector:
    """Step single environments one after the other, as one VecEnv.

    `make(row)` builds an environment that writes into `row`.
    """

    def __init__(self, spec: Spec, make: Callable[[Row], SingleEnv], num_envs: int) -> None:
        self.spec, self.num_envs = spec, num_envs
        self.timestep = TimeStep.empty(spec, num_envs)
        self.envs = [make(Row(self.timestep, e)) for e in range(num_envs)]
        self._root = [0] * num_envs  # [E] the seed given to reset
        self._hashed = [0] * num_envs  # [E] episodes since that reset whose seeds have been hashed
        self._next_seeds: list[list[int]] = [[] for _ in range(num_envs)]  # [E] those not used yet, the next one last
        self._over = [False] * num_envs  # [E] the last step ended the episode
        self._steps = 0  # calls of `step`
        self._opened = [0] * num_envs  # [E] `_steps` when the episode opened

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        opened = range(self.num_envs) if where is None else np.flatnonzero(where).tolist()
        given = np.asarray(seeds).astype(np.uint64).tolist()
        for e in opened:
            self._root[e], self._hashed[e], self._next_seeds[e], self._over[e] = given[e], 0, [], False
        self.timestep.acting[opened] = False
        self.timestep.action_mask[opened] = False
        self._open(opened, [given[e] for e in opened])
        return self.timestep

    def step(self, actions: Actions) -> TimeStep:
        timestep = self.timestep
        timestep.acting.fill(False)
        timestep.action_mask.fill(False)
        timestep.reward.fill(0)
        timestep.first.fill(False)
        follows, self._over = self._over, [False] * self.num_envs
        self._steps += 1
        opened = []
        e = 0
        try:
            for e, (env, row, follow) in enumerate(zip(self.envs, actions.tolist(), follows, strict=True)):
                if follow:
                    opened.append(e)
                elif env.step(row):
                    self._over[e] = True
        except Exception as error:  # a plug-in may raise anything
            raise self._failed(e, error) from error
        if opened:
            self._open(opened, [self._next_seed(e) for e in opened])
        return timestep

    def render(self, env: int) -> str:
        """Return one environment's position as text; empty if it has none."""
        return self.envs[env].render()

    def describe(self, env: int, player: int) -> str:
        """Return what a player may see of one environment as text; empty if it has none."""
        described: Any = getattr(self.envs[env], "describe", None)
        return described(player) if described else ""

    def picture(self, env: int, player: int | None) -> Drawing | None:
        """Return what one environment draws, all of it or what a player may see; None if it draws nothing."""
        drawn: Any = getattr(self.envs[env], "picture", None)
        return drawn(player) if drawn else None

    def action_name(self, env: int, player: int, action: int) -> str:
        """Return the name of an action."""
        return self.envs[env].action_name(player, action)

    def states(self, where: NDArray[np.int64]) -> list[State]:
        """Return clones of the positions of the chosen environments; only games of `GameEnv` have them."""
        return [self.envs[e].state.clone() for e in where.tolist()]

    def _next_seed(self, e: int) -> int:
        """Return the seed of an environment's next episode; sixteen are hashed at once, which is cheaper."""
        if not self._next_seeds[e]:
            self._next_seeds[e] = fold(self._root[e], self._hashed[e] + np.arange(16, 0, -1)).tolist()
            self._hashed[e] += 16
        return self._next_seeds[e].pop()

    def _open(self, opened: Sequence[int], seeds: Sequence[int]) -> None:
        """Open an episode in the chosen environments, each from its own seed."""
        timestep, where = self.timestep, np.array(opened)
        timestep.terminated[where] = False
        timestep.truncated[where] = False
        timestep.first[where] = True
        timestep.seed[where] = np.array(seeds, np.uint64)
        for e, seed in zip(opened, seeds, strict=True):
            self._opened[e] = self._steps
            try:
                self.envs[e].reset(seed)
            except Exception as error:  # a plug-in may raise anything
                raise self._failed(e, error) from error
        timestep.reward[where] = 0

    def _failed(self, e: int, error: Exception) -> UserError:
        if isinstance(error, UserError):
            return error
        seed = int(self.timestep.seed[e])
        return GameFailed(self.spec.name, e, self._steps - self._opened[e], seed, f"raised {in_words(error)}")


def position(state: State) -> str:
    """Return a position as text; empty if its class defines neither `__str__` nor `__repr__`."""
    kind = type(state)
    has_text = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    return str(state) if has_text else ""


def action_name(state: State, player: int, action: int) -> str:
    """Return the name of an action at a position; its number if the game has no names."""
    named: Any = getattr(state, "action_name", None)
    return str(named(player, action)) if named else str(action)


def vectorize(game: Game, num_envs: int) -> Vector:
    """Return a VecEnv that plays `game` in `num_envs` environments, in the game's own `single_env` if it has one.

    The Spec's `resamples` is that of `with_verified_resamples`.
    """
    make = getattr(game, "single_env", None) or partial(GameEnv, game)
    return Vector(with_verified_resamples(game.spec, game.initial_state), make, num_envs)


def with_verified_resamples(spec: Spec, position: Callable[[], State]) -> Spec:
    """Return the Spec, with `resamples` False if positions lack the methods for it; `position()` returns one."""
    if not spec.searchable or spec.perfect_information or not spec.resamples or not missing(position()):
        return spec
    return replace(spec, resamples=False)


def missing(state: State) -> str:
    """Name the methods that a position lacks for a search of hidden information; empty if it has both."""
    needed = {"resample": "`resample(player, key)`", "information": "`information(player)`"}
    return " and ".join(written for name, written in needed.items() if not hasattr(state, name))
