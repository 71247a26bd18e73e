"""Elo curves: families by their references, the leaderboard's ratings, a picture of them, refusals in a line."""

import json
from collections import Counter
from math import exp, log10

import pytest

from games.errors import UserError
from marl.base import picture
from marl.cli.app import main
from tests.tournaments.eager import round_robin
from tests.tournaments.reports.test_report import make_store
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.reports.curves import draw, gather, table
from tournaments.reports.summary import summarize

RUN = "runs/c4/checkpoints"


def play(path, strengths, seeds=20, names=None):
    """Store games that are won as often as Bradley and Terry say, by agents of a strength in logits by reference."""
    store = Store(path, create=True)
    store.set("game", "openspiel:connect_four")
    store.set("spec", {"num_players": 2, "payoff": "zero_sum"})
    ids = dict(zip(map(str, range(len(strengths))), strengths, strict=True))
    for id, reference in ids.items():
        store.add_agent(id, (names or {}).get(reference, reference), reference)
    met, games = Counter(), []
    for fixture in round_robin("g", list(ids), 2, seeds, seed=0, self_play=False):
        gap = strengths[ids[fixture.agents[0]]] - strengths[ids[fixture.agents[1]]]
        won = met[fixture.agents] < round(seeds / (1 + exp(-gap)))
        met[fixture.agents] += 1
        games.append(PlayedGame(fixture, (1.0, -1.0) if won else (-1.0, 1.0), "finished", 9))
    store.add(games)
    return store


def gathered(path, strengths, by="simulations", **options):
    with play(path, strengths, **options) as store:
        return gather(summarize(store), by)


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
    """Draw curves, and return the figure in place of its file."""

    def of(found):
        figures = []
        monkeypatch.setattr(picture, "save", lambda figure, out: figures.append(figure))
        draw(found, tmp_path / "picture.png")
        return figures[0]

    return of


def test_a_line_a_family_with_the_leaderboards_ratings(tmp_path):
    strengths = {"mcts(simulations=100)": 2.197, "random": -1.099, "mcts(simulations=10)": 1.099, "mcts": 0.0}
    with play(tmp_path / "s", strengths) as store:
        summary = summarize(store)
    found = gather(summary, "simulations")
    [mcts] = found.families
    assert (mcts.name, mcts.values) == ("mcts", (10, 100)) and [r.agent for r in found.others] == ["mcts", "random"]
    low, high = mcts.ratings
    assert high.elo - low.elo == pytest.approx(400 * log10(3), rel=0.1)  # logits of ln 3: three wins in four games
    assert {*mcts.ratings, *found.others} == set(summary.ratings.ratings)
    assert table(found).splitlines()[:5] == [
        "openspiel:connect_four: Elo by simulations",
        "",
        "| agent | simulations | Elo | ±95 % | games |",
        "| :-- | --: | --: | --: | --: |",
        f"| mcts | 10 | {low.elo:.0f} | {low.ci95:.0f} | 120 |",
    ]
    assert table(found).splitlines()[-1].startswith("| random | — | -")


def test_runs_are_lines_by_their_checkpoints(tmp_path):
    steps = (0, 408676, 1_000_000_000)
    strengths = {f"runs/{run}/checkpoints/{step:09d}": k for run in "ab" for k, step in enumerate(steps)}
    found = gathered(tmp_path / "s", strengths | {"runs/a": 2.5}, by="steps")
    assert [family.name for family in found.families] == ["a", "b"] and found.families[0].values == steps
    assert [rating.agent for rating in found.others] == ["runs/a"]  # its newest, whose steps the store does not know
    assert "| a | 408,676 |" in table(found)


def test_families_of_one_name_are_told_apart(tmp_path):
    strengths = {f"{sweep}/c4(simulations={n})": n / 10 for sweep in ("one", "two") for n in (5, 10)}
    found = gathered(tmp_path / "s", strengths, names=dict.fromkeys(strengths, "c4"))
    assert sorted(family.name for family in found.families) == ["one/c4", "two/c4"]


@pytest.mark.parametrize(
    ("agents", "by", "scale"),
    [
        (["mcts(simulations=10)", "mcts(simulations=210)"], "simulations", "log"),
        (["mcts(simulations=10)", "mcts(simulations=200)"], "simulations", "linear"),
        (["uct(uct_c=0)", "uct(uct_c=9.5)"], "uct_c", "linear"),
        ([f"{RUN}/000000010", f"{RUN}/000408676"], "steps", "linear"),
    ],
)
def test_the_picture_shows_values_ratings_and_intervals(tmp_path, figure_of, agents, by, scale):
    found = gathered(tmp_path / "s", dict(zip([*agents, "random"], (1.0, 2.0, 0.0), strict=True)), by)
    figure = figure_of(found)
    [axes] = figure.axes
    [line, *_] = axes.containers[0]
    [family], [other] = found.families, found.others
    assert line.get_xdata().tolist() == list(family.values)
    assert line.get_ydata().tolist() == [rating.elo for rating in family.ratings]
    [bars] = axes.containers[0].lines[2]
    for bar, rating in zip(bars.get_segments(), family.ratings, strict=True):
        assert bar[:, 1].tolist() == pytest.approx([rating.elo - rating.ci95, rating.elo + rating.ci95])
    assert axes.lines[-1].get_ydata()[0] == other.elo and axes.lines[-1].get_linestyle() == "--"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [family.name, "random"]
    assert axes.get_xscale() == scale


def test_one_seed_draws_no_intervals(tmp_path, figure_of):
    found = gathered(tmp_path / "s", {"mcts(simulations=1)": 0.0, "mcts(simulations=2)": 0.1, "random": 0.0}, seeds=1)
    [axes] = figure_of(found).axes
    [bars] = axes.containers[0].lines[2]
    assert all(len(bar) == 0 for bar in bars.get_segments()) and not axes.patches
    assert "| — | 4 |" in table(found)


@pytest.mark.parametrize(
    ("agents", "by", "said"),
    [
        (["mcts(simulations=1)", "uct(uct_c=2)"], "simulation", r"have \(simulations, uct_c\), got 'simulation'; did"),
        (["mcts(simulations=1)", "runs/c4(greedy=true)"], "greedy", r"have \(simulations\), got 'greedy'$"),
        (["random", "uct"], "steps", r"\(none has any\), got 'steps'$"),
        (["mcts(simulations=1)", "uct(simulations=2)"], "simulations", "differ by 'simulations' alone, got uct"),
        (["mcts(simulations=1)", "mcts(simulations=1.0)", "mcts(simulations=2)"], "simulations", "have the same"),
    ],
)
def test_what_no_curve_can_be_drawn_of(tmp_path, agents, by, said):
    with pytest.raises(UserError, match=said) as caught:
        gathered(tmp_path / "s", {agent: k / 2 for k, agent in enumerate(agents)}, by)
    assert "\n" not in str(caught.value)


def test_games_without_elo_and_tournaments_without_games(tmp_path):
    with make_store(tmp_path / "s", payoff="general_sum") as store, pytest.raises(UserError, match="general-sum"):
        gather(summarize(store), "simulations")
    with make_store(tmp_path / "t") as store:
        store._db.execute("DELETE FROM games")
        with pytest.raises(UserError, match="without any; run it first"):
            gather(summarize(store), "simulations")


def test_parts_that_no_games_connect_have_no_common_axis(tmp_path):
    with Store(tmp_path / "s", create=True) as store:
        store.set("game", "g")
        store.set("spec", {"num_players": 2, "payoff": "zero_sum"})
        agents = [f"mcts(simulations={n})" for n in range(4)]
        for agent in agents:
            store.add_agent(agent, agent, agent)
        pairs = [tuple(agents[:2]), tuple(agents[2:])]
        store.add([PlayedGame(Fixture("g", pair, 0), (1.0, -1.0), "finished", 9) for pair in pairs])
        with pytest.raises(UserError, match="no games connect the 2 parts"):
            gather(summarize(store), "simulations")


def test_from_config_to_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    agents = ["random", "mcts(simulations=2)", "mcts(simulations=50)"]
    config = {"game": "openspiel:tic_tac_toe", "agents": agents, "seeds": 10, "workers": 1}
    (tmp_path / "ladder.yaml").write_text(json.dumps(config))

    def marl(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["tournament", *arguments])
        return left.value.code, *capsys.readouterr()

    rated = json.loads(marl("run", "ladder.yaml", "--json")[1])["ratings"]
    code, printed, _ = marl("plot", "runs/ladder", "--by", "simulations", "--json")
    drawn = json.loads(printed)
    points, file = drawn["curves"][0]["points"], tmp_path / drawn["file"]
    assert code == 0 and file.name == "elo_by_simulations.png" and drawn["by"] == "simulations"
    assert [point.pop("value") for point in points] == [2, 50] and points[0]["elo"] < points[1]["elo"]
    assert all(line in rated for line in points + drawn["others"]) and len(drawn["others"]) == 1
    before = file.read_bytes()
    code, printed, _ = marl("plot", "runs/ladder", "--by", "simulations")
    assert code == 0 and file.read_bytes() == before
    assert "| mcts | 50 | " in printed and printed.endswith("curves: runs/ladder/elo_by_simulations.png\n")
    for wrong in (["--by", "simulation"], ["--by", "steps"], ["--by", "simulations", "--out", "elo.gif"]):
        code, printed, complaint = marl("plot", "runs/ladder", *wrong)
        assert code == 2 and printed == "" and complaint.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"ladder.yaml", "runs"}
