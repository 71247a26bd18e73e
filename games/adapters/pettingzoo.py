"""PettingZoo's environments on the contract: the Parallel API for simultaneous moves, AEC for turns.

    pettingzoo:mpe2.simple_spread_v3(N=3)      a module of an installed package
    pettingzoo:classic.tictactoe_v3            a family and a name of PettingZoo's own
    pettingzoo:butterfly.pistonball_v6 | color_reduction_v0(mode=B) | resize_v1(x_size=84, y_size=84)

SuperSuit's wrappers behind a name are applied to each environment from left to right. Masks live through them; one that
would lose them is refused.

Agents' names, dead steps and cumulative rewards stay inside this file. Players are the indices of `possible_agents`;
spaces are read by games/adapters/spaces.py. Who has left is terminated, and paid no more; nobody joins an episode late.

PettingZoo does not say whose gain is whose loss. An environment says so itself in `metadata["payoff"]`; PettingZoo's
own and MPE's are zero-sum or a team where a table below or `local_ratio=0` says so; all others count as general-sum.
The conformance kit (games/check.py) finds a wrong word. Nor does it say what is hidden and what is chance: where no
table below knows better, both are taken to be there.
"""

import importlib
import importlib.util
import pkgutil
import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import pettingzoo
from pettingzoo.env_registry.exceptions import FailedToImport
from pettingzoo.utils.wrappers import BaseParallelWrapper, BaseWrapper

from games.adapters.spaces import Seats, bare, described, plain, said
from games.contract import Payoff, Spec
from games.errors import UserError, nearest
from games.registry import Reference, bound
from games.vector import Row, Vector

FAMILIES = sorted({id.partition("/")[0] for id in pettingzoo.aec_registry})
EXTRAS = {"mpe2": "marl[mpe]", "atari": "pettingzoo[atari]"} | {
    family: f"marl[{family}]" for family in ("butterfly", "classic", "sisl")
}
PACKAGES = (*FAMILIES, "mpe2")  # which a file may name; a user may name any
ZERO_SUM = ("tictactoe", "connect_four", "chess", "go", "rps", "leduc_holdem", "texas_holdem", "texas_holdem_no_limit")
PERFECT = ("tictactoe", "connect_four", "chess", "go")  # nothing is hidden, and there is no chance
TEAM = ("cooperative_pong", "hanabi", "pistonball", "simple_speaker_listener")
BATCHED_HERE = (  # SuperSuit's own ways to step many environments
    *("concat_vec_envs_v1", "gym_vec_env_v0", "pettingzoo_env_to_vec_env_v1"),
    *("stable_baselines3_vec_env_v0", "stable_baselines_vec_env_v0", "vectorize_aec_env_v0"),
)
NEED_FUNCTIONS = ("action_lambda_v1", "observation_lambda_v0", "reward_lambda_v0")


def make(name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> Vector:
    """Build an environment of PettingZoo's, or of a package that follows it, by name.

    Simultaneous moves are played through the Parallel API, turns through AEC.
    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    build = _builder(name, arguments)
    reference = str(Reference("pettingzoo", name, tuple(arguments.items())))
    try:
        made = build()
        if "render_mode" not in arguments and (mode := _render_mode(made)):
            build = partial(build, render_mode=mode)
            made = build()
    except FailedToImport as error:
        raise _not_installed(reference, error.__cause__ or error) from error
    except ImportError as error:
        raise _not_installed(reference, error) from error
    except Exception as error:  # an environment may raise anything
        raise UserError(f"'{reference}' could not be built: {said(error)}") from error
    return vectorize(reference, made, build, num_envs, wrappers)


def vectorize(
    reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
) -> Vector:
    """Return `num_envs` copies of an environment as one VecEnv; `build` makes the copies, `made` is the first.

    Raises UserError where `made` is no environment, has views or actions that have no place in the contract, or cannot
    be wrapped in this way.
    """
    if isinstance(made, pettingzoo.ParallelEnv):
        adapter: Any = ParallelRow
    elif isinstance(made, pettingzoo.AECEnv):
        adapter = AecRow
    else:
        kinds = "a Game, a VecEnv, or a PettingZoo AECEnv or ParallelEnv"
        raise UserError(f"expected {kinds} from '{reference}', got {type(made).__name__}")
    spec = _spec(" | ".join([reference, *map(str, wrappers)]), made, _wrapped(made, wrappers))
    copies = iter([made])
    return Vector(spec, lambda row: adapter(spec, _wrapped(next(copies, None) or build(), wrappers), row), num_envs)


def names() -> list[str]:
    """Return the names of PettingZoo's own environments, and of MPE's where they are installed."""
    own = [_dotted(id) for id in (*pettingzoo.parallel_registry, *pettingzoo.aec_registry)]
    path = getattr(_import("mpe2"), "__path__", []) if importlib.util.find_spec("mpe2") else []
    return sorted({*own, *(f"mpe2.{inside.name}" for inside in pkgutil.iter_modules(path) if "_v" in inside.name)})


def is_own(name: str) -> bool:
    """Say whether `family.name` is of PettingZoo's own families, or MPE's."""
    return name.rpartition(".")[0] in PACKAGES


def _spec(reference: str, made: Any, env: Any) -> Spec:
    """Describe the environment that `made` became in its wrappers; raises UserError where it cannot be opened."""
    try:
        views, actions = _spaces(env)
        env.reset(seed=0)
        state = _state(env)
        told = env is made or not _tells(made) or _tells(env)
    except Exception as error:  # an environment may raise anything
        raise UserError(f"'{reference}' could not be opened: {said(error)}") from error
    if not views:
        raise UserError(f"expected one or more names in `possible_agents` of '{reference}', got none")
    if not told:
        raise UserError(f"'{reference}' has lost its legal actions; leave out the wrapper that loses them")
    perfect = _own_name(made) in PERFECT
    return Spec(
        name=reference,
        **described(reference, views, actions),
        payoff=_payoff(reference, made),
        turns="simultaneous" if isinstance(env, pettingzoo.ParallelEnv) else "sequential",
        perfect_information=perfect,
        chance=not perfect,
        searchable=False,
        global_state_size=len(state),
    )


class _SingleEnv:
    """What both APIs share: players by index, and who is at the table.

    Raises ValueError where an environment does what the contract cannot follow.
    """

    def __init__(self, spec: Spec, env: Any, row: Row) -> None:
        self.spec, self.env, self.row = spec, env, row
        self._player = {agent: player for player, agent in enumerate(env.possible_agents)}
        self._seats = Seats(spec, *_spaces(env), row)

    def render(self) -> str:
        return str(self.env.render()) if getattr(self.env, "render_mode", None) == "ansi" else ""

    def action_name(self, player: int, action: int) -> str:
        return str(action)

    def _open(self) -> None:
        """Count those who are not at the table as gone."""
        self._table = set(self.env.agents)
        if not self._table:
            raise ValueError("nobody is at the table when the episode opens")
        for agent, player in self._player.items():
            self.row.terminated[player] = agent not in self._table

    def _living(self) -> list[str]:
        """Return the agents at the table whose episode goes on."""
        return [agent for agent in self.env.agents if not self._over(agent)]

    def _ask(self, agent: str, obs: Any, info: dict[str, Any]) -> None:
        """Let an agent act: its legal actions stand in its view, or in `info`; all where neither says."""
        self._seats.ask(self._seat(agent), obs, info.get("action_mask"))

    def _see(self, agent: str, obs: Any) -> None:
        self._seats.see(self._seat(agent), obs)

    def _end(self, terminations: dict[str, bool], truncations: dict[str, bool]) -> list[str]:
        """Note whose episode is over, and who left without a word; return those for whom that is news."""
        before, self._table = self._table, set(self.env.agents)
        if late := self._table - before:
            raise ValueError(f"agent '{late.pop()}' came to the table after the episode had opened")
        ended = [agent for agent in self._player if not self._over(agent)]
        ended = [a for a in ended if terminations.get(a) or truncations.get(a) or a not in self._table]
        for agent in ended:
            truncated = truncations.get(agent, False) and not terminations.get(agent, False)
            self._seats.end(self._seat(agent), not truncated, truncated)
        return ended

    def _seat(self, agent: str) -> int:
        if agent not in self._player:
            raise ValueError(f"agent '{agent}' is not one of possible_agents")
        return self._player[agent]

    def _over(self, agent: str) -> bool:
        return self._seats.over(self._seat(agent))

    def _pay(self, rewards: dict[str, float]) -> None:
        for agent, reward in rewards.items():
            if not self._over(agent):
                self.row.reward[self._seat(agent)] = reward

    def _write_state(self) -> None:
        if self.spec.global_state_size:
            state = _state(self.env)
            if len(state) == self.spec.global_state_size:
                self.row.global_state[:] = state
            elif not self.row.terminated.all():  # a state is not read after everybody's end, and some have none
                raise ValueError(f"the state has {len(state)} numbers, it had {self.spec.global_state_size}")


class ParallelRow(_SingleEnv):
    """One environment of the Parallel API: every living agent acts at every step."""

    def reset(self, seed: int) -> None:
        _forget(self.env)
        obs, infos = self.env.reset(seed=seed % 2**31)
        self._open()
        self._ask_living(obs, infos)
        self._write_state()

    def step(self, actions: Sequence[Any]) -> bool:
        joint = {agent: self._seats.action(self._player[agent], actions) for agent in self._living()}
        obs, rewards, terminations, truncations, infos = self.env.step(joint)
        self._pay(rewards)
        for agent in self._end(terminations, truncations):
            if agent in obs or self.row.truncated[self._seat(agent)]:  # what was cut is bootstrapped from its view
                self._see(agent, _of(agent, obs))
        self._write_state()
        if self._seats.all_over():
            return True
        self._ask_living(obs, infos)
        return False

    def _ask_living(self, obs: dict[str, Any], infos: dict[str, Any]) -> None:
        for agent in self._living():
            self._ask(agent, _of(agent, obs), infos.get(agent, {}))


class AecRow(_SingleEnv):
    """One environment of the AEC API: a step is one decision of one agent; dead agents' steps are taken here.

    An agent sees its last view when its turn to leave comes, as in PettingZoo's own loop over agents.
    """

    def reset(self, seed: int) -> None:
        _forget(self.env)
        self.env.reset(seed=seed % 2**31)
        self._open()
        self._ask_selected()
        self._write_state()

    def step(self, actions: Sequence[Any]) -> bool:
        env = self.env
        env.step(self._seats.action(self._player[env.agent_selection], actions))
        self._pay(env.rewards)
        self._end(env.terminations, env.truncations)
        self._write_state()
        while env.agents and self._over(agent := env.agent_selection):
            self._see(agent, env.observe(agent))
            env.step(None)
            self._end(env.terminations, env.truncations)
            if agent in env.agents:
                raise ValueError(f"agent '{agent}' stays at the table after its end")
        if self._seats.all_over():
            return True
        self._ask_selected()
        return False

    def _ask_selected(self) -> None:
        agent = self.env.agent_selection
        self._ask(agent, self.env.observe(agent), self.env.infos.get(agent, {}))


class _MaskInInfo(BaseParallelWrapper):  # type: ignore[type-arg]
    """What SuperSuit's wrappers stand on: plain views, and the mask in an agent's info, where they leave it alone."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.render_mode = getattr(env, "render_mode", None)  # PettingZoo's converters ask for it

    def observation_space(self, agent: str) -> Any:
        return plain(self.env.observation_space(agent))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        obs, infos = self.env.reset(seed=seed, options=options)
        return self._split(obs, infos)

    def step(self, actions: Any) -> Any:
        obs, rewards, terminations, truncations, infos = self.env.step(actions)
        obs, infos = self._split(obs, infos)
        return obs, rewards, terminations, truncations, infos

    def _split(self, obs: dict[str, Any], infos: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        infos = {agent: infos.get(agent, {}) | _mask(view) for agent, view in obs.items()}
        return {agent: bare(view) for agent, view in obs.items()}, infos


class _AecMaskInInfo(BaseWrapper):  # type: ignore[type-arg]
    """The same for AEC, where an agent's mask is fresh when it is on turn."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.render_mode = getattr(env, "render_mode", None)

    def observation_space(self, agent: str) -> Any:
        return plain(self.env.observation_space(agent))

    def observe(self, agent: str) -> Any:
        return bare(self.env.observe(agent))

    @property
    def infos(self) -> dict[str, Any]:
        infos, agent = self.env.infos, self.env.agent_selection
        return infos | {agent: infos.get(agent, {}) | _mask(self.env.observe(agent))} if self.env.agents else infos


def _wrapped(env: Any, wrappers: Sequence[Reference]) -> Any:
    """Return an environment in SuperSuit's wrappers; raises UserError for those that are unknown or have no place."""
    if not wrappers:
        return env
    import supersuit

    known = [name for name in vars(supersuit) if re.search(r"_v\d+$", name)]
    env = _MaskInInfo(env) if isinstance(env, pettingzoo.ParallelEnv) else _AecMaskInInfo(env)
    for wrapper in wrappers:
        if wrapper.name not in known:
            raise UserError(f"expected a wrapper of SuperSuit's, got '{wrapper.name}'{nearest(wrapper.name, known)}")
        if wrapper.name in BATCHED_HERE:
            raise UserError(f"environments are batched here by `num_envs`; leave '{wrapper.name}' out")
        if wrapper.name in NEED_FUNCTIONS:
            raise UserError(
                f"'{wrapper.name}' needs functions, which a reference cannot write; wrap in a class of your own"
            )
        wrap = bound(partial(getattr(supersuit, wrapper.name), env), wrapper)
        try:
            env = wrap()
        except Exception as error:  # assertions, mostly, and IndexErrors of spaces that have too few axes
            view = env.observation_space(env.possible_agents[0])
            views = f"views of {view.dtype} {view.shape}"
            raise UserError(f"SuperSuit's '{wrapper}' does not fit {views}: {said(error)}") from error
    return env


def _spaces(env: Any) -> tuple[list[Any], list[Any]]:
    """Return the views' and the actions' spaces, each [N]."""
    agents = env.possible_agents
    return [env.observation_space(agent) for agent in agents], [env.action_space(agent) for agent in agents]


def _tells(env: Any) -> bool:
    """Say whether an open environment of turns tells legal actions; one of simultaneous moves loses none."""
    if isinstance(env, pettingzoo.ParallelEnv):
        return True
    agent = env.agent_selection
    return "action_mask" in env.infos.get(agent, {}) | _mask(env.observe(agent))


def _of(agent: str, obs: dict[str, Any]) -> Any:
    if agent not in obs:
        raise ValueError(f"no view came for agent '{agent}'")
    return obs[agent]


def _mask(obs: Any) -> dict[str, Any]:
    return {"action_mask": obs["action_mask"]} if isinstance(obs, dict) and "action_mask" in obs else {}


def _builder(name: str, arguments: dict[str, Any]) -> Callable[..., Any]:
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


def _render_mode(env: Any) -> str:
    """Return "ansi", to show positions as text; "rgb_array" for pictures, which some draw only then; or nothing."""
    modes, views = env.metadata.get("render_modes", ()), _spaces(env)[0]
    pictures = all(plain(view).dtype == np.uint8 and len(plain(view).shape) == 3 for view in views)
    return "ansi" if "ansi" in modes else "rgb_array" if "rgb_array" in modes and pictures else ""


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
    name = _own_name(env)
    if "payoff" in metadata or not name:
        return payoff
    if name in ZERO_SUM and len(env.possible_agents) == 2:
        return "zero_sum"
    own_share = getattr(own, "local_ratio", getattr(getattr(own, "env", None), "local_ratio", None))
    return "team" if name in TEAM or own_share == 0 else payoff


def _own_name(env: Any) -> str:
    """Return the name of an environment of PettingZoo's own or MPE's, without its version; empty for all others."""
    own = env.unwrapped
    name: str = getattr(own, "metadata", {}).get("name", "")
    return name.rpartition("_v")[0] if type(own).__module__.partition(".")[0] in ("pettingzoo", "mpe2") else ""


def _forget(env: Any) -> None:
    """Clear what knights_archers_zombies keeps of the episode before: how soon a zombie comes, and who is dying."""
    if _own_name(env) == "knights_archers_zombies":
        env.unwrapped.zombie_spawn_interval.reset()
        env.unwrapped.kill_list.clear()


def _state(env: Any) -> np.ndarray[Any, Any]:
    """Return the global state [S], empty where the environment has none, or a picture: millions of numbers a step."""
    try:
        state = np.asarray(env.state())
        picture = state.dtype == np.uint8 and state.ndim == 3
        return np.zeros(0, np.float32) if picture else state.astype(np.float32).reshape(-1)
    except (NotImplementedError, AttributeError, TypeError, ValueError):  # some keep another thing under this name
        return np.zeros(0, np.float32)
