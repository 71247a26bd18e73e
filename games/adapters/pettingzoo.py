"""PettingZoo's environments on the contract: the Parallel API for simultaneous moves, AEC for turns.

    pettingzoo:mpe2.simple_spread_v3(N=3)      a module of an installed package
    pettingzoo:classic.tictactoe_v3            a family and a name of PettingZoo's own

Agents' names, dead steps and cumulative rewards stay inside this file. Players are the indices of `possible_agents`;
where their views or actions differ in size they are padded, and the mask covers the padding. PettingZoo does not say
whether a game is zero-sum: the two-player classics are known here, every other environment counts as general-sum.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import gymnasium.spaces as spaces
import numpy as np
import pettingzoo
from pettingzoo.env_registry.exceptions import FailedToImport

from games.contract import Array, Box, Discrete, Payoff, Spec
from games.errors import UserError, nearest
from games.vector import Row, Vector

FAMILIES = ("classic", "butterfly", "sisl")
EXTRAS = {"mpe2": "mpe", "rlcard": "classic", "pymunk": "butterfly", "pygame": "classic", "chess": "classic"}
ZERO_SUM = ("tictactoe", "connect_four", "chess", "go", "rps", "leduc_holdem", "texas_holdem", "texas_holdem_no_limit")


def make(name: str, arguments: dict[str, Any], num_envs: int) -> Vector:
    """Build an environment of PettingZoo's, or of a package that follows it, by name.

    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    build = _builder(name, arguments)
    reference = f"pettingzoo:{name}" + (f"({written})" if written else "")
    try:
        made = build()
    except ModuleNotFoundError as error:
        raise _not_installed(reference, error) from error
    except FailedToImport as error:
        raise _not_installed(reference, error.__cause__ or error) from error
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"'{reference}' could not be built: {' '.join(str(error).split())}") from error
    return vectorize(reference, made, build, num_envs)


def vectorize(reference: str, made: Any, build: Callable[[], Any], num_envs: int) -> Vector:
    """Return `num_envs` copies of an environment as one VecEnv; `build` makes the copies, `made` is the first."""
    if isinstance(made, pettingzoo.ParallelEnv):
        adapter: Any = ParallelRow
    elif isinstance(made, pettingzoo.AECEnv):
        adapter = AecRow
    else:
        kinds = "a Game, a VecEnv, or a PettingZoo AECEnv or ParallelEnv"
        raise UserError(f"expected {kinds} from '{reference}', got {type(made).__name__}")
    spec = describe(reference, made)
    copies = iter([made])
    return Vector(spec, lambda row: adapter(spec, next(copies, None) or build(), row), num_envs)


def describe(reference: str, env: Any) -> Spec:
    """Return an environment's Spec; raises UserError for views or actions that have no place in the contract."""
    agents = env.possible_agents
    views = [_view_space(reference, env.observation_space(agent)) for agent in agents]
    actions = [env.action_space(agent) for agent in agents]
    same = len({view.shape for view in views}) == 1
    sizes = tuple(int(np.prod(view.shape)) for view in views)
    env.reset(seed=0)
    name = reference.partition(":")[2].partition("(")[0].rpartition(".")[2].rpartition("_v")[0]
    payoff: Payoff = "zero_sum" if name in ZERO_SUM and len(agents) == 2 else "general_sum"
    return Spec(
        name=reference,
        num_players=len(agents),
        observation=Array(views[0].shape if same else (max(sizes),), _dtype(views)),
        action=_action(reference, actions),
        payoff=payoff,
        turns="simultaneous" if isinstance(env, pettingzoo.ParallelEnv) else "sequential",
        perfect_information=False,
        chance=True,
        searchable=False,
        global_state_size=len(_state(env)),
        observation_sizes=() if same else sizes,
        action_sizes=tuple(int(a.n) for a in actions) if isinstance(actions[0], spaces.Discrete) else (),
    )


class _SingleEnv:
    """What both APIs share: players by index, and how a view, a mask and a state are written into the row."""

    def __init__(self, spec: Spec, env: Any, row: Row) -> None:
        self.spec, self.env, self.row = spec, env, row
        self._player = {agent: player for player, agent in enumerate(env.possible_agents)}
        self._obs = [view.reshape(-1) for view in row.obs]
        self._box = isinstance(spec.action, Box)
        self._first = [0 if self._box else int(env.action_space(agent).start) for agent in env.possible_agents]

    def _open(self) -> None:
        """Count those who are not at the table as gone."""
        for agent, player in self._player.items():
            self.row.terminated[player] = agent not in self.env.agents

    def _action(self, agent: str, actions: Sequence[Any]) -> Any:
        player = self._player[agent]
        if self._box:
            space = self.env.action_space(agent)
            return np.asarray(actions[player], space.dtype)[: int(np.prod(space.shape))].reshape(space.shape)
        return int(actions[player]) + self._first[player]

    def _see(self, agent: str, obs: Any) -> None:
        """Write what a player sees."""
        view = np.asarray(obs["observation"] if isinstance(obs, dict) else obs)
        row = self._obs[self._player[agent]]
        if isinstance(self.env.observation_space(agent), spaces.Discrete):
            row[:] = np.arange(row.size) == view
        else:
            row[: view.size] = view.reshape(-1)

    def _ask(self, agent: str, obs: Any, info: dict[str, Any]) -> None:
        """Let a player act: write its view, and its legal actions from the view or from `info`; all if neither says."""
        player = self._player[agent]
        self._see(agent, obs)
        self.row.acting[player] = True
        if not self._box:
            mask = obs.get("action_mask") if isinstance(obs, dict) else None
            mask = info.get("action_mask") if mask is None else mask
            legal = np.ones(self.spec.action_sizes[player], bool) if mask is None else np.asarray(mask, bool)
            self.row.action_mask[player, : legal.size] = legal

    def _end(self, terminations: dict[str, bool], truncations: dict[str, bool]) -> list[str]:
        """Note whose episode is over; return those for whom that is news."""
        ended = []
        for agent in terminations:
            player = self._player[agent]
            if not self._over(player) and (terminations[agent] or truncations[agent]):
                self.row.terminated[player] = terminations[agent]
                self.row.truncated[player] = truncations[agent] and not terminations[agent]
                ended.append(agent)
        return ended

    def _over(self, player: int) -> bool:
        return bool(self.row.terminated[player] or self.row.truncated[player])

    def _all_over(self) -> bool:
        return bool((self.row.terminated | self.row.truncated).all())

    def _write_state(self) -> None:
        if self.spec.global_state_size:
            self.row.global_state[:] = _state(self.env)


class ParallelRow(_SingleEnv):
    """One environment of the Parallel API: every living agent acts at every step."""

    def reset(self, seed: int) -> None:
        obs, infos = self.env.reset(seed=seed % 2**31)
        self._open()
        for agent in self.env.agents:
            self._ask(agent, obs[agent], infos.get(agent, {}))
        self._write_state()

    def step(self, actions: Sequence[Any]) -> bool:
        joint = {agent: self._action(agent, actions) for agent in self.env.agents}
        obs, rewards, terminations, truncations, infos = self.env.step(joint)
        for agent, reward in rewards.items():
            self.row.reward[self._player[agent]] = reward
        for agent in self._end(terminations, truncations):
            self._see(agent, obs[agent])
        self._write_state()
        if self._all_over():
            return True
        for agent in self.env.agents:
            self._ask(agent, obs[agent], infos.get(agent, {}))
        return False


class AecRow(_SingleEnv):
    """One environment of the AEC API: a step is one decision of one agent; dead agents' steps are taken here."""

    def reset(self, seed: int) -> None:
        self.env.reset(seed=seed % 2**31)
        self._open()
        self._ask_selected()

    def step(self, actions: Sequence[Any]) -> bool:
        env = self.env
        env.step(self._action(env.agent_selection, actions))
        for agent, reward in env.rewards.items():
            self.row.reward[self._player[agent]] = reward
        for agent in self._end(env.terminations, env.truncations):
            self._see(agent, env.observe(agent))
        self._write_state()
        if self._all_over():
            return True
        while self._over(self._player[env.agent_selection]):
            env.step(None)
        self._ask_selected()
        return False

    def _ask_selected(self) -> None:
        agent = self.env.agent_selection
        self._ask(agent, self.env.observe(agent), self.env.infos.get(agent, {}))


def _builder(name: str, arguments: dict[str, Any]) -> Callable[[], Any]:
    """Return what builds the environment of this name: Parallel where players move at the same time, else AEC."""
    family, _, module = name.rpartition(".")
    if family in FAMILIES:
        known = {_dotted(id): id for id in (*pettingzoo.parallel_registry, *pettingzoo.aec_registry)}
        if name not in known:
            raise UserError(f"expected an environment of PettingZoo's, got '{name}'{nearest(name, known)}")
        kind: Any = "parallel" if known[name] in pettingzoo.parallel_registry else "aec"
        return partial(pettingzoo.make, kind, known[name], **arguments)
    if not family:
        known_names = [_dotted(id) for id in pettingzoo.aec_registry]
        hint = nearest(name, known_names) or f"; families are {', '.join(FAMILIES)} and installed packages"
        raise UserError(f"expected family.name, such as classic.tictactoe_v3, got '{name}'{hint}")
    try:
        found = _import(name)
    except ModuleNotFoundError as error:
        if error.name in (name, f"{family}.{module}"):
            package = importlib.import_module(family)
            raise UserError(f"'{family}' has no environment '{module}'{nearest(module, _modules(package))}") from error
        raise _not_installed(f"pettingzoo:{name}", error) from error
    return partial(found.parallel_env if hasattr(found, "parallel_env") else found.env, **arguments)


def _import(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other packages' own imports
        return importlib.import_module(name)


def _modules(package: Any) -> Iterable[str]:
    import pkgutil

    return [module.name for module in pkgutil.iter_modules(package.__path__)]


def _dotted(id: str) -> str:
    """Return a registry's id as this project writes it: classic/tictactoe-v3 -> classic.tictactoe_v3."""
    return id.replace("/", ".").replace("-", "_")


def _not_installed(reference: str, error: BaseException) -> UserError:
    package = (getattr(error, "name", None) or "pettingzoo's extras").partition(".")[0]
    remedy = f"pip install 'marl[{EXTRAS[package]}]'" if package in EXTRAS else f"install '{package}'"
    return UserError(f"'{reference}' needs the package '{package}', which is not installed; {remedy}")


def _view_space(reference: str, space: Any) -> Any:
    if isinstance(space, spaces.Dict) and {"observation"} <= set(space.spaces) <= {"observation", "action_mask"}:
        space = space["observation"]
    if isinstance(space, spaces.Discrete):
        return spaces.MultiBinary(int(space.n))  # seen as a one-hot
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise UserError(f"expected views that are arrays in '{reference}', got {space}; wrap it so that they are")
    return space


def _dtype(views: Sequence[Any]) -> str:
    return "uint8" if all(view.dtype == np.uint8 for view in views) else "float32"


def _action(reference: str, actions: Sequence[Any]) -> Discrete | Box:
    if all(isinstance(space, spaces.Discrete) for space in actions):
        return Discrete(max(int(space.n) for space in actions))
    bounds = {(float(space.low.min()), float(space.high.max())) for space in actions if _is_box(space)}
    if all(_is_box(space) for space in actions) and len(bounds) == 1:
        return Box(max(int(np.prod(space.shape)) for space in actions), *bounds.pop())
    raise UserError(f"expected actions all discrete, or all one box, in '{reference}', got {actions[0]}; wrap it")


def _is_box(space: Any) -> bool:
    return isinstance(space, spaces.Box) and len(set(space.low.flat)) == 1 and len(set(space.high.flat)) == 1


def _state(env: Any) -> np.ndarray[Any, Any]:
    """Return the global state [S], empty where the environment has none."""
    try:
        return np.asarray(env.state(), np.float32).reshape(-1)
    except (NotImplementedError, AttributeError):
        return np.zeros(0, np.float32)
