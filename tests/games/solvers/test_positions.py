"""Solved positions: what the sets promise, how they were drawn, and how agents are judged at them."""

from collections import Counter
from itertools import islice

import pytest

from games.errors import UserError
from games.keys import fold_one
from games.solvers.connect_four import Solver, keeping, read
from games.solvers.positions import DIFFICULTIES, FILES, HEADER, Labelled, accuracy, chance, load, states, wilson
from games.solvers.positions.generate import OPENINGS, SIZES, drawn, labelled, play_mixed, play_randomly, quotas

POSITIONS, PHASES, EARLY = load(), load("phases"), load("openings")
LATE = [position for position in POSITIONS if len(position.moves) == 24]


def test_there_are_a_thousand_in_equal_parts():
    assert len(POSITIONS) == 1000
    assert Counter((len(p.moves), p.difficulty) for p in POSITIONS) == quotas("thousand")
    assert Counter(len(p.moves) for p in POSITIONS) == {ply: 84 if ply < 17 else 83 for ply in range(13, 25)}
    assert Counter(p.phase for p in POSITIONS) == {"13-16": 336, "17-20": 332, "21-24": 332}
    assert Counter(p.difficulty for p in POSITIONS) == {"easy": 336, "medium": 336, "hard": 328}


def test_the_phases_are_those_of_a_whole_game():
    assert Counter((len(p.moves), "") for p in PHASES) == quotas("phases")
    assert Counter(p.phase for p in PHASES) == SIZES


def test_the_openings_are_those_before_the_phases():
    assert Counter(len(p.moves) for p in EARLY) == OPENINGS
    assert Counter(p.phase for p in EARLY) == {"0-3": 84, "4-7": 320}


def test_the_first_moves_have_the_values_that_allis_found():
    """A win in the centre, draws beside it, losses elsewhere (Allis 1988); the win takes all but one of the squares."""
    assert str(EARLY[0]) == ",lldwdll,41"
    assert {position.moves for position in EARLY[1:4]} == {"6", "5", "2"}  # after the centre every reply loses


@pytest.mark.parametrize("positions", [POSITIONS, PHASES, EARLY])
def test_no_two_are_the_same_or_mirror_images(positions):
    boards = [read(position.moves) for position in positions]
    assert len({min(board, board.mirrored()) for board in boards}) == len(positions)


@pytest.mark.parametrize("positions", [POSITIONS, PHASES, EARLY])
def test_the_choice_matters_and_nobody_can_make_four_at_once(positions):
    for position in positions:
        board = read(position.moves)
        full = [value is None for value in position.values]
        assert full == [not board.landing(column) for column in range(7)]
        assert board.quiet and len(keeping(position.values)) < full.count(False)
        assert 1 < position.depth <= 42 - board.ply


def test_late_labels_are_derived_again():
    solver = Solver()
    for position in [*LATE[::2], *[p for p in POSITIONS if len(p.moves) == 20][::16]]:
        assert solver.values(position.moves) == position.values
        assert solver.depth(position.moves) == position.depth


def test_labels_of_all_phases_are_derived_again():
    solver, late = Solver(), [position for position in PHASES if len(position.moves) >= 28]
    for position in [*late[::6], *[p for p in PHASES if len(p.moves) in (20, 22, 24)][::30]]:
        assert solver.values(position.moves) == position.values
        assert solver.depth(position.moves) == position.depth


def test_labels_of_all_phases_hold_what_a_short_search_decides():
    solver = Solver()
    for position in PHASES + EARLY:
        look = min(position.depth, 4)
        seen = solver.values(position.moves, look)
        assert all(value in (0, None) or value == label for value, label in zip(seen, position.values, strict=True))
        if position.depth <= 4:
            assert keeping(seen) <= keeping(position.values)
        else:
            assert not keeping(solver.values(position.moves, 3)) <= keeping(position.values)


def test_a_position_is_worth_what_its_best_move_leaves_the_other():
    best = {}
    for position in POSITIONS + PHASES + EARLY:
        board = read(position.moves)
        best[min(board, board.mirrored())] = max(value for value in position.values if value is not None)
    checked = 0
    for position in POSITIONS + PHASES + EARLY:
        board = read(position.moves)
        for column, value in enumerate(position.values):
            after = board.play(column) if board.landing(column) else None
            child = after and best.get(min(after, after.mirrored()))
            if child is not None:
                assert value == -child, (position.moves, column)
                checked += 1
    assert checked > 200  # nearly all among the openings


def test_late_positions_are_drawn_again():
    assert list(islice(labelled("thousand", 24), 15)) == LATE[:15]


@pytest.mark.parametrize("ply", [13, 17])
def test_early_positions_are_among_those_drawn_in_their_order(ply):
    moves = (moves for moves, _ in islice(drawn("thousand", ply, Solver()), 1000))
    assert all(position.moves in moves for position in POSITIONS if len(position.moves) == ply)


def test_a_game_of_mixed_strength_is_drawn_from_its_key():
    solver = Solver()
    games = [play_mixed(fold_one(8, number), 6, solver) for number in range(5)]
    assert games == [play_mixed(fold_one(8, number), 6, Solver()) for number in range(5)]
    assert all(read(moves) == board for moves, board in games)
    assert len({moves for moves, _ in games}) > 3


def test_openings_are_among_those_drawn_in_their_order():
    moves = (moves for moves, _ in islice(drawn("phases", 8, Solver()), 20))
    assert all(position.moves in moves for position in PHASES[:2])
    moves = (moves for moves, _ in islice(drawn("openings", 4, Solver()), 20))
    assert all(position.moves in moves for position in [p for p in EARLY if len(p.moves) == 4][:10])


def test_random_games_stop_before_a_four():
    games = [play_randomly(fold_one(3, number), 42) for number in range(200)]
    assert all(read(moves) == board for moves, board in games if board.ply < 42)
    assert len({moves for moves, _ in games}) == 200 and max(board.ply for _, board in games) > 30


@pytest.mark.parametrize("name", FILES)
def test_rows_are_read_as_they_are_written(name):
    assert FILES[name].read_text() == "\n".join([HEADER, *map(str, load(name))]) + "\n"
    assert FILES[name].stat().st_size < 100_000
    assert str(Labelled("0123", (1, 0, -1, None, 1, 1, 1), 7)) == "0123,wdl.www,7"


def test_states_are_the_positions_in_openspiels_game():
    for position, state in zip(LATE, states(LATE), strict=True):
        assert state.native.history() == [int(column) for column in position.moves]


def test_a_perfect_player_keeps_every_value():
    judged = accuracy(LATE[::3], Solver().choose)
    assert (judged.positions, judged.overall) == (28, 1.0)
    assert judged.by_phase == {"21-24": 1.0}
    assert judged.by_difficulty == dict.fromkeys(DIFFICULTIES, 1.0)


def test_shares_are_those_counted_by_hand():
    easy = Labelled("5" * 6 + "0123401", (1, 1, -1, -1, -1, None, -1), 3)
    hard = Labelled("5" * 6 + "01234012401", (0, -1, -1, -1, -1, None, 0), 20)
    judged = accuracy([easy, hard, easy, hard], lambda states: [1] * len(states), batch=3)
    assert judged.to_json() == {
        "positions": 4,
        "overall": 0.5,
        "by_phase": {"13-16": 1.0, "17-20": 0.0},
        "by_difficulty": {"easy": 1.0, "hard": 0.0},
        "counts": {"all": 4, "13-16": 2, "17-20": 2, "easy": 2, "hard": 2},
        "intervals": {"all": wilson(2, 4), "13-16": wilson(2, 2), "17-20": wilson(0, 2)}
        | {"easy": wilson(2, 2), "hard": wilson(0, 2)},
        "random": dict.fromkeys(["all", "13-16", "17-20", "easy", "hard"], pytest.approx(1 / 3)),
    }
    assert chance([easy, hard]) == pytest.approx((2 / 6 + 2 / 6) / 2)


@pytest.mark.parametrize("right, count", [(0, 10), (7, 10), (5, 5), (983, 1000)])
def test_intervals_are_wilsons(right, count):
    """Its ends are the shares p of which the observed one is 1.96 standard errors away, those of p."""
    assert wilson(7, 10) == pytest.approx((0.396778, 0.892209), abs=1e-6)
    for end in wilson(right, count):
        if 0 < end < 1:
            assert abs(right / count - end) == pytest.approx(1.959964 * (end * (1 - end) / count) ** 0.5, rel=1e-5)


def test_agents_are_asked_in_batches():
    sizes = []

    def choose(states):
        sizes.append(len(states))
        return [state.legal_actions(state.player)[0] for state in states]

    judged = accuracy(POSITIONS[:70], choose, batch=32)
    assert sizes == [32, 32, 6] and 0 < judged.overall < 1


def test_random_moves_keep_the_value_at_four_positions_of_ten():
    assert chance(POSITIONS) == pytest.approx(0.4257, abs=5e-5)
    by_difficulty = [chance([p for p in POSITIONS if p.difficulty == difficulty]) for difficulty in DIFFICULTIES]
    assert by_difficulty == pytest.approx([0.5035, 0.4232, 0.3486], abs=5e-5)


def test_misuse_is_told_in_one_sentence():
    full = next(position for position in LATE if None in position.values)
    column = full.values.index(None)
    with pytest.raises(UserError, match=f"^expected a column with room, got {column} at '{full.moves}'$"):
        accuracy([full], lambda states: [column])
    with pytest.raises(UserError, match="expected a column with room, got 9 at"):
        accuracy([full], lambda states: [9])
    with pytest.raises(UserError, match="expected an action for each of 1 positions, got 2"):
        accuracy([full], lambda states: [0, 1])
    with pytest.raises(UserError, match="expected positions to choose at, got none"):
        accuracy([], lambda states: [])
