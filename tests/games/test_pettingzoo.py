"""PettingZoo's two APIs: masks from either place, deaths, truncation, unequal spaces."""

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
    step = venv.reset(np.zeros(1, np.uint64))
    acted, paid = [], []
    while not step.last.any():
        acted.append("xyz"[int(step.acting[0].argmax())])
        assert step.acting.sum() == 1 and step.obs[0, step.acting[0]][0, 0] == len(acted) - 1
        step = venv.step(np.ones((1, 3), int))
        paid.append(step.reward[0].tolist())
    assert acted == ["x", "y", "z", "x", "z", "x"]
    assert paid == [[0.0, 0.0, 1.0]] * 6
    assert step.terminated.tolist() == [[False, True, False]] and step.truncated.tolist() == [[True, False, True]]


def test_continuous_actions():
    venv = make("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=3)", 2)
    assert venv.spec.action == Box(5, 0.0, 1.0) and venv.spec.num_actions == 0
    step = venv.reset(np.arange(2, dtype=np.uint64))
    for _ in range(3):
        step = venv.step(np.full((2, 2, 5), 0.5, np.float32))
    assert step.truncated.all() and not step.terminated.any()


def test_what_has_no_place_in_the_contract_is_refused():
    class Odd(Duel):
        def action_space(self, agent):
            return spaces.MultiDiscrete([2, 2])

    globals()["Odd"] = Odd
    with pytest.raises(UserError, match="actions all discrete"):
        make("tests.games.test_pettingzoo:Odd", 1)
