import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from games.keys import fold, uniform
from marl.equilibria import solve
from marl.equilibria.stage import linear_programs, regret_matching
from tests.marl.equilibria.known import BIASED, HEAVY_PENNY, PENNIES, ROCK_PAPER_SCISSORS, TWO_ROCKS, zero_sum
from tests.properties import examples

SOLVERS = (regret_matching, linear_programs)


def random_games(count, rows, columns, key=0):
    """Games [count, rows, columns] with payoffs in [-1, 1)."""
    return 2 * uniform(fold(key, np.arange(count * rows * columns))).reshape(count, rows, columns) - 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("matrix", "rows", "columns", "value"),
    [
        (PENNIES, [0.5, 0.5], [0.5, 0.5], 0),
        (ROCK_PAPER_SCISSORS, [1 / 3] * 3, [1 / 3] * 3, 0),
        (BIASED, [0.0625, 0.625, 0.3125], [0.0625, 0.625, 0.3125], 0),
        (HEAVY_PENNY, [1 / 3, 2 / 3], [1 / 3, 2 / 3], 1 / 3),
        (5 - 3 * HEAVY_PENNY.T, [1 / 3, 2 / 3], [1 / 3, 2 / 3], 4),
    ],
)
def test_known_equilibria(solver, matrix, rows, columns, value):
    found = solver(matrix[None])
    assert found.rows[0] == pytest.approx(rows, abs=5e-3)
    assert found.columns[0] == pytest.approx(columns, abs=5e-3)
    assert found.values[0] == pytest.approx(value, abs=1e-3 * np.ptp(matrix))


def test_the_known_gaps_after_200_iterations():
    for actions, gap in ((2, 0.0007), (3, 0.0015), (6, 0.0017), (10, 0.0016)):
        games = random_games(512, actions, actions, actions)
        assert regret_matching(games).gaps.mean() == pytest.approx(gap, abs=0.0003)
        assert regret_matching(games, iterations=1_000).gaps.mean() == pytest.approx(0.0003, abs=0.0002)


def test_a_value_is_off_by_half_of_its_gap_at_most():
    games = random_games(128, 4, 6)
    found, exact = regret_matching(games, iterations=20), linear_programs(games)
    assert (np.abs(found.values - exact.values) <= found.gaps / 2 + 1e-9).all()
    assert exact.gaps.max() < 1e-9
    values = [solve(zero_sum(matrix)).values[0] for matrix in games]
    assert exact.values == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_illegal_actions_are_as_if_they_did_not_exist(solver):
    """Whatever the payoffs there: an illegal row that pays 100 tempts nobody."""
    small = np.stack([ROCK_PAPER_SCISSORS, BIASED])
    for outside in (100.0, -100.0, np.nan, np.inf):
        large = np.full((2, 5, 4), outside)
        large[:, 1:4, :3] = small
        rows, columns = np.zeros((2, 5), bool), np.zeros((2, 4), bool)
        rows[:, 1:4] = columns[:, :3] = True
        found, alone = solver(large, rows, columns), solver(small)
        assert found.values.tolist() == alone.values.tolist() and found.gaps.tolist() == alone.gaps.tolist()
        assert found.rows[:, 1:4].tolist() == alone.rows.tolist() and not found.rows[:, [0, 4]].any()
        assert found.columns[:, :3].tolist() == alone.columns.tolist() and not found.columns[:, 3].any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_where_one_player_moves_the_answer_is_exact(solver):
    row = np.array([[[3.0, -1, 2]]])
    found = solver(row)
    assert found.values.tolist() == [-1] and found.columns.tolist() == [[0, 1, 0]] and found.gaps.tolist() == [0]
    found = solver(row.transpose(0, 2, 1))
    assert found.values.tolist() == [3] and found.rows.tolist() == [[1, 0, 0]] and found.gaps.tolist() == [0]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 700])
def test_a_game_has_the_same_result_beside_any_others(count):
    games = random_games(700, 9, 10)
    rows = random_games(700, 9, 1, 1)[:, :, 0] > -0.5
    rows[:, 0] = True
    games[::3] = np.sign(games[::3])  # some have pure equilibria, and are not iterated
    whole = regret_matching(games, rows)
    for start in (0, 31, 699):
        some = slice(start, start + count)
        found = regret_matching(games[some], rows[some])
        for name in ("values", "rows", "columns", "gaps"):
            assert getattr(found, name).tobytes() == getattr(whole, name)[some].tobytes()


def test_no_games_and_blocks():
    none = regret_matching(np.zeros((0, 2, 2)))
    assert none.values.shape == (0,) and none.rows.shape == (0, 2)
    assert linear_programs(np.zeros((0, 2, 2))).gaps.shape == (0,)


@settings(max_examples=examples(60))
@given(
    st.tuples(st.just(3), st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
    ),
    st.floats(1e-6, 1e6),
    st.floats(-1e3, 1e3),
)
def test_scale_and_shift_of_payoffs(games, scale, shift):
    found, exact = regret_matching(games), linear_programs(games)
    assert (np.abs(found.values - exact.values) <= found.gaps / 2 + 1e-6).all()
    for strategies in (found.rows, found.columns):
        assert strategies.min() >= 0 and strategies.sum(1) == pytest.approx(1)
    moved = regret_matching(scale * (games + shift))
    off = 6 * scale * 0.02 + 1e-9 * scale * abs(shift)
    assert moved.values == pytest.approx(scale * (found.values + shift), abs=off)


def test_twin_rocks_share_what_one_rock_would_have():
    found = regret_matching(TWO_ROCKS[None])
    assert found.rows[0, :2].sum() == pytest.approx(1 / 3, abs=5e-3)


def test_wrong_values_of_a_game():
    """Maximin over pure strategies says -1 of rock, paper, scissors; the mean over all cells 1/4 of this game."""
    assert ROCK_PAPER_SCISSORS.min(1).max() == -1 and regret_matching(ROCK_PAPER_SCISSORS[None]).values[0] == (
        pytest.approx(0, abs=3e-3)
    )
    lopsided = np.array([[1.0, 1], [1, -2]])
    assert lopsided.mean() == 0.25 and regret_matching(lopsided[None]).values[0] == 1


@pytest.mark.parametrize(
    ("payoffs", "legal", "message"),
    [
        (np.zeros((2, 2)), {}, r"expected payoffs \[games, rows, columns\], got an array of shape \(2, 2\)"),
        (np.zeros((1, 0, 2)), {}, "expected payoffs"),
        (np.full((1, 2, 2), np.nan), {}, r"expected finite payoffs, got nan in game 0 at \(0, 0\)"),
        (
            np.zeros((1, 2, 2)),
            {"rows": np.ones((1, 3), bool)},
            r"legal actions \[1, 2\] of the row player, got \[1, 3\]",
        ),
        (np.zeros((1, 2, 2)), {"columns": np.zeros((1, 2), bool)}, "of the column player, got none in game 0"),
    ],
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_games_that_are_none(solver, payoffs, legal, message):
    with pytest.raises(ValueError, match=message):
        solver(payoffs, **legal)
