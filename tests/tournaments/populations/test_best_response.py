"""Trained best responses: known gains, what a command goes on with, what the report shows, and bad input."""

import json
import shutil

import numpy as np
import pytest

from games.errors import UserError
from marl.base.terminal import Terminal
from tests.tournaments.test_tournament import marl
from tournaments.populations import best_response as module
from tournaments.populations.best_response import Budget, best_response, gained
from tournaments.records.store import stored
from tournaments.reports.report import sections_of
from tournaments.reports.responses import responses_section
from tournaments.reports.summary import summarize
from tournaments.tournament import TournamentConfig, run

ROCK = "constant(action=0)"
SMALL = ("algorithm.hidden=[8]", "algorithm.minibatch_size=256", "algorithm.learning_rate=0.02", "num_envs=32")
BUDGET = Budget(steps=3_000, seeds=2, games=20, sets=SMALL)
QUIET = Terminal(quiet=True)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("played") / "rps"
    config = TournamentConfig(game="matrix(game=rock_paper_scissors)", agents=(ROCK, "random"), seeds=5, workers=1)
    run(config, folder, QUIET)
    return folder


@pytest.fixture(scope="module")
def answered(played):
    """What the responses to rock gain, which the tournament's folder has then."""
    return best_response(played, ROCK, BUDGET, QUIET)


def test_a_response_is_chosen_on_some_seeds_and_measured_on_others():
    """Trap: the best of several on the seeds that measure it looks better than it is."""
    choosing = np.array([[[0.0, 0.0], [1.0, -1.0], [3.0, -2.0]]])  # the agent, and two responses
    measuring = np.array([[[1.0, 0.5], [9.0, 9.0], [3.0, 9.0]], [[0.0, 0.5], [9.0, 9.0], [1.0, 9.0]]])
    best, gains = gained(choosing, measuring)
    assert best == [2, 0] and gains.tolist() == [[2.0, 0.0], [1.0, 0.0]]


def test_paper_gains_one_in_each_seat(answered, played):
    assert answered["gain"] == {"mean": 1.0, "ci95": 0.0} and answered["alone"]["mean"] == 0.0
    assert [seat["gain"]["mean"] for seat in answered["seats"]] == [1.0, 1.0]
    assert answered["seeds"] == 20 and answered["trained"] == 2 and answered["algorithm"] == "ippo"
    found = json.loads((played / "responses" / "responses.json").read_text())["agents"]
    assert list(found.values()) == [answered]


def test_what_is_done_is_not_done_again(answered, played, tmp_path, monkeypatch):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder)
    monkeypatch.setattr("marl.training.train._stretch", None)  # nobody trains
    again = best_response(folder, ROCK, BUDGET, QUIET)
    assert again["gain"] == answered["gain"]


def test_a_killed_command_goes_on(answered, played, tmp_path, monkeypatch):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder)
    shutil.rmtree(folder / "responses")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_measured", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            best_response(folder, ROCK, BUDGET, QUIET)
    before = (folder / "responses" / "journal.jsonl").read_bytes()
    found = best_response(folder, ROCK, BUDGET, QUIET)
    assert (folder / "responses" / "journal.jsonl").read_bytes() == before
    numbers = ("gain", "earned", "alone", "seeds")
    assert {name: found[name] for name in numbers} == {name: answered[name] for name in numbers}


def test_the_report_shows_it(answered, played):
    with stored(played) as store:
        summary = summarize(store)
        assert len(store) == 10  # the responses' games are no games of the tournament
    (section,) = responses_section(played)
    (row,) = section.tables[0].rows
    assert row[0] == ROCK and row[3].startswith("1") and row[5] == "ippo, 2 x 3,000 steps"
    sections = sections_of(summary, played)
    assert [each.id for each in sections] == ["meta-game", "trained-responses"]
    assert any("marl tournament best-response" in text for text in sections[0].remarks)


def test_a_team_is_told_how_near_its_members_are_to_the_best_partner(tmp_path):
    """At a lever game of two levers, 1 and 0.5: who pulls the second earns 0.5 with itself, and nothing with others."""
    config = TournamentConfig(
        game="matrix(team=[[1, 0], [0, 0.5]])", agents=(ROCK, "constant(action=1)", "random"), seeds=5, workers=1
    )
    run(config, tmp_path, QUIET)
    found = best_response(tmp_path, "constant(action=1)", BUDGET, QUIET)
    assert found["gain"]["mean"] == 0.0 and found["earned"]["mean"] == 0.5
    with stored(tmp_path) as store:
        summary = summarize(store)
    section = next(each for each in sections_of(summary, tmp_path) if each.id == "trained-responses")
    rows = {row[0]: row[1:] for row in section.tables[1].rows}
    assert rows[ROCK] == ["0.000", "0.000 (constant(action=1))"] and rows["constant(action=1)"] == ["—", "—"]


def test_a_damaged_file_is_a_sentence(played, tmp_path):
    (tmp_path / "responses").mkdir()
    for text in ("{", "{}", '{"agents": [1]}', '{"agents": {"a": {}}}'):
        (tmp_path / "responses" / "responses.json").write_text(text)
        with pytest.raises(UserError, match="got a file that is damaged; delete it"):
            responses_section(tmp_path)
    shutil.copytree(played, tmp_path / "rps", ignore=shutil.ignore_patterns("responses"))
    (tmp_path / "rps" / "responses").mkdir()
    (tmp_path / "rps" / "responses" / "responses.json").write_text("{")
    with pytest.raises(UserError, match="got a file that is damaged; delete it"):
        best_response(tmp_path / "rps", ROCK, BUDGET, QUIET)
    assert not (tmp_path / "rps" / "responses" / "journal.jsonl").exists()  # nothing was trained


@pytest.mark.parametrize(
    ("agent", "budget", "sentence"),
    [
        ("paper", BUDGET, "expected an agent of"),
        (ROCK, Budget(sets=("algorithm.lerning_rate=1",)), "did you mean 'learning_rate'?"),
        (ROCK, Budget(sets=("algorithm=qmix",)), "qmix"),
        (ROCK, Budget(sets=("steps=5",)), "--set steps: 'steps' of a response is what --steps says; leave it out"),
        (ROCK, Budget(sets=("game=openspiel:leduc_poker",)), "'game' of a response is the tournament's"),
        (ROCK, Budget(sets=("opponents.share=0.5",)), "'opponents' of a response is the agent that is answered"),
    ],
)
def test_what_does_not_fit(played, tmp_path, agent, budget, sentence):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder, ignore=shutil.ignore_patterns("responses"))
    with pytest.raises(UserError) as caught:
        best_response(folder, agent, budget, QUIET)
    assert sentence in str(caught.value) and not (folder / "responses").exists()


def test_the_command(answered, played, capsys):
    sets = [part for text in SMALL for part in ("--set", text)]
    assert marl("tournament", "best-response", played, ROCK, "--steps", 3000, "--seeds", 2, "--games", 20, *sets) == 0
    assert "1.000 ± 0.000, 1.000 ± 0.000  ippo, 2 x 3,000 steps" in capsys.readouterr().out
