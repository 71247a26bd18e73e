import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from games.errors import UserError
from marl.agent import Random
from marl.cli import main
from tournaments import tournament
from tournaments.store import Store
from tournaments.tournament import STORE, TournamentConfig, run

TIC_TAC_TOE = "openspiel:tic_tac_toe"
ROOT = Path(__file__).parents[2]


class Second(Random):
    """Another random agent."""


class Third(Random):
    """And one more."""


class Unsteady(Random):
    """Raise now and then."""

    def act(self, view, hidden):
        if (view.key % 8 == 0).any():
            raise RuntimeError("not today")
        return super().act(view, hidden)


SECOND, THIRD, UNSTEADY = (f"{__name__}:{kind.__name__}()" for kind in (Second, Third, Unsteady))


def config(**changes):
    settings = {"game": TIC_TAC_TOE, "agents": ("random", SECOND, UNSTEADY), "seeds": 8, "workers": 1, "batch": 16}
    return TournamentConfig(**(settings | changes))


def play(config, folder):
    return run(config, folder, Console(quiet=True))


def rows(path, columns="id, seed, agents, payoffs, termination, length, moves"):
    db = sqlite3.connect(path)
    try:
        return db.execute(f"SELECT {columns} FROM games ORDER BY id").fetchall()
    finally:
        db.close()


def marl(*arguments):
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code


def test_workers_change_nothing(tmp_path):
    alone = play(config(agents=("random", UNSTEADY, "mcts(simulations=5)")), tmp_path / "one")
    together = play(config(agents=("random", UNSTEADY, "mcts(simulations=5)"), workers=2, batch=9), tmp_path / "two")
    assert rows(alone) == rows(together) and len(rows(alone)) == 48


def test_killed_and_resumed(tmp_path):
    wanted = config(agents=("random", SECOND, THIRD, UNSTEADY), seeds=150, batch=32)
    whole = rows(play(wanted, tmp_path / "whole"))
    (tmp_path / "tournament.yaml").write_text(json.dumps(wanted.model_dump(mode="json")))
    draw = random.Random(0)
    command = [sys.executable, "-m", "marl.cli", "tournament", "run", "tournament.yaml", "--run-dir", "killed"]
    before = 0
    for _ in range(3):
        moment = before + draw.randrange(1, len(whole) // 6)
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None and stored(tmp_path / "killed" / STORE) < moment:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate()
        assert process.returncode == -signal.SIGKILL, complaint.decode()
        after = stored(tmp_path / "killed" / STORE)
        assert before < after < len(whole)
        before = after
    assert rows(play(wanted, tmp_path / "killed")) == whole


def stored(path):
    """Return how many games are in a store that another process is writing, or about to make."""
    try:
        return len(rows(path, "id"))
    except sqlite3.OperationalError:
        return 0


@pytest.mark.parametrize("change", [{"agents": ("random", THIRD, SECOND, UNSTEADY)}, {"seeds": 11}])
def test_growing_plays_only_what_is_missing(tmp_path, monkeypatch, change):
    path = play(config(), tmp_path)
    before = rows(path, "rowid, *")
    asked = []

    def watched(game, references, fixtures, num_envs):
        asked.extend(fixtures)
        return play_chunk(game, references, fixtures, num_envs)

    play_chunk = tournament.play_chunk
    monkeypatch.setattr(tournament, "play_chunk", watched)
    play(config(**change), tmp_path)
    after = rows(path, "rowid, *")
    assert set(before) < set(after) and len(asked) == len(after) - len(before)
    assert not {fixture.id for fixture in asked} & {row[1] for row in before}
    if "agents" in change:
        with Store(path) as store:
            [third] = [agent.id for agent in store.agents() if agent.name == THIRD]
        assert all(third in fixture.agents for fixture in asked)
    play(config(**change), tmp_path)
    assert rows(path, "rowid, *") == after  # and nothing when nothing is missing


def test_a_folder_of_another_game(tmp_path):
    path = play(config(), tmp_path)
    before, written = rows(path), (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="holds a tournament of 'openspiel:tic_tac_toe', not 'openspiel:kuhn_poker'"):
        play(config(game="openspiel:kuhn_poker"), tmp_path)
    assert rows(path) == before and (tmp_path / "config.yaml").read_bytes() == written


@pytest.mark.parametrize(
    ("agents", "reason"),
    [
        (("random", SECOND, "random()"), "'random\\(\\)' and 'random' are the same agent"),
        (("random",), "at least 2 agents"),
        (("random", "randm"), "did you mean 'random'"),
        (("random", "runs/nowhere"), "does not exist"),
    ],
)
def test_a_field_that_does_not_fit(tmp_path, agents, reason):
    with pytest.raises(UserError, match=reason):
        play(config(agents=agents), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("game", "reason"),
    [
        ("openspiel:kuhn_poker(players=3)", "3 players"),
        ("openspiel:matrix_pd", "general"),
        ("openspiel:tiny_hanabi", "team"),
    ],
)
def test_games_without_elo_are_reported_by_mean_payoff(tmp_path, capsys, game, reason):
    agents = ["random", SECOND, THIRD]
    (tmp_path / "tournament.yaml").write_text(json.dumps({"game": game, "agents": agents, "seeds": 4, "workers": 1}))
    folder = tmp_path / "run"
    assert marl("tournament", "run", tmp_path / "tournament.yaml", "--run-dir", folder, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rating_rule"] == "payoff" and reason in report["reason"]
    played = rows(folder / STORE, "agents, payoffs")
    with Store(folder / STORE) as store:
        names = {agent.id: agent.name for agent in store.agents()}
    for line in report["payoffs"]:
        paid = [
            payoff
            for seated, payoffs in played
            for seat, (agent, payoff) in enumerate(zip(json.loads(seated), json.loads(payoffs), strict=True))
            if names[agent] == line["agent"] and line["seat"] in (None, seat)
        ]
        assert len(paid) == line["games"] and sum(paid) / len(paid) == pytest.approx(line["mean"])
    assert {line["agent"] for line in report["payoffs"]} == set(agents)
    assert "mean payoff" in (folder / "leaderboard.md").read_text()

    assert marl("tournament", "rate", folder) == 2
    said = capsys.readouterr()
    assert said.out == "" and reason in said.err and said.err.count("\n") == 1


def test_rate_of_a_store_that_does_not_exist(tmp_path, capsys):
    for path in (tmp_path / "games.sqlite", tmp_path):
        assert marl("tournament", "rate", path) == 2
        said = capsys.readouterr()
        assert said.out == "" and "does not exist" in said.err and said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
