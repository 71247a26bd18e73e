"""What environments give is held against their spaces; spaces that have no place are flattened or scaled by name."""

import gymnasium
import gymnasium.spaces as spaces
import numpy as np
import pytest
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import AgentSelector

from games.adapters.reshaping import MOST_ACTIONS, flat_action, flat_view, scaled_action
from games.adapters.within import Within
from games.check import check_game, record
from games.contract import Array, Box, Discrete, Spec
from games.errors import GameFailed, UserError
from games.random_play import random_actions
from games.registry import make

HERE = "tests.games.test_spaces"
UNIT = spaces.Box(-1, 1, (3,), np.float32)

VIEWS = {  # a space, and what is shown
    "bytes": (spaces.Box(0, 255, (3,), np.uint8), np.array([300, -1, 7])),
    "list": (spaces.Box(0, 255, (3,), np.uint8), [300, 0, 7]),
    "few": (spaces.Box(0, 9, (3,), np.uint8), np.array([0, 10, 0], np.uint8)),
    "signed": (spaces.Box(-5, 5, (3,), np.int8), np.array([0, 0, -6])),
    "fractions": (spaces.Box(-5, 5, (3,), np.int8), np.array([0, 0.5, 0])),
    "bits": (spaces.MultiBinary(3), np.array([0, 2, 1])),
    "rounded": (spaces.Box(0, 2**40, (3,), np.int64), np.array([2**30 + 1, 0, 1])),
    "words": (UNIT, np.array(["a", "b", "c"])),
    "huge": (spaces.Box(-np.inf, np.inf, (3,), np.float64), np.array([1e300, 0, 1])),
    "beyond": (UNIT, np.array([0, 0, 1.5], np.float32)),
    "corner": (spaces.Box(np.zeros(3, np.float32), np.arange(3, dtype=np.float32)), np.array([0, 1.1, 0])),
    "nothing": (UNIT, np.array([0, 0, np.nan], np.float32)),
    "rounding": (UNIT, np.array([0, 0, 1 + 1e-7])),
    "doubles": (UNIT, np.array([0, 0, 0.5])),
}
MASKS = {
    "logits": np.array([0.0, -np.inf, 0.0]),
    "halves": np.array([1.0, 0.5, 1.0]),
    "nan": np.array([1.0, np.nan, 1.0]),
    "minus": np.array([1, -1, 1]),
    "list": [1, 0, 1],
    "bools": np.array([True, False, True]),
    "floats": np.array([1.0, 0.0, 1.0]),
}
ACTIONS = {
    "three": spaces.Discrete(3),
    "multi": spaces.MultiDiscrete([3, 2]),
    "many": spaces.MultiDiscrete([100, 100]),
    "bits": spaces.MultiBinary(3),
    "levels": spaces.Box(1, 3, (2,), np.int32),
    "pair": spaces.Tuple([spaces.Discrete(2), spaces.MultiDiscrete([2, 3])]),
    "named": spaces.Dict(move=spaces.Discrete(3), say=spaces.Discrete(2, start=5)),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "half": spaces.Box(np.array([0, -np.inf], np.float32), np.array([1, 1], np.float32)),
    "uneven": spaces.Box(np.array([0, -2], np.float32), np.array([1, 2], np.float32)),
    "narrow": spaces.Box(-0.1, 0.1, (1,), np.float64),
}
SEEN = {
    "box": (UNIT, np.zeros(3, np.float32)),
    "parts": (spaces.Dict(hp=spaces.Discrete(4), pos=spaces.Box(-1, 1, (2,), np.float32)), {"hp": 1, "pos": [0.5, 0]}),
    "wrong": (spaces.Dict(hp=spaces.Discrete(4), pos=spaces.Box(-1, 1, (2,), np.float32)), {"hp": -1, "pos": [0, 0]}),
    "masked": (
        spaces.Dict(obs=spaces.Box(-1, 1, (2,), np.float32), action_mask=spaces.MultiBinary(3)),
        {"obs": np.zeros(2, np.float32), "action_mask": np.array([1, 0, 1], np.int8)},
    ),
    "cards": (spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)]), (2, np.array([1, 0]))),
    "dice": (spaces.MultiDiscrete([2, 3]), np.array([1, 2])),
    "words": (spaces.Text(5), "abc"),
}


class Shows(ParallelEnv):
    """Two agents, three steps: views, masks and actions to choose. Each action must lie in its space."""

    metadata = {"name": "shows_v0"}
    possible_agents = ["a", "b"]

    def __init__(self, view="box", shown="", mask="", action="three", other="", reward=0.0):
        self.view, self.seen = VIEWS[shown] if shown else SEEN[view]
        self.mask, self.reward = MASKS.get(mask), reward
        self.spaces = {"a": ACTIONS[action], "b": ACTIONS[other or action]}

    def observation_space(self, agent):
        return self.view

    def action_space(self, agent):
        return self.spaces[agent]

    def reset(self, seed=None, options=None):
        self.agents, self.t = list(self.possible_agents), 0
        return self._seen()

    def step(self, actions):
        for agent, action in actions.items():
            assert self.spaces[agent].contains(action), (agent, action)
        self.t += 1
        before, over = self.agents, self.t == 3
        self.agents = [] if over else before
        views, infos = self._seen(before)
        rewards = {agent: self._paid(actions[agent]) for agent in before}
        return views, rewards, dict.fromkeys(before, over), dict.fromkeys(before, False), infos

    def _paid(self, action):
        if self.reward == "array":
            return np.array([1.0])
        if self.reward == "none":
            return None
        if self.reward == "sum":
            return float(np.sum(np.concatenate([np.ravel(part) for part in _parts(action)])))
        return self.reward

    def _seen(self, agents=("a", "b")):
        infos = {agent: {} if self.mask is None else {"action_mask": self.mask} for agent in agents}
        return dict.fromkeys(agents, self.seen), infos


def _parts(action):
    return list(action.values()) if isinstance(action, dict) else action if isinstance(action, tuple) else [action]


class InTurns(AECEnv):
    """The same of one agent at a time."""

    metadata = {"name": "turns_v0"}
    possible_agents = ["a", "b"]

    def __init__(self, **arguments):
        super().__init__()
        self.inner = Shows(**arguments)

    def observation_space(self, agent):
        return self.inner.view

    def action_space(self, agent):
        return self.inner.spaces[agent]

    def observe(self, agent):
        return self.inner.seen

    def reset(self, seed=None, options=None):
        self.agents, self.moves = list(self.possible_agents), 0
        self.rewards, self._cumulative_rewards = dict.fromkeys("ab", 0.0), dict.fromkeys("ab", 0.0)
        self.terminations, self.truncations = dict.fromkeys("ab", False), dict.fromkeys("ab", False)
        self.infos = self.inner._seen()[1]
        self.order = AgentSelector(self.agents)
        self.agent_selection = self.order.reset()

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        assert self.action_space(agent).contains(action), action
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.rewards[agent] = self.inner._paid(action)
        self.moves += 1
        if self.moves == 4:
            self.terminations = dict.fromkeys("ab", True)
        self._accumulate_rewards()
        self.agent_selection = self.order.next()


class Alone(gymnasium.Env):
    """One agent of Gymnasium's, of the same spaces."""

    def __init__(self, view="box", action="three"):
        self.observation_space, self.seen = SEEN[view]
        self.action_space = ACTIONS[action]

    def reset(self, seed=None, options=None):
        self.t = 0
        return self.seen, {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return self.seen, 1.0, self.t == 3, False, {}


def refusal(reference: str) -> str:
    """Return in which sentence a game is refused."""
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        make(reference, 1)
    return str(caught.value)


def failure(reference: str) -> str:
    """Return what broke in the first step or before."""
    with pytest.raises(GameFailed, match=r"^[^\n]+$") as caught:
        venv = make(reference, 1)
        venv.reset(np.array([1], np.uint64))
        venv.step(np.zeros((1, 2), int))
    return caught.value.what


@pytest.mark.parametrize(
    "shown, what",
    [
        ("bytes", "the view of player 0 holds 300, its space says 0 to 255"),
        ("list", "the view of player 0 holds 300, its space says 0 to 255"),
        ("few", "the view of player 0 holds 10, its space says 0 to 9"),
        ("signed", "the view of player 0 holds -6, its space says -5 to 5"),
        ("fractions", "the view of player 0 is float64 (3,), its space says int8 (3,)"),
        ("bits", "the view of player 0 holds 2, its space says 0 to 1"),
        ("rounded", "the view of player 0 holds 1073741825, and float32 holds whole numbers up to 16777216 exactly"),
        ("words", "the view of player 0 is <U1 (3,), its space says float32 (3,)"),
        ("huge", "showed a view that is not finite, player 0"),
        ("nothing", "showed a view that is not finite, player 0"),
    ],
)
@pytest.mark.parametrize("api", ["Shows", "InTurns"])
def test_a_view_that_would_be_changed_silently_is_refused(api, shown, what):
    reference = f"{HERE}:{api}(shown={shown})"
    assert failure(reference).endswith(what)
    assert not check_game(reference, 2).passed


@pytest.mark.parametrize("shown", ["beyond", "corner"])
def test_floats_beyond_their_bounds_are_played_and_reported(shown):
    reference = f"{HERE}:Shows(shown={shown})"
    make(reference, 1).reset(np.array([1], np.uint64))
    broken = {p.promise: p.detail for p in check_game(reference, 2).promises if p.passed is False}
    assert list(broken) == ["views lie in their spaces"] and "the view of player 0 holds 1." in broken.popitem()[1]


@pytest.mark.parametrize("shown", ["rounding", "doubles"])
def test_rounding_and_wider_floats_are_no_fault(shown):
    assert check_game(f"{HERE}:Shows(shown={shown})", 2).passed


def test_a_type_that_holds_nothing_else_needs_no_look():
    within = Within(spaces.Box(0, 255, (2,), np.uint8))
    assert within(np.array([0, 255], np.uint8)).tolist() == [0, 255]
    with pytest.raises(ValueError, match="holds 256, its space says 0 to 255"):
        within(np.array([0, 256]))


@pytest.mark.parametrize("mask, odd", [("logits", "-inf"), ("halves", "0.5"), ("nan", "nan"), ("minus", "-1")])
@pytest.mark.parametrize("api", ["Shows", "InTurns"])
def test_a_mask_of_other_numbers_than_0_and_1_is_refused(api, mask, odd):
    what = f"the mask of player 0 holds {odd}, expected only 1 (legal) and 0 (not legal)"
    assert failure(f"{HERE}:{api}(mask={mask})").endswith(what)


@pytest.mark.parametrize("mask", ["list", "bools", "floats"])
def test_a_mask_of_0_and_1_is_read_in_any_type(mask):
    step = make(f"{HERE}:Shows(mask={mask})", 1).reset(np.array([1], np.uint64))
    assert step.action_mask[0, 0].tolist() == [True, False, True]


@pytest.mark.parametrize(
    "reward, what",
    [
        ("array", "player 0 is paid array([1.]), expected one number"),
        ("none", "player 0 is paid None, expected one number"),
        ("1e300", "player 0 is paid 1e+300, expected a finite number of float32"),
    ],
)
def test_a_reward_that_is_no_number_is_refused(reward, what):
    assert failure(f"{HERE}:Shows(reward={reward})").endswith(what)


@pytest.mark.parametrize(
    "reference, remedy",
    [
        ("Shows(action=multi)", "Shows(action='multi') | flatten_actions"),
        ("Shows(action=bits)", "Shows(action='bits') | flatten_actions"),
        ("InTurns(action=named)", "InTurns(action='named') | flatten_actions"),
        ("Alone(action=levels)", "Alone(action='levels') | flatten_actions"),
        ("Shows(action=uneven, other=unbounded)", "other='unbounded') | scale_actions(low=-1, high=1)"),
        ("Alone(action=unbounded)", "Alone(action='unbounded') | scale_actions(low=-1, high=1)"),
        ("Shows(view=parts)", "Shows(view='parts') | flatten_views"),
        ("InTurns(view=masked)", "InTurns(view='masked') | flatten_views"),
        ("Alone(view=cards)", "Alone(view='cards') | flatten_views"),
        ("Alone(action=pair)", "Alone(action='pair') | flatten_actions"),
    ],
)
def test_a_refusal_prints_what_to_type_and_that_works(reference, remedy):
    said = refusal(f"{HERE}:{reference}")
    typed = said.partition("write '")[2].removesuffix("'")
    assert typed.endswith(remedy)
    report = check_game(typed, 2)
    assert report.passed, str(report)


@pytest.mark.parametrize(
    "reference, said",
    [
        ("Shows(action=many)", "has 10,000 joint choices, and at most 4,096 are flattened; wrap it in a class"),
        ("Shows(other=unbounded)", "cannot be counted; wrap it in a class of your own"),
        ("Shows(action=uneven, other=unbounded)", "got Box(-inf, inf, (2,), float32); write '"),
        ("Shows(view=words)", "has no flat form of one size; wrap it in a class of your own"),
        ("Shows(action=uneven) | scale_actions | scale_actions(lw=1)", "'scale_actions' takes low, high, got 'lw'"),
        ("Shows(action=unbounded) | scale_actions", "needs low and high, as in scale_actions(low=-1, high=1)"),
        ("Shows(action=half) | scale_actions(low=2)", "the lower one first"),
        ("Shows | scale_actions", "expected boxes of floats to scale, got Discrete(3)"),
        (
            "Shows | agent_id | flatten_views",
            "expected 'flatten_views' directly after an environment of gymnasium or pettingzoo",
        ),
    ],
)
def test_what_cannot_be_reshaped_is_refused_in_one_sentence(reference, said):
    assert said in refusal(f"{HERE}:{reference}")


@pytest.mark.parametrize("game", ["spread", "openspiel:tic_tac_toe", "tests.games.plugin:Nim"])
def test_only_single_environments_are_reshaped(game):
    assert "expected 'flatten_views' directly after an environment of gymnasium or pettingzoo" in refusal(
        f"{game} | flatten_views"
    )


def test_infinite_bounds_are_refused_whoever_says_them():
    with pytest.raises(UserError, match=r"expected finite bounds of the actions of 'x', low first, got Box\(size=1"):
        Spec("x", 1, Array((1,)), Box(1, -1.0, np.inf), "team", "simultaneous", True, False, False)


def test_random_play_stays_within_bounds_of_thousands():
    spec = Spec("far", 1, Array((1,)), Box(1, 2000.0, 3000.0), "team", "simultaneous", True, False, False)
    venv = make(f"{HERE}:Alone", 1)
    step = venv.reset(np.array([1], np.uint64))
    assert 2000 < random_actions(spec, step, np.zeros(1, np.int64)).item() < 3000


@pytest.mark.parametrize("name", ["multi", "bits", "levels", "pair", "named"])
def test_every_joint_choice_comes_once_and_lies_in_the_space(name):
    change = flat_action(ACTIONS[name])
    chosen = [change.convert(action) for action in range(change.space.n)]
    assert all(ACTIONS[name].contains(action) for action in chosen)
    flat = {tuple(np.concatenate([np.ravel(part) for part in _parts(action)]).tolist()) for action in chosen}
    assert len(flat) == change.space.n == {"multi": 6, "bits": 8, "levels": 9, "pair": 12, "named": 6}[name]


def test_the_last_part_counts_fastest():
    change = flat_action(ACTIONS["multi"])
    assert [change.convert(action).tolist() for action in range(4)] == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    "given",
    [np.array([1, 0, 1, 0, 1], np.int8), (np.array([1, 0, 1]), np.array([0, 1])), np.array([0, 1, 0, 0, 0, 1])],
)
def test_masks_of_parts_are_masks_of_joint_choices(given):
    assert flat_action(ACTIONS["multi"]).mask(given).tolist() == [0, 1, 0, 0, 0, 1]


def test_masks_of_flattened_actions_are_played():
    """`list` is [1, 0, 1], which for the bits [2, 2, 2] is too short, and for one part of three is its own."""
    venv = make(f"{HERE}:Shows(mask=list) | flatten_actions", 1)
    assert venv.reset(np.array([1], np.uint64)).action_mask[0, 0].tolist() == [True, False, True]


def test_as_many_joint_choices_as_are_said():
    assert flat_action(spaces.MultiBinary(12)).space.n == MOST_ACTIONS == 4096
    with pytest.raises(UserError, match="8,192 joint choices"):
        flat_action(spaces.MultiBinary(13))


def test_scaled_actions_end_where_the_box_does():
    change = scaled_action(ACTIONS["uneven"], None, None)
    assert change.space == spaces.Box(-1, 1, (2,), np.float32)
    ends = [change.convert(np.full(2, end, np.float32)).tolist() for end in (-1, 0, 1, 5)]
    assert ends == [[0, -2], [0.5, 0], [1, 2], [1, 2]]
    half = scaled_action(ACTIONS["half"], -4.0, None)
    assert half.convert(np.full(2, -1)).tolist() == [0, -4] and half.convert(np.ones(2)).tolist() == [1, 1]


def test_players_of_different_boxes_keep_their_own():
    venv = make(f"{HERE}:Shows(action=uneven, other=narrow, reward=sum)", 1)
    assert venv.spec.action == Box(2, ((0.0, -2.0), (-0.1, 0.0)), ((1.0, 2.0), (0.1, 0.0)))
    assert venv.spec.action_sizes == (2, 1) and venv.spec.action_numbers.tolist() == [[True, True], [True, False]]
    venv.reset(np.array([1], np.uint64))
    _, high = venv.spec.action_bounds
    np.testing.assert_allclose(venv.step(high[None]).reward, [[3, 0.1]], rtol=1e-6)
    assert check_game(f"{HERE}:Shows(action=uneven, other=narrow)", 2).passed


def test_a_bound_of_float64_is_kept_where_that_of_float32_lies_beyond_it():
    """float32(-0.1) is less than -0.1, and an environment may refuse it, as this one does."""
    venv = make(f"{HERE}:Shows(action=narrow, reward=sum)", 1)
    venv.reset(np.array([1], np.uint64))
    low, _ = venv.spec.action_bounds
    assert float(low[0, 0]) < -0.1
    np.testing.assert_allclose(venv.step(low[None]).reward, [[-0.1, -0.1]])


def test_players_of_different_boxes_share_one():
    venv = make(f"{HERE}:Shows(action=uneven, other=half, reward=sum) | scale_actions(low=-3)", 1)
    assert venv.spec.action == Box(2, -1.0, 1.0)
    venv.reset(np.array([1], np.uint64))
    assert venv.step(np.array([[[1, 1], [-1, -1]]], np.float32)).reward.tolist() == [[3, -3]]


@pytest.mark.parametrize("name", ["parts", "cards", "dice"])
def test_flat_views_hold_all_that_is_seen(name):
    space, _ = SEEN[name]
    space.seed(3)
    change = flat_view(space)
    for _ in range(5):
        seen = space.sample()
        flat = change.convert(seen)
        assert change.space.contains(flat)
        back = spaces.unflatten(space, flat)
        assert spaces.flatten(space, back).tolist() == flat.tolist()
        assert all(np.array_equal(a, b) for a, b in zip(_parts(back), _parts(seen), strict=True))


def test_parts_are_checked_before_they_are_flattened():
    said = refusal(f"{HERE}:Shows(view=wrong) | flatten_views")
    assert said.endswith("could not be opened: the view.hp holds -1, its space says 0 to 3")


def test_the_mask_beside_a_view_stays_a_mask():
    venv = make(f"{HERE}:Shows(view=masked) | flatten_views", 1)
    step = venv.reset(np.array([1], np.uint64))
    assert venv.spec.observation.shape == (2,) and step.action_mask[0, 0].tolist() == [True, False, True]


def test_reshaping_and_supersuit_go_from_left_to_right():
    venv = make(
        f"{HERE}:Shows(view=parts, action=multi) | flatten_views | frame_stack_v1(stack_size=2)"
        " | flatten_actions | last_action",
        2,
    )
    assert venv.spec.observation.shape == (18,) and venv.spec.action == Discrete(6)
    assert record(venv, np.arange(2, dtype=np.uint64), 4).last.any()


def test_each_player_of_a_warehouse_speaks():
    pytest.importorskip("rware")
    game = "gymnasium:rware.rware-tiny-2ag-v2(msg_bits=2, max_steps=10)"
    assert refusal(game).endswith(f"write '{game} | flatten_actions'")
    assert make(f"{game} | flatten_actions", 1).spec.action == Discrete(20)
    assert check_game(f"{game} | flatten_actions", 4).passed


def test_blackjack_is_played_flat():
    game = "gymnasium:gymnasium.Blackjack-v1"
    assert refusal(game).endswith(f"where they are one player's, write '{game} | flatten_views'")
    venv = make(f"{game} | flatten_views", 1)
    assert venv.spec.observation.shape == (45,) and venv.reset(np.array([1], np.uint64)).obs.sum() == 3
    assert check_game(f"{game} | flatten_views", 8).passed
