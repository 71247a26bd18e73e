"""PettingZoo's environments on the contract: the Parallel API for simultaneous moves, AEC for turns.

    pettingzoo:mpe2.simple_spread_v3(N=3)      a module of an installed package
    pettingzoo:classic.tictactoe_v3            a family and a name of PettingZoo's own
    pettingzoo:butterfly.pistonball_v6 | color_reduction_v0(mode=B) | resize_v1(x_size=84, y_size=84)

SuperSuit's wrappers, and those of games/adapters/reshaping.py, are applied to each environment from left to right.
Masks of legal actions are kept; a wrapper that would lose them is refused.

Agents' names, dead steps and cumulative rewards stay inside this file. Players are the indices of `possible_agents`;
spaces are read and checked by games/adapters/spaces.py. An agent

    waits       is listed in `agents` with an empty mask; the adapter sends its first action
    is absent   is not listed in `agents` yet, or for a while, without a termination
    is over     is terminated or truncated, and no longer listed; its return is complete, except in a team (see `Seats`)
    comes back  is listed again after its end: a new life, with decisions of its own

An agent that is terminated and still listed is refused, as in PettingZoo's own tests. An agent is paid what it gets in
PettingZoo's own loop: in the Parallel API the rewards given for it, in AEC what `last()` returns. `own_returns` plays
that loop, and `marl games check` compares the returns.

PettingZoo does not declare payoffs. An environment may declare its own in `metadata["payoff"]`; PettingZoo's own and
MPE's are zero-sum or a team where a table below or `local_ratio=0` says so; all others count as general-sum. Teams
are not declared either: `metadata["teams"]` may list the agents of each, and those of MPE and MAgent2 are known. The
conformance kit (games/check.py) finds wrong payoffs. Hidden information and chance are assumed, except for the games
of a table below.
"""

import importlib
import importlib.util
import pkgutil
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import pettingzoo
from pettingzoo.env_registry.exceptions import FailedToImport
from pettingzoo.utils.wrappers import BaseParallelWrapper, BaseWrapper

from games import working_folder
from games.adapters.frames import frame
from games.adapters.opposed import opposed
from games.adapters.reshaping import Reshaping, reshaping
from games.adapters.spaces import MOST_IDLE, Seats, one_line, plain_space, plain_view, spec_fields
from games.contract import Payoff, Spec, Teams
from games.drawing.svg import Drawing
from games.errors import UserError, nearest
from games.references import Reference, bound
from games.vector import Row, Vector
from games.wrappers import ON_SPACES

FAMILIES = sorted({id.partition("/")[0] for id in pettingzoo.aec_registry})
EXTRAS = {"mpe2": "marl[mpe]", "magent2": "marl[magent]", "atari": "pettingzoo[atari]"} | {
    family: f"marl[{family}]" for family in ("butterfly", "classic", "sisl")
}
PACKAGES = (
    *FAMILIES,
    "mpe2",
    "magent2.environments",
)  # a reference read from a file may name these; a user may name any
OWN = ("pettingzoo", "mpe2", "magent2")  # packages whose environments the tables below name
ZERO_SUM = ("tictactoe", "connect_four", "chess", "go", "rps", "leduc_holdem", "texas_holdem", "texas_holdem_no_limit")
PERFECT = ("tictactoe", "connect_four", "chess", "go")  # nothing is hidden, and there is no chance
TEAM = ("cooperative_pong", "hanabi", "pistonball", "simple_speaker_listener")
DRAWN_IF_BUILT_SO = ("tictactoe",)  # they draw only in the mode of rendering that they were built with
BATCHED_HERE = (  # SuperSuit's own ways to step many environments
    *("concat_vec_envs_v1", "gym_vec_env_v0", "pettingzoo_env_to_vec_env_v1"),
    *("stable_baselines3_vec_env_v0", "stable_baselines_vec_env_v0", "vectorize_aec_env_v0"),
)
NEED_FUNCTIONS = ("action_lambda_v1", "observation_lambda_v0", "reward_lambda_v0")


def make(name: str, arguments: dict[str, Any], num_envs: int, wrappers: Sequence[Reference] = ()) -> Vector:
    """Build an environment of PettingZoo's, or of a package with its API, by name.

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
        raise UserError(f"'{reference}' could not be built: {one_line(error)}") from error
    return vectorize(reference, made, build, num_envs, wrappers)


def vectorize(
    reference: str, made: Any, build: Callable[[], Any], num_envs: int, wrappers: Sequence[Reference] = ()
) -> Vector:
    """Return `num_envs` copies of an environment as one VecEnv; `build` makes the copies, `made` is the first.

    Raises UserError where `made` is not an environment, the contract does not support its spaces, or a wrapper does not
    fit.
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
    """Return whether `family.name` is of one of PettingZoo's own families, MPE's or MAgent2's."""
    return name.rpartition(".")[0] in PACKAGES


def _spec(reference: str, made: Any, env: Any) -> Spec:
    """Describe `env`, which is `made` in its wrappers; raises UserError where it cannot be opened."""
    try:
        views, actions = _spaces(env)
        env.reset(seed=0)
        state = _state(env)
        keeps_masks = env is made or not _has_mask(made) or _has_mask(env)
    except Exception as error:  # an environment may raise anything
        raise UserError(f"'{reference}' could not be opened: {one_line(error)}") from error
    if not views:
        raise UserError(f"expected one or more names in `possible_agents` of '{reference}', got none")
    if not keeps_masks:
        raise UserError(f"'{reference}' has lost its legal actions; leave out the wrapper that loses them")
    perfect, payoff = _own_name(made) in PERFECT, _payoff(reference, made)
    return Spec(
        name=reference,
        **spec_fields(reference, views, actions),
        payoff=payoff,
        teams=() if payoff == "team" else _teams(reference, made),
        turns="simultaneous" if isinstance(env, pettingzoo.ParallelEnv) else "sequential",
        perfect_information=perfect,
        chance=not perfect,
        searchable=False,
        global_state_size=len(state),
    )


class _SingleEnv:
    """What both APIs share: players by index, and who is listed in `agents`.

    Raises ValueError where an environment does what the contract does not allow.
    """

    def __init__(self, spec: Spec, env: Any, row: Row) -> None:
        self.spec, self.env, self.row = spec, env, row
        self._player = {agent: player for player, agent in enumerate(env.possible_agents)}
        self.seats = Seats(spec, *_spaces(env), row)

    def render(self) -> str:
        return str(self.env.render()) if getattr(self.env, "render_mode", None) == "ansi" else ""

    def picture(self, player: int | None) -> Drawing | None:
        """Return what the environment draws, which shows everything."""
        return frame(self.env, self.spec.name) if player is None or self.spec.perfect_information else None

    def action_name(self, player: int, action: int) -> str:
        return str(action)

    def _open(self) -> None:
        """Open the seats; players who are not listed are absent."""
        self.seats.open()
        if not self.env.agents:
            raise ValueError("`agents` is empty when the episode opens")
        for agent, player in self._player.items():
            if agent not in self.env.agents:
                self.seats.wait(player)
                self.seats.blind(player)

    def _come(self, agents: Sequence[str]) -> None:
        """Let those of the listed agents act again who were absent or over."""
        if self.seats.all_here():
            return
        for agent in agents:
            player = self._seat(agent)
            if self.seats.gone(player):
                self.seats.come(player)

    def _see(self, agent: str, obs: Any) -> None:
        self.seats.see(self._seat(agent), obs)

    def _seat(self, agent: str) -> int:
        if agent not in self._player:
            raise ValueError(f"agent '{agent}' is not one of possible_agents")
        return self._player[agent]

    def _pay(self, rewards: Mapping[str, Any]) -> None:
        self.seats.pay({self._seat(agent): reward for agent, reward in rewards.items()})

    def _of_players(self, returns: Mapping[str, float], last: Sequence[str]) -> dict[int, float]:
        """Return the players' returns, by index; in a team only of the agents in `last`, who stayed to the end."""
        team = self.spec.payoff == "team"
        return {self._player[agent]: paid for agent, paid in returns.items() if agent in last or not team}

    def _waits(self, agent: str, obs: Any, info: dict[str, Any] | None) -> bool:
        """Return whether an agent has no legal action."""
        legal = self.seats.legal
        return bool(self.spec.num_actions) and not legal(self._seat(agent), obs, _info_mask(info)).any()

    def _write_state(self, over: bool) -> None:
        """Write the global state; a wrong size is accepted at the episode's end, where some environments have none."""
        if self.spec.global_state_size:
            state = _state(self.env)
            if len(state) == self.spec.global_state_size:
                self.row.global_state[:] = state
            elif not over:
                raise ValueError(f"the state has {len(state)} numbers, it had {self.spec.global_state_size}")


class ParallelRow(_SingleEnv):
    """One environment of the Parallel API: every listed agent acts at every step, or waits."""

    def reset(self, seed: int) -> None:
        _forget(self.env)
        obs, infos = self.env.reset(seed=seed % 2**31)
        self._open()
        if not self._ask_all(obs, infos) and not self._idle():
            raise ValueError("the episode is over before anyone acts")
        self.seats.owe()
        self._write_state(over=False)

    def step(self, actions: Sequence[Any]) -> bool:
        obs, infos, over = self._move(actions)
        return over or (not self._ask_all(obs, infos) and not self._idle())

    def _idle(self) -> bool:
        """Step until some agent can act; return False if the episode ends first."""
        for _ in range(MOST_IDLE):
            obs, infos, over = self._move(())
            if over:
                return False
            if self._ask_all(obs, infos):
                return True
        raise ValueError(f"nobody has had a legal action for {MOST_IDLE} steps")

    def _move(self, actions: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any], bool]:
        """Step once; return views, infos, and whether the episode is over."""
        joint = {agent: self.seats.action(self._player[agent], actions) for agent in self.env.agents}
        self.seats.next()
        obs, rewards, terminations, truncations, infos = self.env.step(joint)
        self._come(self.env.agents)
        self._pay(rewards)
        going = self._leave(joint, obs, terminations, truncations)
        if not going:
            self.seats.close()
        self._write_state(over=not going)
        return obs, infos, not going

    def _leave(
        self,
        before: Mapping[str, Any],
        obs: dict[str, Any],
        terminations: dict[str, bool],
        truncations: dict[str, bool],
    ) -> bool:
        """Record which agents ended or left, of those listed `before` the step; return whether any agent goes on."""
        listed = set(self.env.agents)
        ended = [agent for agent in self._player if terminations.get(agent) or truncations.get(agent)]
        ended = [agent for agent in ended if agent in before or agent in listed]
        for agent in ended:
            self.seats.leave(self._player[agent], bool(terminations.get(agent)), bool(truncations.get(agent)))
            if agent in obs or truncations.get(agent):  # a truncated agent's view is needed for the bootstrap
                self._see(agent, _of(agent, obs))
        going = listed.difference(ended)
        if going and (stays := next((agent for agent in ended if agent in listed), None)):
            raise ValueError(f"agent '{stays}' stays in `agents` after its end")
        for agent in before:
            if agent not in listed and agent not in ended:
                self.seats.wait(self._player[agent])
        return bool(going)

    def _ask_all(self, obs: dict[str, Any], infos: dict[str, Any]) -> bool:
        """Ask every listed agent to act; return whether any of them can."""
        ask = self.seats.ask
        return any([ask(self._seat(agent), _of(agent, obs), _info_mask(infos.get(agent))) for agent in self.env.agents])

    def own_returns(self, seed: int, moves: Sequence[Any]) -> dict[int, float]:
        """Play joint actions [T, N] through PettingZoo's own loop; return the sums of its rewards, by player.

        In a team only the players who stay to the end are included: the loop may leave out rewards of the others.
        """
        env, following = self.env, iter(moves)
        _forget(env)
        obs, infos = env.reset(seed=seed % 2**31)
        returns = dict.fromkeys(env.possible_agents, 0.0)
        last = list(env.agents)
        while env.agents:
            last = list(env.agents)
            waits = {agent: self._waits(agent, obs[agent], infos.get(agent)) for agent in last}
            actions = () if all(waits.values()) else next(following)
            joint = {a: self.seats.choice(self._player[a], actions, idle=waits[a]) for a in last}
            obs, rewards, terminations, truncations, infos = env.step(joint)
            for agent, reward in rewards.items():
                returns[agent] += float(reward)
            if all(terminations.get(agent) or truncations.get(agent) for agent in env.agents):
                break
        return self._of_players(returns, last)


class _AecAttributes:
    """The attributes of an open AEC environment, each read from the wrapper, or environment, that has it.

    Looking an attribute up through all wrappers costs as much as the rules, so its holder is found once per episode.
    """

    def __init__(self, env: Any) -> None:
        self._agents = _holder(env, "agents")
        self._turn = _holder(env, "agent_selection")
        self._terminations = _holder(env, "terminations")
        self._truncations = _holder(env, "truncations")
        self._infos = _holder(env, "infos")
        self._paid = _holder(env, "_cumulative_rewards")

    @property
    def agents(self) -> list[str]:
        agents: list[str] = self._agents.agents
        return agents

    @property
    def on_turn(self) -> str:
        agent: str = self._turn.agent_selection
        return agent

    @property
    def info(self) -> dict[str, Any] | None:
        info: dict[str, Any] | None = self._infos.infos.get(self.on_turn)
        return info

    @property
    def paid(self) -> dict[str, Any]:
        """What `last()` will return as each agent's reward at its next turn."""
        paid: dict[str, Any] = self._paid._cumulative_rewards
        return paid

    def ends(self, agent: str) -> tuple[bool, bool]:
        """Return whether an agent is terminated, and whether it is truncated."""
        return bool(self._terminations.terminations.get(agent)), bool(self._truncations.truncations.get(agent))


def _holder(env: Any, name: str) -> Any:
    """Return the outermost wrapper, or else the environment, that has an attribute itself."""
    while isinstance(env, BaseWrapper) and name not in vars(env) and not hasattr(type(env), name):
        env = env.env
    return env


class AecRow(_SingleEnv):
    """One environment of the AEC API: a step is one decision of one agent; dead agents' steps are taken here.

    An agent sees its last view, and is over, at its dead step, as in PettingZoo's own loop over agents: until then it
    may be paid. At each step it is paid the increase of what `last()` will return at its next turn.
    """

    def reset(self, seed: int) -> None:
        _forget(self.env)
        self.env.reset(seed=seed % 2**31)
        self._aec = _AecAttributes(self.env)
        self._open()
        if not self._settle():
            raise ValueError("the episode is over before anyone acts")
        self.seats.owe()
        self._write_state(over=False)

    def step(self, actions: Sequence[Any]) -> bool:
        self._move(actions)
        return not self._settle()

    def _settle(self) -> bool:
        """Take the steps of agents who are dead or wait until some agent can act; return False at the end."""
        aec = self._aec
        for _ in range(MOST_IDLE):
            self._take_dead_steps()
            if not (agents := aec.agents):
                self.seats.close()
                return False
            self._come(agents)
            agent = aec.on_turn
            if self.seats.ask(self._seat(agent), self.env.observe(agent), _info_mask(aec.info)):
                return True
            self._move(())
        raise ValueError(f"nobody has had a legal action for {MOST_IDLE} steps")

    def _move(self, actions: Sequence[Any]) -> None:
        """Let the agent on turn act, or wait."""
        action = self.seats.action(self._seat(self._aec.on_turn), actions)
        self.seats.next()
        self._take(action)
        if self.spec.global_state_size:
            self._write_state(over=all(any(self._aec.ends(agent)) for agent in self._aec.agents))

    def _take_dead_steps(self) -> None:
        """Take the steps of agents who are terminated or truncated, and record that they left."""
        aec = self._aec
        while aec.agents and any(ends := aec.ends(agent := aec.on_turn)):
            self._see(agent, self.env.observe(agent))
            self._take(None)
            if agent in aec.agents:
                raise ValueError(f"agent '{agent}' stays in `agents` after its end")
            self.seats.leave(self._seat(agent), *ends)

    def _take(self, action: Any) -> None:
        """Step the environment, and pay the increase of what `last()` would return."""
        aec = self._aec
        before = aec.paid | {aec.on_turn: 0.0}  # `last()` has returned the reward of the agent on turn
        self.env.step(action)
        after = aec.paid
        self._pay({agent: after[agent] - before.get(agent, 0.0) for agent in aec.agents if agent in after})

    def own_returns(self, seed: int, moves: Sequence[Any]) -> dict[int, float]:
        """Play actions [T, N] through PettingZoo's own loop; return the sums of the rewards of `last()`, by player.

        In a team only the players who stay to the end are included: the loop leaves out rewards of the others.
        """
        env, following = self.env, iter(moves)
        _forget(env)
        env.reset(seed=seed % 2**31)
        returns, last = dict.fromkeys(env.possible_agents, 0.0), list(env.agents)
        in_rewards = in_last = False  # whether any reward was in `rewards`, and whether any was returned by `last()`
        for agent in env.agent_iter(MOST_IDLE * (len(moves) + 1)):
            obs, reward, terminated, truncated, info = env.last()
            returns[agent] += float(reward)
            in_last |= bool(reward)
            if terminated or truncated:
                env.step(None)
                continue
            waits = self._waits(agent, obs, info)
            env.step(self.seats.choice(self._player[agent], () if waits else next(following), idle=waits))
            last, in_rewards = list(env.agents), in_rewards or any(env.rewards.values())
        if in_rewards and not in_last:
            raise ValueError("`last()` never returns the rewards of `rewards`; call `_accumulate_rewards()` in `step`")
        return self._of_players(returns, last)


class _MaskInInfo(BaseParallelWrapper):
    """Show SuperSuit's wrappers plain views, and move masks to the agents' infos, which they do not change."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.render_mode = getattr(env, "render_mode", None)  # PettingZoo's converters ask for it

    def observation_space(self, agent: str) -> Any:
        return plain_space(self.env.observation_space(agent))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        obs, infos = self.env.reset(seed=seed, options=options)
        return self._split(obs, infos)

    def step(self, actions: Any) -> Any:
        obs, rewards, terminations, truncations, infos = self.env.step(actions)
        obs, infos = self._split(obs, infos)
        return obs, rewards, terminations, truncations, infos

    def _split(self, obs: dict[str, Any], infos: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        infos = {agent: (infos.get(agent) or {}) | _mask(view) for agent, view in obs.items()}
        return {agent: plain_view(view) for agent, view in obs.items()}, infos


class _AecMaskInInfo(BaseWrapper):
    """The same for AEC, where an agent's mask is valid while it is on turn."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.render_mode = getattr(env, "render_mode", None)

    def observation_space(self, agent: str) -> Any:
        return plain_space(self.env.observation_space(agent))

    def observe(self, agent: str) -> Any:
        return plain_view(self.env.observe(agent))

    @property
    def infos(self) -> dict[str, Any]:
        infos: dict[str, Any] = self.env.infos
        agent = self.env.agent_selection
        return infos | {agent: (infos.get(agent) or {}) | _mask(self.env.observe(agent))} if self.env.agents else infos


class _Reshaped:
    """What both APIs share of an environment whose agents' spaces are changed (games/adapters/reshaping.py)."""

    def __init__(self, env: Any, how: Reshaping) -> None:
        super().__init__(env)  # type: ignore[call-arg]
        self.render_mode = getattr(env, "render_mode", None)
        self._views = {agent: how.view(env.observation_space(agent)) for agent in env.possible_agents}
        self._actions = {agent: how.action(env.action_space(agent)) for agent in env.possible_agents}

    def observation_space(self, agent: str) -> Any:
        return self._views[agent].space

    def action_space(self, agent: str) -> Any:
        return self._actions[agent].space

    def _converted_view(self, agent: str, obs: Any) -> Any:
        view = self._views[agent].convert(obs)
        mask = _mask(view).get("action_mask")
        return view if mask is None else view | {"action_mask": self._actions[agent].mask(mask)}

    def _converted_infos(self, infos: Mapping[str, Any]) -> dict[str, Any]:
        return {
            agent: info | {"action_mask": self._actions[agent].mask(info["action_mask"])}
            if info and info.get("action_mask") is not None and agent in self._actions
            else info
            for agent, info in infos.items()
        }


class _ReshapedParallel(_Reshaped, BaseParallelWrapper):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        obs, infos = self.env.reset(seed=seed, options=options)
        return {agent: self._converted_view(agent, view) for agent, view in obs.items()}, self._converted_infos(infos)

    def step(self, actions: Any) -> Any:
        chosen = {agent: self._actions[agent].convert(action) for agent, action in actions.items()}
        obs, rewards, terminations, truncations, infos = self.env.step(chosen)
        views = {agent: self._converted_view(agent, view) for agent, view in obs.items()}
        return views, rewards, terminations, truncations, self._converted_infos(infos)


class _ReshapedAec(_Reshaped, BaseWrapper):
    def observe(self, agent: str) -> Any:
        return self._converted_view(agent, self.env.observe(agent))

    def step(self, action: Any) -> None:
        self.env.step(None if action is None else self._actions[self.env.agent_selection].convert(action))

    @property
    def infos(self) -> dict[str, Any]:
        return self._converted_infos(self.env.infos)


def _wrapped(env: Any, wrappers: Sequence[Reference]) -> Any:
    """Return an environment in its wrappers; raises UserError for wrappers that are unknown or do not fit."""
    masks_moved = False  # masks are in `info`, which SuperSuit's wrappers do not change
    for wrapper in wrappers:
        parallel = isinstance(env, pettingzoo.ParallelEnv)
        if wrapper.name in ON_SPACES:
            env = (_ReshapedParallel if parallel else _ReshapedAec)(env, reshaping(wrapper))
            continue
        if not masks_moved:
            env, masks_moved = (_MaskInInfo if parallel else _AecMaskInInfo)(env), True
        env = _in_supersuit(env, wrapper)
    return env


def _in_supersuit(env: Any, wrapper: Reference) -> Any:
    """Return an environment in a wrapper of SuperSuit's."""
    import supersuit

    known = [name for name in vars(supersuit) if re.search(r"_v\d+$", name)]
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
        return wrap()
    except Exception as error:  # mostly assertions, and IndexErrors for spaces with too few axes
        view = env.observation_space(env.possible_agents[0])
        views = f"views of {view.dtype} {view.shape}"
        raise UserError(f"SuperSuit's '{wrapper}' does not fit {views}: {one_line(error)}") from error


def _spaces(env: Any) -> tuple[list[Any], list[Any]]:
    """Return the views' and the actions' spaces, each [N]."""
    agents = env.possible_agents
    return [env.observation_space(agent) for agent in agents], [env.action_space(agent) for agent in agents]


def _has_mask(env: Any) -> bool:
    """Return whether an open AEC environment has a mask of legal actions; True for Parallel ones, which lose none."""
    if isinstance(env, pettingzoo.ParallelEnv):
        return True
    agent = env.agent_selection
    return "action_mask" in (env.infos.get(agent) or {}) | _mask(env.observe(agent))


def _of(agent: str, obs: dict[str, Any]) -> Any:
    if agent not in obs:
        raise ValueError(f"no view came for agent '{agent}'")
    return obs[agent]


def _info_mask(info: dict[str, Any] | None) -> Any:
    """Return the mask in an agent's info; None if there is none."""
    return info.get("action_mask") if info else None


def _mask(obs: Any) -> dict[str, Any]:
    return {"action_mask": obs["action_mask"]} if isinstance(obs, dict) and "action_mask" in obs else {}


def _builder(name: str, arguments: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that builds the environment: by the Parallel API if players move at the same time, else AEC."""
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
    if family not in PACKAGES:  # then a user has named it
        working_folder.allow(family)
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
    """Return "ansi", for text of positions; "rgb_array" where pixels need it from the beginning; or nothing."""
    modes, views = env.metadata.get("render_modes", ()), _spaces(env)[0]
    pictures = _own_name(env) in DRAWN_IF_BUILT_SO or all(
        plain_space(view).dtype == np.uint8 and len(plain_space(view).shape) == 3 for view in views
    )
    return "ansi" if "ansi" in modes else "rgb_array" if "rgb_array" in modes and pictures else ""


def _import(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other packages' imports
        return importlib.import_module(name)


def _dotted(id: str) -> str:
    """Return a registry's id in this project's spelling: classic/tictactoe-v3 -> classic.tictactoe_v3."""
    return id.replace("/", ".").replace("-", "_")


def _not_installed(reference: str, error: BaseException) -> UserError:
    family = reference.partition(":")[2].partition(".")[0]
    package = (getattr(error, "name", None) or "").partition(".")[0]
    remedy = f"; pip install '{EXTRAS[family]}'" if family in EXTRAS else nearest(package, EXTRAS)
    if not package or package in ("pettingzoo", "shimmy"):  # they hide which of their own packages is missing
        return UserError(f"'{reference}' needs a package that is not installed{remedy}")
    return UserError(f"'{reference}' needs the package '{package}', which is not installed{remedy}")


def _payoff(reference: str, env: Any) -> Payoff:
    """Return the payoff that `metadata["payoff"]` declares, else that of the tables above, else general-sum."""
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


def _teams(reference: str, env: Any) -> Teams:
    """Return the teams that `metadata["teams"]` lists, else those of known environments; () where there are none."""
    number = {agent: player for player, agent in enumerate(env.possible_agents)}
    listed = getattr(env.unwrapped, "metadata", {}).get("teams", ())
    if listed:
        try:
            return tuple(tuple(number[agent] for agent in team) for team in listed)
        except (KeyError, TypeError):
            raise UserError(
                f"expected metadata['teams'] of '{reference}' to list the agents of each team, got {listed!r}; its "
                f"agents are {', '.join(map(str, number))}"
            ) from None
    return opposed(_own_name(env), list(number))


def _own_name(env: Any) -> str:
    """Return the name of an environment of PettingZoo's own, MPE's or MAgent2's, without its version; else ""."""
    own = env.unwrapped
    name: str = getattr(own, "metadata", {}).get("name", "")
    return name.rpartition("_v")[0] if type(own).__module__.partition(".")[0] in OWN else ""


def _forget(env: Any) -> None:
    """Clear what knights_archers_zombies keeps from the last episode: the zombies' spawn interval and its kill list."""
    if _own_name(env) == "knights_archers_zombies":
        env.unwrapped.zombie_spawn_interval.reset()
        env.unwrapped.kill_list.clear()


def _state(env: Any) -> np.ndarray[Any, Any]:
    """Return the global state [S]; empty if the environment has none, or a picture, which is too large to keep."""
    try:
        state = np.asarray(env.state())
        picture = state.dtype == np.uint8 and state.ndim == 3
        return np.zeros(0, np.float32) if picture else state.astype(np.float32).reshape(-1)
    except (NotImplementedError, AttributeError, TypeError, ValueError):  # some have another attribute of this name
        return np.zeros(0, np.float32)
