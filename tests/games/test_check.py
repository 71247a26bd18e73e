"""Every game that the tests know keeps every promise; and every promise can be broken."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from games.check import OF_PLAY, OF_POSITIONS, OF_TWINS, check_game
from games.drawing.svg import Area, drawing, text
from games.errors import UserError
from games.registry import make
from games.vector import GameEnv, vectorize
from marl.search.agent import UctAgent
from tests.games.plugin import Nim, NimState

KNOWN = [
    "openspiel:tic_tac_toe",
    "openspiel:connect_four(rows=5)",
    "openspiel:kuhn_poker(players=3)",
    "openspiel:leduc_poker",
    "openspiel:leduc_poker(observe=information_state)",
    "openspiel:goofspiel(num_cards=4)",
    "openspiel:oshi_zumo(coins=5)",
    "openspiel:pig(winscore=20)",
    "openspiel:matrix_pd",
    "openspiel:tiny_hanabi",
    "openspiel:catch",
    "openspiel:breakthrough(rows=5,columns=5)",
    "openspiel:hearts",
    "openspiel:coop_box_pushing(horizon=10)",
    "openspiel:first_sealed_auction",
    "openspiel:turn_based_simultaneous_game(game=goofspiel(num_cards=3))",
    "pettingzoo:classic.tictactoe_v3",
    "pettingzoo:classic.connect_four_v3",
    "pettingzoo:mpe2.simple_spread_v3(N=2, max_cycles=10)",
    "pettingzoo:classic.rps_v2",
    "pettingzoo:mpe2.simple_spread_v3(N=2, local_ratio=0.0, max_cycles=10)",
    "mpe2.simple_spread_v3:env(N=2, max_cycles=5)",
    "pettingzoo:mpe2.simple_speaker_listener_v4(continuous_actions=True, max_cycles=10)",
    "tests.games.plugin:Nim(stones=7)",
]


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


class Constant(NimState):
    def key(self):
        return 0


class Meddling(NimState):
    def apply(self, actions):
        idle = actions[1 - self.player]
        super().apply(actions)
        self.stones = max(0, self.stones - abs(idle))


class Lottery(NimState):
    """One stone left: chance decides who gets it, and is not declared."""

    def acting(self):
        return super().acting() if self.stones > 1 else ()

    def legal_actions(self, player):
        return [0]

    def chance_outcomes(self):
        return [(0, 0.5), (1, 0.5)] if self.stones == 1 else ()

    def apply_chance(self, outcome):
        self.stones, self.player = 0, outcome


class Unsure(Lottery):
    chances = 0.75, 0.75

    def chance_outcomes(self):
        return list(enumerate(self.chances)) if self.stones == 1 else ()


class Careless(NimState):
    def resample(self, player, key):
        return type(self)(self.stones + 1, player)


class Whimsical(NimState):
    count = 0

    def resample(self, player, key):
        Whimsical.count += 1
        return type(self)(self.stones + Whimsical.count, player)


class Uninformed(NimState):
    def information(self, player):
        return 0


class Scribbler(NimState):
    def draw(self, player):
        return drawing(10, 10, ["<script>go()</script>"])


class Presumptuous(NimState):
    def draw(self, player):
        return drawing(10, 10, [], {0: Area(0, 0, 10, 10)})  # also of who is not on turn


class Telltale(NimState):
    """Hides a number, which `resample` draws again, and writes it into everybody's drawing."""

    hidden = 0

    def resample(self, player, key):
        other = self.clone()
        other.hidden = key
        return other

    def draw(self, player):
        return drawing(10, 10, [text(0, 0, str(self.hidden), 5)])


BROKEN_STATES = {
    "Scribbler": "drawings are whole, and a player's shows nothing hidden",
    "Presumptuous": "drawings are whole, and a player's shows nothing hidden",
    "Telltale": "drawings are whole, and a player's shows nothing hidden",
    "Careless": "a resampled position looks the same to its player",
    "Whimsical": "a resampled position looks the same to its player",
    "Uninformed": "positions of equal information look the same",
    "Raising": "plays",
    "Stuck": "masks agree with acting",
    "Broke": "rewards are finite, and 0 on first",
    "Blind": "views are finite",
    "Generous": "payoffs are as declared",
    "Rich": "returns lie within their bounds",
    "Moody": "the same seed gives the same episode",
    "Meddling": "actions of players who are not acting are ignored",
    "Entangled": "clones are independent",
    "Forgetful": "equal positions have equal keys",
    "Constant": "equal positions have equal keys",
    "Greedy": "legal actions are within the Spec's",
    "Lottery": "chance is declared, and its probabilities sum to one",
    "Unsure": "chance is declared, and its probabilities sum to one",
}


class BrokenNim(Nim):
    """Nim with one of the broken states above."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = globals()[state]
        if state == "Unsure":
            self.spec = replace(self.spec, chance=True)

    def initial_state(self) -> NimState:
        return self.state(self.stones, 0)


class Unlike(Nim):
    """Nim whose own single environment does not keep to its positions."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def single_env(self, row):
        return UnlikeEnv(self, row)


class UnlikeEnv(GameEnv):
    def __init__(self, game, row):
        super().__init__(game, row)
        self.fault, self.row, self.ended = game.fault, row, False

    def reset(self, seed):
        super().reset(seed)
        if self.fault == "history" and self.ended:
            self.row.obs += 1

    def step(self, actions):
        over = super().step(actions)
        self.ended |= over
        if self.fault == "reward":
            self.row.reward *= 0.5
        elif self.fault == "view":
            self.row.obs += not over
        elif self.fault == "mask" and not over:
            self.row.action_mask[self.row.acting, 1:] = False
        return over


def float64(step):
    step.reward = step.reward.astype(np.float64)


def masks_of_others(step):
    step.action_mask[..., 0] |= ~step.acting


def act_at_the_end(step):
    step.acting |= step.last[:, None]
    step.action_mask |= step.last[:, None, None]


def act_together(step):
    step.acting |= ~step.last[:, None]
    step.action_mask[..., 0] |= step.acting


def take_back(step):
    step.terminated[:, 0] |= step.acting[:, 1]


def take_back_cut(step):
    step.truncated[:, 0] |= step.acting[:, 1]


def never_end(step):
    step.terminated[:] = False


def never_first(step):
    step.first[:] = False


def count_episodes_wrongly(step):
    step.seed[1:] = step.seed[:-1]


def pay_at_first(step):
    step.reward[step.first] = [1, -1]


def pay_along_the_way(step):
    step.reward[step.acting[:, 1]] = [1, -1]


def pay_the_dead(step):
    step.terminated[:, 0] |= ~step.first
    step.reward[:, 0] = ~step.first


def depend_on_place(step):
    step.global_state[:] = np.arange(len(step.first))[:, None]


def share(step):
    """Pay nothing but once, along the way, to one of a team."""
    step.reward[:] = 0
    step.reward[step.acting[:, 1], 0] = 1


FAULTS = {
    float64: "shapes and dtypes are the Spec's",
    masks_of_others: "masks agree with acting",
    act_at_the_end: "players act until their ends",
    act_together: "turns are as declared",
    take_back: "episodes end, and ends are final",
    take_back_cut: "episodes end, and ends are final",
    never_first: "an episode opens the step after a last step",
    count_episodes_wrongly: "episode k is seeded by fold(the seed given, k)",
    pay_at_first: "rewards are finite, and 0 on first",
    pay_along_the_way: "rewards are paid when declared",
    pay_the_dead: "nothing is paid after an end",
    depend_on_place: "an episode is the same whatever the batch",
}


class Bent:
    """Nim's VecEnv, with a fault in what it returns."""

    def __init__(self, num_envs: int, fault: str = "", reset_all: bool = False, **spec) -> None:
        self.inner, self.num_envs = vectorize(Nim(), num_envs), num_envs
        self.spec = replace(self.inner.spec, **{"global_state_size": 1, "searchable": False} | spec)
        self.fault, self.reset_all = globals().get(fault, lambda step: None), reset_all

    def reset(self, seeds, where=None):
        return self._bend(self.inner.reset(seeds, None if self.reset_all else where))

    def step(self, actions):
        return self._bend(self.inner.step(actions))

    def _bend(self, timestep):
        bent = deepcopy(timestep)
        bent.global_state = np.zeros((self.num_envs, 1), np.float32)
        self.fault(bent)
        return bent


@pytest.mark.parametrize("reference", KNOWN)
def test_known_games_keep_every_promise(reference):
    report = check_game(reference, episodes=6)
    assert report.passed, str(report)
    assert str(report).startswith(f"{reference}: passed")


def broken(reference: str) -> dict[str, str]:
    """Return the promises that a game broke, and where."""
    report = check_game(reference, episodes=6)
    assert not report.passed
    return {p.promise: p.detail for p in report.promises if p.passed is False}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("state, promise", BROKEN_STATES.items())
def test_a_broken_position_is_reported(state, promise):
    assert promise in broken(f"tests.games.test_check:BrokenNim(state={state})")


@pytest.mark.parametrize("fault, promise", FAULTS.items())
def test_a_broken_environment_is_reported(fault, promise):
    assert promise in broken(f"tests.games.test_check:Bent(fault={fault.__name__})")


@pytest.mark.parametrize(
    "arguments, promise",
    [
        ("max_length=2", "episodes are no longer than declared"),
        ("payoff=team", "payoffs are as declared"),
        ("return_bounds=(-0.5, 0.5)", "returns lie within their bounds"),
        ("action_sizes=(2, 1)", "masks agree with acting"),
        ("payoff=team, fault=share, step_rewards=True, return_bounds=None", "payoffs are as declared"),
        ("searchable=True", "optional methods work"),
    ],
)
def test_a_spec_that_says_too_much_is_reported(arguments, promise):
    assert list(broken(f"tests.games.test_check:Bent({arguments})")) == [promise]


def test_a_reset_of_too_many_is_reported():
    found = broken("tests.games.test_check:Bent(reset_all=True)")
    assert list(found) == [
        "an episode is the same whatever was played before",
        "a reset of some environments leaves the others unchanged",
    ]


def test_an_environment_that_remembers_the_episode_before_is_reported():
    found = broken("tests.games.test_check:Unlike(fault=history)")
    assert list(found) == ["an episode is the same whatever was played before"]
    assert "'obs' differs: step " in next(iter(found.values()))


@pytest.mark.parametrize("fault", ["reward", "view", "mask"])
def test_an_environment_that_does_not_keep_to_its_positions_is_reported(fault):
    found = broken(f"tests.games.test_check:Unlike(fault={fault})")
    assert list(found) == ["steps agree with positions, returns with rewards"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_promise_can_be_broken():
    breakable = {*BROKEN_STATES.values(), *FAULTS.values()} - {"plays"}
    breakable |= {"episodes are no longer than declared", "a reset of some environments leaves the others unchanged"}
    breakable |= {"steps agree with positions, returns with rewards"}
    breakable |= {"an episode is the same whatever was played before", "optional methods work"}
    # test_spaces.py and test_comings_and_goings.py break these.
    breakable |= {"views lie in their spaces", "returns are those of the library's own loop"}
    assert breakable == {*OF_PLAY, *OF_TWINS, *OF_POSITIONS}


def test_an_unbent_environment_keeps_every_promise():
    report = check_game("tests.games.test_check:Bent", episodes=6)
    assert report.passed, str(report)


def test_a_detail_says_where(monkeypatch):
    monkeypatch.setattr("games.check.MOST_STEPS", 50)
    detail = broken("tests.games.test_check:Bent(fault=pay_along_the_way)")["rewards are paid when declared"]
    assert "step 1, environment 0, seed " in detail


def test_a_game_that_never_ends_is_played_once_and_gets_advice(monkeypatch):
    monkeypatch.setattr("games.check.MOST_STEPS", 50)
    heard = []
    report = check_game("tests.games.test_check:Bent(fault=never_end)", 6, progress=lambda *told: heard.append(told))
    detail = {p.promise: p.detail for p in report.promises if p.passed is False}["episodes end, and ends are final"]
    assert detail.startswith("no episode ended within 50 steps of random play; give the game an end, or truncate the")
    assert {p.detail for p in report.promises if p.promise in {**OF_TWINS, **OF_POSITIONS}} == {"no episode ended"}
    assert [told[2] for told in heard] == [f"0 of 6 episodes, {steps} steps" for steps in (0, 16, 32, 48)]


def test_progress_grows_to_its_total():
    heard = []
    check_game("openspiel:tic_tac_toe", 6, progress=lambda *told: heard.append(told))
    done, totals = [told[0] for told in heard], {told[1] for told in heard}
    assert done == sorted(done) and totals == {done[-1] + 1} and heard[-1][2].startswith("checking: ")


class Hidden(Nim):
    """Nim that says it hides something; `has` names the optional methods of its positions."""

    def __init__(self, has: str = "", resamples: bool = True) -> None:
        super().__init__()
        self.spec = replace(self.spec, perfect_information=False, resamples=resamples)
        methods = {
            "resample": lambda state, player, key: state.clone(),
            "information": lambda state, player: state.key(),
        }
        self.kind = type("HiddenState", (NimState,), {name: methods[name] for name in has.split("+") if name})

    def initial_state(self) -> NimState:
        return self.kind(self.stones, 0)


class Searchable:
    """A batch that searches: `states` of hidden Nim."""

    def __init__(self, num_envs: int, has: str = "") -> None:
        self.inner, self.num_envs = vectorize(Hidden(has), num_envs), num_envs
        self.spec = replace(self.inner.spec, resamples=True)

    def reset(self, seeds, where=None):
        return self.inner.reset(seeds, where)

    def step(self, actions):
        return self.inner.step(actions)

    def states(self, envs):
        return self.inner.states(envs)


BOTH = {"resample": "`resample(player, key)`", "information": "`information(player)`"}


@pytest.mark.parametrize("kind", ["Hidden", "Searchable"])
@pytest.mark.parametrize("has", ["", "resample", "information", "resample+information"])
def test_what_positions_lack_is_found_before_play(kind, has):
    """`make` promises no more than there is, the check fails on the Spec that did, and uct says what to add."""
    reference = f"tests.games.test_check:{kind}(has='{has}')"
    lacking = " and ".join(words for name, words in BOTH.items() if name not in has)
    spec = make(reference, 1).spec
    assert spec.resamples is not bool(lacking)
    if not lacking:
        assert check_game(reference, 6).passed
        UctAgent(spec)
        return
    said = f"the game hides information, and its positions have no {lacking}; add it, or set resamples=False"
    assert all(detail.startswith(said) for detail in broken(reference).values())
    with pytest.raises(UserError, match=r"^[^\n]*cannot draw any; [^\n]* add `resample\(player, key\)` and"):
        UctAgent(spec)


def test_a_spec_that_promises_nothing_of_its_positions_passes():
    assert check_game("tests.games.test_check:Hidden(resamples=False)", 6).passed


def test_a_searchable_batch_without_states_is_refused():
    with pytest.raises(UserError, match=r"^expected `states\(envs\)` .*, got none; add it, or set searchable=False$"):
        make("tests.games.test_check:Bent(searchable=True)", 1)


@pytest.mark.parametrize("fault", ["render", "action_name"])
def test_an_optional_method_that_does_not_answer_is_reported(fault, monkeypatch):
    monkeypatch.setattr(Bent, fault, lambda self, *arguments: None, raising=False)
    found = broken("tests.games.test_check:Bent")
    assert list(found) == ["optional methods work"] and f"`{fault}` returned None" in found["optional methods work"]


def test_a_picture_that_is_none_is_reported(monkeypatch):
    monkeypatch.setattr(Bent, "picture", lambda self, env, player: "<svg/>", raising=False)
    found = broken("tests.games.test_check:Bent")
    assert found == {"optional methods work": "`picture(0, None)` is '<svg/>', expected a Drawing"}


def test_json_has_the_documented_fields():
    data = check_game("two_step", episodes=2).to_json()
    assert set(data) == {"game", "passed", "promises"} and data["passed"] is True
    assert all(set(promise) == {"promise", "passed", "detail"} for promise in data["promises"])
    assert {promise["passed"] for promise in data["promises"]} == {True, None}
    json.dumps(data)


def test_what_does_not_apply_is_neither_kept_nor_broken():
    report = check_game("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=5)", episodes=2)
    neither = {p.promise for p in report.promises if p.passed is None}
    assert report.passed and neither >= {*OF_POSITIONS, "masks agree with acting", "payoffs are as declared"}
    assert all(p.detail for p in report.promises if p.passed is None)


def test_one_episode_each_says_nothing_of_what_was_played_before():
    promises = {p.promise: p.passed for p in check_game("two_step", episodes=4).promises}
    assert promises["an episode is the same whatever was played before"] is None
