import numpy as np
import pytest

from games.contract import Array, Discrete, Spec
from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.algorithms.zero.replay import PositionReplay
from marl.base import memory
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import Trajectory

SPEC = Spec("toy", 2, Array((1,)), Discrete(2), "general_sum", "sequential", True, False, True)


def trajectory(script, recorded=0):
    """Build a recording of one environment: (player who acts or None, rewards of the step, end) by time.

    `end` is "", "over" or "cut", and is said of the moment in which it is seen.
    """
    steps = len(script) - 1
    acting = np.zeros((steps + 1, 1, 2), bool)
    terminated, truncated = np.zeros_like(acting), np.zeros_like(acting)
    first, reward = np.zeros((steps + 1, 1), bool), np.zeros((steps, 1, 2), np.float32)
    for t, (player, paid, kind) in enumerate(script):
        if player is not None:
            acting[t, 0, player] = True
        terminated[t, 0] = kind == "over"
        truncated[t, 0] = kind == "cut"
        first[t, 0] = kind == "first"
        if t < steps:
            reward[t, 0] = paid
    index = np.where(acting, np.cumsum(acting).reshape(acting.shape) - 1, -1)
    rows = int(acting.sum())
    t, e, p = np.nonzero(acting[:-1])
    value = np.zeros((steps, 1, 2, 2), np.float32)
    value[t, e, p] = 10 + t[:, None]
    return Trajectory(
        obs=np.arange(rows, dtype=np.float32)[:, None],
        action_mask=np.ones((rows, 2), bool),
        index=index,
        acting=acting,
        terminated=terminated,
        truncated=truncated,
        first=first,
        global_state=np.zeros((steps + 1, 1, 0), np.float32),
        action=np.zeros((steps, 1, 2), np.int64),
        reward=reward,
        extras={
            "policy": np.full((steps, 1, 2, 2), 0.5, np.float32),
            "root_value": value,
            "searched": np.ones((steps, 1, 2), bool),
        },
        seating=np.zeros((steps, 1, 2), np.int64),
        complete=acting[:-1],
        recorded=recorded,
    )


def kept(replay):
    return {
        name: rows[: len(replay)].tolist()
        for name, rows in replay._rows.items()
        if name in ("player", "outcome", "obs")
    }


def test_outcomes_are_what_was_paid_from_the_position_on():
    replay = PositionReplay(SPEC, 10)
    game = [
        (0, (1, 0), "first"),
        (1, (0, 2), ""),
        (0, (3, -3), ""),
        (None, (0, 0), "over"),
        (0, (5, 5), "first"),
        (1, (0, 0), ""),
    ]
    assert replay.add(trajectory(game), [0]) == 3
    assert kept(replay)["player"] == [0, 1, 0]
    assert kept(replay)["outcome"] == [[4, -1], [3, -1], [3, -3]]
    # The second game's first decision waits for what comes.
    more = [(1, (0, 0), ""), (1, (7, 0), ""), (None, (0, 0), "over")]
    assert replay.add(trajectory(more), [0]) == 3
    assert kept(replay)["outcome"][3:] == [[12, 5], [7, 0], [7, 0]]


def test_who_would_have_given_up_and_did_not_lose():
    """Of three who would have, one draws, one loses, and of the third nobody knows."""
    replay = PositionReplay(SPEC, 10, may_resign=True)
    drawn = [(0, (1, 0), "first"), (1, (0, 1), ""), (None, (0, 0), "over")]
    lost = [(0, (0, 0), "first"), (1, (0, 2), ""), (None, (0, 0), "over")]
    cut = [(0, (0, 0), "first"), (1, (0, 2), ""), (None, (0, 0), "cut")]
    seen = trajectory([*drawn, *lost, *cut])
    seen.extras["would_resign"] = seen.acting[:-1] & (np.arange(2) == 0)
    replay.add(seen, [0])
    assert replay.would_resign == (2, 1)
    replay.add(trajectory([(0, (0, 0), "first"), (1, (0, 0), "")]), [])
    assert replay.would_resign == (0, 0)


def test_a_cut_game_is_worth_what_the_search_said():
    replay = PositionReplay(SPEC, 10)
    assert replay.add(trajectory([(0, (1, 0), "first"), (1, (0, 0), ""), (None, (0, 0), "cut")]), [0]) == 2
    assert kept(replay)["outcome"] == [[10, 10], [11, 11]]


def test_positions_of_a_game_that_nobody_finishes_are_kept():
    replay = PositionReplay(SPEC, 10)
    assert replay.add(trajectory([(0, (1, 0), "first"), (1, (0, 0), ""), (0, (0, 0), "")]), [0]) == 0
    fresh = [(0, (1, 0), "first"), (None, (0, 0), "over")]
    assert replay.add(trajectory(fresh), [0]) == 3  # the environments were opened afresh
    assert kept(replay)["outcome"] == [[10, 10], [11, 11], [1, 0]]


def test_moments_that_were_recorded_before_count_once():
    replay = PositionReplay(SPEC, 10)
    replay.add(trajectory([(0, (1, 0), "first"), (1, (0, 0), ""), (0, (0, 0), "")]), [0])
    again = [(1, (0, 0), ""), (0, (0, 4), ""), (None, (0, 0), "over")]
    assert replay.add(trajectory(again, recorded=1), [0]) == 3
    assert kept(replay)["outcome"] == [[1, 4], [0, 4], [0, 4]]


def test_strangers_are_not_learned_from():
    replay = PositionReplay(SPEC, 10)
    assert replay.add(trajectory([(0, (1, 0), "first"), (None, (0, 0), "over")]), [1]) == 0


def test_the_newest_are_kept():
    replay = PositionReplay(SPEC, 3)
    for paid in range(5):
        replay.add(trajectory([(0, (paid, 0), "first"), (None, (0, 0), "over")]), [0])
    assert len(replay) == 3
    assert sorted(outcome[0] for outcome in kept(replay)["outcome"]) == [2, 3, 4]
    assert set(replay.sample(50, 1)["outcome"][:, 0]) == {2, 3, 4}


class Searching:
    """Choose the first legal action, with the extras of a search."""

    def initial_hidden(self, rows):
        return None

    def act(self, view, hidden):
        from marl.rollout.types import Decision

        n = len(view)
        extras = {
            "policy": view.action_mask / view.action_mask.sum(1, keepdims=True),
            "root_value": np.tile(view.key[:, None].astype(np.float32), (1, 2)),
            "searched": np.ones(n, bool),
        }
        mask = view.action_mask * ((view.key[:, None] >> np.arange(9, dtype=np.uint64)) % 3 + 1)
        return Decision(mask.argmax(1), extras), None


def test_real_games_and_a_round_trip():
    venv = make("openspiel:tic_tac_toe", 5)
    carry = Carry(venv, [Searching()], fold(0, np.arange(1)), fold(1, np.arange(5)))
    seating = np.zeros((5, 2), np.int64)
    replay, twin = PositionReplay(venv.spec, 60), PositionReplay(venv.spec, 60)
    for _ in range(6):
        replay.add(rollout(venv, [Searching()], seating, carry, 7), [0])
        twin.load_state({name: value.copy() for name, value in replay.state().items()})
    assert len(replay) == 60
    outcome = replay.sample(500, 3)["outcome"]
    assert set(np.unique(outcome)) <= {-1, 0, 1}
    assert outcome.sum(1) == pytest.approx(np.zeros(500))
    more = rollout(venv, [Searching()], seating, carry, 9)
    assert replay.add(more, [0]) == twin.add(more, [0]) > 0
    for name, rows in replay.sample(40, 9).items():
        assert (rows == twin.sample(40, 9)[name]).all()


def test_more_than_memory_holds_is_refused(monkeypatch):
    """Old rows lie beside new ones while they grow."""
    row = sum(np.zeros(shape, dtype).nbytes for shape, dtype in PositionReplay(SPEC, 1)._fields.values())
    monkeypatch.setattr(memory, "physical_memory", lambda: 2 * 100 * row)
    with pytest.raises(UserError, match=r"101 positions of 'toy' take up to .*: set replay_positions to 80 or fewer"):
        PositionReplay(SPEC, 101)
    PositionReplay(SPEC, 100)


def test_a_recording_in_which_only_strangers_moved():
    replay = PositionReplay(SPEC, 10)
    replay.add(trajectory([(0, (1, 0), "first"), (1, (0, 0), "")]), [0])
    quiet = trajectory([(1, (0, 2), ""), (None, (0, 0), "over")])
    quiet.extras.clear()
    assert replay.add(quiet, [5]) == 1
    assert kept(replay)["outcome"] == [[1, 2]]


def moved(game, actions):
    """Return the recording of a game with these actions of whoever acts."""
    made = trajectory(game)
    made.action[:, 0] = np.array(actions)[:, None]
    return made


def games(replay):
    """Return what a replay of whole games holds, by field."""
    return {name: rows[: len(replay)].tolist() for name, rows in replay._rows.items()}


LONG = [(0, (1, 0), "first"), (1, (0, 2), ""), (None, (1, 1), ""), (0, (3, -3), ""), (None, (0, 0), "over")]


def test_a_whole_game_lies_in_time_with_what_was_done_and_paid():
    """What is paid on the way to the next decision, steps that the game takes by itself included, is one reward."""
    replay = PositionReplay(SPEC, 10, whole_games=True)
    assert replay.add(moved(LONG, [1, 0, 7, 1]), [0]) == 3
    held = games(replay)
    assert held["action"] == [1, 0, 1]
    assert held["reward"] == [[1, 0], [1, 3], [3, -3]]
    assert held["left"] == [2, 1, 0] and held["cut"] == [False] * 3
    assert held["outcome"] == [[5, 0], [4, 0], [3, -3]]


def test_games_of_several_environments_are_put_in_order():
    one, two = (trajectory([(0, (1, 0), "first"), (1, (2, 0), ""), (None, (0, 0), end)]) for end in ("over", "cut"))
    both = {
        name: np.concatenate([getattr(one, name), getattr(two, name)], 1)
        for name in ("acting", "terminated", "truncated", "first", "global_state", "action", "reward", "seating")
    }
    both["action"][:, 1] = 1
    index = np.where(both["acting"], np.cumsum(both["acting"]).reshape(both["acting"].shape) - 1, -1)
    extras = {name: np.concatenate([rows, rows], 1) for name, rows in one.extras.items()}
    obs, mask = np.arange(4, dtype=np.float32)[:, None], np.ones((4, 2), bool)
    replay = PositionReplay(SPEC, 10, whole_games=True)
    complete = both["acting"][:-1]
    replay.add(Trajectory(obs, mask, index, extras=extras, complete=complete, recorded=0, **both), [0])
    held = games(replay)
    assert held["obs"] == [[0], [2], [1], [3]] and held["action"] == [0, 0, 1, 1]
    assert held["left"] == [1, 0, 1, 0] and held["cut"] == [False, False, True, True]
    assert held["outcome"] == [[3, 0], [2, 0], [10, 10], [11, 11]]


def test_a_strangers_moves_are_there_and_nobody_searched_them():
    replay = PositionReplay(SPEC, 10, whole_games=True)
    made = moved(LONG, [1, 0, 0, 1])
    made.seating[:, :, 1] = 3
    assert replay.add(made, [0]) == 3
    held = games(replay)
    assert held["searched"] == [True, False, True] and held["policy"][1] == [0, 0]
    assert np.isnan(held["root_value"][1]).all() and held["outcome"][1] == [4, 0]
    assert PositionReplay(SPEC, 10).add(made, [0]) == 2


def test_what_comes_after_a_position_is_never_overwritten_first():
    replay = PositionReplay(SPEC, 4, whole_games=True)
    for n in range(7):
        replay.add(moved(LONG, [n, 10 + n, 0, 20 + n]), [0])
        places = np.arange(len(replay))
        rows = replay.unroll(places, 2)
        for actions, left in zip(rows["action"].tolist(), rows["left"][:, 0].tolist(), strict=True):
            game = [actions[0] % 10 + 10 * ply for ply in range(3)]
            assert actions == (game + [game[-1]] * 2)[2 - left :][:3]
        assert len(places) == min(4, 3 * (n + 1))


def test_an_unroll_stays_at_the_end_of_a_game():
    replay = PositionReplay(SPEC, 10, whole_games=True)
    for _ in range(2):
        replay.add(moved(LONG, [1, 2, 0, 3]), [0])
    rows = replay.unroll(np.array([0, 1]), 4)
    assert rows["action"].tolist() == [[1, 2, 3, 3, 3], [2, 3, 3, 3, 3]]
    assert rows["obs"].tolist() == [[0], [1]]


def test_a_new_search_replaces_the_old_one():
    replay = PositionReplay(SPEC, 10, whole_games=True)
    replay.add(trajectory([(0, (1, 0), "first"), (1, (0, 0), ""), (None, (0, 0), "cut")]), [0])
    replay.add(moved(LONG, [1, 2, 0, 3]), [0])
    replay.renew(np.array([1, 2]), np.array([[1, 0], [0, 1]]), np.array([[0.5, 1.5], [2.5, 3.5]]))
    held = games(replay)
    assert held["policy"][1:4] == [[1, 0], [0, 1], [0.5, 0.5]]
    assert held["root_value"][1:3] == [[0.5, 1.5], [2.5, 3.5]]
    assert held["outcome"][1:3] == [[0.5, 1.5], [5, 0]]  # the first game was cut, the second came to its end


def test_the_fields_of_games_are_kept_only_where_they_are_wanted():
    assert {"action", "reward", "left", "cut"}.isdisjoint(PositionReplay(SPEC, 10)._rows)
