"""A person at the terminal: what can be typed, and that nothing is shown but what the person's player may see."""

import builtins
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from games.contract import Array, Discrete, Spec
from games.errors import UserError
from games.words import Moves
from marl.base.terminal import Terminal
from marl.cli.person import play

ROOT = Path(__file__).parents[3]


@pytest.fixture
def played(monkeypatch):
    """Play a game with typed lines, and Ctrl-D after them; return what was printed."""

    def run(game, typed=(), seat=0, seed=3, against="random"):
        lines = iter(typed)

        def read():
            try:
                return next(lines)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(builtins, "input", read)
        console = Terminal(file=io.StringIO(), width=200)
        play(game, against, seat, seed, console)
        return console.file.getvalue()

    return run


@pytest.mark.parametrize(
    ("names", "typed", "found"),
    [
        (["Pass", "Bet"], "Bet", 11),
        (["Pass", "Bet"], "bet", 11),
        (["Pass", "Bet"], "2", 11),
        (["Pass", "Bet"], "3", None),
        (["Pass", "Bet"], "0", None),
        (["Pass", "Bet"], "-1", None),
        (["Pass", "Bet"], "9" * 5_000, None),
        (["Pass", "Bet"], "", None),
        (["a", "A"], "A", 11),
        (["a", "b"], "B", 11),
        (["x", "x"], "x", None),  # called alike: by their places
        (["x", "x"], "2", 11),
        ([" trail ", "b"], "trail", 10),
        (["7", "1"], "1", 11),  # called by numbers: these are all that can be typed
        (["7", "1"], "2", None),
        (["7", "pass"], "2", None),
    ],
)
def test_moves_are_found(names, typed, found):
    assert Moves(names, [10, 11]).find(typed) == found


def test_many_moves_are_not_all_listed_each_time():
    moves = Moves([f"a move that is called {k}" for k in range(100)], range(100))
    assert moves.listed(100).endswith(" and 97 more") and moves.listed().endswith("100 a move that is called 99")
    assert Moves(["long" * 100], [0]).listed(10) == "1 " + "long" * 100


@pytest.mark.parametrize("game", ["openspiel:tic_tac_toe", "openspiel:connect_four"])
def test_games_that_hide_nothing(played, game):
    shown = played(game, ["help", "x", "1"] + ["1", "2", "3"] * 20, seat=1)
    assert "hidden" not in shown and "random (player 0) plays x" in shown
    assert (
        "Your moves: 1 o" in shown and "by its name or its number" in shown and "'x' is not one of the moves" in shown
    )
    assert re.search(r"(You won|You lost|A draw) after \d+ moves .*; --seed 3 is the same game again", shown)
    assert played(game, ["help", "x", "1"] + ["1", "2", "3"] * 20, seat=1) == shown


def test_names_and_numbers_are_the_same_moves(played):
    by_name = played("openspiel:tic_tac_toe", [f"X({row},{column})" for row in range(3) for column in range(3)])
    assert "o(" in by_name and "x(0,0)" in by_name


@pytest.mark.parametrize("seat", [0, 1])
def test_the_others_cards_are_not_shown(played, seat):
    """In Kuhn poker a player's own words begin with its card; a position printed whole begins with both."""
    for seed in range(8):
        shown = played("openspiel:kuhn_poker", ["1"] * 3, seat=seat, seed=seed)
        told = re.findall(r"^\d.*$", shown, re.MULTILINE)
        assert told and all(re.fullmatch(r"\d[pb]*", line) for line in told) and len({line[0] for line in told}) == 1
        assert "what player" in shown and f"random (player {1 - seat}) plays " in shown  # bets are open


@pytest.mark.parametrize("seat", [0, 1])
def test_nor_are_those_of_leduc_poker(played, seat):
    shown = played("openspiel:leduc_poker", ["Call"] * 6, seat=seat)
    assert f"[Observer: {seat}]" in shown and f"[Observer: {1 - seat}]" not in shown and " plays " in shown
    assert len(set(re.findall(r"Private: (\d)", shown))) == 1


def test_nor_are_the_others_dice(played):
    shown = played("openspiel:liars_dice", ["1", "1", "Liar"], seat=1)
    told = re.findall(r"^\d .*$", shown, re.MULTILINE)
    assert "random (player 0) plays 1-5" in shown and "5 1-5" in told and {line[0] for line in told} == {"5"}


@pytest.mark.parametrize("game", ["openspiel:phantom_ttt", "openspiel:dark_hex(board_size=3)", "openspiel:dark_chess"])
def test_moves_that_are_not_seen_are_not_told(played, game):
    shown = played(game, ["1", "1", "1"])
    assert shown.count("Your moves") >= 3 and "random (player 1) plays" not in shown


def test_moves_at_the_same_time_are_told_afterwards(played):
    shown = played("openspiel:goofspiel(num_cards=4)", ["4", "3", "1"])
    assert shown.index("Your move: ") < shown.index("random (player 1) plays [P1]Bid") and "after 3 moves" in shown


def test_coin_game(played):
    shown = played("coin_game(horizon=2)", ["left", "4"])
    assert "you are X, your coin x" in shown and "1 left, 2 right, 3 up, 4 down" in shown
    assert "random (player 1) plays" not in shown and "The end after 2 moves" in shown
    assert "you are O" in played("coin_game(horizon=2)", [], seat=1)


def test_a_game_without_words_shows_numbers(played):
    shown = played("matrix(game=prisoners_dilemma,steps=2,memory=true)", ["help", "1", "0"])
    assert "you see 5 numbers:\n[1 0 0 0 0]\n" in shown and "Your moves: 0, 1\n" in shown and "by its number" in shown
    assert "The end after 2 moves" in shown
    assert "you see 18 numbers" in played("spread", ["none"])


def test_games_of_pettingzoo(played):
    shown = played("pettingzoo:classic.tictactoe_v3", ["0", "1", "2", "3", "4", "5", "6", "7", "8"])
    assert "you see 3 x 3 x 2 numbers" in shown and "random (player 1) plays" in shown and " after " in shown
    shown = played("pettingzoo:classic.leduc_holdem_v4", ["0", "1", "2"] * 5)
    assert "you see 36 numbers" in shown and "random (player 1) plays" not in shown


@pytest.mark.parametrize("typed", ["q", "quit", "QUIT", None])
def test_leaving(played, typed):
    assert played("openspiel:tic_tac_toe", [typed] if typed else []).endswith("You left the game.\n")


def test_ctrl_c_leaves():
    command = [sys.executable, "-m", "marl", "play", "openspiel:tic_tac_toe", "--against", "random"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, **pipes) as process:
        for line in process.stdout:
            if line.startswith("Your moves"):
                break
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=60)
    assert process.returncode == 130 and complaint == "" and said.endswith("You left the game.\n")


class Rude:
    """A game whose words are commands to a terminal."""

    spec = Spec("rude", 1, Array((1,)), Discrete(2), "general_sum", "sequential", False, False, True)

    def __init__(self):
        self.moves = 0

    def initial_state(self):
        return Rude()

    def clone(self):
        return self

    def acting(self):
        return () if self.moves else (0,)

    def legal_actions(self, player):
        return [0, 1]

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        self.moves += 1

    def is_terminal(self):
        return bool(self.moves)

    def returns(self):
        return (0.0,)

    def observe(self, player, out):
        out[:] = 0

    def describe(self, player):
        return "[bold]two\nlines\x1b[2J"

    def action_name(self, player, action):
        return ("[/red]go\x1b]0;title\x07", "stay\u202e")[action]

    def key(self):
        return self.moves


def test_words_of_a_game_are_shown_as_they_are_written(played):
    shown = played("tests.marl.cli.test_person:Rude()", ["\x1b[2J", "1"])
    assert "[bold]two\nlines\\x1b[2J\n" in shown and r"1 [/red]go\x1b]0;title\x07, 2 stay\u202e" in shown
    assert r"'\x1b[2J' is not one of the moves" in shown and shown.isascii() and "\x1b" not in shown


def test_what_cannot_be_played(played):
    with pytest.raises(UserError, match="seats 0 to 1, got --seat 2"):
        played("openspiel:tic_tac_toe", seat=2)
    with pytest.raises(UserError, match="needs moves to choose among"):
        played("gymnasium:gymnasium.Pendulum-v1")
