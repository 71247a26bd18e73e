"""Gymnasium's environments: Tuples of spaces, lists of rewards, one player; ids and faults by name."""

import sys

import gymnasium
import gymnasium.spaces as spaces
import numpy as np
import pytest

from games.check import FIELDS, check_game, record
from games.contract import Box, Discrete
from games.errors import GameFailed, UserError
from games.keys import fold_one
from games.random_play import random_actions
from games.registry import make

HERE = "tests.games.test_gymnasium"
FORAGING = "gymnasium:lbforaging.Foraging-8x8-2p-3f-v3"
WAREHOUSE = "gymnasium:rware.rware-tiny-2ag-v2(max_steps=30)"
CART = "gymnasium:gymnasium.CartPole-v1"


def _installed(reference):
    """Skip where the package behind a reference is not installed."""
    pytest.importorskip(reference.partition(":")[2].partition(".")[0])
    return reference


@pytest.mark.parametrize("reference", [FORAGING, WAREHOUSE, CART])
def test_every_promise_is_kept(reference):
    report = check_game(_installed(reference), 8)
    assert report.passed, str(report)


def test_players_of_foraging_stand_nowhere_when_an_episode_opens():
    reference = _installed("gymnasium:lbforaging.Foraging-5x5-2p-1f-v3")
    report = check_game(reference, 20)
    assert report.passed, str(report)


@pytest.mark.parametrize("reference", [FORAGING, WAREHOUSE])
def test_an_episode_is_its_seeds_whatever_the_batch(reference):
    seeds = np.arange(4, dtype=np.uint64)
    four = record(make(_installed(reference), 4), seeds, 8)
    for env in range(4):
        alone = record(make(reference, 1), seeds[env : env + 1], 2)
        for field in FIELDS:
            ours = four.seen[field][: len(alone.seed), env]
            assert (ours == alone.seen[field][: len(ours), 0]).all(), field


def test_foraging_is_its_own_loop():
    id = _installed(FORAGING).partition("lbforaging.")[2]
    venv, seed = make(FORAGING, 1), 11
    assert venv.spec.num_players == 2 and venv.spec.action == Discrete(6) and venv.spec.payoff == "general_sum"
    step, paid, age = venv.reset(np.array([seed], np.uint64)), 0.0, 0
    for episode in range(1, 5):
        env = gymnasium.make(id, disable_env_checker=True)  # it would remember where its players stood
        (obs, _), ended = env.reset(seed=seed % 2**31), False
        np.testing.assert_array_equal(step.obs[0], obs)
        while not ended:
            actions = random_actions(venv.spec, step, np.array([age]))
            step, age = venv.step(actions), age + 1
            obs, rewards, terminated, truncated, _ = env.step(actions[0].tolist())
            ended = terminated or truncated
            np.testing.assert_array_equal(step.obs[0], obs)
            np.testing.assert_array_equal(step.reward[0], np.float32(rewards))
            assert (step.terminated == terminated).all() and (step.truncated == (truncated and not terminated)).all()
            assert step.last[0] == ended and (step.acting != ended).all()
            paid += sum(rewards)
        seed = fold_one(11, episode)
        step = venv.step(actions)
        assert step.first.all() and step.seed[0] == seed
    assert paid > 0


def test_one_agent_is_one_player():
    venv = make(f"{CART.removesuffix('v1')}v1(max_episode_steps=5)", 2)
    assert venv.spec.num_players == 1 and venv.spec.max_length == 5 and venv.spec.action == Discrete(2)
    step = venv.reset(np.arange(2, dtype=np.uint64))
    for t in range(5):
        step = venv.step(np.full((2, 1), t % 2))
        assert (step.reward == 1).all()
    assert step.truncated.all() and not step.terminated.any()


def test_legal_actions_and_text_come_from_the_environment():
    taxi = next(id for id in gymnasium.registry if id.startswith("Taxi-v"))
    venv = make(f"gymnasium:gymnasium.{taxi}", 1)
    step = venv.reset(np.array([3], np.uint64))
    assert step.obs.sum() == 1 and 0 < step.action_mask.sum() < 6
    assert venv.render(0).startswith("+---------+")
    assert make(CART, 1).render(0) == ""


class Pair(gymnasium.Env):
    """The first player's episode ends at step 2, the second's is cut at step 3; `a` may do less."""

    metadata = {"render_modes": ["ansi"], "payoff": "team"}
    observation_space = spaces.Tuple([spaces.Box(0, 9, (2,), np.float32), spaces.Discrete(4)])
    action_space = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3, start=5)])
    render_mode = "ansi"

    def __init__(self, fault=""):
        self.fault = fault

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._views(), self._info()

    def step(self, actions):
        assert self.action_space.contains(actions)
        self.t += 1
        rewards, ends, cuts = [float(self.t)] * 2, [self.t >= 2, False], [False, self.t == 3]
        views, info = self._views(), self._info()
        match self.fault:
            case "views":
                views = views[:1]
            case "shape":
                views = (np.zeros(3), views[1])
            case "number":
                views = (views[0], 4)
            case "nan":
                views = (np.full(2, np.nan, np.float32), views[1])
            case "rewards":
                rewards = [1.0] * 3
            case "ends":
                ends = [False] * 3
            case "mask":
                info = {"action_mask": [np.ones(3), np.ones(3)]}
            case "raise":
                raise KeyError("door")
        return views, rewards, ends, cuts, info

    def render(self):
        return f"step {self.t}"

    def _views(self):
        return np.full(2, self.t, np.float32), self.t

    def _info(self):
        return {"action_mask": [np.array([0, 1], np.int8), np.array([1, 0, 1], np.int8)]}


def test_players_of_tuples_differ_in_views_actions_and_ends():
    venv = make(f"{HERE}:Pair", 1)
    spec = venv.spec
    assert (spec.observation.shape, spec.observation_sizes, spec.action_sizes) == ((4,), (2, 4), (2, 3))
    assert spec.payoff == "team" and spec.turns == "simultaneous"
    step = venv.reset(np.zeros(1, np.uint64))
    assert step.obs[0].tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]
    assert step.action_mask[0].tolist() == [[False, True, False], [True, False, True]]
    step = venv.step(np.array([[1, 2]]))
    assert step.obs[0].tolist() == [[1, 1, 0, 0], [0, 1, 0, 0]] and step.reward.tolist() == [[1, 1]]
    step = venv.step(np.array([[1, 2]]))
    assert step.acting.tolist() == [[False, True]] and not step.terminated.any()  # a team ends together
    assert step.reward.tolist() == [[2, 2]] and not step.action_mask[0, 0].any() and venv.render(0) == "step 2"
    step = venv.step(np.array([[1, 0]]))
    assert step.reward.tolist() == [[3, 3]] and step.last.all()  # a team's reward is everybody's
    assert step.terminated.tolist() == [[True, False]] and step.truncated.tolist() == [[False, True]]
    assert venv.step(np.array([[1, 0]])).first.all()


@pytest.mark.parametrize(
    "fault, what",
    [
        ("views", "1 views came for 2 players"),
        ("shape", "the view of player 0 is float64 (3,), its space says float32 (2,)"),
        ("number", "the view of player 1 holds 4, its space says 0 to 3"),
        ("nan", "showed a view that is not finite, player 0"),
        ("rewards", "rewards of the shape (3,) came for 2 players"),
        ("ends", "`terminated` of the shape (3,) came for 2 players"),
        ("mask", "the mask of player 0 has 3 actions, its space 2"),
        ("raise", "raised KeyError: 'door'"),
    ],
)
def test_a_fault_is_named_where_it_happens(fault, what):
    venv = make(f"{HERE}:Pair(fault={fault})", 2)
    venv.reset(np.array([7, 8], np.uint64))
    with pytest.raises(GameFailed) as caught:
        venv.step(np.ones((2, 2), int))
    failed = caught.value
    assert failed.what.endswith(what) and (failed.environment, failed.step, failed.seed) == (0, 1, 7)


class Lone(gymnasium.Env):
    """One step; spaces to choose."""

    def __init__(self, view="box", action="box", payoff="team"):
        box = spaces.Box(-1, 1, (2,), np.float32)
        every = {
            "box": box,
            "one": spaces.Tuple([box]),
            "pair": spaces.Tuple([box, box]),
            "multi": spaces.MultiDiscrete([2, 2]),
        }
        self.observation_space, self.action_space = every[view], every[action]
        self.metadata = {"payoff": payoff}

    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.ones(2, np.float32), float(action.sum()), True, False, {}


def test_continuous_actions():
    venv = make(f"{HERE}:Lone", 1)
    assert venv.spec.action == Box(2, -1.0, 1.0) and venv.spec.num_actions == 0
    venv.reset(np.zeros(1, np.uint64))
    step = venv.step(np.array([[[0.5, 0.25]]]))
    assert step.reward.tolist() == [[0.75]] and step.last.all() and venv.render(0) == ""


@pytest.mark.parametrize(
    "reference, said",
    [
        ("gymnasium:CartPole-v1", "got 'CartPole-v1'; did you mean 'gymnasium.CartPole-v1'?"),
        ("gymnasium:gymnasium.CartPol-v1", "'gymnasium' registers no environment 'CartPol-v1'; did you mean 'CartPol"),
        ("gymnasium:lbforagin.Foraging-v3", "'lbforagin', which is not installed; did you mean 'lbforaging'?"),
        (f"{CART}(sutton_barto=True)", "takes sutton_barto_reward, render_mode, got 'sutton_barto'; did you mean"),
        ("gymnasium:gymnasium.FrozenLake-v1(map_name=9x9)", "could not be built: KeyError '9x9'"),
        ("gymnasium:gymnasium.Blackjack-v1", "views and actions for each player in 'gymnasium:gymnasium.Blackjack-v1'"),
        (f"{HERE}:Lone(view=pair)", "expected views and actions for each player"),
        (f"{HERE}:Lone(view=one)", "expected views and actions for each player"),
        (f"{HERE}:Lone(action=multi)", "expected actions all discrete, or all boxes of floats"),
        (f"{HERE}:Lone(payoff=teem)", "metadata['payoff'] to be one of ('zero_sum', 'team', 'general_sum')"),
        (f"{CART} | flatten_v0", "expected 'flatten_v0' directly after an environment of pettingzoo"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(reference, said):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    assert said in str(caught.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rware", None)
    with pytest.raises(
        UserError, match=r"needs the package 'rware', which is not installed; pip install 'marl\[rware\]'"
    ):
        make(WAREHOUSE, 1)


@pytest.mark.parametrize("reward_type, payoff", [("global", "team"), ("individual", "general_sum")])
def test_a_word_stands_for_an_enums_member(reward_type, payoff):
    warehouse = _installed(WAREHOUSE).removesuffix(")")
    assert make(f"{warehouse}, reward_type={reward_type})", 1).spec.payoff == payoff
    with pytest.raises(UserError, match=r"reward_type to be one of .*, got 'globl'; did you mean 'global'"):
        make(f"{warehouse}, reward_type=globl)", 1)
