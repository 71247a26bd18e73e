"""What the pages say: the numbers of `marl plot`, of reports, and of populations."""

import json
from itertools import permutations

import pytest

from marl.training.curves import read
from tests.marl.training.logs import write_cooperation, write_run
from tests.tournaments.populations.test_loop import TINY, config, run
from tests.web.stores import GAME, open_store, write_store
from tests.web.test_reads import everything
from tournaments.populations.histories import history_of
from tournaments.populations.report import tables_of
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store, stored
from tournaments.reports.games import games_of
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize


def test_curves_are_those_of_marl_plot(tmp_path, serve):
    names = [f"sweep/members/a_seed-{seed}" for seed in range(4)]
    for seed, name in enumerate(names):
        write_run(tmp_path / name, seed=seed, returns=[0.0, 0.3 + seed / 10, 1.0])
    answer = serve(tmp_path).ask("/api/curves?" + "&".join(f"run={name}" for name in names)).json
    expected = read([tmp_path / "sweep"]).to_json()
    assert answer["curves"] == json.loads(json.dumps(expected["curves"])) and answer["against"] == "random"
    assert answer["curves"][0]["estimate"] == "IQM" and answer["curves"][0]["value"][1] == pytest.approx(0.45)


def test_a_family_of_metrics_is_several_curves(tmp_path, serve):
    write_cooperation(tmp_path / "one", 0)
    answer = serve(tmp_path).ask("/api/curves?run=one&metric=cooperation").json
    assert [curve["label"] for curve in answer["curves"]] == ["start", "CC", "CD", "DC", "DD"]


def test_commands_that_can_be_typed_and_one_run_is_no_runs(tmp_path, serve):
    write_run(tmp_path / "runs" / "my run", metrics=[{"step": 200, "entropy": 1.0}])
    (tmp_path / "runs" / "my run" / "checkpoints" / "000000200").mkdir(parents=True)
    page = serve(tmp_path / "runs")
    assert "marl evaluate &#39;" in page.ask("/runs/my%20run").text
    assert "<h1>1 run</h1>" in page.ask("/compare?run=my%20run").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("run=one&metric=entropi", "did you mean 'entropy'?"),
        ("run=one&against=nobody", "is not evaluated against 'nobody'"),
        ("run=one&run=twin", "are the same config with the same seed"),
        ("run=one&run=other", "the runs play different games"),
        ("", "expected runs to draw, got none"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(query, said, tmp_path, serve):
    write_run(tmp_path / "one", metrics=[{"step": 100, "entropy": 0.5}])
    write_run(tmp_path / "twin")
    other = write_run(tmp_path / "other")
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("tic_tac_toe", "connect_four"))
    answer = serve(tmp_path).ask(f"/api/curves?{query}")
    assert answer.status == 422 and said in answer.json["error"]


def test_numbers_that_are_not_finite_are_null(tmp_path, serve):
    write_run(tmp_path / "one", metrics=[{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 1.0}])
    (metric,) = serve(tmp_path).ask("/api/runs/one").json["metrics"]
    assert metric["value"] == [None, 1.0]


def test_a_tournament_says_what_its_report_says(tmp_path, serve):
    folder = write_store(tmp_path / "board")
    with stored(folder) as store:
        write_report(summarize(store), folder, games_of(store))
    text = serve(tmp_path).ask("/tournaments/board").text
    report = (folder / "report.html").read_text()
    board = report[report.index('<h2 id="leaderboard">') : report.index('<h2 id="cross-table">')]
    assert board in text and "/reports/board/report.html" in text


def test_the_games_of_two_agents_page_by_page(tmp_path, serve):
    folder = write_store(tmp_path / "board", seeds=range(80))
    page, seen = serve(tmp_path), []
    agents = [f"{place:064x}" for place in range(2)]
    for number in (1, 2, 3):
        text = page.ask(f"/tournaments/board?agent={agents[1]}&agent={agents[0]}&page={number}").text
        seen += [part.partition('"')[0] for part in text.split('href="/games/board/')[1:]]
        assert (">later<" in text) == (number == 1) and (">earlier<" in text) == (number > 1)
    with Store(folder / "games.sqlite") as store:
        assert seen == [game.id for game in store.added([tuple(agents), tuple(agents[::-1])], 1000)]
        assert (
            len(seen)
            == len(set(seen))
            == 160
            == sum(1 for g in store.listed() if set(g.agents) == {"strong", "middling"})
        )


def test_a_cell_of_two_teams_leads_to_their_games(tmp_path, serve):
    ids, teams = [f"{place:064x}" for place in range(3)], [[0, 2], [1, 3]]
    with open_store(tmp_path / "board") as store:
        store.set("spec", {"num_players": 4, "payoff": "zero_sum", "return_bounds": [-1.0, 1.0], "teams": teams})
        for key, (a, b) in enumerate(permutations(ids, 2)):
            store.add([PlayedGame(Fixture(GAME, (a, b, a, b), key, 0, None), (1, -1, 1, -1), "finished", 7, b"\0")])
    page = serve(tmp_path)
    text = page.ask("/tournaments/board").text
    cell = next(part for part in text.split('href="?')[1:] if ids[0] in part and ids[2] in part).partition('"')[0]
    found = page.ask(f"/tournaments/board?{cell.replace('&amp;', '&')}").text
    assert "A cell leads to its games." in text and found.count('href="/games/board/') == 2
    assert page.ask(f"/tournaments/board?agent={ids[0]}").text.count('href="/games/board/') == 0


@pytest.mark.parametrize("agents", [["nobody"], ["0" * 64] * 5, ["'"]])
def test_agents_that_there_are_not(agents, tmp_path, serve):
    write_store(tmp_path / "board")
    query = "&".join(f"agent={agent}" for agent in agents)
    assert serve(tmp_path).ask(f"/tournaments/board?{query}").status == 422


def test_a_population_in_rounds(tmp_path, serve):
    run(config(**TINY), tmp_path / "runs" / "psro")
    before = everything(tmp_path / "runs")
    page = serve(tmp_path / "runs")
    history = history_of(tmp_path / "runs" / "psro")
    text, rounds = page.ask("/populations/psro").text, page.ask("/api/populations/psro").json
    assert f"<b>{history.rounds_over} of {history.rounds}</b>" in text and ">finished<" in text
    for member in history.members:
        assert member.id in text
    assert rounds["tables"] == json.loads(json.dumps(tables_of(history))) and len(rounds["tables"]) > 1
    assert [section["title"] for section in rounds["sections"]] == [section.title for section in history.sections]
    assert page.ask("/tournaments/psro").status == 200
    assert everything(tmp_path / "runs") == before
