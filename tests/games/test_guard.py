"""A game that breaks its word is named where it does, with what is needed to see it again."""

import numpy as np
import pytest

from games.errors import GameFailed
from games.guard import Guard
from games.keys import fold
from games.registry import make
from tests.games.plugin import Nim, NimState


class Blind(NimState):
    def observe(self, player, out):
        out[0] = np.nan if self.stones == 3 else self.stones


class Broke(NimState):
    def returns(self):
        return (np.nan, np.nan) if self.stones == 0 else (0.0, 0.0)


class Stuck(NimState):
    def legal_actions(self, player):
        return [] if self.stones == 3 else [0]


class Lost(NimState):
    def legal_actions(self, player):
        return [0, 5] if self.stones == 3 else [0]


class Raising(NimState):
    def apply(self, actions):
        super().apply(actions)
        if self.stones == 3:
            raise RuntimeError("the cat took\na stone")


class Failing(Nim):
    def __init__(self, state: str) -> None:
        super().__init__(stones=5)
        self.state = globals()[state]

    def initial_state(self) -> NimState:
        return self.state(self.stones, 0)


FAULTS = {
    "Blind": ("showed a view that is not finite, player 0", 2),
    "Broke": ("paid a reward that is not finite, player 0", 5),
    "Stuck": ("let a player act without a legal action, player 0", 2),
    "Lost": ("raised IndexError", 2),
    "Raising": ("raised RuntimeError: the cat took a stone", 2),
}


@pytest.mark.parametrize("state, where", FAULTS.items())
def test_a_broken_game_is_named_where_it_breaks(state, where):
    what, step = where
    venv = make(f"tests.games.test_guard:Failing(state={state})", 3)
    venv.reset(np.array([7, 8, 9], np.uint64))
    with pytest.raises(GameFailed) as raised:
        for _ in range(6):
            venv.step(np.zeros((3, 2), int))
    error = raised.value
    assert error.what.startswith(what) and (error.environment, error.step, error.seed) == (0, step, 7)
    assert f"environment 0, step {step} of the episode with seed 7" in str(error) and error.exit_code == 1


def test_the_environment_that_raised_is_named():
    venv = make("tests.games.test_guard:Failing(state=Raising)", 2)
    venv.reset(np.array([7, 8], np.uint64))
    venv.step(np.zeros((2, 2), int))
    with pytest.raises(GameFailed, match="environment 1, step 2 of the episode with seed 8"):
        venv.step(np.array([[0, 1], [0, 0]]))  # from four stones to two, and to three


def test_a_game_that_raises_when_it_opens_is_named():
    with pytest.raises(GameFailed, match=r"at least one decision.*environment 0, step 0 of the episode with seed 3"):
        make("tests.games.plugin:Nim(stones=0)", 1).reset(np.array([3], np.uint64))


class Bent:
    """A batch that goes wrong in environment 1, in the second episode of it."""

    def __init__(self, num_envs: int, fault: str) -> None:
        self.venv, self.fault, self.num_envs = make("matrix(game=climbing, steps=2)", num_envs), fault, num_envs
        self.spec, self.steps = self.venv.spec, 0

    def reset(self, seeds, where=None):
        return self.venv.reset(seeds, where)

    def step(self, actions):
        timestep, self.steps = self.venv.step(actions), self.steps + 1
        if self.steps == 4:
            if self.fault == "raise":
                raise ValueError("no more")
            if self.fault == "dtype":
                timestep.reward = timestep.reward.astype(float)
            if self.fault == "shape":
                timestep.obs = timestep.obs[:, :, 0]
            if self.fault == "mask":
                timestep.acting[1, 0] = False
            if self.fault == "nan":
                timestep.reward[1, 1] = np.inf
            if self.fault == "state":
                timestep.global_state[1] = np.nan
        return timestep


@pytest.mark.parametrize(
    "fault, what, environment",
    [
        ("raise", "raised ValueError: no more", 0),
        ("dtype", "returned 'reward' as float64", 0),
        ("shape", r"returned 'obs' as float32 \(2, 2\), expected float32 \(2, 2, 1\)", 0),
        ("mask", "has legal actions for a player who does not act, player 0", 1),
        ("nan", "paid a reward that is not finite, player 1", 1),
        ("state", "has a global state that is not finite", 1),
    ],
)
def test_a_broken_batch_is_named_where_it_breaks(fault, what, environment):
    venv = make(f"tests.games.test_guard:Bent(fault={fault})", 2)
    venv.reset(np.array([7, 8], np.uint64))
    with pytest.raises(GameFailed, match=what) as raised:
        for _ in range(4):
            venv.step(np.zeros((2, 2), int))
    seed = int(fold(7 + environment, 1)[0])
    assert (raised.value.environment, raised.value.step, raised.value.seed) == (environment, 1, seed)


def test_our_own_games_are_not_watched():
    assert not isinstance(make("coin_game", 1), Guard) and not isinstance(make("openspiel:tic_tac_toe", 1), Guard)
    assert isinstance(make("tests.games.plugin:Nim", 1), Guard)


def test_a_guard_passes_on_what_it_watches():
    venv = make("tests.plugin_package.my_games:Nim(stones=3)", 1)
    venv.reset(np.zeros(1, np.uint64))
    assert venv.render(0) == "ooo" and venv.action_name(0, 0, 1) == "take two"
    assert venv.states(np.array([0]))[0].acting() == (0,)
