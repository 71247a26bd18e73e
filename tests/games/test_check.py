"""Every game that the tests know keeps every promise; and every promise can be broken."""

import numpy as np
import pytest

from games.check import OF_POSITIONS, check_game
from games.contract import Array, Discrete, Spec

KNOWN = [
    "openspiel:tic_tac_toe",
    "openspiel:connect_four(rows=5)",
    "openspiel:kuhn_poker(players=3)",
    "openspiel:leduc_poker",
    "openspiel:goofspiel(num_cards=4)",
    "openspiel:oshi_zumo(coins=5)",
    "openspiel:pig(winscore=20)",
    "openspiel:matrix_pd",
    "openspiel:tiny_hanabi",
    "openspiel:catch",
    "openspiel:breakthrough(rows=5,columns=5)",
    "openspiel:hearts",
    "openspiel:turn_based_simultaneous_game(game=goofspiel(num_cards=3))",
    "pettingzoo:classic.tictactoe_v3",
    "pettingzoo:classic.connect_four_v3",
    "pettingzoo:mpe2.simple_spread_v3(N=2, max_cycles=10)",
    "pettingzoo:mpe2.simple_speaker_listener_v4(continuous_actions=True, max_cycles=10)",
    "tests.games.test_check:Nim(stones=7)",
]


class Nim:
    """Take one or two stones; whoever takes the last one wins."""

    def __init__(self, stones: int = 7, state: type | None = None) -> None:
        self.stones, self.state = stones, state or NimState
        self.spec = Spec(
            name="nim",
            num_players=2,
            observation=Array((1,)),
            action=Discrete(2),
            payoff="zero_sum",
            return_bounds=(-1.0, 1.0),
            turns="sequential",
            perfect_information=True,
            chance=False,
            searchable=True,
        )

    def initial_state(self) -> "NimState":
        return self.state(self.stones, 0)


class NimState:
    def __init__(self, stones: int, player: int) -> None:
        self.stones, self.player = stones, player

    def clone(self):
        return type(self)(self.stones, self.player)

    def acting(self):
        return (self.player,) if self.stones else ()

    def legal_actions(self, player):
        return [0, 1][: self.stones]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        self.stones -= actions[self.player] + 1
        self.player = 1 - self.player

    def is_terminal(self):
        return self.stones == 0

    def returns(self):
        return (0.0, 0.0) if self.stones else ((-1.0, 1.0) if self.player == 0 else (1.0, -1.0))

    def observe(self, player, out):
        out[0] = self.stones

    def key(self):
        return self.stones, self.player


class Entangled(NimState):
    def clone(self):
        return self


class Generous(NimState):
    def returns(self):
        return (0.0, 0.0) if self.stones else (1.0, 2.0 * self.player)


class Rich(NimState):
    def returns(self):
        return (0.0, 0.0) if self.stones else (7.0, -7.0)


class Blind(NimState):
    def observe(self, player, out):
        out[0] = np.nan


class Stuck(NimState):
    def legal_actions(self, player):
        return []


class Greedy(NimState):
    def legal_actions(self, player):
        return [0, 0]


class Forgetful(NimState):
    def key(self):
        return id(self)


class Broke(NimState):
    def returns(self):
        return (np.inf, -np.inf)


class Moody(NimState):
    count = 0

    def legal_actions(self, player):
        Moody.count += 1
        return [0] if Moody.count % 7 == 0 else [0, 1][: self.stones]


class Raising(NimState):
    def apply(self, actions):
        raise RuntimeError("no")


BROKEN = {
    "Entangled": "clones are independent",
    "Generous": "payoffs are as declared",
    "Rich": "returns lie within their bounds",
    "Blind": "views are finite",
    "Stuck": "masks agree with acting",
    "Greedy": "legal actions are within the Spec's",
    "Forgetful": "equal positions have equal keys",
    "Broke": "rewards are finite, and 0 on first",
    "Moody": "the same seed gives the same episode",
    "Raising": "plays",
}


def broken_nim(state: str) -> Nim:
    """Build Nim with one of the broken states above, by reference."""
    return Nim(state=globals()[state])


@pytest.mark.parametrize("reference", KNOWN)
def test_known_games_keep_every_promise(reference):
    report = check_game(reference, episodes=6)
    assert report.passed, str(report)
    assert str(report).startswith(f"{reference}: passed")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("state, promise", BROKEN.items())
def test_a_broken_promise_is_reported(state, promise):
    report = check_game(f"tests.games.test_check:broken_nim(state={state})", episodes=6)
    assert not report.passed
    assert promise in {p.promise for p in report.promises if p.passed is False}, str(report)


def test_json_has_the_documented_fields():
    data = check_game("openspiel:tic_tac_toe", episodes=2).to_json()
    assert set(data) == {"game", "passed", "promises"}
    assert all(set(promise) == {"promise", "passed", "detail"} for promise in data["promises"])


def test_promises_about_positions_do_not_apply_to_pure_environments():
    report = check_game("pettingzoo:classic.tictactoe_v3", episodes=2)
    assert [p.passed for p in report.promises if p.promise in OF_POSITIONS] == [None] * len(OF_POSITIONS)
