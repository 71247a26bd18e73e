"""The survey: one row a game, whatever becomes of it, in a table that is Markdown."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from games import survey
from games.errors import UserError
from tests.games.plugin import Nim, NimState

HERE = "tests.games.test_survey"


class Hangs(Nim):
    def __init__(self) -> None:
        time.sleep(600)


class Killed(Nim):
    def __init__(self) -> None:
        print("the cat\nlay down", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


class Leaves(Nim):
    def __init__(self) -> None:
        sys.exit(0)


class Overpaid(Nim):
    def initial_state(self) -> NimState:
        return OverpaidState(self.stones, 0)


class OverpaidState(NimState):
    def returns(self):
        return (9.0, -9.0) if self.is_terminal() else (0.0, 0.0)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # by the processes of the games


def test_every_game_has_its_row_whatever_becomes_of_it(monkeypatch):
    fates = {
        "tests.games.plugin:Nim(stones=3)": ("passes", ""),
        "tests.games.plugin:Nim(stone=3)": ("refused", "'Nim' takes stones, got 'stone'; did you mean 'stones'?"),
        f"{HERE}:Overpaid": ("FAILS", "returns lie within their bounds: a return of "),
        f"{HERE}:Killed": ("FAILS", "its process ended with SIGKILL: lay down"),
        f"{HERE}:Leaves": ("FAILS", "its process ended with 0: no output"),
        "tests.games.plugin:Nim | flatten | flotten": ("refused", "got 'flotten'; did you mean 'flatten'?"),
    }
    monkeypatch.setattr(survey, "references", lambda source: list(fates))
    lines = survey.table("mine", episodes=2, timeout=300).splitlines()
    assert lines[:3] == ["# The games of mine", "", "1 pass, 2 are refused, 3 fail (6 in all, 2 episodes each)."]
    head, rule, *rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[4:]]
    assert {len(row) for row in (head, rule, *rows)} == {8} and {cell.strip() for cell in rule} == {"---"}
    for row, (reference, (verdict, why)) in zip(rows, fates.items(), strict=True):
        cells = [cell.strip().replace("\\|", "|") for cell in row]
        assert cells[:2] == [reference, verdict] and why in cells[-1]
        assert bool(cells[2]) == (verdict == "passes" or "Overpaid" in reference)
    assert [cell.strip() for cell in rows[0][2:7]] == ["2", "sequential", "perfect", "", "zero-sum"]


def test_a_game_that_hangs_costs_its_own_row():
    (row,) = survey.survey([f"{HERE}:Hangs"], 1, 1.5, 1)
    assert (row.verdict, row.detail) == ("FAILS", "took longer than 1.5 seconds")


def test_a_bar_does_not_end_a_cell():
    assert str(survey.CheckedGame("a | b", "refused", "x|y")) == r"| a \| b | refused |  |  |  |  |  | x\|y |"


def test_a_sources_games_are_listed():
    found = survey.references("openspiel")
    assert found == sorted(found) and "openspiel:tic_tac_toe" in found
    assert "pettingzoo:mpe2.simple_spread_v3" in survey.references("pettingzoo")


@pytest.mark.parametrize("source", ["openspeil", "spread"])
def test_an_unknown_source_is_one_sentence(source):
    with pytest.raises(UserError, match=f"expected a source .*, got '{source}'"):
        survey.references(source)
