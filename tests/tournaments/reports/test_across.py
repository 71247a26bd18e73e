"""One table of several tournaments: normalised payoffs, votes, intervals over seeds, and bad input."""

import json

import numpy as np
import pytest

from games.errors import UserError
from tests.tournaments.eager import round_robin
from tests.tournaments.test_tournament import marl
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.reports.across import across

A, B, C = "first", "second", "third"


def store(folder, game, strength, seeds=12, payoff="zero_sum", players=2, noise=0.0):
    """Store a round robin in which an agent is paid its strength less the mean of the others', and some noise."""
    rng = np.random.default_rng(0)
    with Store(folder / "games.sqlite", create=True) as made:
        made.set("game", game)
        made.set("spec", {"num_players": players, "payoff": payoff})
        for agent in strength:
            made.add_agent(agent, agent, agent)
        games = []
        for fixture in round_robin(game, list(strength), players, seeds, 0, self_play=payoff == "general_sum"):
            own = np.array([strength[agent] for agent in fixture.agents]) + noise * rng.normal(size=players)
            paid = own - (own.sum() - own) / (players - 1)
            games.append(PlayedGame(fixture, tuple(map(float, paid)), "finished", 1))
        made.add(games)
    return folder


def pentathlon(tmp_path):
    """Five games whose orders are A B C, A C B, C A B twice, and B C A."""
    orders = [(3, 2, 1), (3, 1, 2), (2, 1, 3), (2, 1, 3), (1, 3, 2)]
    return [
        store(tmp_path / str(k), f"game {k}", dict(zip((A, B, C), order, strict=True)))
        for k, order in enumerate(orders)
    ]


def test_games_vote(tmp_path):
    found = across(pentathlon(tmp_path), {})
    assert [(line.agent, line.place, round(line.lottery, 6)) for line in found.lines] == [
        (C, 1, 1),
        (A, 2, 0),
        (B, 3, 0),
    ]
    sco = {line.agent: line.sco for line in found.lines}
    assert sco[C] > sco[A] > sco[B]
    third = found.lines[0]
    assert third.scores == (0, 0.5, 1, 1, 0.5) and third.score == pytest.approx(0.6)
    assert third.score_interval == pytest.approx((0.6, 0.6)) and third.lottery_interval == pytest.approx((1, 1))


def test_payoffs_of_a_large_scale_weigh_no_more(tmp_path):
    stores = [store(tmp_path / "a", "a", {A: 2e3, B: 0}), store(tmp_path / "b", "b", {A: 0, B: 1})]
    one, other = across(stores, {}).lines
    assert one.place == other.place == 1 and one.score == other.score == 0.5 and one.sco == pytest.approx(other.sco)


def test_agents_that_played_some_of_the_games_are_named(tmp_path):
    stores = [store(tmp_path / "a", "a", {A: 2, B: 1, C: 0}), store(tmp_path / "b", "b", {A: 1, B: 2, "fourth": 3})]
    found = across(stores, {})
    assert {line.agent for line in found.lines} == {A, B} and found.left_out == ("fourth", C)
    same = across(stores, {"fourth": C})
    assert {line.agent for line in same.lines} == {A, B, C} and same.left_out == ()


def test_games_of_other_numbers_of_players_and_sums(tmp_path):
    stores = [
        store(tmp_path / "a", "a", {A: 3, B: 2, C: 1, "d": 0}, players=3),
        store(tmp_path / "b", "b", {A: 3, B: 2, C: 1}, payoff="general_sum", noise=0.5),
    ]
    found = across(stores, {})
    assert [line.agent for line in found.lines] == [A, B, C]
    assert found.lines[1].score_interval[0] < found.lines[1].score < found.lines[1].score_interval[1]


def test_few_seeds_have_no_intervals(tmp_path):
    stores = [store(tmp_path / "a", "a", {A: 2, B: 1}, seeds=9), store(tmp_path / "b", "b", {A: 2, B: 1})]
    found = across(stores, {})
    assert found.lines[0].score_interval is None and any("fewer than 10 seeds of a" in line for line in found.sentences)
    assert found.csv().splitlines()[1].startswith("1,first,1.000000,,,100.000000,,,")


def test_bad_input_is_a_sentence(tmp_path):
    one = store(tmp_path / "a", "a", {A: 2, B: 1})
    other = store(tmp_path / "b", "b", {A: 2, C: 1})
    empty = store(tmp_path / "empty", "c", {})
    for stores, names, said in (
        ([one], {}, "expected at least two stores, got 1"),
        ([one, one], {}, "expected stores of different games, got 'a' twice"),
        ([one, other], {}, "expected two agents that played all games, got first of a: first, second; b: first, third"),
        ([one, empty], {}, "expected a store with games, got .* without any"),
        ([one, other], {"x": B}, "expected --name to name an agent that has played, got 'x'"),
        ([one, other], {A: B}, "to have its own name, got 'second' twice"),
        ([one, tmp_path / "no"], {}, "expected a tournament store"),
    ):
        with pytest.raises(UserError, match=said):
            across(stores, names)


def test_the_command(tmp_path, capsys):
    stores = pentathlon(tmp_path)
    assert marl("tournament", "across", *stores, "--out", tmp_path / "out") == 0
    assert "Game 5 is game 4." in capsys.readouterr().out
    assert (tmp_path / "out" / "across.csv").read_text().startswith("place,agent,score,score_low,score_high,sco")
    assert "| 1 | third |" in (tmp_path / "out" / "across.md").read_text()
    assert marl("tournament", "across", *stores, "--json") == 0
    assert json.loads(capsys.readouterr().out)["agents"][0]["agent"] == C
    for text in ("nothing", "f(x=1)"):
        assert marl("tournament", "across", *stores, "--name", text) == 2
        assert f"expected --name as AGENT=NAME, got '{text}'" in capsys.readouterr().err
    assert marl("tournament", "across", *stores, "--name", f"{C}=f(x=1)", "--json") == 0
    assert json.loads(capsys.readouterr().out)["agents"][0]["agent"] == "f(x=1)"
    assert marl("tournament", "across", *stores, "--out", tmp_path / "out" / "across.csv") == 2
    assert "expected a folder as --out, got the file" in capsys.readouterr().err
