"""What a tournament shows on a terminal while it plays."""

import io

from marl.base.terminal import Terminal
from tests.tournaments.test_tournament import config
from tournaments.playing import progress
from tournaments.records.store import Store
from tournaments.reports import live
from tournaments.tournament import run


def shown(wanted, folder, terminal=True):
    console = Terminal(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None, _environ={})
    path = run(wanted, folder, console)
    return path, console.file.getvalue()


def test_the_leaderboard_is_shown_while_games_are_played(tmp_path, monkeypatch):
    monkeypatch.setattr(live.LiveBoard, "due", True)
    path, said = shown(config(agents=("random", "uct(simulations=9)")), tmp_path)
    assert said.startswith(f"{tmp_path}: 16 games among 2 agents")
    assert "1. uct(simulations=9)  " in said and " Elo" in said and " at most " not in said
    with Store(path) as store:
        first, second = live.LiveBoard(store).lines()
    assert first.startswith("1. uct(simulations=9)  ") and first.endswith(", 16 games")
    assert second.startswith("2. random  -")


def test_games_without_elo_show_payoffs(tmp_path):
    game = "matrix(game=prisoners_dilemma, steps=5, memory=true, truncate=true)"
    path, _ = shown(config(game=game, agents=("always_defect", "always_cooperate"), seeds=2), tmp_path)
    with Store(path) as store:
        assert live.LiveBoard(store).lines()[0].startswith("1. always_defect  ")


def test_an_end_that_is_not_known_is_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LiveBoard", lambda store: None)
    _, said = shown(config(agents=("random", "uct(simulations=2)"), schedule={"kind": "knockout"}), tmp_path)
    assert f"{tmp_path}: at most 48 games among 2 agents" in said and said.count("at most") >= 3


def test_nothing_but_lines_off_the_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(live.LiveBoard, "lines", lambda board: 1 / 0)
    _, said = shown(config(agents=("random", "uct(simulations=2)")), tmp_path, terminal=False)
    assert said == f"{tmp_path}: 16 games among 2 agents\n"


def test_the_board_waits_fifty_times_as_long_as_it_took(tmp_path, monkeypatch):
    path, _ = shown(config(agents=("random", "uct(simulations=2)")), tmp_path)
    clock = {"now": 100.0, "used": 0.0}
    monkeypatch.setattr(live.time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(live.time, "process_time", lambda: clock["used"])
    with Store(path) as store:
        board = live.LiveBoard(store)
        assert board.due
        monkeypatch.setattr(board, "_lines", lambda: clock.update(used=1.0))
        board.lines()
        clock["now"] = 149.0
        assert not board.due
        clock["now"] = 150.0
        assert board.due
