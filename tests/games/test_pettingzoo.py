"""PettingZoo's two APIs: masks from either place, deaths, truncation, unequal spaces; faults by name; SuperSuit."""

import subprocess
import sys

import gymnasium.spaces as spaces
import numpy as np
import pettingzoo
import pytest
from pettingzoo import AECEnv, ParallelEnv

from games.adapters.opposed import opposed
from games.check import check_game, record
from games.contract import Box, Discrete
from games.errors import GameFailed, UserError
from games.registry import make

HERE = "tests.games.test_pettingzoo"


class Duel(ParallelEnv):
    """Agent `b` dies at step 2; at step 4 the recording is truncated. `a` sees more and can do less."""

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
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.moves += 1
        self.turns += agent == "x"
        self.rewards["z"] = 1.0  # paid while others act
        self._accumulate_rewards()
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
    step = venv.step(np.array([[1, 0]]))  # the recording is truncated
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
    """`b` leaves without a word."""

    def step(self, actions):
        assert set(actions) == ({"a", "b"} if self.t < 2 else {"a"})
        self.agents = list(actions)
        views, rewards, _, truncations, infos = super().step(actions)
        return {a: views[a] for a in self.agents or ["a"]}, rewards, {"a": False}, {"a": truncations["a"]}, infos


def test_who_leaves_without_a_word_waits_until_the_end():
    venv = make(f"{HERE}:Ghosts", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    over, acting = [], []
    while not step.last.any():
        step = venv.step(np.array([[1, 2]]))
        over.append((step.terminated[0].tolist(), step.truncated[0].tolist()))
        acting.append(step.acting[0].tolist())
    assert acting == [[True, True], [True, False], [True, False], [False, False]]
    assert over == [([False, False], [False, False])] * 3 + [([False, True], [True, False])]


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
            "tuple": [spaces.Discrete(2), spaces.Tuple([spaces.Discrete(2)] * 2)],
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
        ("actions=mixed", "got Discrete(2) and Box(-1.0, 1.0, (2,), float32); the choices of Box"),
        ("actions=tuple", "got Tuple(Discrete(2), Discrete(2)); write"),
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


class Pairs(Duel):
    """Four agents, of whom `metadata` says who are a team."""

    possible_agents = ["a", "b", "c", "d"]

    def __init__(self, teams=(("a", "d"), ("b", "c"))):
        super().__init__()
        self.metadata = {"name": "pairs_v0", "teams": teams}


@pytest.mark.parametrize(
    "reference, teams",
    [
        ("pettingzoo:mpe2.simple_tag_v3", ((0, 1, 2), (3,))),
        ("pettingzoo:mpe2.simple_adversary_v3", ((0,), (1, 2))),
        ("pettingzoo:mpe2.simple_push_v3", ()),  # one against one
        ("pettingzoo:mpe2.simple_crypto_v3", ((0,), (1, 2))),
        ("pettingzoo:mpe2.simple_world_comm_v3", ((0, 1, 2, 3), (4, 5))),
        ("pettingzoo:mpe2.simple_spread_v3", ()),
        ("tests.games.test_pettingzoo:Pairs", ((0, 3), (1, 2))),
        ("tests.games.test_pettingzoo:Duel", ()),
    ],
)
def test_teams_are_said_by_the_environment_or_known(reference, teams):
    assert make(reference, 1).spec.teams == teams


@pytest.mark.parametrize("teams", ["[[a, x], [b, c]]", "[1, 2]"])
def test_teams_of_agents_that_there_are_not_are_refused(teams):
    with pytest.raises(UserError, match=r"^expected metadata\['teams'\] of [^\n]+ its agents are a, b, c, d$"):
        make(f"tests.games.test_pettingzoo:Pairs(teams={teams})", 1)


def test_the_teams_of_armies_are_known_by_their_colours():
    """Of MAgent2, which is not among the test's packages: its agents' names, as its pages list them."""
    assert opposed("battle_v4", ["red_0", "red_1", "blue_0", "blue_1"]) == ((0, 1), (2, 3))
    mixed = ["redmelee_0", "redranged_0", "bluemele_0", "blueranged_0"]
    assert opposed("combined_arms_v6", mixed) == ((0, 1), (2, 3))
    assert opposed("tiger_deer_v4", ["deer_0", "deer_1", "tiger_0"]) == ((0, 1), (2,))
    assert opposed("gather_v5", ["omnivore_0", "omnivore_1", "omnivore_2"]) == ()
    assert opposed("MPE_simple_tag_v3", ["adversary_0", "adversary_1", "agent_0"]) == ((0, 1), (2,))


def test_tic_tac_toe_plays_out_by_hand():
    venv = make("pettingzoo:classic.tictactoe_v3", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    for move, cell in enumerate([0, 3, 1, 4, 2]):
        assert step.acting.tolist() == [[move % 2 == 0, move % 2 == 1]] and not step.reward.any()
        assert step.action_mask[0, move % 2].sum() == 9 - move
        step = venv.step(np.array([[cell, cell]]))
    assert step.reward.tolist() == [[1.0, -1.0]] and step.terminated.all() and not step.truncated.any()
    assert step.obs[0, 0, ..., 0].sum() == 3 and step.obs[0, 1, ..., 0].sum() == 2  # each sees its own pieces first


def zombies_in_turns():
    return pettingzoo.make("aec", "butterfly/knights_archers_zombies-v11", max_cycles=50)


@pytest.mark.parametrize(
    "reference",
    ["pettingzoo:butterfly.knights_archers_zombies_v11(max_cycles=50)", f"{HERE}:zombies_in_turns"],
)
def test_zombies_come_as_in_the_first_episode(reference):
    report = check_game(reference, 8)
    assert report.passed, str(report)


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
        ("magent2.environments.battle_v4", "magent2", "pip install 'marl[magent]'"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(name, package, remedy):
    """In a process of its own, as PettingZoo keeps what was imported once."""
    code = f"""
import sys
from games.errors import UserError
from games.adapters.opposed import opposed
from games.registry import make
sys.modules["{package}"] = None
try:
    make("pettingzoo:{name}", 1)
except UserError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"'pettingzoo:{name}' needs the package '{package}', which is not installed; {remedy}\n"


def test_continuous_actions():
    venv = make("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=3)", 2)
    assert venv.spec.action == Box(5, 0.0, 1.0) and venv.spec.num_actions == 0
    step = venv.reset(np.arange(2, dtype=np.uint64))
    for _ in range(3):
        step = venv.step(np.full((2, 2, 5), 0.5, np.float32))
    assert step.truncated.all() and not step.terminated.any()


def test_text_is_shown_where_there_is_some():
    chess = make("pettingzoo:classic.chess_v6 | frame_stack_v1(stack_size=2)", 1)
    chess.reset(np.zeros(1, np.uint64))
    assert chess.render(0).splitlines()[0] == "r n b q k b n r"
    duel = make(f"{HERE}:Duel", 1)
    duel.reset(np.zeros(1, np.uint64))
    assert duel.render(0) == "" and duel.action_name(0, 0, 2) == "2"


def test_what_is_known_of_a_game_is_said():
    assert make("pettingzoo:classic.chess_v6", 1).spec.perfect_information
    assert not make("pettingzoo:classic.leduc_holdem_v4", 1).spec.perfect_information


class Faulty(Duel):
    """It goes wrong in the first step of the episode with seed 8."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def reset(self, seed=None, options=None):
        self.seed = seed
        return super().reset(seed)

    def step(self, actions):
        views, rewards, terminations, truncations, infos = super().step(actions)
        match self.fault if self.seed == 8 else "":
            case "stranger":
                rewards["c"] = 1.0
            case "newcomer":
                self.agents.append("c")
            case "blind":
                del views["a"]
            case "cut":
                del views["b"]
                truncations["b"] = True
            case "wide":
                views["a"] = np.zeros(3)
            case "narrow":
                views["a"] = np.zeros(1, np.float32)
            case "nan":
                views["b"][0] = np.nan
            case "reward":
                rewards["b"] = np.nan
            case "mask":
                infos["b"] = {"action_mask": np.ones(4)}
            case "state":
                self.state = lambda: np.zeros(2)
            case "raise":
                raise RuntimeError("the cat\nlay down")
        return views, rewards, terminations, truncations, infos


@pytest.mark.parametrize(
    "fault, what",
    [
        ("stranger", "agent 'c' is not one of possible_agents"),
        ("newcomer", "agent 'c' is not one of possible_agents"),
        ("blind", "no view came for agent 'a'"),
        ("cut", "no view came for agent 'b'"),
        ("wide", "the view of player 0 is float64 (3,), its space says float32 (2,)"),
        ("narrow", "the view of player 0 is float32 (1,), its space says float32 (2,)"),
        ("nan", "showed a view that is not finite, player 1"),
        ("reward", "player 1 is paid nan, expected a finite number of float32"),
        ("mask", "the mask of player 1 has 4 actions, its space 3"),
        ("state", "the state has 2 numbers, it had 1"),
        ("raise", "raised RuntimeError: the cat lay down"),
    ],
)
def test_a_fault_is_named_where_it_happens(fault, what):
    venv = make(f"{HERE}:Faulty(fault={fault})", 3)
    venv.reset(np.array([7, 8, 9], np.uint64))
    with pytest.raises(GameFailed) as caught:
        venv.step(np.ones((3, 2), int))
    failed = caught.value
    assert failed.what.endswith(what) and failed.game == f"{HERE}:Faulty(fault='{fault}')"
    assert (failed.environment, failed.step, failed.seed) == (1, 1, 8)


class Nobody(Tower):
    possible_agents = []


class Odd(Tower):
    """It shows fractions where it promised bytes, and a number that it does not know; or nobody comes."""

    def reset(self, seed=None, options=None):
        self.agents = [] if self.cut and seed else ["a", "b"]
        return dict.fromkeys("ab", np.full((4, 4, 3), 0.5) if self.views[0].shape else 4), {}


@pytest.mark.parametrize(
    "arguments, what",
    [
        ("views=pixels", r"player 0 is float64 \(4, 4, 3\), its space says uint8 \(4, 4, 3\)"),
        ("views=discrete", r"player 0 holds 4, its space says 5 to 7"),
        ("cut=true", "`agents` is empty when the episode opens"),
    ],
)
def test_a_fault_at_the_opening_is_named(arguments, what):
    with pytest.raises(GameFailed, match=f"{what}: environment 0, step 0 of the episode with seed 3"):
        make(f"{HERE}:Odd({arguments})", 1).reset(np.array([3], np.uint64))


class FaultyRace(Race):
    """`y` does not leave when it should; or a stranger is on turn; or the dead are paid."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def step(self, action):
        if self.fault == "stays" and action is None:
            return
        super().step(action)
        if self.fault == "stranger" and self.moves == 2:
            self.agent_selection = "w"
        if self.fault == "paid" and self.moves > 3:
            self._cumulative_rewards["y"] = 5.0


@pytest.mark.parametrize(
    "fault, what",
    [("stays", "agent 'y' stays in `agents` after its end"), ("stranger", "agent 'w' is not one of possible_agents")],
)
def test_a_fault_in_turns_is_named_where_it_happens(fault, what):
    venv = make(f"{HERE}:FaultyRace(fault={fault})", 1)
    venv.reset(np.array([3], np.uint64))
    venv.step(np.ones((1, 3), int))
    with pytest.raises(GameFailed, match=f"{what}: environment 0, step 2 of the episode with seed 3"):
        venv.step(np.ones((1, 3), int))


def test_who_has_left_is_paid_no_more():
    venv = make(f"{HERE}:FaultyRace(fault=paid)", 1)
    step, paid = venv.reset(np.zeros(1, np.uint64)), np.zeros(3)
    while not step.last.any():
        step = venv.step(np.ones((1, 3), int))
        paid += step.reward[0]
    assert paid.tolist() == [0.0, 0.0, 6.0]


class Shut(Duel):
    def reset(self, seed=None, options=None):
        raise KeyError("door")


class Fallen(Duel):
    """When everybody has fallen there is no state any more."""

    def step(self, actions):
        views, rewards, _, _, infos = super().step(actions)
        self.agents = []
        return views, rewards, dict.fromkeys("ab", True), {}, infos

    def state(self):
        if not self.agents:
            raise AttributeError("'NoneType' object has no attribute 'position'")
        return super().state()


def test_an_environment_without_players_is_refused():
    with pytest.raises(UserError, match=r"one or more names in `possible_agents` of '.*:Nobody', got none$"):
        make(f"{HERE}:Nobody", 1)


def test_an_environment_that_does_not_open_is_refused():
    with pytest.raises(UserError, match=r"Shut' could not be opened: KeyError 'door'$"):
        make(f"{HERE}:Shut", 1)


def test_a_state_is_not_asked_for_after_everybodys_end():
    venv = make(f"{HERE}:Fallen", 1)
    venv.reset(np.zeros(1, np.uint64))
    assert venv.step(np.ones((1, 2), int)).last.all()


PISTONS = "pettingzoo:butterfly.pistonball_v6(n_pistons=10, max_cycles=20)"
SPREAD, SPREAD_IN_TURNS = "pettingzoo:mpe2.simple_spread_v3(max_cycles=6)", "mpe2.simple_spread_v3:env(max_cycles=6)"
FOUR = "pettingzoo:classic.connect_four_v3"


@pytest.mark.parametrize(
    "reference, shape, dtype",
    [
        (f"{PISTONS} | color_reduction_v0(mode=B) | resize_v1(x_size=84, y_size=84)", (84, 84), "uint8"),
        (f"{PISTONS} | resize_v1(x_size=8, y_size=4) | frame_stack_v1(stack_size=4)", (4, 8, 12), "uint8"),
        (f"{SPREAD} | frame_stack_v1(stack_size=3)", (54,), "float32"),
        (f"{SPREAD_IN_TURNS} | frame_stack_v1(stack_size=3)", (54,), "float32"),
        (f"{SPREAD} | agent_indicator_v0", (21,), "float32"),
        (f"{FOUR} | flatten_v0", (84,), "float32"),
        (f"{FOUR} | frame_stack_v1(stack_size=2)", (6, 7, 4), "float32"),
        (f"{HERE}:Duel | black_death_v3 | pad_observations_v0", (2,), "float32"),
        (f"{HERE}:Race | frame_stack_v1 | dtype_v0(dtype=float64)", (4,), "float32"),
    ],
)
def test_supersuit_wraps_both_apis_from_left_to_right(reference, shape, dtype):
    venv = make(reference, 2)
    assert (venv.spec.observation.shape, venv.spec.observation.dtype) == (shape, dtype)
    assert record(venv, np.arange(2, dtype=np.uint64), 2).last.any()


@pytest.mark.parametrize("name", ["pistonball_v6(n_pistons=10, max_cycles=20)", "cooperative_pong_v6(max_cycles=20)"])
def test_pictures_move(name):
    venv = make(f"pettingzoo:butterfly.{name}", 1)
    pictures = np.array(record(venv, np.array([5], np.uint64), 1).obs)  # hashes [T, E, N]
    assert (pictures[1:4] != pictures[:3]).all()
    assert venv.spec.global_state_size == 0 and venv.spec.payoff == "team"


def test_frames_are_stacked_and_colours_reduced():
    plain, wrapped = make(PISTONS, 1), make(f"{PISTONS} | color_reduction_v0(mode=B) | frame_stack_v1(stack_size=2)", 1)
    seeds, down = np.array([5], np.uint64), -np.ones((1, 10, 1), np.float32)
    frames, stacks = ([venv.reset(seeds).obs.copy()] for venv in (plain, wrapped))
    for _ in range(3):
        frames.append(plain.step(down).obs.copy())
        stacks.append(wrapped.step(down).obs.copy())
    assert (frames[2] != frames[3]).any() and not stacks[0][..., 0].any()
    assert (stacks[3][..., 0] == frames[2][..., 2]).all() and (stacks[3][..., 1] == frames[3][..., 2]).all()


@pytest.mark.parametrize(
    "wrapper",
    ["flatten_v0", "dtype_v0(dtype=float32)", "frame_stack_v1(stack_size=2)", "delay_observations_v0(delay=2)"],
)
@pytest.mark.parametrize("game", [FOUR, f"{HERE}:Duel", f"{HERE}:Duel(mask_in=obs)"])
def test_masks_live_through_wrappers(game, wrapper):
    seeds = np.arange(2, dtype=np.uint64)
    plain, wrapped = record(make(game, 2), seeds, 4), record(make(f"{game} | {wrapper}", 2), seeds, 4)
    assert not plain.action_mask[plain.acting].all()
    for field in ("action_mask", "acting", "reward", "terminated", "truncated"):
        assert (plain.seen[field] == wrapped.seen[field]).all(), field


def test_a_full_column_stays_illegal_behind_wrappers():
    venv = make(f"{FOUR} | dtype_v0(dtype=float32) | flatten_v0 | frame_stack_v1(stack_size=2)", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    for move in range(6):
        assert step.action_mask[0, move % 2].all()
        step = venv.step(np.full((1, 2), 3))
    assert step.action_mask[0].tolist() == [[True, True, True, False, True, True, True], [False] * 7]


def test_padded_actions_stay_illegal():
    venv = make(f"{HERE}:Duel | pad_action_space_v0", 1)
    step = venv.reset(np.zeros(1, np.uint64))
    assert venv.spec.action_sizes == ()
    assert step.action_mask[0].tolist() == [[False, True, False], [True, False, True]]


@pytest.mark.parametrize("game", [SPREAD, SPREAD_IN_TURNS, FOUR])
def test_a_wrappers_chance_is_the_episodes_own(game):
    sticky = f"{game} | sticky_actions_v0(repeat_action_probability=0.5)"
    report = check_game(sticky, 4)
    assert report.passed, str(report)
    seeds = np.arange(2, dtype=np.uint64)
    free, stuck = (record(make(reference, 2), seeds, 2) for reference in (game, sticky))
    length = min(len(free.seed), len(stuck.seed))
    assert (free.obs[:length] != stuck.obs[:length]).any()


@pytest.mark.parametrize(
    "reference, said",
    [
        (f"{FOUR} | frame_stak_v1", "a wrapper of SuperSuit's, got 'frame_stak_v1'; did you mean 'frame_stack_v1'?"),
        (f"{FOUR} | frame_stack_v1(size=4)", "'frame_stack_v1' takes stack_size, stack_dim, got 'size'"),
        (f"{FOUR} | frame_stack_v1(stack_size=many)", "stack size of frame_stack must be an int"),
        (f"{FOUR} | resize_v1(x_size=8)", "'resize_v1' needs the argument 'y_size'"),
        (f"{FOUR} | dtype_v0(dtype=floot)", "data type 'floot' not understood"),
        (f"{FOUR} | normalize_obs_v0", "'normalize_obs_v0' does not fit views of int8 (6, 7, 2): AssertionError"),
        (f"{SPREAD} | resize_v1(x_size=8, y_size=8)", "does not fit views of float32 (18,)"),
        (f"{FOUR} | black_death_v3", "'black_death_v3' does not fit views of int8 (6, 7, 2): Converting from an AEC"),
        (f"{FOUR} | frame_skip_v0(num_frames=2)", "has lost its legal actions; leave out the wrapper"),
        (
            f"{SPREAD} | concat_vec_envs_v1(num_vec_envs=2)",
            "batched here by `num_envs`; leave 'concat_vec_envs_v1' out",
        ),
        (f"{SPREAD} | reward_lambda_v0", "'reward_lambda_v0' needs functions, which a reference cannot write"),
        ("spread | flatten_v0", "directly after an environment of pettingzoo, got it after 'spread'"),
        (
            f"{SPREAD} | agent_id | flatten_v0",
            "expected 'flatten_v0' directly after an environment of pettingzoo, got it after 'pettingzoo:",
        ),
    ],
)
def test_a_wrapper_that_has_no_place_is_refused_in_one_sentence(reference, said):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    assert said in str(caught.value)
