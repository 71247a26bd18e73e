"""What reports say beyond the leaderboard: cycles, solutions of the meta-game, cross-play and welfare."""

import csv
import json
from dataclasses import replace

import pytest

from marl.base.terminal import Terminal
from tests.tournaments.reports.test_report import Page, printed
from tournaments.records.store import stored
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize
from tournaments.tournament import TournamentConfig, run

ROCK, ALSO_ROCK, PAPER, SCISSORS = "constant", "constant(action=0)", "constant(action=1)", "constant(action=2)"
BOTS = (ROCK, ALSO_ROCK, PAPER, SCISSORS)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Play a tournament and write its report: the summary, the files by name, and what the terminal shows."""

    def made(game, agents, seeds=12):
        folder = tmp_path_factory.mktemp("t")
        run(TournamentConfig(game=game, agents=agents, seeds=seeds, workers=1), folder, Terminal(quiet=True))
        with stored(folder) as store:
            summary = summarize(store)
        return summary, {name: path.read_text() for name, path in write_report(summary, folder).items()}

    return made


@pytest.fixture(scope="module")
def bots(reported):
    return reported("matrix(game=rock_paper_scissors)", BOTS)


def test_rock_paper_scissors_with_a_duplicate(bots):
    summary, files = bots
    said = "Elo is misleading here: constant beats constant(action=2) beats constant(action=1) beats constant"
    shown = printed(summary)
    assert said in " ".join(shown.split()) and "Nash averaging: constant(action=1) 0.33" in shown
    lines = {line["agent"]: line for line in json.loads(json.dumps(summary.to_json()))["metagame"]["agents"]}
    assert [lines[agent]["nash"] for agent in BOTS] == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3], abs=1e-5)
    assert [lines[agent]["alpha_rank"] for agent in BOTS] == pytest.approx([0.2, 0.2, 0.4, 0.2], abs=1e-5)
    page = Page(files["report.html"])
    text = " ".join("".join(page.text).split())
    assert said in text and "0.400 (0.400 to 0.400)" in text and ("id", "meta-game") in page.attributes
    assert (
        "marl tournament best-response STORE AGENT." in text and "--nash-conv" not in text
    )  # which takes OpenSpiel's games only
    assert (
        "## Meta-game" in files["leaderboard.md"] and "| constant | 0.200 (0.200 to 0.200) |" in files["leaderboard.md"]
    )


def test_melo_is_shown_where_cycles_are_real(bots):
    summary, files = bots
    assert summary.held_out.gain.mean > 0.4
    assert "mElo, ratings with one cycle" in files["leaderboard.md"]
    assert set(summary.to_json()["melo"]) == {"agents", "held_out"}


def test_a_transitive_pool_has_no_warning(reported):
    summary, files = reported("openspiel:tic_tac_toe", ("random", "uct(simulations=3)", "uct(simulations=40)"))
    assert not summary.transitivity.misleading and summary.held_out is None
    assert not any("misleading" in warning for warning in summary.warnings)
    assert "melo" not in summary.to_json() and "mElo" not in files["report.html"]


def test_a_pool_that_is_too_large_is_not_solved(bots, monkeypatch):
    """Trap: a table of 1,000 agents on 50 seeds takes gigabytes."""
    summary = replace(bots[0])
    monkeypatch.setattr("tournaments.reports.summary.MOST_AGENTS", 3)
    assert summary.transitivity is None and summary.metagame is None and "metagame" not in summary.to_json()
    assert "The meta-game is left out: it is solved for 3 agents at most" in summary.no_metagame


def test_two_agents_have_nothing_to_be_transitive_about(reported):
    summary, _ = reported("matrix(game=rock_paper_scissors)", (ROCK, PAPER))
    assert summary.transitivity is None and summary.metagame.solved.nash.tolist() == pytest.approx([1, 0])
    assert "α-rank" not in printed(summary)


def test_a_general_sum_game_has_welfare_and_no_nash_averaging(reported):
    dilemma = "matrix(game=prisoners_dilemma, memory=true)"
    summary, files = reported(dilemma, ("always_cooperate", "always_defect"))
    [defects, cooperates] = csv.DictReader(files["leaderboard.csv"].splitlines())
    # Payoffs are -1, -3 and 0, -2, by the row: Nash products are above -3.
    assert (defects["agent"], cooperates["agent"]) == ("always_defect", "always_cooperate")
    assert float(cooperates["nash_welfare"]) == pytest.approx((2 + 0) / 2)
    assert float(defects["nash_welfare"]) == pytest.approx((1 + 0) / 2)
    assert float(cooperates["egalitarian"]) == pytest.approx((-1 - 3) / 2)
    assert float(defects["egalitarian"]) == pytest.approx((-2 - 3) / 2)
    assert "Nash products are of payoffs above -3.000" in files["leaderboard.md"]
    assert summary.to_json()["matchups"]["least"] == -3
    assert [line["nash"] for line in summary.to_json()["metagame"]["agents"]] == [None, None]
    assert summary.metagame.solved.alpha_rank[0] == pytest.approx(1, abs=1e-6)
    assert "Nash product" in files["report.html"] and "nash_welfare,egalitarian" in files["pairs.csv"]


def test_teams_of_two_have_cross_play_and_conventions(reported):
    levers = [f"constant(action={k})" for k in range(3)]
    summary, files = reported("matrix(game=lever)", (*levers, "random"))
    data = summary.to_json()["cross_play"]
    place = {agent: data["agents"].index(agent) for agent in levers}
    assert data["returns"][place[levers[0]]][place[levers[0]]] == 1
    assert data["returns"][place[levers[0]]][place[levers[1]]] == 0
    assert [group for group in data["conventions"] if "constant(action=0)" in group] == [["constant(action=0)"]]
    assert "## Cross-play" in files["leaderboard.md"] and ("id", "cross-play") in Page(files["report.html"]).attributes
    assert "Nash product" not in files["leaderboard.md"]  # players of a team fare alike
