"""Simple spread: its steps are mpe2's, and its physics by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from games.check import check_game
from games.errors import UserError
from games.native.spread import Spread
from games.registry import make

SPREAD = "games.native.spread:Spread"
FIELDS = ("global_state", "reward", "terminated", "truncated")
NONE, LEFT, RIGHT, DOWN, UP = range(5)


def place(venv: Spread, position, landmark, velocity=0.0) -> Spread:
    """Open an episode from the given state, each [E, N]."""
    venv.reset(np.arange(venv.num_envs, dtype=np.uint64))
    venv.position[:], venv.landmark[:], venv.velocity[:] = position, landmark, velocity
    return venv


def play(venv: Spread, actions) -> dict[str, np.ndarray]:
    """Play actions [T, E, N]; return what was seen, paid and over after each step [T, E, ...]."""
    steps = []
    for joint in actions:
        timestep = venv.step(joint)
        steps.append([getattr(timestep, name).copy() for name in FIELDS])
    return dict(zip(FIELDS, map(np.array, zip(*steps, strict=True)), strict=True))


def play_original(env, position, landmark, velocity, actions) -> dict[str, np.ndarray]:
    """Play actions [T, N] in mpe2 from a state, each [N]; return the same [T, ...]."""
    env.reset(seed=0)
    world, names = env.unwrapped.world, env.possible_agents
    for k, agent in enumerate(world.agents):
        agent.state.p_pos, agent.state.p_vel = pair(position[k]), pair(velocity[k])
        world.landmarks[k].state.p_pos = pair(landmark[k])
    steps = []
    for joint in actions:
        _, *outcomes, _ = env.step(dict(zip(names, joint, strict=True)))
        steps.append([env.state(), *([outcome[name] for name in names] for outcome in outcomes)])
    return dict(zip(FIELDS, map(np.array, zip(*steps, strict=True)), strict=True))


def pair(place: complex) -> np.ndarray:
    return np.array([place.real, place.imag])


def assert_as_original(venv: Spread, actions) -> np.ndarray:
    """Play actions [T, E, N] here and in mpe2 from where `venv` is; return the rewards [T, E, N]."""
    spread = pytest.importorskip("mpe2.simple_spread_v3")
    options = {"local_ratio": venv.local_ratio, "continuous_actions": venv.continuous_actions}
    env = spread.parallel_env(N=venv.spec.num_players, **options)
    starts = np.stack([venv.position, venv.landmark, venv.velocity], axis=1)  # [E, 3, N]
    ours = play(venv, actions)
    for e, start in enumerate(starts):
        for name, theirs in play_original(env, *start, actions[:, e]).items():
            assert_allclose(ours[name][:, e], theirs, rtol=1e-6, atol=1e-6, err_msg=f"{name}, environment {e}")
    return ours["reward"]


@pytest.mark.parametrize("players, local_ratio, room", [(2, 0.5, 0.2), (3, 0.5, 1), (3, 0.0, 0.4), (5, 1.0, 0.5)])
@pytest.mark.parametrize("episodes", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_episodes_are_the_originals(players, local_ratio, room, episodes):
    venv = Spread(episodes, players, local_ratio)
    venv.reset(np.arange(episodes, dtype=np.uint64))
    venv.position *= room  # crowded where it is small
    actions = np.random.default_rng(players).integers(0, 5, (25, episodes, players))
    reward = assert_as_original(venv, actions)
    if local_ratio == 1:
        assert (reward < -1).any()  # somebody collides with two at once


def test_continuous_episodes_are_the_originals():
    venv = Spread(20, continuous_actions=True)
    venv.reset(np.arange(20, dtype=np.uint64))
    venv.position *= 0.4
    assert_as_original(venv, np.random.default_rng(0).random((25, 20, 3, 5), np.float32))


def test_opening_views_are_the_originals():
    env = pytest.importorskip("mpe2.simple_spread_v3").parallel_env(N=3)
    seen, _ = env.reset(seed=1)
    world = env.unwrapped.world
    position, landmark = ([complex(*it.state.p_pos) for it in these] for these in (world.agents, world.landmarks))
    venv = place(Spread(1), position, landmark)
    venv.reset(np.zeros(1, np.uint64), np.array([False]))  # shows where they are
    assert_allclose(venv.timestep.obs[0], np.stack(list(seen.values())), rtol=1e-6)


# Hundredths: the original's square of a smaller distance than this may underflow to 0.
places = st.builds(complex, *[st.integers(-40, 40).map(lambda n: n / 100)] * 2)


@given(st.lists(places, min_size=2, max_size=5, unique=True), st.data())
def test_steps_from_any_crowd_are_the_originals(position, data):
    players = len(position)
    several = st.lists(places, min_size=players, max_size=players)
    venv = place(Spread(1, players), position, data.draw(several), data.draw(several))
    assert_as_original(venv, np.array([[data.draw(st.lists(st.integers(0, 4), min_size=players, max_size=players))]]))


def test_one_step_by_hand():
    venv = place(Spread(1, players=2), [0, 0.2], [1, 1j], velocity=[1j, 0])
    step = venv.step(np.array([[RIGHT, NONE]]))
    assert_allclose(venv.position, [[0.1j, 0.2]])  # moved with the old velocity
    push = 100 * 0.1 * 0.1  # contact force, penetration, seconds
    assert_allclose(venv.velocity, [[0.75j + 0.5 - push, push]], atol=1e-12)  # damped, and then pushed
    distance = abs(1 - 0.2) + abs(1j - 0.1j)
    assert_allclose(step.reward, [[-0.5 * distance - 0.5] * 2])


def test_actions():
    venv = place(Spread(1, players=5), [-2, -1, 0, 1, 2], [0] * 5)
    venv.step(np.arange(5)[None])
    assert_allclose(venv.velocity, [[0, -0.5, 0.5, -0.5j, 0.5j]], atol=1e-12)
    assert [venv.action_name(0, 0, a) for a in range(5)] == ["none", "left", "right", "down", "up"]


def test_continuous_actions_are_shares_of_the_forces():
    venv = place(Spread(1, players=2, continuous_actions=True), [-2, 2], [0, 0])
    venv.step(np.array([[[1, 0.5, 0, 0.25, 0.75], [0.3, 1, 1, 0, 1]]], np.float32))  # 5 each way for 0.1 seconds
    assert_allclose(venv.velocity, [[-0.25 + 0.25j, 0.5j]], atol=1e-6)


def test_players_in_the_same_place_do_not_push():
    venv = place(Spread(1), [0, 0, 0.5], [0, 1, 1j])
    step = venv.step(np.zeros((1, 3), int))
    assert (venv.velocity == 0).all()
    assert_allclose(step.reward[0] - step.reward[0, 2], [-0.5, -0.5, 0])  # they do collide


def test_the_recording_is_cut_at_the_horizon():
    venv = place(Spread(2, horizon=3), 0.1, 0)
    played = play(venv, np.zeros((4, 2, 3), int))
    assert played["truncated"].all((1, 2)).tolist() == [False, False, True, False]
    assert not played["terminated"].any() and venv.timestep.first.all()


@pytest.mark.parametrize(
    "reference", ["(players=3)", "(players=1)", "(players=9)", "(local_ratio=0)", "(continuous_actions=true)"]
)
def test_conformance(reference):
    report = check_game(SPREAD + reference)
    assert report.passed, str(report)


def test_a_shared_reward_makes_a_team():
    assert Spread(1, local_ratio=0).spec.payoff == "team"
    assert Spread(1, local_ratio=0.1).spec.payoff == "general_sum"


def test_starts_are_uniform():
    venv = Spread(4000)
    venv.reset(np.arange(4000, dtype=np.uint64))
    coordinates = np.concatenate([venv.position, venv.landmark], axis=1).view(np.float64)  # [E, 12]
    assert (abs(coordinates) <= 1).all() and not venv.velocity.any()
    assert_allclose(np.sort(coordinates, axis=0), np.linspace(-1, 1, 4000)[:, None].repeat(12, 1), atol=0.06)
    assert abs(np.corrcoef(coordinates.T) - np.eye(12)).max() < 0.06


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("players=0", "expected at least one player and one step, got players=0, horizon=25"),
        ("horizon=0", "expected at least one player and one step, got players=3, horizon=0"),
        ("local_ratio=1.5", "expected a share from 0 to 1, got local_ratio=1.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        make(f"{SPREAD}({arguments})", 1)


def test_render():
    venv = place(Spread(1, players=2), [0, 1 + 1j], [-1 - 1j, 5])
    assert venv.render(0).splitlines() == [
        "....................B",
        *["....................."] * 4,
        "..........A.........2",
        *["....................."] * 4,
        "1....................",
    ]
