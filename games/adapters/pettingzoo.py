"""PettingZoo's environments on the contract: the Parallel API for simultaneous moves, AEC for turns.

    pettingzoo:mpe2.simple_spread_v3(N=3)      a module of an installed package
    pettingzoo:classic.tictactoe_v3            a family and a name of PettingZoo's own

Agents' names, dead steps and cumulative rewards stay inside this file. Players are the indices of `possible_agents`;
where their views or actions differ in size they are padded, and the mask covers the padding. Who has left is
terminated; nobody joins an episode late.

PettingZoo does not say whose gain is whose loss. An environment says so itself in `metadata["payoff"]`; PettingZoo's
own and MPE's are zero-sum or a team where a table below or `local_ratio=0` says so; all others count as general-sum.
The conformance kit (games/check.py) finds a wrong word.
"""

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import gymnasium.spaces as spaces
import numpy as np
import pettingzoo
from pettingzoo.env_registry.exceptions import FailedToImport

from games.contract import Array, Box, Discrete, Payoff, Spec
from games.errors import UserError, nearest
from games.vector import Row, Vector

FAMILIES = sorted({id.partition("/")[0] for id in pettingzoo.aec_registry})
EXTRAS = {"classic": "marl[classic]", "mpe2": "marl[mpe]"} | {
    family: f"pettingzoo[{family}]" for family in FAMILIES if family != "classic"
}
ZERO_SUM = ("tictactoe", "connect_four", "chess", "go", "rps", "leduc_holdem", "texas_holdem", "texas_holdem_no_limit")
TEAM = ("cooperative_pong", "simple_speaker_listener")


def make(name: str, arguments: dict[str, Any], num_envs: int) -> Vector:
    """Build an environment of PettingZoo's, or of a package that follows it, by name.

    Simultaneous moves are played through the Parallel API, turns through AEC.
    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    build = _builder(name, arguments)
    reference = f"pettingzoo:{name}" + (f"({written})" if written else "")
    try:
        made = build()
    except FailedToImport as error:
        raise _not_installed(reference, error.__cause__ or error) from error
    except ImportError as error:
        raise _not_installed(reference, error) from error
    except Exception as error:  # an environment may raise anything
        raise UserError(f"'{reference}' could not be built: {' '.join(str(error).split())}") from error
    return vectorize(reference, made, build, num_envs)


def vectorize(reference: str, made: Any, build: Callable[[], Any], num_envs: int) -> Vector:
    """Return `num_envs` copies of an environment as one VecEnv; `build` makes the copies, `made` is the first.

    Raises UserError where `made` is no environment, or has views or actions that have no place in the contract.
    """
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
    action = _action(reference, actions)
    same = len({view.shape for view in views}) == 1
    sizes = tuple(int(np.prod(view.shape)) for view in views)
    widths = tuple(int(space.n if isinstance(space, spaces.Discrete) else np.prod(space.shape)) for space in actions)
    env.reset(seed=0)
    return Spec(
        name=reference,
        num_players=len(agents),
        observation=Array(views[0].shape if same else (max(sizes),), _dtype(views)),
        action=action,
        payoff=_payoff(reference, env),
        turns="simultaneous" if isinstance(env, pettingzoo.ParallelEnv) else "sequential",
        perfect_information=False,
        chance=True,
        searchable=False,
        global_state_size=len(_state(env)),
        observation_sizes=() if same else sizes,
        action_sizes=() if len(set(widths)) == 1 else widths,
    )


class _SingleEnv:
    """What both APIs share: players by index, and how a view, a mask and a state are written into the row."""

    def __init__(self, spec: Spec, env: Any, row: Row) -> None:
        self.spec, self.env, self.row = spec, env, row
        self._player = {agent: player for player, agent in enumerate(env.possible_agents)}
        self._obs = [view.reshape(-1) for view in row.obs]
        self._views = [env.observation_space(agent) for agent in env.possible_agents]
        self._actions = [env.action_space(agent) for agent in env.possible_agents]
        self._box = isinstance(spec.action, Box)

    def _open(self) -> None:
        """Count those who are not at the table as gone."""
        for agent, player in self._player.items():
            self.row.terminated[player] = agent not in self.env.agents

    def _living(self) -> list[str]:
        """Return the agents at the table whose episode goes on."""
        return [agent for agent in self.env.agents if not self._over(self._player[agent])]

    def _action(self, agent: str, actions: Sequence[Any]) -> Any:
        player = self._player[agent]
        space = self._actions[player]
        if self._box:
            return np.asarray(actions[player], space.dtype)[: int(np.prod(space.shape))].reshape(space.shape)
        return int(actions[player] + space.start)

    def _see(self, agent: str, obs: Any) -> None:
        """Write what a player sees."""
        player = self._player[agent]
        view = np.asarray(obs["observation"] if isinstance(obs, dict) else obs)
        row, space = self._obs[player], self._views[player]
        if isinstance(space, spaces.Discrete):
            row[:] = np.arange(row.size) == view - space.start
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
            legal = np.ones(int(self._actions[player].n), bool) if mask is None else np.asarray(mask, bool)
            self.row.action_mask[player, : legal.size] = legal

    def _end(self, terminations: dict[str, bool], truncations: dict[str, bool]) -> list[str]:
        """Note whose episode is over, and who left without a word; return those for whom that is news."""
        ended = [agent for agent, player in self._player.items() if not self._over(player)]
        ended = [a for a in ended if terminations.get(a) or truncations.get(a) or a not in self.env.agents]
        for agent in ended:
            player = self._player[agent]
            self.row.truncated[player] = truncations.get(agent, False) and not terminations.get(agent, False)
            self.row.terminated[player] = not self.row.truncated[player]
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
        for agent in self._living():
            self._ask(agent, obs[agent], infos.get(agent, {}))
        self._write_state()

    def step(self, actions: Sequence[Any]) -> bool:
        joint = {agent: self._action(agent, actions) for agent in self._living()}
        obs, rewards, terminations, truncations, infos = self.env.step(joint)
        for agent, reward in rewards.items():
            self.row.reward[self._player[agent]] = reward
        for agent in self._end(terminations, truncations):
            if agent in obs:
                self._see(agent, obs[agent])
        self._write_state()
        if self._all_over():
            return True
        for agent in self._living():
            self._ask(agent, obs[agent], infos.get(agent, {}))
        return False


class AecRow(_SingleEnv):
    """One environment of the AEC API: a step is one decision of one agent; dead agents' steps are taken here."""

    def reset(self, seed: int) -> None:
        self.env.reset(seed=seed % 2**31)
        self._open()
        self._ask_selected()
        self._write_state()

    def step(self, actions: Sequence[Any]) -> bool:
        env = self.env
        env.step(self._action(env.agent_selection, actions))
        for agent, reward in env.rewards.items():
            self.row.reward[self._player[agent]] = reward
        for agent in self._end(env.terminations, env.truncations):
            if agent in env.agents:
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
        package = _import(family)
        modules = [inside.name for inside in pkgutil.iter_modules(getattr(package, "__path__", []))]
        found = _import(name) if module in modules else None
    except ModuleNotFoundError as error:
        raise _not_installed(f"pettingzoo:{name}", error) from error
    for api in ("parallel_env", "env"):
        if hasattr(found, api):
            return partial(getattr(found, api), **arguments)
    known_here = [known for known in modules if "_v" in known]
    raise UserError(f"'{family}' has no environment '{module}'{nearest(module, known_here)}")


def _import(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other packages' own imports
        return importlib.import_module(name)


def _dotted(id: str) -> str:
    """Return a registry's id as this project writes it: classic/tictactoe-v3 -> classic.tictactoe_v3."""
    return id.replace("/", ".").replace("-", "_")


def _not_installed(reference: str, error: BaseException) -> UserError:
    family = reference.partition(":")[2].partition(".")[0]
    package = (getattr(error, "name", None) or "").partition(".")[0]
    remedy = f"; pip install '{EXTRAS[family]}'" if family in EXTRAS else nearest(package, EXTRAS)
    if not package or package in ("pettingzoo", "shimmy"):  # they hide which of their own packages is missing
        return UserError(f"'{reference}' needs a package that is not installed{remedy}")
    return UserError(f"'{reference}' needs the package '{package}', which is not installed{remedy}")


def _payoff(reference: str, env: Any) -> Payoff:
    """Return what an environment says of itself in `metadata["payoff"]`, else what is known of it, else general-sum."""
    own = env.unwrapped
    metadata = getattr(own, "metadata", {})
    payoff: Payoff = metadata.get("payoff", "general_sum")
    if payoff not in get_args(Payoff):
        raise UserError(f"expected metadata['payoff'] to be one of {get_args(Payoff)} in '{reference}', got '{payoff}'")
    if "payoff" in metadata or type(own).__module__.partition(".")[0] not in ("pettingzoo", "mpe2"):
        return payoff
    name = metadata.get("name", "").rpartition("_v")[0]
    if name in ZERO_SUM and len(env.possible_agents) == 2:
        return "zero_sum"
    own_share = getattr(own, "local_ratio", getattr(getattr(own, "env", None), "local_ratio", None))
    return "team" if name in TEAM or own_share == 0 else payoff


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
    except (NotImplementedError, AttributeError, TypeError):  # some keep another thing under this name
        return np.zeros(0, np.float32)
