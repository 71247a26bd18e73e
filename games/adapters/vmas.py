"""VMAS's scenarios on the contract (Bettini et al. 2022, https://arxiv.org/abs/2207.03530): all environments at once.

    vmas:balance(n_agents=3)                discrete actions: a few forces along each axis, and their products
    vmas:balance(continuous_actions=True)   forces, if all agents have the same bounds
    vmas:navigation(max_steps=200)          truncated after 200 steps; the default is 100

A scenario's own end is `terminated`, that of `max_steps` is `truncated`. All players act at every step.

VMAS draws chance from global generators, for the whole batch at once, and restores their states around its calls. Here
each episode is opened alone, with states made from its seed, so that it depends on nothing else. Scenarios that draw
chance within a step, or whose environments depend on each other, are refused.
"""

import contextlib
import inspect
import random
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium.spaces as spaces
import numpy as np
import torch
import vmas
from numpy.typing import NDArray
from vmas.simulator.core import Box, Entity, Sphere
from vmas.simulator.environment import Environment
from vmas.simulator.utils import Color

from games.adapters.opposed import opposed
from games.adapters.spaces import spec_fields
from games.arrays import Actions
from games.batch import Batch
from games.contract import Payoff, Spec
from games.drawing.plane import Body, nearest_colour, plane
from games.drawing.svg import Drawing
from games.errors import UserError, nearest
from games.references import Reference

HORIZON = 100  # steps, where `max_steps` is not given
LANES = 32  # a batch is a multiple of it: torch may round the rest of a batch differently in the last bit
TEAM = (
    *("asym_joint", "balance", "ball_passage", "buzz_wire", "dispersion", "dropout", "joint_passage"),
    *("joint_passage_size", "reverse_transport", "sampling", "simple_spread", "transport", "wheel", "wind_flocking"),
)
SHARED = ("shared_rew", "share_reward")  # attributes of TEAM's scenarios; if one is False they are no team
DRAWING = (  # attributes of scenarios that make them draw chance within a step
    *("ai_red_agents", "ai_blue_agents", "joint_angle_obs_noise", "obs_noise", "respawn_at_catch", "targets_respawn"),
)
ENTANGLED = (  # scenarios that draw masses, goals or messages for all environments at once, or record all together
    *("het_mass", "road_traffic", "simple_adversary", "simple_crypto", "simple_push", "simple_reference"),
    "simple_speaker_listener",
)


def names() -> list[str]:
    """Return the names of VMAS's scenarios."""
    return [*vmas.scenarios, *vmas.mpe_scenarios, *vmas.debug_scenarios]


def make(name: str, arguments: dict[str, Any], num_envs: int) -> "Vmas":
    """Build a scenario by name.

    Raises UserError for an unknown name, a wrong argument, and a scenario whose episodes would depend on their batch.
    """
    if name not in names():
        raise UserError(f"expected a scenario of VMAS's, got '{name}'{nearest(name, names())}")
    return Vmas(name, arguments, num_envs)


class Vmas(Batch):
    """A scenario of VMAS's: views are the scenario's [O]; there is no global state."""

    def __init__(self, name: str, arguments: dict[str, Any], num_envs: int) -> None:
        reference = str(Reference("vmas", name, tuple(arguments.items())))
        options = {"max_steps": HORIZON, "continuous_actions": False} | arguments
        horizon = options.pop("max_steps")
        if not isinstance(horizon, int) or horizon < 1:
            raise UserError(f"expected max_steps of at least 1 in '{reference}', got {horizon!r}")
        self._name = name
        self.env = _build(reference, name, -(-num_envs // LANES) * LANES, options)
        continuous = self.env.continuous_actions
        views = [spaces.Box(-np.inf, np.inf, view.shape) for view in self.env.observation_space]
        choices = [spaces.Box(s.low, s.high) if continuous else spaces.Discrete(s.n) for s in self.env.action_space]
        spec = Spec(
            name=reference,
            **spec_fields(reference, views, choices),
            payoff=(payoff := _payoff(name, self.env.scenario)),
            teams=() if payoff == "team" else opposed(name, [agent.name for agent in self.env.agents]),
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            max_length=horizon,
        )
        super().__init__(spec, num_envs, horizon, truncate=True)
        self._widths = [self.env.get_agent_action_size(agent) for agent in self.env.agents]  # [N] numbers per action
        self.legal &= np.arange(spec.num_actions) < np.array(spec.action_sizes or spec.num_actions)[..., None]

    def open(self, envs: NDArray[np.int64]) -> None:
        for env, seed in zip(envs.tolist(), self.timestep.seed[envs].tolist(), strict=True):
            _forget(self._name, self.env.scenario, env)
            with _drawing(seed), _alone(self.env, env):
                self.env.reset_at(env, return_observations=False)
        (self._seen,) = self.env.get_from_scenario(
            get_observations=True, get_rewards=False, get_infos=False, get_dones=False
        )

    def move(self, actions: Actions) -> NDArray[np.bool_]:
        players = self.spec.num_players
        chosen = torch.zeros(self.env.num_envs, players, max(self._widths))  # [batch, N, D]
        chosen[: self.num_envs] = torch.from_numpy(actions).reshape(self.num_envs, players, -1)
        parts = [chosen[:, player, :width] for player, width in enumerate(self._widths)]
        self._seen, rewards, over, _ = self.env.step(parts)
        for player, reward in enumerate(rewards):
            self.timestep.reward[:, player] = reward.reshape(-1)[: self.num_envs].numpy()
        ended: NDArray[np.bool_] = over[: self.num_envs].numpy().copy()
        return ended

    def look(self) -> None:
        for player, view in enumerate(self._seen):
            self.timestep.obs[:, player, : view.shape[1]] = view[: self.num_envs].numpy()

    def picture(self, env: int, player: int | None) -> Drawing | None:
        """Draw where everything is: VMAS's own drawing needs a display."""
        if player is not None:
            return None
        world = self.env.world
        bodies = [_body(entity, env, seat) for seat, entity in enumerate(world.agents)]
        bodies = [*(_body(entity, env) for entity in world.landmarks), *bodies]
        half = float(self.env.scenario.viewer_zoom) * 1.1
        return plane(bodies, world.x_semidim or half, world.y_semidim or half, self.spec.name)

    def render(self, env: int) -> str:
        """Return where everything is in one environment, as text."""
        places = [(entity.name, *entity.state.pos[env].tolist()) for entity in self.env.world.entities]
        return "\n".join(f"{name} at {x:.3f}, {y:.3f}" for name, x, y in places)


def _body(entity: Entity, env: int, seat: int | None = None) -> Body:
    """Return an agent with its number, or a landmark, as it is drawn; one that nothing collides with is an outline."""
    (x, y), shape = entity.state.pos[env].tolist(), entity.shape
    colour = entity.color.value if isinstance(entity.color, Color) else entity.color
    drawn = Body(
        x, y, nearest_colour(*colour[:3]), angle=float(entity.state.rot[env, 0]), word="" if seat is None else str(seat)
    )
    if isinstance(shape, Sphere):
        return replace(drawn, radius=shape.radius, hollow=not entity.collides(entity))
    if isinstance(shape, Box):
        return replace(drawn, length=shape.length, width=shape.width)
    return replace(drawn, length=shape.length)


def _build(reference: str, name: str, batch: int, options: dict[str, Any]) -> Environment:
    """Build a scenario of `batch` environments; raises UserError where it cannot be built or cannot be played here."""
    for key in options.keys() & inspect.signature(vmas.make_env).parameters.keys() - {"continuous_actions"}:
        raise UserError(f"'{name}' does not take '{key}'; it is set here")
    if name in ENTANGLED:
        raise UserError(f"'{reference}' cannot be played: VMAS shares draws or records among all of its environments")
    try:
        with _drawing(0), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            env = vmas.make_env(name, batch, seed=0, clamp_actions=True, **options)
    except Exception as error:  # a scenario may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"'{reference}' could not be built: {reason}") from error
    for unknown in re.findall(r"kwargs: \{'(\w+)'", " ".join(str(warning.message) for warning in warned)):
        source = Path(inspect.getfile(env.scenario.make_world)).read_text()  # VMAS lists the arguments nowhere else
        known = re.findall(r'kwargs\.pop\(\s*"(\w+)"', source)
        hint = nearest(unknown, known) or f"; it takes {', '.join(known)}"
        raise UserError(f"'{name}' does not take '{unknown}'{hint}")
    for switch in DRAWING:
        if getattr(env.scenario, switch, False):
            raise UserError(
                f"'{reference}' draws chance within a step, for all environments at once; switch it off: {switch}=0"
            )
    if any(view.shape is None for view in env.observation_space):
        raise UserError(f"expected views that are rows of numbers in '{reference}', got {env.observation_space[0]}")
    return env


def _payoff(name: str, scenario: Any) -> Payoff:
    return "team" if name in TEAM and all(getattr(scenario, shared, True) for shared in SHARED) else "general_sum"


def _forget(name: str, scenario: Any, opened: int) -> None:
    """Reset the wind of wind_flocking to its full force; VMAS keeps the force with which the last episode ended."""
    if name == "wind_flocking":
        sheltered = scenario.big_agent
        sheltered.gravity = sheltered.gravity.index_copy(0, torch.tensor([opened]), scenario.wind[opened, None])


@contextlib.contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Let VMAS draw from generators seeded by `seed`; restore its own afterwards."""
    states = Environment.vmas_random_state
    own = states.copy()
    states[:] = [
        torch.Generator().manual_seed(seed).get_state(),
        np.random.RandomState([seed >> 32, seed & 0xFFFFFFFF]).get_state(),
        random.Random(seed).getstate(),
    ]
    try:
        yield
    finally:
        states[:] = own


@contextlib.contextmanager
def _alone(env: Environment, opened: int) -> Iterator[None]:
    """Keep the joints of the other environments as they are; VMAS resets all of them when it opens one."""
    kept = [(j, j.entity_a.state.pos.clone(), j.entity_a.state.rot.clone(), j.fixed_rotation) for j in env.world.joints]
    yield
    for joint, pos, rot, fixed in kept:
        state = joint.entity_a.state
        pos[opened], rot[opened] = state.pos[opened], state.rot[opened]
        state.pos, state.rot = pos, rot
        if isinstance(fixed, torch.Tensor):
            joint.fixed_rotation = fixed.index_copy(0, torch.tensor([opened]), joint.fixed_rotation[opened, None])
