"""Gymnasium's multi-agent environments on the contract: spaces that are Tuples, rewards that are lists.

    gymnasium:lbforaging.Foraging-8x8-2p-3f-v3(max_episode_steps=25)
    gymnasium:rware.rware-tiny-2ag-v2(reward_type=global)
    gymnasium:gymnasium.CartPole-v1

The part before the first dot is a package, which registers its environments when it is imported; the rest is the id.
An environment of one agent, whose spaces are not Tuples, is a game of one player.

All players act at every step until their own ends; one whose mask is empty waits, and its first action is sent.
In a team game all players end together, because all get the team's reward (games/adapters/spaces.py). The environment
tells whether an end at the time limit is a termination or a truncation. It may give its payoff structure in
`metadata["payoff"]`; otherwise rewards are general-sum, or a team's if its `reward_type` is global.
"""

import copy
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, get_args

import gymnasium
import gymnasium.spaces as spaces
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from numpy.typing import NDArray

from games import working_folder
from games.adapters.frames import frame
from games.adapters.reshaping import Change, Reshaping, reshaping
from games.adapters.spaces import MOST_IDLE, Seats, one_line, spec_fields
from games.contract import Payoff, Spec
from games.drawing.svg import Drawing
from games.errors import UserError, nearest
from games.references import Reference
from games.vector import Row, Vector

EXTRAS = {"lbforaging": "marl[lbforaging]", "rware": "marl[rware]"}
PACKAGES = ("gymnasium", *EXTRAS)  # a reference read from a file may name these; a user may name any


def make(name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> Vector:
    """Build an environment that a package registered, by `package.id`; `arguments` are those of gymnasium.make.

    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    reference = str(Reference("gymnasium", name, tuple(arguments.items())))
    try:
        build = partial(gymnasium.make, _spec(name, arguments), disable_env_checker=True)
        made = build()
        if "ansi" in made.metadata.get("render_modes", ()) and "render_mode" not in arguments:
            build = partial(build, render_mode="ansi")
            made = build()
    except UserError:
        raise
    except Exception as error:  # an environment may raise anything
        raise UserError(f"'{reference}' could not be built: {one_line(error)}") from error
    return vectorize(reference, made, build, num_envs, wrappers)


def vectorize(
    reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
) -> Vector:
    """Return `num_envs` copies of an environment as one VecEnv; `build` makes the copies, `made` is the first.

    Raises UserError where `made` is not an environment, or the contract does not support its spaces.
    """
    if not isinstance(made, gymnasium.Env):
        raise UserError(f"expected a Gymnasium environment from '{reference}', got {type(made).__name__}")
    reference = " | ".join([reference, *map(str, wrappers)])
    made = _wrapped(made, wrappers)
    views, actions = made.observation_space, made.action_space
    if isinstance(views, spaces.Tuple) != isinstance(actions, spaces.Tuple) or len(_each(views)) != len(_each(actions)):
        flatten = "flatten_actions" if isinstance(actions, spaces.Tuple) else "flatten_views"
        raise UserError(
            f"expected views and actions for each player in '{reference}', got {views} and {actions}; where they are "
            f"one player's, write '{reference} | {flatten}'"
        )
    spec = Spec(
        name=reference,
        **spec_fields(reference, _each(views), _each(actions)),
        payoff=_payoff(reference, made),
        turns="simultaneous",
        perfect_information=False,
        chance=True,
        searchable=False,
        max_length=made.spec.max_episode_steps if made.spec else None,
    )
    copies = iter([made])
    return Vector(
        spec, lambda row: GymnasiumRow(spec, next(copies, None) or _wrapped(build(), wrappers), row), num_envs
    )


def names() -> list[str]:
    """Return `package.id` of the environments of the packages in EXTRAS that are installed."""
    installed = [package for package in EXTRAS if importlib.util.find_spec(package)]
    return sorted(f"{package}.{id}" for package in installed for id in _ids(package))


def is_own(name: str) -> bool:
    """Return whether `package.id` names one of PACKAGES."""
    return name.partition(".")[0] in PACKAGES


class GymnasiumRow:
    """One environment: it takes a joint action and returns rewards; a single reward, or a single end, is for all."""

    def __init__(self, spec: Spec, env: Any, row: Row) -> None:
        self.spec, self.env, self.row = spec, env, row
        self._alone = not isinstance(env.action_space, spaces.Tuple)
        self.seats = Seats(spec, _each(env.observation_space), _each(env.action_space), row)

    def reset(self, seed: int) -> None:
        _forget(self.env.unwrapped)
        obs, info = self.env.reset(seed=seed % 2**31)
        self.seats.open()
        if not self._ask(self._views(obs), info):
            raise ValueError("nobody has a legal action when the episode opens")

    def step(self, actions: Sequence[Any]) -> bool:
        for _ in range(MOST_IDLE):
            joint = tuple(self.seats.action(player, actions) for player in range(self.spec.num_players))
            self.seats.next()
            obs, reward, terminated, truncated, info = self.env.step(joint[0] if self._alone else joint)
            views = self._views(obs)
            self.seats.pay(dict(enumerate(self._for_each("rewards", reward).tolist())))
            ends = self._for_each("`terminated`", terminated), self._for_each("`truncated`", truncated)
            for player in np.flatnonzero(ends[0] | ends[1]).tolist():
                if not self.seats.gone(player):
                    self.seats.leave(player, bool(ends[0][player]), bool(ends[1][player]))
            if self.seats.all_gone():
                self.seats.close()
                for player, view in enumerate(views):
                    self.seats.see(player, view)
                return True
            if self._ask(views, info):
                return False
        raise ValueError(f"nobody has had a legal action for {MOST_IDLE} steps")

    def render(self) -> str:
        return str(self.env.render()) if self.env.render_mode == "ansi" else ""

    def picture(self, player: int | None) -> Drawing | None:
        """Return what the environment draws, which shows everything."""
        return frame(self.env, self.spec.name) if player is None else None

    def action_name(self, player: int, action: int) -> str:
        return str(action)

    def _ask(self, views: Sequence[Any], info: dict[str, Any]) -> bool:
        """Let the players act whose episodes go on; return whether any of them can."""
        mask = (info or {}).get("action_mask")
        masks = [mask] * self.spec.num_players if mask is None or self._alone else mask
        going = [player for player in range(self.spec.num_players) if not self.seats.gone(player)]
        return any([self.seats.ask(player, views[player], masks[player]) for player in going])

    def _views(self, obs: Any) -> Sequence[Any]:
        """Return the view of each player [N]."""
        views: Sequence[Any] = (obs,) if self._alone else obs
        if len(views) != self.spec.num_players:
            raise ValueError(f"{len(views)} views came for {self.spec.num_players} players")
        return views

    def _for_each(self, what: str, values: Any) -> NDArray[Any]:
        """Return each player's value [N]; a single value is for all."""
        array = np.asarray(values)
        if array.shape not in ((), (self.spec.num_players,)):
            raise ValueError(f"{what} of the shape {array.shape} came for {self.spec.num_players} players")
        return array if array.shape else np.full(self.spec.num_players, array)


class _Reshaped(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment with changed spaces; if both spaces are Tuples, each player's space is changed."""

    def __init__(self, env: Any, how: Reshaping) -> None:
        super().__init__(env)
        views, actions = env.observation_space, env.action_space
        self._alone = not (isinstance(views, spaces.Tuple) and isinstance(actions, spaces.Tuple))
        self._views = [how.view(space) for space in ((views,) if self._alone else views.spaces)]
        self._actions = [how.action(space) for space in ((actions,) if self._alone else actions.spaces)]
        self.observation_space, self.action_space = self._together(self._views), self._together(self._actions)

    def reset(self, **options: Any) -> Any:
        obs, info = self.env.reset(**options)
        return self._converted(obs), self._masked(info)

    def step(self, action: Any) -> Any:
        each = zip(self._actions, (action,) if self._alone else action, strict=True)
        converted = tuple(change.convert(part) for change, part in each)
        obs, reward, terminated, truncated, info = self.env.step(converted[0] if self._alone else converted)
        return self._converted(obs), reward, terminated, truncated, self._masked(info)

    def _together(self, changes: Sequence[Change]) -> Any:
        return changes[0].space if self._alone else spaces.Tuple([change.space for change in changes])

    def _converted(self, obs: Any) -> Any:
        if self._alone:
            return self._views[0].convert(obs)
        return tuple(change.convert(view) for change, view in zip(self._views, obs, strict=True))

    def _masked(self, info: Any) -> Any:
        if (mask := (info or {}).get("action_mask")) is None:
            return info
        if self._alone:
            return info | {"action_mask": self._actions[0].mask(mask)}
        return info | {"action_mask": [change.mask(part) for change, part in zip(self._actions, mask, strict=True)]}


def _wrapped(env: Any, wrappers: Sequence[Reference]) -> Any:
    for wrapper in wrappers:
        env = _Reshaped(env, reshaping(wrapper))
    return env


def _forget(env: Any) -> None:
    """Clear the positions of lbforaging's players, which otherwise restrict the positions in the next episode."""
    if type(env).__module__.startswith("lbforaging."):
        for player in env.players:
            player.position = None


def _each(space: Any) -> Sequence[Any]:
    """Return the space of each player [N]."""
    return space.spaces if isinstance(space, spaces.Tuple) else (space,)


def _spec(name: str, arguments: dict[str, Any]) -> EnvSpec:
    """Return Gymnasium's spec of an environment, with the arguments; members of an enum are given by their names."""
    package, _, id = name.partition(".")
    if not id:
        hint = f"; did you mean '{_package(gymnasium.spec(name))}.{name}'?" if name in gymnasium.registry else ""
        raise UserError(f"expected package.id, such as lbforaging.Foraging-8x8-2p-3f-v3, got '{name}'{hint}")
    try:
        known = _ids(package)
    except ModuleNotFoundError as error:
        remedy = f"; pip install '{EXTRAS[package]}'" if package in EXTRAS else nearest(package, EXTRAS)
        missing = f"needs the package '{error.name}', which is not installed"
        raise UserError(f"'gymnasium:{name}' {missing}{remedy}") from error
    if id not in known:
        raise UserError(f"'{package}' registers no environment '{id}'{nearest(id, known)}")
    spec = copy.deepcopy(gymnasium.spec(id))
    parameters = inspect.signature(load_env_creator(spec.entry_point)).parameters  # type: ignore[arg-type]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in arguments.items():
        default = spec.kwargs.get(key, getattr(parameters.get(key), "default", None))
        if key not in parameters and key == "max_episode_steps":
            spec.max_episode_steps = value  # Gymnasium's own limit, where the environment has none
            continue
        if key not in parameters and not takes_any:
            raise UserError(f"'{name}' takes {', '.join(parameters)}, got '{key}'{nearest(key, parameters)}")
        if isinstance(default, Enum) and isinstance(value, str):
            words = {member.name.lower(): member for member in type(default)}
            if value.lower() not in words:
                raise UserError(f"expected {key} to be one of {', '.join(words)}, got '{value}'{nearest(value, words)}")
            value = words[value.lower()]
        spec.kwargs[key] = value
    return spec


def _ids(package: str) -> list[str]:
    """Import a package and return the ids that it registered."""
    if package not in PACKAGES:  # then a user has named it
        working_folder.allow(package)
    importlib.import_module(package)
    return [id for id, spec in gymnasium.registry.items() if _package(spec) == package]


def _package(spec: EnvSpec) -> str:
    """Return the package that an environment comes from."""
    entry = spec.entry_point
    return re.split("[.:]", entry if isinstance(entry, str) else str(getattr(entry, "__module__", "")))[0]


def _payoff(reference: str, env: Any) -> Payoff:
    metadata = env.unwrapped.metadata
    payoff: Payoff = metadata.get("payoff", "general_sum")
    if payoff not in get_args(Payoff):
        raise UserError(f"expected metadata['payoff'] to be one of {get_args(Payoff)} in '{reference}', got '{payoff}'")
    shared = getattr(getattr(env.unwrapped, "reward_type", None), "name", "") == "GLOBAL"
    return "team" if shared and "payoff" not in metadata else payoff
