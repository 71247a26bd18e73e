"""JaxMARL's environments on the contract (Rutherford et al. 2023, https://arxiv.org/abs/2311.10090): compiled batches.

    jaxmarl:HeuristicEnemySMAX(map_name=3m)               a team against the library's own enemies
    jaxmarl:overcooked(layout=coord_ring, max_steps=200)
    jaxmarl:hanabi(num_agents=3)     jaxmarl:storm_2p     jaxmarl:MPE_simple_spread_v3(local_ratio=0)

One compiled program steps all environments, and another opens episodes; both run on the CPU. All chance of an episode
is drawn from its seed: step t has the key fold_in(seed, t), and t = 0 opens it.

All players who are alive act; in Hanabi the one on turn. JaxMARL pays dead players, too, so no player's return is
complete before the episode ends.

An episode is `truncated` where the library's `max_steps` cuts it (MPE, which takes one step more than `max_steps`,
SMAX, Overcooked and JaxNav), else `terminated`. That includes the switch riddle, whose limit is a rule of the game, and
storm and the coin game, which play a fixed number of rounds and whose last views are those of a new opening.

MABrax and JaxRobotarium need packages of their own, and are not tested.
"""

import contextlib
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import gymnasium.spaces as spaces
import numpy as np
from numpy.typing import NDArray

from games.adapters.opposed import opposed
from games.adapters.spaces import spec_fields
from games.arrays import Actions
from games.batch import Batch
from games.contract import Box, Discrete, Payoff, Spec
from games.errors import UserError, nearest
from games.references import Reference, parse

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # on a GPU, JAX would take most of torch's memory
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # one thread: workers are processes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the library prints and warns of when it is imported, built and traced."""
    own = sys.stdout, sys.stderr, sys.__stdout__
    # Both, because the library replaces `sys.stdout` by `sys.__stdout__` meanwhile.
    sys.stdout = sys.__stdout__ = io.StringIO()  # type: ignore[assignment, misc]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout, sys.stderr, sys.__stdout__ = own  # type: ignore[misc]


with _quiet():
    import jax
    import jax.numpy as jnp
    import jaxmarl
    from jaxmarl.environments import Hanabi, InTheGrid, JaxNav, SwitchRiddle, overcooked_layouts, overcooked_v2_layouts
    from jaxmarl.environments import spaces as theirs
    from jaxmarl.environments.mpe import SimpleMPE
    from jaxmarl.environments.smax.heuristic_enemy_smax_env import EnemySMAX
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO, SMAX

LANES = 16  # environments computed at a time; a batch is padded to a multiple of it, at least twice (`_in_lanes`)
FOREVER = 2**62  # steps
NAMED = {  # environments with an argument that names an object: the argument, how it is passed on, the objects by name
    "SMAX": ("map_name", "scenario", MAP_NAME_TO_SCENARIO),
    "HeuristicEnemySMAX": ("map_name", "scenario", MAP_NAME_TO_SCENARIO),
    "overcooked": ("layout", "layout", overcooked_layouts),
    "overcooked_v2": ("layout", "layout", overcooked_v2_layouts),
}
TEAM = (
    *("HeuristicEnemySMAX", "MPE_simple_speaker_listener_v4", "hanabi", "overcooked", "overcooked_v2"),
    "switch_riddle",
)
SHARING = (("local_ratio", 0), ("rew_lambda", 0), ("shared_rewards", True))  # make teams of other environments
EXAMPLES = ("HeuristicEnemySMAX(map_name=3m)", "jaxnav(act_type=Discrete)")

Tree = Any  # a pytree of JAX arrays


def names() -> list[str]:
    """Return the names of JaxMARL's environments that a reference can express."""
    return [name for name in jaxmarl.registered_envs if "|" not in name]


def make(name: str, arguments: dict[str, Any], num_envs: int) -> "Jaxmarl":
    """Build an environment by name.

    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    if name not in names():
        raise UserError(f"expected an environment of JaxMARL's, got '{name}'{nearest(name, names())}")
    reference = str(Reference("jaxmarl", name, tuple(arguments.items())))
    return Jaxmarl(_compiled(reference, max(2, -(-num_envs // LANES)) * LANES), num_envs)


class Programs(NamedTuple):
    """The compiled programs that open and step B environments, and their initial values."""

    spec: Spec
    horizon: int  # steps, after which the library cuts an episode
    first: tuple[Tree, Tree]  # (state, seen) with an open episode in each environment
    open: Callable[..., Any]  # (which [B], key [B, 2], state, seen) -> state, seen
    step: Callable[..., Any]  # (key [B, 2], age [B], actions [B, N, ...], state, seen) -> state, seen, reward, over


class Jaxmarl(Batch):
    """An environment of JaxMARL's. Views are the library's, flattened if they have several parts.

    The global state is the library's `get_world_state`, flat, where the environment has one.
    """

    def __init__(self, programs: Programs, num_envs: int) -> None:
        super().__init__(programs.spec, num_envs, programs.horizon, truncate=True)
        self.programs = programs
        self._state, self._seen = programs.first
        batch = len(self._seen["able"])
        self._key = np.zeros((batch, 2), np.uint32)
        self._age = np.zeros(batch, np.uint32)

    def open(self, envs: NDArray[np.int64]) -> None:
        self._key[envs] = words(self.timestep.seed[envs])
        which = np.zeros(len(self._key), bool)
        which[envs] = True
        self._state, self._seen = self.programs.open(which, self._key, self._state, self._seen)

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        chosen = np.zeros((len(self._key), *actions.shape[1:]), np.int32 if self.spec.num_actions else np.float32)
        chosen[: self.num_envs] = actions
        self._age[: self.num_envs] = self.age
        stepped = self.programs.step(self._key, self._age, chosen, self._state, self._seen)
        self._state, self._seen, reward, over = stepped
        self.timestep.reward[:] = self._own(reward)
        return self._own(over).copy()

    def look(self) -> None:
        self.timestep.obs[:] = self._own(self._seen["obs"])
        self.timestep.global_state[:] = self._own(self._seen["global_state"])
        self.legal[:] = self._own(self._seen["legal"])

    def _observe(self) -> None:
        super()._observe()
        self.timestep.acting &= self._own(self._seen["able"])
        self.timestep.action_mask &= self.timestep.acting[:, :, None]

    def render(self, env: int) -> str:
        """Return no text: the library only draws pictures, of few environments."""
        return ""

    def _own(self, array: Any) -> NDArray[Any]:
        """Return a JAX array [B, ...] without the padding environments [E, ...]."""
        return np.asarray(array)[: self.num_envs]


class Rules:
    """One environment as two pure functions: `begin` opens an episode, `move` steps it.

    `seen` holds obs [N, *O], legal [N, A] (by the library's masks), able [N] (to act) and global_state [S].
    """

    def __init__(self, reference: str, env: Any) -> None:
        self.env = env
        key = jax.ShapeDtypeStruct((2,), np.uint32)
        obs, state = jax.eval_shape(env.reset, key)
        views = [_box(view) for view in jax.eval_shape(self._views, obs)]
        choices = [_space(env.action_space(agent)) for agent in env.agents]
        self.spec_fields = spec_fields(reference, views, choices)
        self.action: Discrete | Box = self.spec_fields["action"]
        self.discrete = isinstance(self.action, Discrete)
        self.sizes = [int(space.n if self.discrete else np.prod(space.shape)) for space in choices]  # [N]
        # A reset may return other dtypes than a step; a compiled program needs one.
        self._types = jax.eval_shape(self._step, key, self.actions, state)[1]
        self.start = jax.eval_shape(self.begin, key)

    @property
    def actions(self) -> Any:
        """The shape and dtype of a joint action: [N], or [N, D]."""
        if isinstance(self.action, Discrete):
            return jax.ShapeDtypeStruct((len(self.sizes),), np.int32)
        return jax.ShapeDtypeStruct((len(self.sizes), self.action.size), np.float32)

    def begin(self, key: Tree) -> tuple[Tree, Tree]:
        obs, state = self.env.reset(jax.random.fold_in(key, 0))
        return self._settled(state), self._seen(obs, state, {"__all__": False})

    def move(self, key: Tree, age: Tree, actions: Tree, state: Tree, seen: Tree) -> tuple[Tree, Tree, Tree, Tree]:
        actions = jnp.where(seen["able"] if self.discrete else seen["able"][:, None], actions, 0)
        obs, state, rewards, dones, _ = self._step(jax.random.fold_in(key, age), actions, state)
        reward = jnp.stack([jnp.float32(self._of(rewards, player)) for player in range(len(self.sizes))])
        return self._settled(state), self._seen(obs, state, dones), reward, _over(self.env, state, dones)

    def _step(self, key: Tree, actions: Tree, state: Tree) -> Any:
        """Step the library, which takes actions by the agents' names, or as an array if agents are numbers."""
        row = actions
        if isinstance(self.action, Box):
            low, high = (jnp.asarray(bound, jnp.float32) for bound in (self.action.low, self.action.high))
            within = actions.clip(low, high)
            row = [action[:size] for action, size in zip(within, self.sizes, strict=True)]
        named = isinstance(self.env.agents[0], str)
        return self.env.step_env(key, state, dict(zip(self.env.agents, row, strict=True)) if named else row)

    def _settled(self, state: Tree) -> Tree:
        return jax.tree.map(lambda leaf, kind: jnp.asarray(leaf, kind.dtype), state, self._types)

    def _seen(self, obs: Tree, state: Tree, dones: Tree) -> Tree:
        alive = [jnp.logical_not(dones.get(agent, dones["__all__"])) for agent in self.env.agents]
        legal = self._legal(state)
        turn = legal[:, :-1].any(1) if isinstance(self.env, Hanabi) else True  # the last action is to pass
        world = getattr(self.env, "get_world_state", lambda state: jnp.zeros(0))(state)
        return {
            "obs": _stacked(self._views(obs)),
            "legal": legal,
            "able": jnp.stack(alive) & turn,
            "global_state": _flat(world),
        }

    def _legal(self, state: Tree) -> Tree:
        """Return the legal actions by the library's masks [N, A]: all if it has none, but never the padding."""
        if not self.discrete:
            return jnp.zeros((len(self.sizes), 0), bool)
        if isinstance(self.env, Hanabi):
            masks = self.env.get_legal_moves(state)
        elif isinstance(self.env, SMAX | EnemySMAX):
            masks = self.env.get_avail_actions(state)
        else:
            masks = {agent: jnp.ones(size) for agent, size in zip(self.env.agents, self.sizes, strict=True)}
        return _stacked([masks[agent].astype(bool) for agent in self.env.agents])

    def _views(self, obs: Tree) -> list[Tree]:
        """Return the view of each player [N], flattened if it has several parts."""
        if isinstance(self.env, InTheGrid):  # players are the last axis of `inventory`, the first of the other parts
            obs = obs | {"inventory": obs["inventory"].T}
        views = [self._of(obs, player) for player in range(len(self.env.agents))]
        return [view if hasattr(view, "shape") else _flat(view) for view in views]

    def _of(self, values: Tree, player: int) -> Tree:
        """Return one player's part of values that the library gives by agent, by row, or as a dict of such rows."""
        if isinstance(values, dict):
            agent = self.env.agents[player]
            return values[agent] if agent in values else jax.tree.map(lambda rows: rows[player], values)
        return values[player]


def words(seeds: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return seeds [E] as JAX keys [E, 2]."""
    return np.stack([seeds >> np.uint64(32), seeds & np.uint64(0xFFFFFFFF)], 1).astype(np.uint32)


@lru_cache(maxsize=16)
def _compiled(reference: str, batch: int) -> Programs:
    """Compile an environment; raises UserError where it cannot be built, or the contract does not support it."""
    parsed = parse(reference)
    name, arguments = parsed.name, dict(parsed.arguments)
    with _quiet():
        try:
            env = jaxmarl.make(name, **_understood(name, arguments))
            rules, limit = Rules(reference, env), _limit(env)
        except UserError:
            raise
        except Exception as error:  # an environment may raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"'{reference}' could not be built: {reason}") from error
        spec = Spec(
            name=reference,
            **rules.spec_fields,
            payoff=(payoff := _payoff(name, arguments)),
            teams=() if payoff == "team" else opposed(name, env.agents),
            turns="sequential" if isinstance(env, Hanabi) else "simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            global_state_size=rules.start[1]["global_state"].size,
            max_length=limit or _rounds(env),
        )
        none = jax.tree.map(lambda kind: np.zeros((batch, *kind.shape), kind.dtype), rules.start)
        key, age, which = np.zeros((batch, 2), np.uint32), np.zeros(batch, np.uint32), np.ones(batch, bool)
        actions = np.zeros((batch, *rules.actions.shape), rules.actions.dtype)

        def open_one(which: Tree, key: Tree, state: Tree, seen: Tree) -> Tree:
            return jax.tree.map(partial(jnp.where, which), rules.begin(key), (state, seen))

        open = jax.jit(_in_lanes(open_one, batch)).lower(which, key, *none).compile()
        step = jax.jit(_in_lanes(rules.move, batch)).lower(key, age, actions, *none).compile()
    return Programs(spec, limit or FOREVER, open(which, key, *none), open, step)


def _in_lanes(function: Callable[..., Tree], batch: int) -> Callable[..., Tree]:
    """Return a function of one environment as a function of `batch`, which computes LANES of them at a time in a loop.

    The loop's body is the same for every size of batch, and so are its results, to the last bit; code compiled for the
    whole batch would differ with its size. The loop has two rounds at least, as a loop of one is compiled away.
    """

    def of_many(*rows: Tree) -> Tree:
        lanes = jax.tree.map(lambda array: array.reshape(batch // LANES, LANES, *array.shape[1:]), rows)
        results = jax.lax.map(lambda lane: jax.vmap(function)(*lane), lanes)
        return jax.tree.map(lambda array: array.reshape(batch, *array.shape[2:]), results)

    return of_many


def _understood(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as the library takes them: objects for their names, and arrays where the defaults are arrays."""
    named, passed, objects = NAMED.get(name, ("", "", {}))
    parameters = _parameters(type(jaxmarl.make(name)))
    known = dict.fromkeys([*parameters, named] if named else parameters)
    understood = {}
    for key, value in arguments.items():
        if key not in known:
            raise UserError(f"'{name}' takes {', '.join(known) or 'no arguments'}, got '{key}'{nearest(key, known)}")
        if key == named:
            if value not in objects:
                hint = nearest(str(value), objects)
                raise UserError(f"expected {key} to be one of {', '.join(objects)}, got '{value}'{hint}")
            key, value = passed, objects[value]
        elif isinstance(value, list | tuple) and isinstance(parameters[key].default, jax.Array):
            value = jnp.array(value)
        understood[key] = value
    return understood


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Return a class's parameters, and those of its bases as far as `**kwargs` pass them on."""
    bases = [base for base in kind.__mro__ if "__init__" in vars(base)]
    if issubclass(kind, EnemySMAX):
        bases.insert(bases.index(EnemySMAX) + 1, SMAX)  # which it contains, and passes arguments to
    known: dict[str, inspect.Parameter] = {}
    for base in bases:
        own = inspect.signature(base).parameters
        known = {key: p for key, p in own.items() if p.kind is not p.VAR_KEYWORD} | known
        if all(p.kind is not p.VAR_KEYWORD for p in own.values()):
            break
    return known


def _space(space: Any) -> Any:
    """Return an action space of JaxMARL's as one of Gymnasium's, if the contract supports it; else as it is."""
    if isinstance(space, theirs.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, theirs.Box):
        low, high = (np.broadcast_to(bound, space.shape).astype(np.float32) for bound in (space.low, space.high))
        return spaces.Box(low, high)
    return space


def _box(view: Any) -> spaces.Box:
    """Return the space of a view by its shape and dtype; some spaces that JaxMARL declares are wrong."""
    if view.dtype in (np.bool_, np.uint8):
        return spaces.Box(0, 255, view.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, view.shape)


def _flat(parts: Tree) -> Tree:
    """Return the arrays of a pytree as one row of numbers."""
    return jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in jax.tree.leaves(parts)])


def _stacked(rows: list[Tree]) -> Tree:
    """Return the players' arrays as one [N, ...]; if their shapes differ, flattened and padded to the longest."""
    if len({row.shape for row in rows}) > 1:
        longest = max(row.size for row in rows)
        rows = [jnp.pad(row.ravel(), (0, longest - row.size)) for row in rows]
    return jnp.stack(rows)


def _limit(env: Any) -> int | None:
    """Return the number of steps after which the library truncates an episode; None if it does not."""
    if isinstance(env, SwitchRiddle) or not hasattr(env, "max_steps"):
        return None
    return int(env.max_steps) + isinstance(env, SimpleMPE)


def _rounds(env: Any) -> int | None:
    """Return the length of an episode by the rules, if they give one."""
    if isinstance(env, SwitchRiddle):
        return int(env.max_steps)
    return int(env.num_inner_steps * env.num_outer_steps) if hasattr(env, "num_outer_steps") else None


def _over(env: Any, state: Tree, dones: Tree) -> Tree:
    """Return whether an episode is over, and not only truncated."""
    if _limit(env) is None:
        return jnp.asarray(dones["__all__"])
    if isinstance(env, EnemySMAX):
        env, state = env._env, state.state
    if isinstance(env, SMAX):
        return env.is_terminal(state.replace(step=0))  # at step 0, so that the time limit does not count
    if isinstance(env, JaxNav):
        return (state.term | state.goal_reached | state.move_term).all()
    return jnp.array(False)


def _payoff(name: str, arguments: dict[str, Any]) -> Payoff:
    shared = any(key in arguments and arguments[key] == value for key, value in SHARING)
    return "team" if name in TEAM or shared else "general_sum"
