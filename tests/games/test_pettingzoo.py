"""PettingZoo's two APIs: masks from either place, deaths, truncation, unequal spaces."""

import sys

import gymnasium.spaces as spaces
import numpy as np
import pytest
from pettingzoo import AECEnv, ParallelEnv

from games.contract import Box, Discrete
from games.errors import UserError
from games.registry import make


class Duel(ParallelEnv):
    """Agent `b` dies at step 2; at step 4 the recording is cut. `a` sees more and can do less."""

    metadata = {"name": "duel_v0"}
    possible_agents = ["a", "b"]

    def __init__(self, mask_in: str = "info"):
        self.mask_in = mask_in

    def observation_space(self, agent):
        box = spaces.Box(0, 9, (2,) if agent == "a" else (1,), np.float32)
        return box if self.mask_in == "info" else spaces.Dict(observation=box, action_mask=spaces.MultiBinary(3))

    def action_space(self, agent):
        return spaces.Discrete(2 if agent == "a" else 3)

    def reset(self, seed=None, options=None):
        self.agents, self.t = ["a", "b"], 0
        return self._views(self.agents), self._infos()

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.t += 1
        before = self.agents
        dies, cut = self.t == 2, self.t == 4
        self.agents = [] if cut else [a for a in before if not (dies and a == "b")]
        return (
            self._views(before),
            {a: 10.0 * self.t + actions[a] for a in before},
            {a: dies and a == "b" for a in before},
            {a: cut for a in before},
            self._infos(),
        )

    def _views(self, agents):
        views = {a: np.full(2 if a == "a" else 1, self.t, np.float32) for a in agents}
        if self.mask_in == "info":
            return views
        return {a: {"observation": view, "action_mask": self._mask(a)} for a, view in views.items()}

    def _infos(self):
        return {a: {"action_mask": self._mask(a)} if self.mask_in == "info" else {} for a in self.agents}

    def _mask(self, agent):
        return np.array([0, 1] if agent == "a" else [1, 0, 1], np.int8)

    def state(self):
        return np.array([self.t])


class Race(AECEnv):
    """Three agents move in turn; `y` is dead after its first move; `x` ends the game at its third and pays everyone."""

    metadata = {"name": "race_v0"}
    possible_agents = ["x", "y", "z"]

    def __init__(self):
        super().__init__()
        self.observation_spaces = {a: spaces.Box(0, 99, (1,), np.float32) for a in self.possible_agents}
        self.action_spaces = {a: spaces.Discrete(2, start=5) for a in self.possible_agents}

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {a: {} for a in self.agents}
        self.moves, self.agent_selection = 0, "x"
        self.turns = 0

    def observe(self, agent):
        return np.array([self.moves], np.float32)

    def state(self):
        return np.array([self.moves])

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action in (5, 6)
        self._clear_rewards()
        self.moves += 1
        self.turns += agent == "x"
        self.rewards["z"] = 1.0  # paid while others act
        if agent == "y":
            self.terminations["y"] = True
        if self.turns == 3:
            self.truncations = {a: a != "y" for a in self.agents}
        order = self.agents
        self.agent_selection = order[(order.index(agent) + 1) % len(order)]
        self._deads_step_first()


@pytest.mark.parametrize("mask_in", ["info", "obs"])
def test_parallel_deaths_truncation_masks_and_padding(mask_in):
    venv = make(f"tests.games.test_pettingzoo:Duel(mask_in={mask_in})", 1)
    assert venv.spec.observation.shape == (2,) and venv.spec.observation_sizes == (2, 1)
    assert venv.spec.action == Discrete(3) and venv.spec.action_sizes == (2, 3)
    assert venv.spec.global_state_size == 1 and venv.spec.turns == "simultaneous"
    step = venv.reset(np.zeros(1, np.uint64))
    assert step.action_mask[0].tolist() == [[False, True, False], [True, False, True]]
    step = venv.step(np.array([[1, 2]]))
    assert step.reward.tolist() == [[11.0, 12.0]] and step.global_state.tolist() == [[1.0]]
    step = venv.step(np.array([[1, 2]]))  # b dies
    assert step.terminated.tolist() == [[False, True]] and step.acting.tolist() == [[True, False]]
    assert step.obs[0].tolist() == [[2.0, 2.0], [2.0, 0.0]]
    step = venv.step(np.array([[1, 0]]))
    assert step.reward.tolist() == [[31.0, 0.0]] and not step.last.any()
    step = venv.step(np.array([[1, 0]]))  # the recording is cut
    assert step.last.all() and step.terminated.tolist() == [[False, True]]
    assert step.truncated.tolist() == [[True, False]]
    assert step.obs[0, 0].tolist() == [4.0, 4.0] and not step.acting.any()
    assert venv.step(np.zeros((1, 2), int)).first.all()


def test_aec_one_decision_a_step():
    venv = make("tests.games.test_pettingzoo:Race", 1)
    assert venv.spec.turns == "sequential" and venv.spec.num_players == 3
    step = venv.reset(np.zeros(1, np.uint64))
    acted, paid = [], []
    while not step.last.any():
        acted.append("xyz"[int(step.acting[0].argmax())])
        assert step.acting.sum() == 1 and step.obs[0, step.acting[0]][0, 0] == len(acted) - 1
        step = venv.step(np.ones((1, 3), int))
        paid.append(step.reward[0].tolist())
        assert step.global_state.tolist() == [[len(acted)]]
    assert acted == ["x", "y", "z", "x", "z", "x"]
    assert paid == [[0.0, 0.0, 1.0]] * 6
    assert step.terminated.tolist() == [[False, True, False]] and step.truncated.tolist() == [[True, False, True]]
    assert step.obs[0, [0, 2]].tolist() == [[6.0], [6.0]] and not step.acting.any()
    step = venv.step(np.ones((1, 3), int))
    assert step.first.all() and step.global_state.tolist() == [[0.0]] and not step.terminated.any()


class Ghosts(Duel):
    """`b` leaves without a word; or all stay at the table, and `b` is only said to be dead."""

    def __init__(self, stays: bool = False):
        super().__init__()
        self.stays = stays

    def step(self, actions):
        assert set(actions) == ({"a", "b"} if self.t < 2 else {"a"})
        self.agents = list(actions)
        views, rewards, terminations, truncations, infos = super().step(actions)
        if self.stays and self.t < 4:
            terminations["b"] = self.t >= 2
            self.agents = ["a", "b"]
            return self._views(self.agents), rewards, terminations, truncations, self._infos()
        return {a: views[a] for a in self.agents or ["a"]}, rewards, {"a": False}, {"a": truncations["a"]}, infos


@pytest.mark.parametrize("stays", [False, True])
def test_a_dead_player_does_not_act_however_it_left(stays):
    venv = make(f"tests.games.test_pettingzoo:Ghosts(stays={stays})", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    over = []
    while not step.last.any():
        step = venv.step(np.array([[1, 2]]))
        assert not (step.acting & (step.terminated | step.truncated)).any()
        over.append((step.terminated[0].tolist(), step.truncated[0].tolist()))
    assert over[0] == ([False, False], [False, False])
    assert over[1:3] == [([False, True], [False, False])] * 2
    assert over[3:] == [([False, True], [True, False])]


class Tower(ParallelEnv):
    """One decision each; spaces to choose."""

    metadata = {"name": "tower_v0"}
    possible_agents = ["a", "b"]

    def __init__(self, views="two", actions="discrete", payoff=None, cut=False):
        self.cut = cut
        box = spaces.Box(0, 1, (2,), np.float32)
        self.views = {
            "two": [box, box],
            "shapes": [spaces.Box(0, 1, (2, 2), np.float32), spaces.Box(0, 1, (3,), np.float64)],
            "pixels": [spaces.Box(0, 255, (4, 4, 3), np.uint8)] * 2,
            "discrete": [spaces.Discrete(3, start=5)] * 2,
            "tuple": [spaces.Tuple([box, box])] * 2,
            "dict": [spaces.Dict(observation=box, extra=box)] * 2,
        }[views]
        self.actions = {
            "discrete": [spaces.Discrete(2)] * 2,
            "boxes": [spaces.Box(-1, 1, (2,), np.float32), spaces.Box(-1, 1, (1, 3), np.float32)],
            "mixed": [spaces.Discrete(2), spaces.Box(-1, 1, (2,), np.float32)],
            "uneven": [spaces.Box(np.zeros(2, np.float32), np.array([1, 2], np.float32))] * 2,
            "multi": [spaces.MultiDiscrete([2, 2])] * 2,
        }[actions]
        self.metadata = {"name": "tower_v0"} | ({"payoff": payoff} if payoff else {})

    def observation_space(self, agent):
        return self.views["ab".index(agent)]

    def action_space(self, agent):
        return self.actions["ab".index(agent)]

    def reset(self, seed=None, options=None):
        assert 0 <= seed < 2**31
        self.agents = ["a", "b"]

        for space in self.views:
            space.seed(seed)
        return {a: self.observation_space(a).sample() for a in self.agents}, {}

    def step(self, actions):
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action), action
        views = {a: self.observation_space(a).sample() for a in self.agents}
        agents, self.agents = self.agents, []
        paid = {a: float(np.sum(actions[a])) for a in agents}
        return views, paid, dict.fromkeys(agents, True), dict.fromkeys(agents, self.cut), {}


def test_views_of_different_shapes_are_flat_and_padded():
    venv = make("tests.games.test_pettingzoo:Tower(views=shapes)", 1)
    assert venv.spec.observation.shape == (4,) and venv.spec.observation_sizes == (4, 3)
    assert str(venv.spec.observation.dtype) == "float32" and venv.spec.action_sizes == ()
    assert venv.reset(np.array([2**63], np.uint64)).obs[0, 1, 3] == 0


def test_an_end_at_the_limit_of_time_is_an_end():
    venv = make("tests.games.test_pettingzoo:Tower(cut=true)", 1)
    venv.reset(np.zeros(1, np.uint64))
    step = venv.step(np.zeros((1, 2), int))
    assert step.terminated.all() and not step.truncated.any()


def test_pixels_stay_bytes():
    venv = make("tests.games.test_pettingzoo:Tower(views=pixels)", 1)
    assert venv.spec.observation.shape == (4, 4, 3) and venv.reset(np.ones(1, np.uint64)).obs.dtype == np.uint8


def test_a_discrete_view_is_a_one_hot():
    venv = make("tests.games.test_pettingzoo:Tower(views=discrete)", 8)
    obs = venv.reset(np.arange(8, dtype=np.uint64)).obs
    assert obs.shape == (8, 2, 3) and (obs.sum(2) == 1).all()
    for seed in range(8):
        space = spaces.Discrete(3, start=5, seed=seed)
        assert obs[seed].argmax(1).tolist() == [space.sample() - 5, space.sample() - 5]


def test_boxes_of_different_sizes_are_cut_to_each_players_own():
    venv = make("tests.games.test_pettingzoo:Tower(actions=boxes)", 1)
    assert venv.spec.action == Box(3, -1.0, 1.0) and venv.spec.action_sizes == (2, 3)
    venv.reset(np.zeros(1, np.uint64))
    assert venv.step(np.array([[[0.5, 0.25, 9], [0.5, -0.5, 0.25]]])).reward.tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("actions=multi", "actions all discrete"),
        ("actions=mixed", "actions all discrete"),
        ("actions=uneven", "actions all discrete"),
        ("views=tuple", "views that are arrays"),
        ("views=dict", "views that are arrays"),
        ("payoff=zerosum", "metadata['payoff'] to be one of ('zero_sum', 'team', 'general_sum')"),
    ],
)
def test_what_has_no_place_in_the_contract_is_refused_in_one_sentence(arguments, said):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(f"tests.games.test_pettingzoo:Tower({arguments})", 1)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "reference, payoff",
    [
        ("tests.games.test_pettingzoo:Tower", "general_sum"),
        ("tests.games.test_pettingzoo:Tower(payoff=team)", "team"),
        ("pettingzoo:classic.tictactoe_v3", "zero_sum"),
        ("pettingzoo:classic.go_v5", "zero_sum"),
        ("pettingzoo:mpe2.simple_spread_v3", "general_sum"),  # it pays each its own collisions, too
        ("pettingzoo:mpe2.simple_spread_v3(local_ratio=0.0)", "team"),
        ("pettingzoo:mpe2.simple_speaker_listener_v4", "team"),
        ("pettingzoo:mpe2.simple_tag_v3", "general_sum"),
        ("mpe2.simple_spread_v3:env(local_ratio=0.0)", "team"),
    ],
)
def test_payoffs_are_said_by_the_environment_or_known(reference, payoff):
    assert make(reference, 1).spec.payoff == payoff


def test_tic_tac_toe_plays_out_by_hand():
    venv = make("pettingzoo:classic.tictactoe_v3", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    for move, cell in enumerate([0, 3, 1, 4, 2]):
        assert step.acting.tolist() == [[move % 2 == 0, move % 2 == 1]] and not step.reward.any()
        assert step.action_mask[0, move % 2].sum() == 9 - move
        step = venv.step(np.array([[cell, cell]]))
    assert step.reward.tolist() == [[1.0, -1.0]] and step.terminated.all() and not step.truncated.any()
    assert step.obs[0, 0, ..., 0].sum() == 3 and step.obs[0, 1, ..., 0].sum() == 2  # each sees its own pieces first


def test_both_apis_play_the_same_episode():
    parallel = make("pettingzoo:mpe2.simple_spread_v3(N=3, max_cycles=6)", 1)
    turns = make("mpe2.simple_spread_v3:env(N=3, max_cycles=6)", 1)
    assert parallel.spec.turns == "simultaneous" and turns.spec.turns == "sequential"
    seeds = np.array([5], np.uint64)
    together, one = parallel.reset(seeds), turns.reset(seeds)
    for cycle in range(6):
        actions = np.array([[cycle % 5, 2, (cycle + 3) % 5]])
        together = parallel.step(actions)
        paid = np.zeros((1, 3), np.float32)
        for player in range(3):
            assert one.acting[0].tolist() == [p == player for p in range(3)]
            one = turns.step(actions)
            paid += one.reward
        np.testing.assert_allclose(paid, together.reward, rtol=1e-6)
        np.testing.assert_allclose(one.global_state, together.global_state, rtol=1e-6)
        assert (one.last == together.last).all()
    assert together.truncated.all() and one.truncated.all()
    np.testing.assert_allclose(one.obs, together.obs, rtol=1e-6)


@pytest.mark.parametrize(
    "name, package, remedy",
    [
        ("classic.leduc_holdem_v4", "rlcard", "pip install 'marl[classic]'"),
        ("butterfly.pistonball_v6", "pymunk", "pip install 'marl[butterfly]'"),
        ("mpe2.simple_spread_v3", "mpe2", "pip install 'marl[mpe]'"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, name, package, remedy):
    for loaded in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    for loaded in [module for module in sys.modules if module.startswith(f"pettingzoo.{name.partition('.')[0]}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as caught:
        make(f"pettingzoo:{name}", 1)
    assert str(caught.value) == (f"'pettingzoo:{name}' needs the package '{package}', which is not installed; {remedy}")


def test_continuous_actions():
    venv = make("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=3)", 2)
    assert venv.spec.action == Box(5, 0.0, 1.0) and venv.spec.num_actions == 0
    step = venv.reset(np.arange(2, dtype=np.uint64))
    for _ in range(3):
        step = venv.step(np.full((2, 2, 5), 0.5, np.float32))
    assert step.truncated.all() and not step.terminated.any()
