"""Connect four, solved: against plain minimax, known positions, mirrors, and what is refused."""

from itertools import count, islice, pairwise

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold_one
from games.registry import load
from games.solvers.connect_four import BOARD, CELLS, COLUMNS, Solver, fours, keeping, read
from games.solvers.exhaustive import Solution
from games.solvers.positions.generate import play_randomly as play
from tests.games.plugin import Nim

GAME = load("openspiel:connect_four")
SOLVER = Solver()  # one for all tests: no answer depends on what was asked before


def late(ply, n):
    """Return the moves of `n` random games that are still open after `ply` of them."""
    games = (play(fold_one(ply, number), ply) for number in count())
    return list(islice((moves for moves, board in games if board.ply == ply), n))


def state_after(moves):
    state = GAME.initial_state()
    for column in moves:
        state.apply([int(column)] * 2)
    return state


def seen(board, depth):
    """Return what a player sees who looks `depth` plies ahead: plain minimax, undecided is a draw."""
    if depth == 0 or board.ply == CELLS:
        return 0
    return max(seen_after(board, column, depth) for column in range(COLUMNS) if board.landing(column))


def seen_after(board, column, depth):
    if depth == 0:
        return 0
    return 1 if board.landing(column) & fours(board.own) else -seen(board.play(column), depth - 1)


@pytest.mark.parametrize("ply", [29, 30, 31, 32, 33, 36, 39, 41])
def test_values_are_those_of_minimax_by_openspiels_rules(ply):
    for moves in late(ply, 12):
        state = state_after(moves)
        values = SOLVER.values(moves)
        assert Solution(GAME, state).action_values(state) == {c: v for c, v in enumerate(values) if v is not None}


@pytest.mark.parametrize("ply", [13, 24, 34])
def test_a_search_of_some_plies_sees_what_minimax_sees(ply):
    for moves in late(ply, 3):
        board = read(moves)
        for depth in range(5):
            expected = [seen_after(board, c, depth) if board.landing(c) else None for c in range(COLUMNS)]
            assert SOLVER.values(moves, depth) == tuple(expected), (moves, depth)


def test_looking_deeper_only_decides_more():
    for moves in late(28, 10):
        looks = [SOLVER.values(moves, depth) for depth in range(CELLS - 28 + 1)]
        assert looks[-1] == SOLVER.values(moves)
        for less, more in pairwise(looks):
            assert all(before in (0, None) or before == after for before, after in zip(less, more, strict=True))
        right = [keeping(look) <= keeping(looks[-1]) for look in looks]
        assert right == sorted(right) and SOLVER.depth(moves) == right.index(True)


@pytest.mark.parametrize(
    "moves, plies, values",
    [
        ("010101", 1, (1, 0, 0, 0, 0, 0, 0)),  # three in a column, and nobody has stopped them
        ("010101", 2, (1, 0, -1, -1, -1, -1, -1)),  # ... but the other has three, too
        ("01010", 1, (0, 0, 0, 0, 0, 0, 0)),
        ("01010", 2, (0, -1, -1, -1, -1, -1, -1)),  # one must stop three in a column
        ("2233", 2, (0, 0, 0, 0, 0, 0, 0)),
        ("2233", 3, (0, 1, 0, 0, 1, 0, 0)),  # three in a row with both ends open
        ("22334", 2, (-1, -1, -1, -1, -1, -1, -1)),
        ("223346", 1, (0, 1, 0, 0, 0, 1, 0)),
        ("223346", 3, (1, 1, 1, 1, 1, 1, 1)),  # the win does not run away
        ("222222", 2, (0, 0, None, 0, 0, 0, 0)),
    ],
)
def test_known_values(moves, plies, values):
    assert SOLVER.values(moves, plies) == values


def test_a_position_and_its_mirror_image_are_worth_the_same():
    for moves in late(26, 10):
        mirrored = "".join(str(6 - int(column)) for column in moves)
        assert read(mirrored) == read(moves).mirrored()
        assert SOLVER.values(mirrored) == SOLVER.values(moves)[::-1]
        assert SOLVER.depth(mirrored) == SOLVER.depth(moves)


def test_no_answer_depends_on_what_was_asked_before():
    for moves in late(24, 5):
        assert Solver().values(moves) == SOLVER.values(moves) == SOLVER.values(moves, 18)


def test_a_position_may_be_a_text_numbers_or_a_state():
    moves = late(33, 1)[0]
    state = state_after(moves)
    same = [moves, [int(column) for column in moves], np.array([int(c) for c in moves]), state, state.native]
    assert len({SOLVER.values(position) for position in same}) == 1


def test_perfect_play_against_itself_keeps_the_value():
    for moves in late(28, 5):
        state, value = state_after(moves), max(v for v in SOLVER.values(moves) if v is not None)
        mover = state.player
        while not state.is_terminal():
            state.apply(SOLVER.choose([state]) * 2)
        assert state.returns()[mover] == value


def test_fours_are_the_squares_of_openspiels_wins():
    for moves in late(20, 50):
        state, board = state_after(moves), read(moves)
        for column in state.legal_actions(state.player):
            after = state.clone()
            after.apply([column] * 2)
            assert after.is_terminal() == bool(board.landing(column) & fours(board.own))


def test_numbers_stay_within_63_bits():
    """So Python's integers and compiled ones agree. The highest is of the last place, shifted by thrice a diagonal."""
    highest = BOARD.bit_length() - 1
    assert highest + 8 < 63 and (highest + 2) + 1 + 6 + 1 < 63


@pytest.mark.parametrize(
    "position, said",
    [
        ("337", "expected columns from 0 to 6, got 7 in [3, 3, 7]"),
        ([3, -1], "expected columns from 0 to 6, got -1 in [3, -1]"),
        ("3a", "expected the columns played as digits, such as '3342', got '3a'"),
        ("3333333", "got 3 as move 7 of [3, 3, 3, 3, 3, 3, 3]: the column is full"),
        ("01010102", "got 2 as move 8 of [0, 1, 0, 1, 0, 1, 0, 2]: the game is over by then"),
        ("0101010", "expected a position with a player to move, got one in which the game is over: [0, 1, 0"),
        (load("openspiel:tic_tac_toe").initial_state(), "as it is by default, got one of 'tic_tac_toe()'"),
        (Nim().initial_state(), "as it is by default, got one of 'NimState'"),
        (load("openspiel:connect_four(rows=5)").initial_state(), "by default, got one of 'connect_four(rows=5)'"),
    ],
)
def test_what_is_no_position_is_refused_in_one_sentence(position, said):
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        SOLVER.values(position)
    assert said in str(caught.value)


def test_a_full_board_has_nobody_to_move():
    with pytest.raises(UserError, match="expected a position with a player to move"):
        read(late(CELLS, 1)[0])
