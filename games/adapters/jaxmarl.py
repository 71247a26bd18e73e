"""JaxMARL's environments on the contract (Rutherford et al. 2023, https://arxiv.org/abs/2311.10090), compiled as a batch.

    jaxmarl:HeuristicEnemySMAX(map_name=3m)               a team against the library's own enemies
    jaxmarl:overcooked(layout=coord_ring, max_steps=200)
    jaxmarl:hanabi(num_agents=3)     jaxmarl:storm_2p     jaxmarl:MPE_simple_spread_v3(local_ratio=0)

One compiled program steps all environments, and one opens episodes; both run on the CPU. All chance of an episode is
drawn from its seed: step t has the key fold_in(seed, t), and t = 0 opens it.

Who acts: everybody, but for the dead, and in Hanabi for those who are not on turn. JaxMARL pays the dead as it pays the
living, so nobody's return is complete before the episode is.

How it ends: `truncated` where the library's `max_steps` cut it (particles, which take one step more than it says, SMAX,
Overcooked, JaxNav), else `terminated`. That holds for the switch riddle, whose limit is a rule, and for storm and the
coin game, which play a fixed number of rounds and show the opening of another one at the end.
"""

import contextlib
import inspect
import io
import os
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import gymnasium.spaces as spaces
import numpy as np
from numpy.typing import NDArray

from games.adapters.spaces import described
from games.batch import Batch
from games.contract import Payoff, Spec
from games.errors import UserError, nearest
from games.registry import parse

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX would take most of a GPU's memory from torch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the library prints as it is imported, built and traced, and its words on what is deprecated."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


with _quiet():
    import jax
    import jax.numpy as jnp
    import jaxmarl
    from jaxmarl.environments import SMAX, JaxNav, MultiAgentEnv, SwitchRiddle, overcooked_layouts, overcooked_v2_layouts
    from jaxmarl.environments.mpe import SimpleMPE
    from jaxmarl.environments.smax.heuristic_enemy_smax_env import EnemySMAX
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

LANES = 8  # environments are computed in multiples, so that few and many go the same way through the same program
FOREVER = 2**62  # steps
NAMED = {  # arguments that name an object of the library's: argument, what it is passed as, and the objects by name
    "SMAX": ("map_name", "scenario", MAP_NAME_TO_SCENARIO),
    "HeuristicEnemySMAX": ("map_name", "scenario", MAP_NAME_TO_SCENARIO),
    "overcooked": ("layout", "layout", overcooked_layouts),
    "overcooked_v2": ("layout", "layout", overcooked_v2_layouts),
}
TEAM = ("HeuristicEnemySMAX", "MPE_simple_speaker_listener_v4", "hanabi", "overcooked", "overcooked_v2", "switch_riddle")
SHARING = (("local_ratio", 0), ("rew_lambda", 0), ("shared_rewards", True))  # arguments that make others a team
EXAMPLES = ("HeuristicEnemySMAX(map_name=3m)", "jaxnav(act_type=Discrete)")  # beside what the names alone stand for

Tree = Any  # a nest of JAX's arrays, each [B, ...] or of one environment


class Programs(NamedTuple):
    """An environment of JaxMARL's, compiled for B environments; `seen` is what players see and may do."""

    spec: Spec
    horizon: int  # steps, after which the library cuts an episode
    first: tuple[Tree, Tree]  # (state, seen) of B episodes
    open: Callable[..., Any]  # (which [B], keys [B, 2], state, seen) -> state, seen
    step: Callable[..., Any]  # (keys [B, 2], ages [B], actions [B, N, ...], state, seen) -> state, seen, reward, over


def names() -> list[str]:
    """Return the names of JaxMARL's environments."""
    return list(jaxmarl.registered_envs)


def make(name: str, arguments: dict[str, Any], num_envs: int) -> "Jaxmarl":
    """Build an environment by name.

    Raises UserError for an unknown name, a wrong argument, and a package that is not installed.
    """
    if name not in names():
        raise UserError(f"expected an environment of JaxMARL's, got '{name}'{nearest(name, names())}")
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    reference = f"jaxmarl:{name}" + (f"({written})" if written else "")
    return Jaxmarl(_programs(reference, -(-num_envs // LANES) * LANES), num_envs)


class Jaxmarl(Batch):
    """An environment of JaxMARL's: a player sees what the library shows it, flat where that is in parts.

    The global state is the library's `get_world_state`, flat, where the environment has one.
    """

    def __init__(self, programs: Programs, num_envs: int) -> None:
        super().__init__(programs.spec, num_envs, programs.horizon, truncate=True)
        self.programs = programs
        self._state, self._seen = programs.first
        batch = len(self._seen["able"])
        self._keys = np.zeros((batch, 2), np.uint32)
        self._ages = np.zeros(batch, np.uint32)

    def open(self, envs: NDArray[np.int64]) -> None:
        self._keys[envs] = _words(self.timestep.seed[envs])
        which = np.zeros(len(self._keys), bool)
        which[envs] = True
        self._state, self._seen = self.programs.open(which, self._keys, self._state, self._seen)

    def move(self, actions: NDArray[Any]) -> NDArray[np.bool_]:
        self._ages[: self.num_envs] = self.age
        chosen = np.zeros((len(self._keys), *actions.shape[1:]), np.int32 if self.spec.num_actions else np.float32)
        chosen[: self.num_envs] = actions
        self._state, self._seen, reward, over = self.programs.step(
            self._keys, self._ages, chosen, self._state, self._seen
        )
        self.timestep.reward[:] = reward[: self.num_envs]
        return np.array(over[: self.num_envs])

    def look(self) -> None:
        self.timestep.obs[:] = np.asarray(self._seen["obs"])[: self.num_envs]
        self.timestep.global_state[:] = np.asarray(self._seen["global_state"])[: self.num_envs]
        self.legal[:] = np.asarray(self._seen["legal"])[: self.num_envs]

    def _show(self) -> None:
        super()._show()
        self.timestep.acting &= np.asarray(self._seen["able"])[: self.num_envs]
        self.timestep.action_mask &= self.timestep.acting[:, :, None]


@lru_cache(maxsize=32)
def _programs(reference: str, batch: int) -> Programs:
    """Compile an environment for a batch; raises UserError where it cannot be built, or has no place in the contract."""
    name, arguments = parse(reference).name, dict(parse(reference).arguments)
    try:
        with _quiet():
            env = jaxmarl.make(name, **_understood(name, arguments))
            rules = Rules(env)
            views = [spaces.Box(-np.inf, np.inf, shape) for shape in rules.shapes]
    except UserError:
        raise
    except Exception as error:  # an environment may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"'{reference}' could not be built: {reason}") from error
    cut = _limit(env)
    spec = Spec(
        name=reference,
        **described(reference, views, [_space(env.action_space(agent)) for agent in env.agents]),
    )
