"""Language models in tournaments: their games are records, their forfeits are told apart from losses."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from games.errors import RunFailed
from marl.agents.chat import server as chat_server
from marl.base.terminal import Terminal
from tests.chat_server import Faulty, first_legal, serving
from tests.tournaments.playback.stores import marl
from tournaments.records.store import Store
from tournaments.reports.summary import summarize
from tournaments.tournament import TournamentConfig, run

ROOT = Path(__file__).parents[2]
FOUR, GOOFSPIEL = "openspiel:connect_four", "openspiel:goofspiel(num_cards=3)"


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chat_server, "PAUSE", 0.001)


def config(game, agents, **changes):
    return TournamentConfig(**({"game": game, "agents": agents, "seeds": 4, "workers": 1} | changes))


def play(config, folder):
    return run(config, folder, Terminal(quiet=True))


def queried(path, query):
    with sqlite3.connect(path) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def fails_where(one_in):
    """Play the first legal move, and name none at some positions: a function of what is asked."""

    def reply(asked):
        told = asked.body["messages"][0]["content"]
        return "I resign" if sum(told.encode()) % one_in == 0 else first_legal(asked)

    return reply


@pytest.mark.parametrize("game", [FOUR, GOOFSPIEL])
def test_forfeits_are_told_apart_from_losses(game, tmp_path, capsys):
    """Random, a search and a language model with some illegal answers meet, in turns and at the same time."""
    search = "mcts(simulations=20)" if game == FOUR else "uct(simulations=20)"
    with serving(fails_where(9)) as server:
        name, chat = "chat(model=m, attempts=2)", f"chat(model=m, url={server.url}, attempts=2)"
        path = play(config(game, ["random", search, chat], seeds=6), tmp_path / "run")
        asked = len(server.asked)
        assert marl("tournament", "verify", path) == 0
        assert marl("tournament", "verify", path, "--agents", "--trust", chat) == 0
        assert len(server.asked) == asked  # all answers were known
    assert "36 games played again, 36 by their agents: all as recorded." in capsys.readouterr().out
    with Store(path) as store:
        summary = summarize(store)
        endings = {ending.agent: ending for ending in summary.endings}
        forfeits = endings[name]
        assert forfeits.forfeited == forfeits.counts["illegal_action"] > 0 and forfeits.counts["finished"] > 0
        assert endings["random"].forfeited == endings[search].forfeited == 0
        (failures,) = summary.failures
        assert failures.agent == name
        assert failures.first.detail == "named no legal move in 2 answers; the last named 'I resign'"
        assert name in summary.without_forfeits or game == GOOFSPIEL
        broken_off = store.notes(failures.game)[-1]
        assert (broken_off.ply, broken_off.player) == (failures.first.ply, failures.first.player)
        assert [said["role"] for said in broken_off.value["messages"]] == ["user", "assistant"] * 2
    assert marl("tournament", "report", path) == 0
    assert marl("tournament", "verify", path, "--agents") == 0
    assert "asks a server, and is not run; if you trust it" in capsys.readouterr().out


def test_transcripts_are_shown_and_exported(tmp_path, capsys):
    with serving(first_legal) as server:
        path = play(config("openspiel:tic_tac_toe", ["random", f"chat(model=m, url={server.url})"], seeds=1), tmp_path)
        asked = len(server.asked)
    notes = queried(path, "SELECT game, ply, kind, value FROM notes")
    assert len(notes) == asked and {kind for _, _, kind, _ in notes} == {"player 0", "player 1"}
    assert "url" not in notes[0][3] and json.loads(notes[0][3])["tokens"] == [100, 10]
    assert marl("tournament", "games", path, "--format", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(len(line["notes"]) for line in lines) == asked
    for line in lines:
        seat = line["agents"].index("chat(model=m)")
        for note in line["notes"]:
            named = note["value"]["messages"][-1]["content"]
            assert note["kind"] == f"player {seat}" and named.endswith(f"{line['names'][note['step']][seat]}**")
    assert marl("tournament", "games", path, "--game", lines[0]["id"]) == 0
    assert "    chat(model=m) says: **Final answer: " in capsys.readouterr().out


def test_the_key_is_stored_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "sk-very-secret")
    with serving(first_legal) as server:
        chat = f"chat(model=m, url={server.url}, key=MINE)"
        play(config("openspiel:tic_tac_toe", ["random", chat], seeds=1), tmp_path / "run")
        assert server.asked[0].headers["authorization"] == "Bearer sk-very-secret"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"games.sqlite", "answers.sqlite", "config.yaml"} <= {path.name for path in files}
    assert not [path for path in files if b"sk-very-secret" in path.read_bytes()]


def test_a_server_that_goes_stops_the_run_and_running_again_goes_on(tmp_path):
    """Games of others are stored first; no game is stored in which it could not be asked, and no answer is lost."""
    left = [30]

    def reply(asked):
        left[0] -= 1
        return first_legal(asked) if left[0] >= 0 else Faulty(503)

    folder = tmp_path / "run"
    with serving(reply) as server:
        chat = f"chat(model=m, url={server.url}, parallel=1)"
        field = config(FOUR, ["random", "uct(simulations=2)", chat], seeds=2)
        with pytest.raises(RunFailed, match=r"is busy \(503\), 8 times in a row"):
            play(field, folder)
        assert len(queried(folder / "games.sqlite", "SELECT id FROM games")) == 4
        left[0], asked = 10_000, len(server.asked)
        path = play(field, folder)
        second = len(server.asked) - asked
    with serving(first_legal) as other:
        unbroken = f"chat(model=m, url={other.url}, cache=None)"
        play(config(FOUR, ["random", "uct(simulations=2)", unbroken], seeds=2), tmp_path / "unbroken")
        assert second == len(other.asked) - 30
    assert len(queried(path, "SELECT id FROM games")) == 12
    assert queried(path, "SELECT DISTINCT termination FROM games") == [("finished",)]


def test_a_slow_server_forfeits_by_time(tmp_path):
    with serving(lambda _: Faulty(seconds=60)) as server:
        chat = f"chat(model=m, url={server.url}, seconds=0.1)"
        path = play(config(FOUR, ["random", chat], seeds=1), tmp_path / "run")
    with Store(path) as store:
        summary = summarize(store)
    (failures,) = summary.failures
    assert (failures.first.how, failures.first.detail) == ("timeout", "took longer than 0.1 s to answer")
    assert summary.never_finished["chat(model=m)"].startswith(
        "chat(model=m) never finished a game: it forfeited 2 of 2"
    )


def test_workers_change_nothing(tmp_path):
    """Two processes share the answers of a model that does not draw."""
    with serving(fails_where(9)) as server:
        agents = ["random", "uct(simulations=2)", f"chat(model=m, url={server.url}, temperature=0)"]
        query = "SELECT id, payoffs, termination, moves FROM games ORDER BY id"
        paths = [play(config(FOUR, agents, seeds=2, workers=n, batch=3), tmp_path / str(n)) for n in (1, 2)]
        rows = [queried(path, query) for path in paths]
        known = len(server.asked)
        prompts = {json.dumps(asked.body["messages"]) for asked in server.asked}
    assert rows[0] == rows[1] and len(rows[0]) == 12
    assert known == len(prompts)


def test_bad_input_writes_nothing(tmp_path, capsys, monkeypatch):
    for chat, said in (
        ("chat(model=m, url=http://localhost:1/v1, key=NO_SUCH)", "environment variable 'NO_SUCH'"),
        ("chat(model=m, url=nowhere)", "expected url of 'chat'"),
    ):
        (tmp_path / "config.yaml").write_text(json.dumps({"game": FOUR, "agents": ["random", chat]}))
        assert marl("tournament", "run", tmp_path / "config.yaml", "--run-dir", tmp_path / "run") == 2
        assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_person_is_told_who_is_waited_for(tmp_path):
    with serving(first_legal) as server:
        command = [sys.executable, "-m", "marl", "play", "openspiel:tic_tac_toe", "--seed", "1"]
        command += ["--against", f"chat(model=m, url={server.url})"]
        here = os.environ | {"PYTHONPATH": str(ROOT)}
        typed = "\n".join(["x(1,1)", "x(2,2)", "x(0,1)", "x(2,1)"]) + "\n"
        done = subprocess.run(command, input=typed, env=here, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert done.returncode == 0, done.stderr
    assert f"waiting for m at {host}, at most 60 s\nchat(model=m) (player 1) plays o(0,0)" in done.stdout
    assert "You won" in done.stdout or "You lost" in done.stdout
