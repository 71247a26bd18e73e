"""Wrappers: what they add to a view, whom they pay, how messy they are; over turns, deaths and pixels."""

import numpy as np
import pytest

from games.check import check_game
from games.errors import UserError
from games.keys import fold
from games.random_play import random_actions
from games.references import layers, wrapped
from games.registry import make
from tests.games.native.play import play

GAMES = ["openspiel:tic_tac_toe", "openspiel:kuhn_poker", "coin_game(horizon=6)", "predator_prey(horizon=20, size=5)"]
GAMES += ["pettingzoo:mpe2.simple_spread_v3(N=2, max_cycles=6)", "tests.games.plugin:Nim"]


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("wrapper", ["agent_id", "last_action", "flatten", "messy(phi=0.3, steps=3)"])
def test_a_wrapped_game_keeps_its_promises(game, wrapper):
    report = check_game(f"{game} | {wrapper}", episodes=8)
    assert report.passed, str(report)


@pytest.mark.parametrize("game", [g for g in GAMES[2:] if "plugin" not in g])
@pytest.mark.parametrize("how", ["mean", "sum"])
def test_a_team_keeps_its_promises(game, how):
    reference = f"{game} | team_reward(how={how}) | last_action | agent_id | messy"
    report = check_game(reference, episodes=8)
    assert report.passed and make(reference, 1).spec.payoff == "team", str(report)


def test_agent_id():
    obs = make("two_step | agent_id", 3).reset(np.zeros(3, np.uint64)).obs
    assert obs.shape == (3, 2, 5) and obs[0].tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]


def test_last_action():
    venv = make("two_step | last_action", 2)
    assert not venv.reset(np.zeros(2, np.uint64)).obs[..., 3:].any()
    step = venv.step(np.array([[0, 1], [1, 0]]))
    assert step.obs[..., 3:].tolist() == [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    venv.step(np.array([[1, 1], [1, 1]]))
    assert not venv.step(np.array([[1, 1], [1, 1]])).obs[..., 3:].any()  # the next episode has begun
    venv.step(np.array([[1, 1], [1, 1]]))
    half = venv.reset(np.ones(2, np.uint64), np.array([True, False]))
    assert not half.obs[0, :, 3:].any() and half.obs[1, :, 3:].tolist() == [[0, 1], [0, 1]]


def test_last_action_of_turns_is_the_players_own():
    venv = make("openspiel:tic_tac_toe | last_action", 1)
    venv.reset(np.zeros(1, np.uint64))
    venv.step(np.array([[4, 8]]))  # player 1 is not acting: its 8 is ignored
    step = venv.step(np.array([[7, 2]]))
    assert step.obs[0, 0, 27:].argmax() == 4 and step.obs[0, 0, 27:].sum() == 1


def test_last_action_of_boxes_is_the_action():
    venv = make("pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=5) | last_action", 1)
    size = venv.spec.observation.shape[0] - 5
    venv.reset(np.zeros(1, np.uint64))
    actions = np.linspace(0, 1, 10, dtype=np.float32).reshape(1, 2, 5)
    assert np.array_equal(venv.step(actions).obs[..., size:], actions)


def test_team_reward():
    paid = [[(1, 1), (0, 1)]] * 2  # the prisoner's dilemma: -2, -2 and -3, 0
    mean, _ = play(make("matrix(game=prisoners_dilemma, steps=2) | team_reward", 2), paid)
    total, venv = play(make("matrix(game=prisoners_dilemma, steps=2) | team_reward(how=sum)", 2), paid)
    assert mean[0].tolist() == [[-2, -2], [-1.5, -1.5]] and (total == 2 * mean).all()
    assert venv.spec.return_bounds == (-12.0, 0.0)


def test_a_teams_return_ends_with_its_last_player():
    """Player 1 of Duel dies at step 2, and the recording is truncated at step 4: then for the team."""
    venv = make("tests.games.test_pettingzoo:Duel | team_reward", 1)
    venv.reset(np.zeros(1, np.uint64))
    for step in range(1, 5):
        timestep = venv.step(np.array([[1, 2]]))
        assert timestep.acting[0].tolist() == [step < 4, step < 2] and not timestep.terminated.any()
        assert timestep.reward[0, 0] == timestep.reward[0, 1] != 0
        assert timestep.truncated[0].tolist() == [step == 4] * 2


def test_messy_views():
    plain = make("coin_game", 2000)
    noisy = make("coin_game | messy(phi=0.2, steps=0)", 2000)
    seeds = np.arange(2000, dtype=np.uint64)
    for step in range(3):
        actions = np.full((2000, 2), step)
        before = (plain.reset(seeds) if step == 0 else plain.step(actions)).obs
        after = (noisy.reset(seeds) if step == 0 else noisy.step(actions)).obs
        negated = (after == -before).all((2, 3, 4))
        assert (negated | (after == before).all((2, 3, 4))).all()
        assert abs(negated.mean(0) - 0.2).max() < 0.03
        assert abs(negated.all(1).mean() - 0.04) < 0.02  # the players' noise is independent
    still = make("coin_game | messy(phi=0, steps=0)", 2000).reset(seeds).obs
    assert np.array_equal(still, plain.reset(seeds).obs)


def test_messy_openings():
    """Nobody acts or is paid for 4 steps, whatever is said; then the players see zeros, once."""
    venv = make("coin_game(horizon=10) | messy(phi=0, steps=4)", 300)
    timestep = venv.reset(np.arange(300, dtype=np.uint64))
    assert timestep.first.all()
    for _ in range(4):
        assert not timestep.acting.any() and not timestep.action_mask.any() and not timestep.reward.any()
        timestep = venv.step(np.zeros((300, 2), int))
        assert not timestep.first.any() and not timestep.last.any()
    assert timestep.acting.all() and not timestep.obs.any() and not timestep.reward.any()
    assert len({position.tobytes() for position in timestep.global_state}) > 100  # somewhere, and not all alike
    timestep = venv.step(np.zeros((300, 2), int))
    assert timestep.obs.any((1, 2, 3, 4)).all()
    for _ in range(5):
        timestep = venv.step(np.zeros((300, 2), int))
    assert timestep.truncated.all()  # the opening counts towards the horizon


def test_a_game_that_ends_in_its_opening_begins_again():
    venv = make("openspiel:kuhn_poker | messy(phi=0, steps=7)", 100)
    timestep = venv.reset(np.arange(100, dtype=np.uint64))
    seed = timestep.seed.copy()
    woke = np.full(100, -1)
    for step in range(1, 9):
        timestep = venv.step(np.zeros((100, 2), int))
        woke[(woke < 0) & timestep.acting.any(1)] = step
        if step < 7:
            assert not timestep.last.any() and not timestep.acting.any() and (timestep.seed == seed).all()
    assert set(woke.tolist()) <= {7, 8} and (woke == 7).any()


SHORT = ["dec_tiger | messy(steps=3)", "openspiel:tic_tac_toe | messy(steps=7)", "openspiel:kuhn_poker | messy"]
SHORT += ["foraging(size=4, food=1) | messy(steps=10)", "two_step | last_action | messy(steps=3) | messy(steps=5)"]


@pytest.mark.parametrize("reference", SHORT)
def test_games_that_end_in_their_openings_keep_their_promises(reference):
    report = check_game(reference, episodes=40)
    assert report.passed, str(report)


def test_beginnings_within_an_episode_have_seeds_of_their_own():
    """Episode k is fold(root, k)'s however often it began again, and no beginning is another's; also after a reset."""
    venv, beginnings = make("openspiel:kuhn_poker | messy(steps=7)", 50), []
    for roots in np.arange(100, dtype=np.uint64).reshape(2, 50):
        timestep, number, age = venv.reset(roots), np.zeros(50, int), np.zeros(50, int)
        beginnings += roots.tolist()
        for _ in range(100):
            timestep = venv.step(random_actions(venv.spec, timestep, age))
            number += timestep.first
            age = np.where(timestep.first, 0, age + 1)
            inner = venv.venv.timestep
            beginnings += inner.seed[inner.first].tolist()
            assert (timestep.seed == np.where(number, fold(roots, number), roots)).all()
        assert number.min() > 5
    assert len(beginnings) > 4 * number.sum() and len(set(beginnings)) == len(beginnings)


def test_an_opening_that_ends_no_game_leaves_the_game_alone(monkeypatch):
    venv = make("coin_game(horizon=6) | messy(steps=4)", 20)
    timestep = venv.reset(np.arange(20, dtype=np.uint64))
    monkeypatch.setattr(venv.venv, "reset", None)  # nobody asks for a seed: the next one is right
    for _ in range(21):
        timestep = venv.step(np.zeros((20, 2), int))
    assert timestep.first.all() and (timestep.seed == fold(np.arange(20), 3)).all()


def test_the_rate_of_noise_is_checked():
    for arguments in ("phi=1.5", "phi=-0.1", "steps=-1"):
        with pytest.raises(UserError, match="expected phi in"):
            make(f"coin_game | messy({arguments})", 1)
    with pytest.raises(UserError, match="have no negative"):
        make("tests.games.test_pettingzoo:Tower(views=pixels) | messy", 1)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("coin_game | agent", "did you mean 'agent_id'"),
        ("coin_game | messy(phy=0.1)", "did you mean 'phi'"),
        (
            "coin_game | messy | resize_v1(x_size=84, y_size=84)",
            "directly after an environment of pettingzoo, got it after 'coin_game | messy",
        ),
        (
            "coin_game | resize_v1(x_size=84, y_size=84)",
            "expected 'resize_v1' directly after an environment of pettingzoo",
        ),
        (
            "openspiel:tic_tac_toe | resize_v1(x_size=84, y_size=84)",
            "expected 'resize_v1' directly after an environment of pettingzoo",
        ),
        ("openspiel:tic_tac_toe | team_reward", "is zero-sum"),
        ("coin_game | team_reward(how=most)", "expected how=mean or how=sum"),
        ("coin_game | | agent_id", "expected a reference"),
    ],
)
def test_bad_wrappers_are_one_sentence(text, reason):
    with pytest.raises(UserError, match=reason):
        make(text, 1)


def test_layers():
    game, wrappers = layers("matrix(team=[[1, 2], [3, 4]], game='a|b') | messy(phi=0.1) | agent_id")
    assert game.name == "matrix" and dict(game.arguments)["game"] == "a|b"
    assert [str(wrapper) for wrapper in wrappers] == ["messy(phi=0.1)", "agent_id"]
    assert wrapped("spread", ["agent_id", "messy"]) == "spread | agent_id | messy"
    assert make("coin_game | agent_id | flatten", 1).spec.name == "coin_game | agent_id | flatten"


class Doubled:
    """A wrapper of somebody's own."""

    def __init__(self, venv) -> None:
        self.venv, self.spec, self.num_envs = venv, venv.spec, venv.num_envs

    def reset(self, seeds, where=None):
        return self.venv.reset(seeds, where)

    def step(self, actions):
        timestep = self.venv.step(actions)
        timestep.reward *= 2
        return timestep


def test_a_wrapper_of_ones_own():
    reward, _ = play(make("matrix(game=climbing) | tests.games.test_wrappers:Doubled", 1), [[(0, 0)]])
    assert reward.tolist() == [[[22, 22]]]
