"""Level-based foraging: its steps and its starts are lbforaging's, and its rules by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chi2_contingency

from games.check import check_game
from games.errors import UserError
from games.native.foraging import ABSENT, Foraging
from games.registry import make

FORAGING = "games.native.foraging:Foraging"
NONE, NORTH, SOUTH, WEST, EAST, LOAD = range(6)
CONFIGURATIONS = [
    dict(),
    dict(size=5, players=4, food=2, penalty=0.1),
    dict(size=5, players=9, food=4, sight=1, max_level=3),
    dict(size=5, players=3, food=2, sight=2, cooperative=True, penalty=0.1),
    dict(size=6, players=2, food=3, cooperative=True),
    dict(size=8, players=4, food=4, sight=2),
    dict(size=5, players=3, food=2, sight=2, grid=True),
    dict(size=6, players=5, food=2, grid=True),
]


def opened(venv: Foraging, first_seed: int = 0) -> Foraging:
    venv.reset(np.arange(first_seed, first_seed + venv.num_envs, dtype=np.uint64))
    return venv


def original(size=8, players=2, food=3, cooperative=False, sight=None, max_level=2, penalty=0.0, grid=False):
    environment = pytest.importorskip("lbforaging.foraging.environment")
    env = environment.ForagingEnv(
        players=players,
        min_player_level=1,
        max_player_level=max_level,
        min_food_level=1,
        max_food_level=None,
        field_size=(size, size),
        max_num_food=food,
        sight=size if sight is None else sight,
        max_episode_steps=50,
        force_coop=cooperative,
        penalty=penalty,
    )
    if grid:  # set afterwards: Gymnasium 1 refuses the space that the original declares
        env._grid_observation = True
        env.observation_space = [Anything()] * players
    return env


class Anything:
    def contains(self, observation) -> bool:
        return True


def copy_state(venv: Foraging, e: int, env) -> list[np.ndarray]:
    """Put the original where environment `e` is, at the start of an episode; return its views."""
    env.field[:] = 0
    for row, column, level in venv.food[:, venv.food[2, :, e] > 0, e].T:
        env.field[row, column] = level
    for player, (row, column, level) in zip(env.players, venv.player[:, :, e].T.tolist(), strict=True):
        player.setup((row, column), level, env.field_size)
    env._food_spawned, env.current_step, env._game_over = env.field.sum(), 0, False
    env._gen_valid_moves()
    return env._make_gym_obs()


def assert_same_step(venv: Foraging, e: int, env, actions) -> None:
    """Take the original's step and compare it with the one that environment `e` has just taken."""
    views, reward, over, truncated, _ = env.step(actions)
    timestep = venv.timestep
    assert_array_equal(timestep.obs[e], views)
    assert_array_equal(timestep.reward[e], np.array(reward, np.float32))
    assert (timestep.terminated[e] == over).all() and (timestep.truncated[e] == truncated).all()
    legal = [[action.value for action in env._valid_actions[player]] for player in env.players]
    assert [np.flatnonzero(mask).tolist() for mask in venv.legal[e]] == legal


def hungry(venv: Foraging, rng: np.random.Generator) -> np.ndarray:
    """Draw random actions [E, N], possible or not, that mostly load where there is food."""
    actions = rng.integers(0, 6, venv.legal.shape[:2])
    return np.where(venv.legal[:, :, LOAD] & (rng.random(actions.shape) < 0.9), LOAD, actions)


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("episodes", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_episodes_are_the_originals(options, episodes):
    venv, envs = opened(Foraging(episodes, masks=True, **options)), [original(**options) for _ in range(episodes)]
    assert_array_equal(venv.timestep.obs, [copy_state(venv, e, env) for e, env in enumerate(envs)])
    rng, running, loads = np.random.default_rng(episodes), np.ones(episodes, bool), 0
    while running.any():
        actions, food = hungry(venv, rng), venv.food[2].sum(0)
        venv.step(actions)
        for e in np.flatnonzero(running).tolist():
            assert_same_step(venv, e, envs[e], actions[e])
        loads += (venv.food[2].sum(0) < food)[running].sum()
        running &= ~venv.timestep.last
    assert loads > episodes / 10


@given(st.integers(0, 2**32), st.data())
def test_steps_from_any_crowd_are_the_originals(seed, data):
    players = data.draw(st.integers(1, 5))
    options = dict(size=5, players=players, food=2, sight=data.draw(st.integers(1, 5)), penalty=0.5)
    venv = opened(Foraging(1, masks=True, **options), seed)
    food = set(map(tuple, venv.food[:2, :, 0].T.tolist()))
    free = [(row, column) for row in range(5) for column in range(5) if (row, column) not in food]
    several = st.lists(st.sampled_from(free), min_size=players, max_size=players)  # sharing cells
    venv.player[:2, :, 0] = np.array(data.draw(several)).T
    env = original(**options)
    copy_state(venv, 0, env)
    actions = data.draw(st.lists(st.integers(0, 5), min_size=players, max_size=players))
    venv.step(np.array([actions]))
    assert_same_step(venv, 0, env, actions)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [dict(size=5, players=3, food=2, max_level=3), dict(size=6, players=2, cooperative=True)], ids=str
)
def test_starts_are_the_originals(options):
    starts, env = 10_000, original(**options)
    venv = opened(Foraging(starts, **options))
    ours = [things.T.tolist() for things in (venv.player, venv.food)]
    theirs = ([], [])
    env.reset(seed=0)
    for _ in range(starts):
        env.reset()
        theirs[0].append([[*player.position, player.level] for player in env.players])
        places = np.argwhere(env.field).tolist()
        theirs[1].append([[*place, env.field[*place]] for place in places])
        theirs[1][-1] += [ABSENT.tolist()] * (venv.food.shape[1] - len(places))
    for these, those in zip(ours, theirs, strict=True):
        for k in range(len(these[0])):
            assert_alike([start[k] for start in these], [start[k] for start in those])
        assert_alike(*([[thing[2] for thing in start] for start in sample] for sample in (these, those)))


def assert_alike(ours: list, theirs: list) -> None:
    """Compare the frequencies of what happened at least 20 times in two samples."""
    kinds, counts = np.unique(np.array(ours + theirs), axis=0, return_inverse=True)
    table = np.stack([np.bincount(half, minlength=len(kinds)) for half in np.split(counts.reshape(-1), 2)])
    table = table[:, table.sum(0) >= 20]
    assert table.shape[1] == 1 or chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
def test_starts(options):
    venv = opened(Foraging(500, **options))
    distance = abs(venv.food[:2, :, None] - venv.food[:2, None]).sum(0)  # [F, F, E]
    both = (venv.food[2] > 0)[:, None] & (venv.food[2] > 0) & ~np.eye(len(distance), dtype=bool)[:, :, None]
    assert (distance[both] >= 3).all()
    place = np.concatenate([venv.player, venv.food], axis=1)[:2, :, :]
    present = np.concatenate([venv.player, venv.food], axis=1)[2] > 0
    for e in range(500):
        assert len(np.unique(place[:, present[:, e], e], axis=1).T) == present[:, e].sum()
    level = np.sort(venv.player[2], axis=0)
    assert level.min() == 1 and level.max() == venv.max_level
    most = level[:3].sum(0)
    assert (venv.food[2] <= most).all()
    if venv.cooperative:
        assert ((venv.food[2] == most) | (venv.food[2] == 0)).all()
    assert (venv.spawned == venv.food[2].sum(0)).all()


def test_food_without_a_cell_is_left_out():
    venv = opened(Foraging(20, size=5, food=4))
    assert (venv.food[2] > 0).sum(0).max() == 2
    assert (venv.food.T[:, 2:] == ABSENT).all()
    venv = opened(Foraging(20, size=3, players=9, food=1))
    assert (venv.food.T == ABSENT).all()
    assert venv.step(np.zeros((20, 9), int)).terminated.all()


def place(players, food, **options) -> Foraging:
    """Open one environment with these players and this food, each (row, column, level)."""
    venv = opened(Foraging(1, players=len(players), food=len(food), **options))
    venv.player[:, :, 0], venv.food[:, :, 0] = np.array(players).T, np.array(food).T
    venv.spawned[:] = sum(level for _, _, level in food)
    return venv


@pytest.mark.parametrize(
    "places, actions, after",
    [
        ([(0, 0), (7, 7)], (NORTH, EAST), [(0, 0), (7, 7)]),  # into walls
        ([(0, 0), (7, 7)], (SOUTH, WEST), [(1, 0), (7, 6)]),
        ([(3, 3), (4, 4)], (EAST, WEST), [(3, 3), (4, 3)]),  # food at (3, 4)
        ([(0, 0), (0, 2)], (EAST, WEST), [(0, 0), (0, 2)]),  # to the same cell
        ([(0, 0), (0, 1)], (EAST, WEST), [(0, 1), (0, 0)]),  # past each other
        ([(0, 0), (0, 1)], (EAST, NONE), [(0, 0), (0, 1)]),
        ([(0, 0), (0, 1)], (EAST, EAST), [(0, 1), (0, 2)]),
        ([(0, 0), (0, 1), (0, 3)], (EAST, EAST, WEST), [(0, 1), (0, 1), (0, 3)]),  # and share it
        ([(0, 1), (0, 1)], (NONE, EAST), [(0, 1), (0, 2)]),
    ],
)
def test_moves(places, actions, after):
    venv = place([(*place, 1) for place in places], [(3, 4, 1)])
    venv.step(np.array([actions]))
    assert venv.player[:2, :, 0].T.tolist() == [list(place) for place in after]


@pytest.mark.parametrize(
    "actions, reward, left",
    [
        ((LOAD, LOAD, LOAD), (1 * 3 / (3 * 4), 2 * 3 / (3 * 4), 1 / 4), 0),
        ((LOAD, LOAD, NONE), (1 / 4, 2 / 4, 0), 1),
        ((LOAD, NONE, LOAD), (-0.5, 0, 1 / 4), 1),
        ((NONE, LOAD, NONE), (0, -0.5, 0), 2),
        ((LOAD, LOAD, WEST), (1 / 4, 2 / 4, 0), 1),
    ],
)
def test_loading(actions, reward, left):
    venv = place([(2, 3, 1), (3, 2, 2), (3, 5, 1)], [(3, 3, 3), (4, 5, 1)], penalty=0.5)
    timestep = venv.step(np.array([actions]))
    assert_array_equal(timestep.reward[0], np.array(reward, np.float32))
    assert (venv.food[2] > 0).sum() == left
    assert timestep.terminated.all() == (left == 0) and not timestep.truncated.any()


def test_who_arrives_does_not_load():
    venv = place([(3, 1, 1)], [(3, 3, 1)])
    assert venv.step(np.array([[EAST]])).reward.item() == 0 and venv.food[2].item() == 1
    assert venv.step(np.array([[LOAD]])).reward.item() == 1


def test_views():
    venv = place([(1, 1, 2), (4, 4, 1), (6, 6, 1)], [(2, 2, 1), (4, 5, 3)], sight=2)
    obs = venv.step(np.zeros((1, 3), int)).obs.reshape(3, 5, 3).astype(int).tolist()
    absent = ABSENT.tolist()
    assert obs[0] == [[2, 2, 1], absent, [1, 1, 2], [4, 4, 1], absent]  # it sees a player three away, and food not
    assert obs[1] == [[0, 0, 1], [2, 3, 3], [2, 2, 1], [4, 4, 1], absent]
    assert obs[2] == [[0, 1, 3], absent, [2, 2, 1], [0, 0, 1], absent]
    state = venv.timestep.global_state.reshape(5, 3).astype(int).tolist()
    assert state == [[2, 2, 1], [4, 5, 3], [1, 1, 2], [4, 4, 1], [6, 6, 1]]


def test_masks_leave_what_is_possible():
    things = [(0, 0, 1), (2, 4, 1)], [(2, 3, 1)]
    assert place(*things).legal.all()
    venv = place(*things, masks=True, size=5)
    legal = venv.step(np.zeros((1, 2), int)).action_mask[0]
    assert [np.flatnonzero(mask).tolist() for mask in legal] == [[NONE, SOUTH, EAST], [NONE, NORTH, SOUTH, LOAD]]


def test_the_game_is_over_at_the_horizon():
    venv = opened(Foraging(3, horizon=4))
    ends = [venv.step(np.zeros((3, 2), int)).terminated.all() for _ in range(5)]
    assert ends == [False, False, False, True, False] and venv.timestep.first.all()


@pytest.mark.parametrize(
    "arguments", ["", "masks=True, sight=2", "size=5, players=9, food=4, penalty=0.1", "grid=True, sight=3"]
)
def test_conformance(arguments):
    report = check_game(f"{FORAGING}({arguments})")
    assert report.passed, str(report)


def test_bounds():
    assert Foraging(1).spec.return_bounds == (0, 1)
    assert Foraging(1, penalty=0.1, horizon=20).spec.return_bounds == (-2, 1)


@pytest.mark.parametrize(
    "name, options",
    [
        ("Foraging-8x8-2p-3f-v3", dict()),
        ("Foraging-2s-10x10-3p-3f-v3", dict(size=10, players=3, sight=2)),
        ("Foraging-5x5-9p-4f-coop-v3", dict(size=5, players=9, food=4, cooperative=True)),
    ],
)
def test_names(name, options):
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("lbforaging")
    env, venv = gymnasium.make(name, disable_env_checker=True).unwrapped, Foraging(1, **options)
    assert env.observation_space[0].shape == venv.spec.observation.shape and env.n_agents == venv.spec.num_players
    assert env.field_size == (venv.size, venv.size) and env.max_num_food == venv.food.shape[1]
    ours = (venv.sight, venv.cooperative, venv.penalty, venv.max_level, venv.horizon)
    assert (env.sight, env.force_coop, env.penalty, env.max_player_level[0], env._max_episode_steps) == ours


@pytest.mark.parametrize("name", ["players", "food", "sight", "max_level", "horizon"])
def test_bad_counts(name):
    with pytest.raises(UserError, match=f"expected {name} of at least 1, got 0"):
        make(f"{FORAGING}({name}=0)", 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("penalty=-1", "expected a penalty of at least 0, got -1"),
        ("size=3, players=10, food=1", "expected room for 10 players, got a board of 9 cells"),
        ("size=5, food=5", "expected at most 4 food on a board of 5 by 5 cells, got 5"),
        ("size=2", "expected at most 0 food on a board of 2 by 2 cells, got 3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        make(f"{FORAGING}({arguments})", 1)


def test_render():
    venv = place([(0, 0, 2), (2, 1, 1)], [(1, 2, 3)], size=4)
    assert venv.render(0).splitlines() == ["A2  .  .  .", " .  .  3  .", " . B1  .  .", " .  .  .  ."]
    assert [venv.action_name(0, 0, a) for a in range(6)] == ["none", "north", "south", "west", "east", "load"]
