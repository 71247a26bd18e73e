"""What models answer is read: the moves that they name, in whatever form, and values."""

import pytest

from games.words import Moves
from marl.agents.chat.answers import moves_named, value_named

PAWNS = Moves(["e4", "Nf3", "O-O"], [7, 8, 9])
CELLS = Moves(["x(0,0)", "x(1,1)"], [0, 4])
BIDS = Moves(["[P0]Bid: 1", "[P0]Bid: 3", "[P0]Bid: 12", "[P0]Bid: -2"], [0, 2, 11, 20])
CARDS = Moves(["1", "2", "13"], [0, 1, 12])


@pytest.mark.parametrize(
    ("moves", "answer", "action"),
    [
        (PAWNS, "Final answer: e4", 7),
        (PAWNS, "I think.\nFinal Answer: Nf3\n", 8),
        (PAWNS, "**Final answer:** `nf3`.", 8),
        (PAWNS, "### Final answer: **O-O**", 9),
        (PAWNS, "Final answer: $\\boxed{e4}$", 7),
        (PAWNS, "Final answer: \\boxed{\\text{Nf3}}", 8),
        (PAWNS, "The final answer is: e4", 7),
        (PAWNS, "Final answer: 2", None),  # its place is not its name
        (PAWNS, "Final answer: Nf3\nNo, better:\nFinal answer: e4", 7),  # the last counts
        (PAWNS, "<think>Final answer: e4</think>\nFinal answer: Nf3", 8),
        (PAWNS, "<think>Final answer: e4</think>\nNf3", 8),
        (PAWNS, "e4", 7),  # a model that answers with the move alone
        (PAWNS, "e4\n\n", 7),
        (PAWNS, "Final answer: 100% e4", 7),
        (CELLS, "Final answer: x(1,1)", 4),
        (CELLS, "Final answer: [x(0,0)]", 0),
        (CELLS, "Final answer: (1,1)", 4),
        (CELLS, "Final answer: 1)", 4),
        (CELLS, "Final answer: )", None),
        (BIDS, "**Final answer: [P0]Bid: 1**", 0),
        (BIDS, "Final answer: Bid: 3", 2),
        (BIDS, "Final answer: 3.", 2),
        (BIDS, "Final answer: 2", None),  # neither the second, nor the end of 12 or -2
        (CARDS, "Final answer: 13", 12),
        (CARDS, "Final answer: 3", None),  # moves that are numbers have no other
        (PAWNS, "Final answer: Qh5", None),
        (PAWNS, "Final answer: 4", None),
        (PAWNS, "Final answer: e4 or Nf3", None),
        (PAWNS, "e4 is what I would play, I suppose", None),
        (PAWNS, '{"move": "e4"', None),
        (PAWNS, "", None),
        (PAWNS, " \n ", None),
        (PAWNS, "<think>e4", None),
    ],
)
def test_a_move(moves, answer, action):
    shares, _ = moves_named(answer, moves, 1)
    assert shares == ({} if action is None else {action: 1.0})


def test_what_was_named_in_place_of_a_move_is_told():
    assert moves_named("Final answer: Qh5", PAWNS, 1) == ({}, "Qh5")
    assert moves_named("", PAWNS, 1) == ({}, "")
    assert len(moves_named("Final answer: " + "Q" * 500, PAWNS, 1)[1]) == 60


@pytest.mark.parametrize(
    ("answer", "shares"),
    [
        ("Final answer: 60% e4\nFinal answer: 20% Nf3", {7: 0.75, 8: 0.25}),
        ("Final answer: **60%** e4\nFinal answer: 60% Qh5", {7: 1.0}),  # what is not legal is left out
        ("Final answer: e4\nFinal answer: Nf3", {7: 0.5, 8: 0.5}),
        ("Final answer: 0% e4\nFinal answer: 10.5%: Nf3", {8: 1.0}),
        ("Final answer: 50% e4\nFinal answer: 10% e4", {7: 1.0}),  # the first counts
        ("Final answer: 40% e4\nFinal answer: 40% Nf3\nFinal answer: 20% O-O", {7: 0.5, 8: 0.5}),  # more than asked for
        ("Final answer: 100% Qh5", {}),
    ],
)
def test_candidates(answer, shares):
    assert moves_named(answer, PAWNS, 2)[0] == pytest.approx(shares)


def test_candidates_that_are_numbers():
    assert moves_named("Final answer: 25% 13\nFinal answer: 75% 2", CARDS, 3)[0] == {12: 0.25, 1: 0.75}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Final answer: 1", 0.0),
        ("Final answer: 100", 1.0),
        ("so it is even. **Final answer: 50.5**", 0.5),
        ("Final answer: 75 of 100", 74 / 99),
        ("100", 1.0),
        ("Final answer: 0", None),
        ("Final answer: 101", None),
        ("Final answer: good", None),
        ("", None),
    ],
)
def test_a_value(answer, value):
    assert value_named(answer) == (value if value is None else pytest.approx(value))
