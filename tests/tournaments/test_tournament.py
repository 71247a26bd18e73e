import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents import checkpoint
from marl.base import lock
from marl.base.schema import load
from marl.base.terminal import Terminal
from marl.cli.app import main
from marl.search.agent import UctAgent
from tests.marl.agents.test_checkpoint import written
from tournaments import tournament
from tournaments.playing import play as playing
from tournaments.records.store import Store
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize
from tournaments.tournament import STORE, TournamentConfig, field, run

TIC_TAC_TOE = "openspiel:tic_tac_toe"
ROOT = Path(__file__).parents[2]


SECOND, THIRD, UNSTEADY, CRASHING = (
    f"tests.bots:{made}" for made in ("Second()", "Third()", "Moody(one_in=8)", "Bad(how=raise, where=all)")
)


def config(**changes):
    settings = {"game": TIC_TAC_TOE, "agents": ("random", SECOND, UNSTEADY), "seeds": 8, "workers": 1, "batch": 16}
    return TournamentConfig(**(settings | changes))


def play(config, folder):
    return run(config, folder, Terminal(quiet=True))


def rows(path, columns="id, seed, agents, payoffs, termination, length, moves"):
    return queried(path, f"SELECT {columns} FROM games ORDER BY id")


def queried(path, query):
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
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


def test_openings_make_games_differ_and_are_shared_by_seatings(tmp_path):
    agents = ("tests.bots:First", "tests.bots:AlsoFirst")
    with Store(play(config(agents=agents, seeds=20), tmp_path / "one")) as store:
        assert store.repeated() == 2
    path = play(config(agents=agents, seeds=20, opening_moves=2, batch=7), tmp_path / "two")
    with Store(path) as store:
        assert store.repeated() == 0
        assert summarize(store).title == f"{TIC_TAC_TOE}, 2 random opening moves"
    begun: dict = {}
    for seed, moves in rows(path, "seed, moves"):
        begun.setdefault(seed, set()).add(moves[:16])  # two moves of two players, int32
    assert len(begun) == 20 and {len(moves) for moves in begun.values()} == {1}
    assert len({moves for found in begun.values() for moves in found}) > 10
    with pytest.raises(UserError, match="with opening_moves: 2, not 3"):
        play(config(agents=agents, opening_moves=3), tmp_path / "two")
    with Store(play(config(agents=agents, seeds=20, opening_moves=9), tmp_path / "all")) as store:
        summary = summarize(store)
    assert any(line.startswith("40 of 40 games ended within their random opening") for line in summary.warnings)
    assert summary.to_json()["opening_moves"] == 9


def test_killed_and_resumed(tmp_path):
    wanted = config(agents=("random", SECOND, THIRD, UNSTEADY), seeds=60, batch=32)
    whole = rows(play(wanted, tmp_path / "whole"))
    (tmp_path / "tournament.yaml").write_text(json.dumps(wanted.model_dump(mode="json")))
    draw = random.Random(0)
    command = [sys.executable, "-m", "marl", "tournament", "run", "tournament.yaml", "--run-dir", "killed"]
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
            time.sleep(0.002)
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


def test_an_agent_that_cannot_be_loaded_ends_the_tournament_when_it_sits_down(tmp_path):
    """What was played before is stored, and the tournament goes on when the agent is mended."""
    folders = [written(tmp_path / name, key=key)[0] for key, name in enumerate("abcd")]
    last = max(folders[1:], key=lambda folder: checkpoint.read(folder)["digest"])  # it sits down last
    wanted = config(agents=tuple(map(str, folders)), seeds=4, batch=8)
    whole = rows(play(wanted, tmp_path / "whole"))
    weights = (last / "agent.safetensors").read_bytes()
    (last / "agent.safetensors").write_bytes(weights[::-1])
    with pytest.raises(RunFailed) as caught:
        play(wanted, tmp_path / "broken")
    said = str(caught.value)
    assert said.startswith(f"the agent '{last}' cannot be loaded ('{last}/agent.safetensors' is not what was written")
    assert said.endswith("); what was played is stored: mend it, and run again to go on") and "\n" not in said
    assert 0 < len(rows(tmp_path / "broken" / STORE)) < len(whole)
    (last / "agent.safetensors").write_bytes(weights)
    assert rows(play(wanted, tmp_path / "broken")) == whole


def test_an_agent_that_is_another_when_it_sits_down(tmp_path, monkeypatch):
    folders = [written(tmp_path / name, key=key)[0] for key, name in enumerate("abc")]
    identified = tournament.identify

    def then_changed(*agents):
        found = identified(*agents)
        written(tmp_path / "b", key=7)
        return found

    monkeypatch.setattr(tournament, "identify", then_changed)
    with pytest.raises(RunFailed, match=r"the agent '.*/b/.*' changed while it was being played; run again to go on"):
        play(config(agents=tuple(map(str, folders))), tmp_path / "run")


DILEMMA = "matrix(game=prisoners_dilemma, steps=50, memory=true, truncate=true)"


@pytest.mark.parametrize(
    ("game", "tables"),
    [
        (DILEMMA, 4),  # two mirror games, and both seatings of the pair
        ("openspiel:tiny_hanabi", 4),  # a team: self-play and cross-play
        (TIC_TAC_TOE, 2),
    ],
)
def test_who_plays_itself(tmp_path, game, tables):
    played = rows(play(config(game=game, agents=("random", SECOND), seeds=3), tmp_path), "agents")
    assert len(set(played)) == tables and len(played) == 3 * tables


def test_an_interrupted_tournament_repeats_no_self_play(tmp_path, monkeypatch):
    wanted = config(game=DILEMMA, agents=("tit_for_tat", "random", "always_defect"), seeds=4, batch=7)
    whole = rows(play(wanted, tmp_path / "whole"))
    asked = []

    def interrupted(game, references, fixtures, *settings):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(fixtures)
        return play_chunk(game, references, fixtures, *settings)

    play_chunk = playing.play_chunk
    monkeypatch.setattr(playing, "play_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        play(wanted, tmp_path / "broken")
    before = rows(tmp_path / "broken" / STORE)
    mirrored = [row for row in before if len(set(json.loads(row[2]))) == 1]
    stored = sum(map(len, asked))
    assert len(before) == stored > 10 and len(mirrored) >= 4
    del asked[:]
    monkeypatch.setattr(playing, "play_chunk", lambda *task: asked.append(task[2]) or play_chunk(*task))
    assert rows(play(wanted, tmp_path / "broken")) == whole
    fixtures = [fixture.id for piece in asked for fixture in piece]
    assert len(fixtures) == len(whole) - stored and not {row[0] for row in before} & set(fixtures)


@pytest.mark.parametrize("change", [{"agents": ("random", THIRD, SECOND, UNSTEADY)}, {"seeds": 11}])
def test_growing_plays_only_what_is_missing(tmp_path, monkeypatch, change):
    path = play(config(), tmp_path)
    before = rows(path, "rowid, *")
    asked = []

    def watched(game, references, fixtures, *settings):
        asked.extend(fixtures)
        return play_chunk(game, references, fixtures, *settings)

    play_chunk = playing.play_chunk
    monkeypatch.setattr(playing, "play_chunk", watched)
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


@pytest.mark.parametrize("agents", [(SECOND, THIRD), (SECOND, THIRD, UNSTEADY)])
def test_a_tournament_that_has_grown_is_reported_as_one_that_began_so(tmp_path, agents):
    """Copies of two agents fill the tables of three; of four agents nobody sits twice."""
    wanted = config(game="openspiel:kuhn_poker(players=3)", agents=("random", *agents), seeds=5)
    play(wanted.model_copy(update={"agents": ("random", SECOND)}), tmp_path / "grown")
    reports = []
    for folder in (tmp_path / "grown", tmp_path / "fresh"):
        with Store(play(wanted, folder)) as store:
            reports.append({name: path.read_bytes() for name, path in write_report(summarize(store), folder).items()})
    assert reports[0] == reports[1]
    assert len(rows(tmp_path / "grown" / STORE)) == len(rows(tmp_path / "fresh" / STORE)) + 5 * 8


@pytest.mark.parametrize("players", [2, 3])
@pytest.mark.parametrize("local_ratio", [0, 0.5])
def test_who_breaks_off_every_game_is_last(tmp_path, players, local_ratio):
    """Losses grow with every step of spread, and nobody knows their bound."""
    game = f"spread(players={players}, local_ratio={local_ratio})"
    crashing = CRASHING
    agents = ("random", SECOND, THIRD, crashing)[: players + 1] if players == 3 else ("random", crashing)
    with Store(play(config(game=game, agents=agents), tmp_path)) as store:
        summary = summarize(store)
    payoffs = {p.agent: p for p in summary.payoffs if p.seat is None}
    assert summary.agents[-1] == crashing
    worst = np.nanmin(summary.results.payoffs[summary.results.terminations != "agent_error"])
    assert payoffs[crashing].mean == worst < payoffs["random"].mean
    assert "nan" not in write_report(summary, tmp_path)["report.html"].read_text(encoding="utf-8")
    if summary.matchups:
        assert summary.matchups.best_against_pool == ["random"]
        assert payoffs["random"].mean == pytest.approx(25 * summary.matchups.pool[0])


def test_forfeits_of_a_zero_sum_game_without_bounds_sum_to_zero(tmp_path):
    game, crashing = "openspiel:kuhn_poker(players=3) | messy", CRASHING
    assert make(game, 1).spec.payoff == "zero_sum" and make(game, 1).spec.return_bounds is None
    with Store(play(config(game=game, agents=("random", SECOND, THIRD, crashing)), tmp_path)) as store:
        results = summarize(store).results
    assert results.payoffs.min() == -2 and (results.terminations == "agent_error").any()
    assert results.payoffs.sum(1).tolist() == [0] * len(results)


def test_a_folder_of_another_game(tmp_path):
    path = play(config(), tmp_path)
    before, written = rows(path), (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="holds a tournament of 'openspiel:tic_tac_toe', not 'openspiel:kuhn_poker'"):
        play(config(game="openspiel:kuhn_poker"), tmp_path)
    assert rows(path) == before and (tmp_path / "config.yaml").read_bytes() == written


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE games SET payoffs = x'ff00' WHERE id = (SELECT min(id) FROM games)",
        "UPDATE games SET termination = 'won' WHERE id = (SELECT max(id) FROM games)",
        "DELETE FROM agents WHERE number = 2",
    ],
)
def test_nothing_is_played_into_a_damaged_store(tmp_path, harm):
    path = play(config(seeds=1, agents=("random", SECOND)), tmp_path)
    db = sqlite3.connect(path)
    with db:
        db.execute(harm)
    db.close()
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UserError, match="is damaged"):
        play(config(seeds=2, agents=("random", SECOND)), tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


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
        names = store._labels_by_number()
    for line in report["payoffs"]:
        paid = [
            payoff
            for seated, payoffs in played
            for seat, (agent, payoff) in enumerate(zip(json.loads(seated), json.loads(payoffs), strict=True))
            if names[agent] == line["agent"] and line["seat"] in (None, seat)
        ]
        assert sum(paid) / len(paid) == pytest.approx(line["mean"])
        seatings = [[names[agent] for agent in json.loads(seated)] for seated, _ in played]
        assert line["games"] == sum(
            line["agent"] in (seated if line["seat"] is None else [seated[line["seat"]]]) for seated in seatings
        )
    assert {line["agent"] for line in report["payoffs"]} == set(agents)
    assert ("payoff per" if "matchups" in report else "mean payoff") in (folder / "leaderboard.md").read_text()

    assert marl("tournament", "rate", folder) == 2
    said = capsys.readouterr()
    assert said.out == "" and reason in said.err and said.err.count("\n") == 1


def test_rate_of_a_store_that_does_not_exist(tmp_path, capsys):
    for path in (tmp_path / "games.sqlite", tmp_path):
        assert marl("tournament", "rate", path) == 2
        said = capsys.readouterr()
        assert said.out == "" and "does not exist" in said.err and said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


AGENTS = ("tit_for_tat", "grim_trigger", "always_cooperate", "always_defect", "random")


def test_the_prisoners_dilemma_from_config_to_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ROOT / "configs" / "tournament" / "prisoners_dilemma.yaml"
    command = ["tournament", "run", path, "--run-dir", "pd", "--set", "seeds=3", "--set", "workers=1"]
    assert marl(*command, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    table = report["matchups"]
    assert table["unit"] == "step" and set(table["agents"]) == set(AGENTS)
    assert len(rows(tmp_path / "pd" / STORE)) == 3 * 5**2
    at = {agent: k for k, agent in enumerate(table["agents"])}
    for agent, other, payoff in [
        ("tit_for_tat", "tit_for_tat", -1),
        ("tit_for_tat", "always_defect", -2.02),
        ("always_defect", "grim_trigger", -1.96),
        ("always_defect", "always_defect", -2),
        ("always_cooperate", "always_defect", -3),
        ("always_defect", "always_cooperate", 0),
    ]:
        assert table["payoff"][at[agent]][at[other]] == payoff
    before = {path.name: path.read_bytes() for path in Path("pd").iterdir() if path.suffix != ".sqlite"}
    assert marl(*command) == 0 and "75 are stored already" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in Path("pd").iterdir() if path.suffix != ".sqlite"} == before

    assert marl("tournament", "plot", "pd") == 0 and capsys.readouterr().out == "match-ups: pd/matchups.png\n"
    assert marl("tournament", "plot", "pd", "--out", "again.svg", "--json") == 0
    drawn = json.loads(capsys.readouterr().out)
    assert drawn["matchups"] == table and drawn["file"] == "again.svg" and Path("again.svg").stat().st_size > 10_000
    assert marl("tournament", "rate", "pd") == 2 and "general-sum" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "tournament").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_has_a_field_that_fits(path):
    wanted = load(TournamentConfig, path)
    trained = re.compile(r"\bruns/\w+")  # where another agent looks ahead with a run, a bot stands for it
    present = tuple(trained.sub("tests.bots:Uniform()", agent) for agent in wanted.agents if not trained.match(agent))
    assert len(field(wanted.model_copy(update={"agents": present}), make(wanted.game, 1).spec)) == len(present) >= 2


def bad(how, where="all"):
    return f"tests.bots:Bad(how={how}, where={where})"


@pytest.mark.parametrize("workers", [1, 2])
def test_agents_that_fail_end_no_tournament(tmp_path, capsys, workers):
    """An exit, an end of the process, hidden states that cannot be had, and three megabytes of print."""
    ways = (bad("exit"), bad("os-exit"), bad("raise", "begin"), bad("print"))
    agents = ["random", *ways]
    settings = {"game": TIC_TAC_TOE, "agents": agents, "seeds": 1, "workers": workers, "batch": 10}
    (tmp_path / "t.yaml").write_text(json.dumps(settings))
    assert marl("tournament", "run", tmp_path / "t.yaml", "--run-dir", tmp_path / "run", "--json") == 0
    said = capsys.readouterr()
    report = json.loads(said.out)  # and nothing else: what agents print is no output of ours
    assert len(rows(tmp_path / "run" / STORE)) == 20
    failed = {failure["agent"]: failure for failure in report["failures"]}
    assert failed.keys() == set(ways[:3])
    details = ["raised SystemExit: 0", "stopped because its process ended with exit code 0", "raised ValueError: no"]
    assert [failed[agent]["first"]["detail"] for agent in ways[:3]] == details
    assert all(said.err.count(f"'{agent}' {detail}") == 1 for agent, detail in zip(ways, details, strict=False))
    called = dict(queried(tmp_path / "run" / STORE, "SELECT number, name FROM agents"))
    for seats, termination in rows(tmp_path / "run" / STORE, "agents, termination"):
        seated = {called[number] for number in json.loads(seats)}
        assert termination == ("agent_error" if seated & set(ways[:3]) else "finished")
    assert marl("tournament", "rate", tmp_path / "run") == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert "never finished a game: it forfeited" in first and "; in the first, as player" in first
    assert sum("never finished" in line for line in others) == 2
    markdown = (tmp_path / "run" / "leaderboard.md").read_text()
    assert markdown.index("never finished a game") < markdown.index("| rank |")
    assert "never finished a game" in (tmp_path / "run" / "report.html").read_text()


def test_foreign_agents_delay_their_own_games_alone(tmp_path, monkeypatch):
    """Games of built-in agents and checkpoints come first; those of each company of foreign agents are apart."""
    settings = config(agents=("random", "uct(simulations=2)", SECOND, THIRD), seeds=5, batch=4)
    foreign = {agent.digest for agent in field(settings, make(TIC_TAC_TOE, 1).spec) if agent.foreign}
    asked = []
    play_chunk = playing.play_chunk
    monkeypatch.setattr(playing, "play_chunk", lambda *task: asked.append(task[2]) or play_chunk(*task))
    assert len(rows(play(settings, tmp_path))) == sum(map(len, asked)) == 60
    companies = [{frozenset(foreign.intersection(fixture.agents)) for fixture in piece} for piece in asked]
    assert all(len(company) == 1 for company in companies) and len(foreign) == 2
    assert [company == {frozenset()} for company in companies] == [True] * 3 + [False] * (len(companies) - 3)


def test_a_timeout_is_kept_and_played_again_when_asked(tmp_path, monkeypatch):
    """It sleeps for an hour: whatever the machine, a short limit finds that out."""
    sleeper = bad("sleep")
    wanted = config(agents=("random", "uct(simulations=2)", sleeper), seeds=1, decision_seconds=0.2)
    path = play(wanted, tmp_path / "one")
    whole = rows(path)
    with Store(path) as store:
        assert store.terminations() == {"finished": 2, "timeout": 4}
        [failure] = store.failures()
        assert (failure.agent, failure.games, failure.first.how) == (sleeper, 4, "timeout")
        assert failure.first.detail == "took longer than 0.2 s to answer"
        assert any("--retry-timeouts" in warning for warning in summarize(store).warnings)
    asked = []
    play_chunk = playing.play_chunk
    monkeypatch.setattr(playing, "play_chunk", lambda *task: asked.extend(task[2]) or play_chunk(*task))
    assert rows(play(wanted, tmp_path / "one")) == whole and asked == []
    run(wanted, tmp_path / "one", Terminal(quiet=True), retry_timeouts=True)
    assert len(asked) == 4 and rows(path) == whole
    broken = wanted.model_copy(update={"agents": ("random", sleeper)})
    play(broken, tmp_path / "two")
    assert rows(play(wanted, tmp_path / "two"), "id, payoffs, termination") == rows(path, "id, payoffs, termination")


RING = "tests.games.endless:Ring"


def test_a_game_that_does_not_end_is_no_result(tmp_path):
    agents = ("random", "tests.bots:First", "tests.bots:AlsoFirst")
    wanted = config(game=RING, agents=agents, seeds=2, max_steps=60)
    with Store(play(wanted, tmp_path)) as store:
        assert store.terminations() == {"cut": 4, "finished": 8}
        summary = summarize(store)
    assert len(summary.results) == 8 and summary.wdl.sum(axis=(0, 1))[1] == 0  # and none is a draw
    [warning] = [warning for warning in summary.warnings if "without a result" in warning]
    assert warning.endswith("(cut after max_steps): tests.bots:AlsoFirst – tests.bots:First (4).")
    assert summary.to_json()["without_result"] == {"cut": 4}
    assert {length for (length,) in rows(tmp_path / STORE, "length") if length >= 60} == {60}
    with pytest.raises(UserError, match="holds a tournament with max_steps: 60, not null; name another --run-dir"):
        play(config(game=RING, agents=agents, seeds=2), tmp_path)


def test_a_tournament_without_any_result_is_reported(tmp_path, capsys):
    agents = ["tests.bots:First", "tests.bots:AlsoFirst"]
    (tmp_path / "t.yaml").write_text(json.dumps({"game": RING, "agents": agents, "seeds": 1, "workers": 1}))
    command = ["tournament", "run", tmp_path / "t.yaml", "--run-dir", tmp_path / "run", "--set", "max_steps=20"]
    assert marl(*command) == 0
    said = capsys.readouterr().out
    assert "No game has a result." in said and "(cut after max_steps): tests.bots:AlsoFirst" in said
    assert "copies" not in said


def test_the_most_steps_of_the_game_said_or_not_are_the_same_fixtures(tmp_path, monkeypatch):
    path = play(config(agents=("random", "uct(simulations=2)"), seeds=2), tmp_path)
    whole = rows(path, "rowid, *")
    assert (
        rows(play(config(agents=("random", "uct(simulations=2)"), seeds=2, max_steps=9), tmp_path), "rowid, *") == whole
    )


def test_an_error_of_ours_is_no_forfeit(tmp_path, monkeypatch):
    def broken(self, view, hidden):
        raise MemoryError("of ours")

    monkeypatch.setattr(UctAgent, "act", broken)
    with pytest.raises(
        RunFailed, match=r"the agent 'uct\(simulations=2\)' raised MemoryError: of ours, which is a fault"
    ):
        play(config(agents=("random", "uct(simulations=2)"), seeds=2), tmp_path)
    assert rows(tmp_path / STORE) == []
    monkeypatch.undo()
    assert len(rows(play(config(agents=("random", "uct(simulations=2)"), seeds=2), tmp_path))) == 4


def test_two_tournaments_in_one_folder(tmp_path):
    with lock.held(tmp_path, "a tournament"), pytest.raises(UserError, match="is in use by a tournament"):
        play(config(), tmp_path)
    assert not (tmp_path / STORE).exists()


def test_a_store_that_was_killed_before_its_first_table_is_made_anew(tmp_path):
    whole = rows(play(config(agents=("random", "uct(simulations=2)"), seeds=2), tmp_path / "whole"))
    for name in ("empty", "header"):
        (tmp_path / name).mkdir()
        (tmp_path / name / STORE).touch()
    db = sqlite3.connect(tmp_path / "header" / STORE)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    assert (tmp_path / "header" / STORE).stat().st_size
    for name in ("empty", "header"):
        assert rows(play(config(agents=("random", "uct(simulations=2)"), seeds=2), tmp_path / name)) == whole
