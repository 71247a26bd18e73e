"""The games of a report one by one, who its agents are, and what played them."""

import csv
import io
import json

import pytest

from games.errors import UserError
from tests.tournaments.reports.test_report import HOSTILE, NAMES, Page, make_store
from tournaments.records import provenance
from tournaments.records.played import PlayedGame
from tournaments.records.store import Selection
from tournaments.reports import games as listing
from tournaments.reports.games import games_of
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize


def reported(store, folder):
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in write_report(summarize(store), folder, games_of(store)).items()
    }


def test_every_game_is_in_the_csv_and_in_the_page_of_a_small_tournament(tmp_path):
    with make_store(tmp_path / "s") as store:
        store.add_agent("aa", HOSTILE["aa"], "")
        files, again = reported(store, tmp_path / "one"), reported(store, tmp_path / "two")
        played = list(store.rows(Selection()))
    assert files == again and list(files)[-1] == "games.html"
    rows = list(csv.DictReader(io.StringIO(files["games.csv"])))
    assert [row["id"] for row in rows] == [id for id, _ in played]
    for row, (_, game) in zip(rows, played, strict=True):
        assert (int(row["seed"]), int(row["length"]), row["termination"]) == (game.fixture.seed, 5, "finished")
        assert [float(row[f"payoff_{seat}"]) for seat in (0, 1)] == list(game.payoffs)
        named = [NAMES[agent] if agent != "aa" else f"'{HOSTILE['aa']}" for agent in game.fixture.agents]
        assert [row["agent_0"], row["agent_1"]] == named
    page = Page(files["games.html"])
    titles = [value for name, value in page.attributes if name == "title"]
    assert sorted(titles) == sorted(id for id, _ in played) and page.tags.count("script") == 1


@pytest.mark.parametrize(("payoff", "self_play"), [("zero_sum", False), ("general_sum", True)])
def test_cells_lead_to_the_games_of_their_pairing(tmp_path, payoff, self_play):
    with make_store(tmp_path / "s", payoff, self_play=self_play) as store:
        files = reported(store, tmp_path)
        agents = summarize(store).agents
    links = [
        value for name, value in Page(files["report.html"]).attributes if name == "href" and "games.html#" in value
    ]
    anchors = {value for name, value in Page(files["games.html"]).attributes if name == "id"}
    assert len(links) == (9 if self_play else 6)
    assert {link.partition("#")[2] for link in links} == anchors and len(anchors) == (6 if self_play else 3)
    first = files["games.html"].partition('id="pairing-1"')[2].partition("</h2>")[0]
    assert Page(f"<h2{first}</h2>").text == [f"{agents[0]} – {agents[0 if self_play else 1]}"]


def test_many_games_are_in_the_csv_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MOST_LISTED", 53)
    with make_store(tmp_path / "s") as store:
        files = reported(store, tmp_path)
        assert len(store) == 54
    assert "games.html" not in files and "games.html" not in files["report.html"]
    assert len(files["games.csv"].splitlines()) == 55 and 'href="games.csv"' in files["report.html"]


def test_very_many_games_are_in_no_file_and_none_of_before_stays(tmp_path, monkeypatch):
    with make_store(tmp_path / "s") as store:
        assert {"games.csv", "games.html"} <= reported(store, tmp_path).keys()
        monkeypatch.setattr(listing, "MOST_WRITTEN", 53)
        files = reported(store, tmp_path)
    assert not list(tmp_path.glob("games.*")) and "games.csv" not in files["report.html"]
    assert "marl tournament games STORE --out games.jsonl" in files["report.html"]


def test_a_payoff_that_was_left_open_is_empty(tmp_path):
    with make_store(tmp_path / "s", "general_sum", 3, [(1.5, 0, 2)]) as store:
        [(_, game), *_] = store.rows(Selection())
        store._db.execute("DELETE FROM games")
        store.add([PlayedGame(game.fixture, (-1.0, float("nan"), float("nan")), "agent_error", 2)])
        files = reported(store, tmp_path)
    [row] = csv.DictReader(io.StringIO(files["games.csv"]))
    assert [row[f"payoff_{seat}"] for seat in range(3)] == ["-1.0", "", ""]
    assert "-1 : — : —" in files["games.html"]


def test_wins_draws_and_losses_are_on_the_leaderboard(tmp_path):
    with make_store(tmp_path / "s") as store:
        files, summary = reported(store, tmp_path), summarize(store)
    for row in csv.DictReader(io.StringIO(files["leaderboard.csv"])):
        won, drawn, lost = (int(row[what]) for what in ("won", "drawn", "lost"))
        assert won + drawn + lost == int(row["games"]) == 36
        assert [won, drawn, lost] == summary.tallies[row["agent"]]
        assert (won + drawn / 2) / 36 == pytest.approx(float(row["score"]), abs=1e-6)
    assert "| won | drawn | lost |" in files["leaderboard.md"]


ORIGINS = {
    "aa": {"kind": "checkpoint", "algorithm": "ippo", "steps": 12000, "parent": "bb", "cpu_seconds": 90.0},
    "bb": {"kind": "checkpoint", "algorithm": "ippo", "steps": 6000, "parent": "f" * 64},
    "cc": {"kind": "built-in"},
}
MACHINE = {"versions": {"marl": "0.2.0", "python": "3.11.7"}, "processor": "<b>EPYC", "system": "Linux x86_64"}


def test_the_page_says_who_the_agents_are_and_what_played(tmp_path):
    with make_store(tmp_path / "s") as store:
        plain = reported(store, tmp_path)["report.html"]
        store.set("agents", ORIGINS)
        store.set("machines", [MACHINE])
        html = reported(store, tmp_path)["report.html"]
        about = {agent.id: agent for agent in summarize(store).about}
    assert "does not say on what its games were played" in plain
    assert "marl 0.2.0, python 3.11.7; &lt;b&gt;EPYC; Linux x86_64" in html
    assert about["aa"].parent == NAMES["bb"] and about["bb"].parent == "f" * 12 and about["dd"].what == "—"
    cells = " ".join("".join(Page(html).text).split())
    assert "12,000" in cells and "90 s" in cells and "built in" in cells
    assert 'data-sort="12000"' in html and 'data-sort="90.000"' in html


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("agents", [1]),
        ("agents", {"aa": {"kind": "spy"}}),
        ("agents", {"aa": ORIGINS["aa"] | {"steps": -1}}),
        ("machines", "here"),
        ("machines", [MACHINE | {"processor": 7}]),
    ],
)
def test_origins_that_no_release_wrote_are_refused(tmp_path, key, value):
    with make_store(tmp_path / "s") as store:
        store.set(key, value)
        with pytest.raises(UserError, match=f"with other '{key}'"):
            summarize(store)


def test_each_machine_is_recorded_once(tmp_path, monkeypatch):
    with make_store(tmp_path / "s") as store:
        provenance.record(store, "openspiel:tic_tac_toe")
        provenance.record(store, "openspiel:tic_tac_toe")
        [here] = provenance.machines(store)
        assert {"marl", "python", "open-spiel"} <= here.versions.keys() and here.processor
        monkeypatch.setattr(provenance, "processor", lambda: "another")
        provenance.record(store, "openspiel:tic_tac_toe")
        assert [machine.processor.partition(",")[0] for machine in provenance.machines(store)][1:] == ["another"]
        json.dumps(store.get("machines"), allow_nan=False)
