"""Games of team against team: who sits where, what counts, and that two teams are rated as two players are."""

import json

import numpy as np
import pytest

from games.contract import Array, Discrete, Spec
from games.errors import UserError
from tests.tournaments.synthetic import SEAT, entry, in_order, played, spread
from tests.tournaments.test_tournament import marl
from tournaments.playing.match import forfeit_payoffs
from tournaments.ratings.elo import rate
from tournaments.records.fixture import Fixture, by_seat, by_team
from tournaments.records.played import Failure, PlayedGame
from tournaments.records.results import Results
from tournaments.records.store import STORE, Store, stored
from tournaments.reports.report import write_report
from tournaments.reports.summary import summarize
from tournaments.schedules.active import ActiveConfig
from tournaments.schedules.best import BestConfig
from tournaments.schedules.focal import FocalConfig
from tournaments.schedules.gauntlet import GauntletConfig
from tournaments.schedules.knockout import KnockoutConfig
from tournaments.schedules.ladder import LadderConfig
from tournaments.schedules.round_robin import RoundRobin, RoundRobinConfig
from tournaments.schedules.rounds import Rules
from tournaments.schedules.sprt import SprtConfig
from tournaments.schedules.swiss import SwissConfig

PARTNERS = ((0, 2), (1, 3))
THREE_TO_ONE = ((0, 1, 2), (3,))
TAG = "tag(chasers=3, size=3, turns=3)"


def spec(teams, num_players=4, payoff="zero_sum"):
    """Return the Spec of a game that pays at most 1, or 3 to who is alone."""
    most = float(max(map(len, teams), default=1))
    return Spec(
        "g", num_players, Array((1,)), Discrete(2), payoff, "simultaneous", True, False, False,
        return_bounds=(-most, most), teams=teams,
    )  # fmt: skip


def store_of(path, games, of):
    """Return a store of games, each (agents by seat, payoffs by seat, seed), and perhaps who forfeited it."""
    store = Store(path, create=True)
    store.set("spec", of.to_json())
    store.set("game", "g")
    for name in sorted({agent for agents, *_ in games for agent in agents}):
        store.add_agent(name, name, name)
    store.add(
        PlayedGame(
            Fixture("g", agents, seed),
            payoffs,
            "agent_error" if offenders else "finished",
            1,
            rounding=0.0,
            failures=tuple(Failure(player, "agent_error", "raised", 0) for player in offenders),
        )
        for agents, payoffs, seed, *offenders in games
    )
    return store


def results_of(fixtures, elo, teams, side=SEAT, draws=0):
    """Return synthetic results by team of fixtures, whose first team is worth `side` Elo."""
    found = []
    for fixture in fixtures:
        table = by_team(fixture.agents, teams)
        (one, other), extra = table, side - SEAT
        shifted = {one: elo[one] + extra, other: elo[other]} if one != other else {one: elo[one]}
        found.append(played(Fixture(fixture.game, table, fixture.seed), shifted, draws))
    return in_order(Results.of(found))


# Who sits where


def test_an_agent_holds_all_seats_of_a_team():
    assert by_seat("ab", PARTNERS) == tuple("abab") and by_seat("ab", THREE_TO_ONE) == tuple("aaab")
    assert by_team("abab", PARTNERS) == tuple("ab") and by_team("abba", PARTNERS) is None
    assert by_seat("abc", ()) == tuple("abc") == by_team("abc", ())


def test_the_rotations_of_three_against_one():
    schedule = RoundRobin("g", "cab", 4, seeds=2, seed=7, teams=THREE_TO_ONE)
    fixtures = [fixture for block in schedule.blocks(256) for fixture in block]
    assert len(schedule) == len(fixtures) == 3 * 2 * 2
    tables = {"aaab", "bbba", "aaac", "ccca", "bbbc", "cccb"}
    assert {"".join(f.agents) for f in fixtures} == tables
    assert all(len({f.seed for f in fixtures if f.agents == tuple(table)}) == 2 for table in tables)
    assert all(schedule.seats(tuple(table)) for table in tables)
    assert not any(schedule.seats(tuple(table)) for table in ("aaaa", "aabb", "ab", "aaad", "aaabb"))
    two = {f.seed for block in RoundRobin("g", "ab", 2, seeds=2, seed=7).blocks(256) for f in block}
    assert {f.seed for f in fixtures} == two


def test_three_teams_rotate_and_need_three_agents():
    teams = ((0, 1), (2, 3), (4, 5))
    fixtures = [f for block in RoundRobin("g", "abc", 6, 1, 0, teams=teams).blocks(256) for f in block]
    assert {"".join(f.agents) for f in fixtures} == {"aabbcc", "bbccaa", "ccaabb"}


@pytest.mark.parametrize(
    "config",
    [
        RoundRobinConfig(),
        GauntletConfig(focal=("03",)),
        SwissConfig(),
        KnockoutConfig(),
        LadderConfig(),
        BestConfig(delta=400),
        ActiveConfig(ci95=150),
        SprtConfig(elo0=0, elo1=400),
        FocalConfig(focal=("03",)),
    ],
    ids=lambda config: config.kind,
)
def test_a_schedule_of_two_teams_is_that_of_two_players(config):
    """The same tables, seeds and findings: a team is seated where the player is."""
    elo = spread(2 if config.kind == "sprt" else 4, 600)
    found = []
    for players, teams in ((2, ()), (4, THREE_TO_ONE)):
        made = entry(elo, seeds=16, num_players=players)
        rules = Rules("g", players, teams=teams)
        rounds = config.schedule(type(made)(rules, *list(vars(made).values())[1:])).rounds()
        fixtures = []
        try:
            round = next(rounds)
            while True:
                new = [fixture for block in round.blocks(8) for fixture in block]
                fixtures += [(by_team(f.agents, teams), f.seed) for f in new]
                round = rounds.send(lambda new=new, teams=teams: results_of(new, elo, teams))
        except StopIteration as end:
            found.append((end.value, fixtures))
    assert found[0] == found[1] and found[0][1]


def test_a_schedule_of_two_players_refuses_three_teams():
    made = entry("abc", num_players=6)
    rules = Rules("g", 6, teams=((0, 1), (2, 3), (4, 5)))
    with pytest.raises(UserError, match="expected a game of two teams for the schedule 'swiss', got 3"):
        SwissConfig().schedule(type(made)(rules, *list(vars(made).values())[1:]))


# Ratings


@pytest.mark.parametrize("teams", [PARTNERS, THREE_TO_ONE])
def test_teams_are_rated_as_two_players_to_the_digit(tmp_path, teams):
    """The stronger agent's team always wins; and so with draws between."""
    paid = {"ab": 1.0, "ba": -1.0, "bc": 1.0, "cb": 0.0, "ac": 1.0, "ca": -1.0}
    two, four = [], []
    share = [1 / len(team) for team in teams]
    for seed in range(12):
        for table, won in paid.items():
            two.append((tuple(table), (won, -won), seed))
            by_player = [0.0] * 4
            for team, sign, part in zip(teams, (1, -1), share, strict=True):
                for player in team:
                    by_player[player] = sign * won * part
            four.append((by_seat(table, teams), tuple(by_player), seed))
    with store_of(tmp_path / "two", two, spec((), 2)) as one, store_of(tmp_path / "four", four, spec(teams)) as other:
        plain, teamed = summarize(one), summarize(other)
    assert plain.ratings.to_json() == teamed.ratings.to_json() and plain.ratings.ratings[0].agent == "a"
    assert plain.tallies == teamed.tallies and plain.wdl.tolist() == teamed.wdl.tolist()
    assert plain.metagame.to_json() == teamed.metagame.to_json()
    assert teamed.to_json()["teams"] == [list(team) for team in teams] and "teams" not in plain.to_json()
    assert [w for w in teamed.warnings if "share" in w or "mixed" in w] == []


@pytest.mark.parametrize("side", [-250.0, 0.0, 150.0])
def test_what_a_side_is_worth_is_recovered(side):
    elo = spread(5, 300)
    schedule = RoundRobin("g", list(elo), 4, seeds=60, seed=1, teams=THREE_TO_ONE)
    fixtures = [fixture for block in schedule.blocks(256) for fixture in block]
    rated = rate(results_of(fixtures, elo, THREE_TO_ONE, side, draws=3))
    first = rated.seats[0]
    assert abs(first.elo - side) < first.ci95 < 40
    by_name = {rating.agent: rating.elo for rating in rated.ratings}
    assert max(abs(by_name[agent] - elo[agent]) for agent in elo) < 45  # the side's worth moves no agent


def test_members_who_are_paid_differently_are_summed(tmp_path):
    games = [(tuple("aaab"), (5.0, -1.0, -3.0, -1.0), 0), (tuple("bbba"), (1.0, 0.0, 0.0, -1.0), 0)]
    with store_of(tmp_path / "s", games, spec(THREE_TO_ONE)) as store:
        results = store.results()
    assert results.payoffs.tolist() == [[1.0, -1.0], [1.0, -1.0]] and results.seats.tolist() == [[0, 1], [1, 0]]


def test_mixed_teams_do_not_count(tmp_path):
    pure = [(by_seat(table, PARTNERS), (1.0, -1.0, 1.0, -1.0), seed) for seed in range(3) for table in ("ab", "ba")]
    mixed = [(tuple("abcd"), (1.0, -1.0, 1.0, -1.0), 0), (tuple("aabb"), (1.0, -1.0, 1.0, -1.0), 1)]
    with store_of(tmp_path / "s", pure + mixed, spec(PARTNERS)) as store:
        assert store.mixed() == 2 and len(store.results()) == 6
        found = summarize(store)
        write_report(found, tmp_path / "report", list(store.listed()))
    said = [warning for warning in found.warnings if "mixed" in warning]
    assert said[0].startswith("Games of mixed teams") and "do not count: 2; `marl tournament credit`" in said[0]
    assert said[1].startswith("Played only games with copies of an agent, or of mixed teams") and "c, d" in said[1]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "games.html#pairing-" in page and "worth of the first team" in page and "team 1 has seats 1 and 3" in page
    assert (tmp_path / "report" / "games.csv").read_text().startswith("id,seed,agent_0,agent_1,agent_2,agent_3,")


def test_a_store_of_mixed_teams_alone_has_no_ratings(tmp_path):
    with store_of(tmp_path / "s", [(tuple("abcd"), (1.0, -1.0, 1.0, -1.0), 0)], spec(PARTNERS)) as store:
        found = summarize(store)
    assert not found.ratings.ratings and found.mixed == 1 and found.set_aside == ("a", "b", "c", "d")


def test_general_sums_of_two_teams_are_payoffs_of_match_ups(tmp_path):
    games = [(by_seat(table, PARTNERS), (1.0, 0.5, 2.0, 0.0), seed) for seed in range(2) for table in ("ab", "ba")]
    with store_of(tmp_path / "s", games, spec(PARTNERS, payoff="general_sum")) as store:
        found = summarize(store)
    assert found.ratings is None and found.matchups.payoff[~np.eye(2, dtype=bool)].tolist() == [1.75, 1.75]


# Forfeits


def test_who_forfeits_a_game_forfeits_it_for_the_team(tmp_path):
    of = spec(THREE_TO_ONE)
    assert forfeit_payoffs(of, [1], (0.0,) * 4) == (-1, -1, -1, 3)
    assert forfeit_payoffs(of, [3], (0.0,) * 4) == (1, 1, 1, -3)
    assert forfeit_payoffs(of, [0, 3], (0.0,) * 4) == (0, 0, 0, 0)
    assert forfeit_payoffs(spec(PARTNERS, payoff="general_sum"), [2], (0.0,) * 4)[::2] == (-2, -2)
    games = [(tuple("aaab"), forfeit_payoffs(of, [1], (0.0,) * 4), 0, 1), (tuple("bbba"), (0.0,) * 4, 0)]
    with store_of(tmp_path / "s", games, of) as store:
        results = store.results()
        ended = {line.agent: line.forfeited for line in summarize(store).endings}
    assert results.offenders.tolist() == [[True, False], [False, False]] and results.outcome.tolist() == [2, 1]
    assert ended == {"a": 1, "b": 0}


def test_damaged_teams_are_a_sentence(tmp_path):
    for number, teams in enumerate(([[0, 1], [2]], 3, [["x"]])):
        with store_of(tmp_path / f"{number}", [(tuple("abab"), (1.0, -1.0, 1.0, -1.0), 0)], spec(PARTNERS)) as store:
            store.set("spec", spec(PARTNERS).to_json() | {"teams": teams})
        with stored(tmp_path / f"{number}") as store, pytest.raises(UserError):
            summarize(store)


# From the command line


def test_a_tournament_of_tag(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tag.yaml").write_text(f"game: {TAG}\nagents: [random, constant]\nseeds: 3\nworkers: 1\n")
    assert marl("tournament", "run", "tag.yaml", "--run-dir", "t") == 0
    assert "and a team is paid the sum of what its players are: team 0 has seats 0, 1 and 2" in (
        capsys.readouterr().out
    )
    with stored(tmp_path / "t") as store:
        tables = {tuple(game.agents) for game in store.listed()}
        assert len(store) == 6 and tables == {(a, a, a, b) for a, b in (("constant", "random"), ("random", "constant"))}
    assert marl("tournament", "verify", "t", "--agents") == 0
    assert marl("tournament", "add", "t", "constant(action=1)", "--seeds", "2") == 0
    capsys.readouterr()
    assert marl("tournament", "rate", "t", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["ratings"]) == 3 and data["teams"] == [[0, 1, 2], [3]] and "seat_advantage" in data


def test_a_newcomer_of_a_store_without_teams_is_refused(tmp_path, capsys, monkeypatch):
    """Trap: its games seated teams, in a store whose games are rated by seat, and none of them counted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tag.yaml").write_text(f"game: {TAG}\nagents: [random, constant]\nseeds: 1\nworkers: 1\n")
    assert marl("tournament", "run", "tag.yaml", "--run-dir", "t") == 0
    with Store(tmp_path / "t" / STORE, create=True) as store:
        of = store.get("spec")
        store.set("spec", {name: value for name, value in of.items() if name != "teams"})
    before = (tmp_path / "t" / STORE).read_bytes()
    assert marl("tournament", "add", "t", "constant(action=1)", "--seeds", "1") == 2
    said = capsys.readouterr().err
    assert "with the teams (0, 1, 2), (3,), got those of 't' with no teams; play its tournament again: marl" in said
    assert (tmp_path / "t" / STORE).read_bytes() == before
    assert marl("tournament", "run", "t/config.yaml", "--run-dir", "t") == 0
    assert marl("tournament", "add", "t", "constant(action=1)", "--seeds", "1") == 0
