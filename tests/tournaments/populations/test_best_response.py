"""Trained best responses: known gains, what a command goes on with, what the report shows, and bad input."""

import json
import shutil

import numpy as np
import pytest

from games.errors import UserError
from marl.base import lock
from marl.base.terminal import Terminal
from tests.tournaments.test_tournament import marl
from tournaments.populations import best_response as module
from tournaments.populations.best_response import Budget, best_response, gained
from tournaments.records.store import stored
from tournaments.reports.report import sections_of
from tournaments.reports.responses import bound, responses_section, searches_in, with_search
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
    (found,) = best_response(played, ROCK, BUDGET, QUIET)
    return found


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
    assert list(found.values()) == [[answered]]
    assert len(answered["responses"]) == 4  # two, each as it is drawn and by its mode
    assert max(each["gain"]["mean"] for each in answered["responses"]) == 1.0
    assert {seat["response"] for seat in answered["seats"]} <= {each["response"] for each in answered["responses"]}


def test_of_team_against_team_a_response_holds_a_team(tmp_path):
    """Who stands still catches nobody, and is not caught: chasers are paid -1 each, and can be paid 1 each."""
    config = TournamentConfig(game="tag(size=3, turns=4)", agents=(ROCK, "random"), seeds=2, workers=1)
    run(config, tmp_path / "tag", QUIET)
    (found,) = best_response(tmp_path / "tag", ROCK, BUDGET, QUIET)
    chasers, runner = (seat["gain"]["mean"] for seat in found["seats"])
    assert found["alone"]["mean"] == 0.0 and runner == 0.0 and 1.0 < chasers <= 4.0


def test_what_is_done_is_not_done_again(answered, played, tmp_path, monkeypatch):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder)
    monkeypatch.setattr("marl.training.train._stretch", None)  # nobody trains
    (again,) = best_response(folder, ROCK, BUDGET, QUIET)  # it takes the place of the search that it repeats
    assert again["gain"] == answered["gain"]


def test_the_bound_is_the_largest_gain_that_was_found(answered, played, tmp_path, capsys):
    """Trap: a later search with less training took the place of one that had found more."""
    folder = tmp_path / "rps"
    shutil.copytree(played, folder)
    sets = [part for text in SMALL for part in ("--set", text)]
    untrained = ("tournament", "best-response", folder, ROCK, "--steps", 1, "--seeds", 1, "--games", 20, *sets)
    assert marl(*untrained, "--set", "algorithm.learning_rate=1e-9") == 0
    said = capsys.readouterr().out
    assert f"responses to '{ROCK}': 1, to be trained: 1" in said
    assert "1.000 ± 0.000, 1.000 ± 0.000  ippo, 2 x 3,000 steps" in said
    assert "This search found a gain of 0." in said and "an earlier one found more, and its bound stays." in said
    kept = json.loads((folder / "responses" / "responses.json").read_text())["agents"]
    ((first, second),) = kept.values()
    assert first == answered and second["gain"]["mean"] < 1 and len(second["responses"]) == 2
    assert bound([second, first]) is first
    (section,) = responses_section(folder)
    assert section.tables[0].rows[0][5] == "ippo, 2 x 3,000 steps" and "Of several searches" in section.texts[0]
    assert marl(*untrained, "--set", "algorithm.learning_rate=1e-9", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gain"]["mean"] == 1.0 and told["searches"] == [first, second]


def test_a_file_of_one_search_for_each_agent_is_read(answered, tmp_path):
    old = {key: value for key, value in answered.items() if key != "responses"}
    (tmp_path / "responses").mkdir()
    (tmp_path / "responses" / "responses.json").write_text(json.dumps({"agents": {"a": old}}))
    assert searches_in(tmp_path) == {"a": [old]}
    assert responses_section(tmp_path)[0].tables[0].rows[0][3].startswith("1")
    assert with_search([old], answered) == [old, answered]


def test_who_searches_is_named_and_no_option_that_is_not_there(played, tmp_path):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder, ignore=shutil.ignore_patterns("responses"))
    refused = pytest.raises(UserError, match="copy the tournament's folder")
    with lock.held(folder / "responses", "best responses"), refused as caught:
        best_response(folder, ROCK, BUDGET, QUIET)
    assert "--run-dir" not in str(caught.value)


def test_a_killed_command_goes_on(answered, played, tmp_path, monkeypatch):
    folder = tmp_path / "rps"
    shutil.copytree(played, folder)
    shutil.rmtree(folder / "responses")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_measured", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            best_response(folder, ROCK, BUDGET, QUIET)
    before = (folder / "responses" / "journal.jsonl").read_bytes()
    (found,) = best_response(folder, ROCK, BUDGET, QUIET)
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
    (found,) = best_response(tmp_path, "constant(action=1)", BUDGET, QUIET)
    assert found["gain"]["mean"] == 0.0 and found["earned"]["mean"] == 0.5
    with stored(tmp_path) as store:
        summary = summarize(store)
    section = next(each for each in sections_of(summary, tmp_path) if each.id == "trained-responses")
    rows = {row[0]: row[1:] for row in section.tables[1].rows}
    assert rows[ROCK] == ["0.000", "0.000 (constant(action=1))"] and rows["constant(action=1)"] == ["—", "—"]


def test_a_damaged_file_is_a_sentence(played, tmp_path):
    (tmp_path / "responses").mkdir()
    for text in ("{", "{}", '{"agents": [1]}', '{"agents": {"a": {}}}', '{"agents": {"a": []}}'):
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
        (ROCK, Budget(sets=("steps=5",)), "--set steps: 'steps' is what --steps says; leave it out"),
        (ROCK, Budget(sets=("game=openspiel:leduc_poker",)), "'game' is the tournament's"),
        (ROCK, Budget(sets=("opponents.share=0.5",)), "'opponents' is the agent that a response answers"),
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
    said = capsys.readouterr().out
    assert "1.000 ± 0.000, 1.000 ± 0.000  ippo, 2 x 3,000 steps" in said
    assert f"responses by seat: {', '.join(seat['response'] for seat in answered['seats'])}" in said
