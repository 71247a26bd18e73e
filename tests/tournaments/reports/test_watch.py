"""A leaderboard that follows a store."""

import io
import time

import pytest

from games.errors import UserError
from marl.base.terminal import Terminal
from tests.tournaments.reports.test_report import NAMES, make_store
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.reports.watch import watch


def test_the_leaderboard_is_printed_when_games_were_added_until_ctrl_c(tmp_path, monkeypatch):
    path = tmp_path / "games.sqlite"
    slept = []

    def play_on(seconds):
        slept.append(seconds)
        if len(slept) == 2:  # the first look has nothing new after it
            store.add([PlayedGame(Fixture("g", ("aa", "dd"), 5), (1.0, -1.0), "finished", 5)])
        if len(slept) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", play_on)
    console = Terminal(width=100, file=io.StringIO())
    with make_store(path) as store:  # it stays open, as the other process's is
        watch(path, console, every=0.25)
    said = console.file.getvalue()
    assert said.count("54 games") == said.count("55 games") == 1 and len(slept) == 4 and min(slept) >= 0.25
    assert NAMES["dd"] in said.partition("55 games")[2] and said.count("±95 %") == 2


def test_once(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    make_store(tmp_path / "games.sqlite").close()
    before = (tmp_path / "games.sqlite").read_bytes()
    console = Terminal(width=100, file=io.StringIO())
    watch(tmp_path, console, every=1, once=True)
    assert "54 games" in console.file.getvalue() and (tmp_path / "games.sqlite").read_bytes() == before


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="which does not exist"):
        watch(tmp_path / "none", Terminal(quiet=True), every=1, once=True)
    with Store(tmp_path / "empty", create=True), pytest.raises(UserError, match="which game it holds"):
        watch(tmp_path / "empty", Terminal(quiet=True), every=1, once=True)
