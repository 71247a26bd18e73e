"""Each kind of schedule, with synthetic games of known strength."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from tests.properties import examples
from tests.tournaments.synthetic import entry, in_order, played, simulate, spread
from tournaments.records.fixture import seeds_of
from tournaments.records.results import Result, Results
from tournaments.schedules.active import FIRST, ActiveConfig
from tournaments.schedules.best import BestConfig
from tournaments.schedules.focal import FocalConfig
from tournaments.schedules.gauntlet import GauntletConfig
from tournaments.schedules.information import Information, ring
from tournaments.schedules.knockout import KnockoutConfig, bracket
from tournaments.schedules.ladder import LadderConfig
from tournaments.schedules.round_robin import RoundRobin, RoundRobinConfig
from tournaments.schedules.rounds import Match, Matches, Rules, Seeds
from tournaments.schedules.sprt import SprtConfig
from tournaments.schedules.swiss import SwissConfig

FAR = {agent: 4000.0 * k for k, agent in enumerate("hgfedcba")}  # "a" always beats "b", and so on


def meetings(fixtures):
    """Return who meets whom in the rounds, and on how many seeds."""
    return [Counter(f.pairing for f in round) for round in fixtures]


def rotated(fixtures):
    """Say whether every seed of every table is played in all rotations of the seats, once."""
    ids = [f.id for round in fixtures for f in round]
    seatings = Counter((f.pairing, f.seed) for round in fixtures for f in round)
    return len(set(ids)) == len(ids) and all(count == len(set(pairing)) for (pairing, _), count in seatings.items())


# Rounds


@given(st.lists(st.sampled_from(list(combinations("abcd", 2))), unique=True), st.integers(1, 20), st.integers(1, 9))
@settings(max_examples=examples(30))
def test_a_round_is_played_in_blocks(pairings, seeds, size):
    round = Matches(Rules("g", 2, 3, 1, 9), [Match(pairing, range(2, 2 + seeds)) for pairing in pairings])
    fixtures = [fixture for block in round.blocks(size, {"a"}) for fixture in block]
    whole = RoundRobin("g", "abcd", 2, 2 + seeds, 3, opening_moves=1, max_steps=9)
    assert {f.id for f in fixtures} <= {f.id for block in whole.blocks(256) for f in block}
    assert len(fixtures) == len({f.id for f in fixtures}) == len(round) == 2 * seeds * len(pairings)
    seated = ["a" in fixture.agents for fixture in fixtures]
    assert seated == sorted(seated)  # those apart come last


def test_pairings_that_meet_again_play_new_seeds():
    seeds = Seeds()
    assert [seeds.next("ab", 3).seeds, seeds.next("ba", 2).seeds, seeds.met("ab")] == [range(3), range(3, 5), 5]


def test_a_round_robin_is_one_round():
    schedule = RoundRobinConfig().schedule(entry("cab", seeds=4))
    outcome, fixtures = simulate(schedule, FAR)
    assert schedule.exact and schedule.most == len(fixtures[0]) == 24 and len(fixtures) == 1
    assert outcome.text == "" and outcome.rows == ()
    mirrored = RoundRobinConfig().schedule(entry("ab", seeds=4, payoff="general_sum"))
    assert mirrored.most == 16


# Gauntlet and focal


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 4), st.integers(1, 9))
@settings(max_examples=examples(40))
def test_a_gauntlet_counts(focal, others, players, seeds):
    names = "abcdefg"[: focal + others]
    schedule = GauntletConfig(focal=tuple(names[:focal])).schedule(entry(names, seeds, players))
    _, (fixtures,) = simulate(schedule, FAR)
    assert schedule.most == len(fixtures) == len({f.id for f in fixtures})
    assert all(sum(agent in names[:focal] for agent in f.agents) == 1 for f in fixtures)
    companies = len(list(combinations(range(others), players - 1)))
    if companies:
        assert len(fixtures) == focal * companies * players * seeds and rotated([fixtures])


def test_background_agents_do_not_meet():
    """fastchess #889: `-tournament gauntlet` silently played a round robin."""
    _, (fixtures,) = simulate(GauntletConfig(focal=("c",)).schedule(entry("abcd", 5)), FAR)
    assert set(meetings([fixtures])[0]) == {("a", "c"), ("b", "c"), ("c", "d")} and len(fixtures) == 3 * 5 * 2
    with pytest.raises(UserError, match="expected agents that are not focal, got none"):
        GauntletConfig(focal=("a", "b")).schedule(entry("ab"))


def test_focal_agents_meet_themselves_where_a_round_robin_has_it_so():
    schedule = GauntletConfig(focal=("c",)).schedule(entry("abc", 5, payoff="general_sum"))
    _, (fixtures,) = simulate(schedule, FAR)
    assert meetings([fixtures])[0] == {("a", "c"): 10, ("b", "c"): 10, ("c", "c"): 5}
    assert schedule.most == len(fixtures) == len({f.id for f in fixtures})


IDS = {name: f"{k:016x}" for k, name in enumerate("abcdef")}


def focal_entry(names, players, seeds=6):
    return entry([IDS[name] for name in names], seeds, players, payoff="general_sum")


def test_focal_agents_hold_some_seats_among_the_background():
    config = FocalConfig(focal=(IDS["a"], IDS["b"]), seats=(1, 2), floor=0, ceiling=10)
    schedule = config.schedule(focal_entry("abcdef", 4))
    elo = dict.fromkeys(IDS.values(), 0.0)
    outcome, (fixtures,) = simulate(schedule, elo)
    held = Counter()
    for f in fixtures:
        [focal] = {agent for agent in f.agents if agent in (IDS["a"], IDS["b"])}
        held[focal, f.agents.count(focal)] += 1
        background = [agent for agent in f.agents if agent != focal]
        assert len(set(background)) == len(background)
    assert set(held) == {(IDS[name], k) for name in "ab" for k in (1, 2)} and len(set(held.values())) <= 2
    companies = {
        (f.seed, f.agents.count(one)): frozenset(f.agents) - {one}
        for f in fixtures
        for one in config.focal
        if one in f.agents
    }
    for (seed, count), company in companies.items():  # both focal agents have the same company on a seed
        assert all(
            company == frozenset(f.agents) - set(config.focal)
            for f in fixtures
            if f.seed == seed and len(set(f.agents) - set(config.focal)) == 4 - count
        )
    assert outcome.titles[4] == "normalised" and [row[1] for row in outcome.rows] == ["all", "1", "2"] * 2


def test_a_focal_score_is_the_mean_over_its_seats():
    schedule = FocalConfig(focal=(IDS["a"],), seats=(2,), floor=-1, ceiling=3).schedule(focal_entry("abc", 3, seeds=2))
    rounds = schedule.rounds()
    fixtures = [f for block in next(rounds).blocks(1) for f in block]
    paid = [Result(f.agents, tuple(1.0 if agent == IDS["a"] else 9.0 for agent in f.agents), f.seed) for f in fixtures]
    with pytest.raises(StopIteration) as end:
        rounds.send(lambda: in_order(Results.of(paid)))
    [line] = end.value.value.facts["focal"]
    assert (line["mean"], line["ci95"], line["score"], line["games"]) == (1.0, 0.0, 0.5, 6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seats": (4,)}, "expected a focal agent in fewer seats than the game's 4, got 4"),
        ({"focal": tuple(IDS.values())}, "expected agents that are not focal"),
    ],
)
def test_focal_seats_that_there_are_not(settings, said):
    with pytest.raises(UserError, match=said):
        FocalConfig(**({"focal": (IDS["a"],)} | settings)).schedule(focal_entry("abcdef", 4))


@pytest.mark.parametrize(("floor", "ceiling", "said"), [(0, None, "both floor and ceiling"), (2, 2, "got 2 and 2")])
def test_a_floor_below_a_ceiling(floor, ceiling, said):
    with pytest.raises(ValueError, match=said):
        FocalConfig(focal=("a",), floor=floor, ceiling=ceiling)


# Swiss


@given(st.integers(2, 9), st.integers(0, 99), st.data())
@settings(max_examples=examples(25), deadline=None)
def test_swiss_never_repeats_a_pairing_while_avoidable(agents, draws, data):
    rounds = data.draw(st.integers(1, agents - 1 + agents % 2))
    elo = spread(agents, 300)
    _, fixtures = simulate(SwissConfig(rounds=rounds).schedule(entry(elo, 2)), elo, draws)
    assert len(fixtures) == rounds and rotated(fixtures)
    for round in meetings(fixtures):
        assert len(round) == agents // 2 and len({agent for pair in round for agent in pair}) == agents // 2 * 2
    met = Counter(pair for round in meetings(fixtures) for pair in round)
    if rounds <= agents // 2:  # n/2 rounds can always be paired anew, whatever came before (Dirac 1952)
        assert max(met.values()) == 1


def test_swiss_finds_the_best_and_gives_byes_to_the_last():
    schedule = SwissConfig().schedule(entry("abcdefg", 3))
    outcome, fixtures = simulate(schedule, FAR)
    assert schedule.exact and schedule.most == sum(map(len, fixtures)) == 3 * 3 * 2 * 3
    standings = outcome.facts["standings"]
    assert standings[0]["agent"] == "a" and standings[0]["points"] == 3.0
    assert sum(line["byes"] for line in standings) == 3 and {line["byes"] for line in standings} == {0, 1}
    assert sum(line["points"] for line in standings) == 3 * 3 + 3
    assert outcome.titles[-1] == "sum of scores"  # above 1: a score is a mean everywhere else
    assert outcome.text == "Swiss, 3 rounds: a is first"


def test_more_rounds_than_opponents_repeat_on_new_seeds():
    _, fixtures = simulate(SwissConfig(rounds=4).schedule(entry("ab", 3)), FAR)
    assert rotated(fixtures) and len({f.seed for round in fixtures for f in round}) == 12


# Knockout


def test_a_bracket():
    assert bracket(5) == bracket(8) == [0, 7, 3, 4, 1, 6, 2, 5] and bracket(1) == [0] and bracket(2) == [0, 1]


@given(st.permutations("abcdefgh"), st.integers(2, 8))
@settings(max_examples=examples(25))
def test_the_strongest_wins_a_knockout(order, agents):
    schedule = KnockoutConfig().schedule(entry(order[:agents], 1))
    outcome, fixtures = simulate(schedule, FAR)
    assert outcome.facts["winner"] == min(order[:agents]) and rotated(fixtures)
    assert sum(map(len, fixtures)) == 2 * (agents - 1) <= schedule.most
    byes = 2 ** len(fixtures) - agents
    assert not {agent for pair in meetings(fixtures)[0] for agent in pair} & set(order[:byes])


def level(fixture):
    """A game that the first seat wins: every match is tied."""
    return Result(fixture.agents, (1.0, -1.0), fixture.seed)


def test_a_tie_goes_on_to_more_seeds_and_then_to_who_is_listed_first():
    schedule = KnockoutConfig(replays=2).schedule(entry("ba", 3))
    rounds, seeds = schedule.rounds(), []
    round = next(rounds)
    with pytest.raises(StopIteration) as end:
        while True:
            fixtures = [f for block in round.blocks(1) for f in block]
            seeds += [f.seed for f in fixtures]
            round = rounds.send(lambda fixtures=fixtures: Results.of([level(f) for f in fixtures]))
    outcome = end.value.value
    assert outcome.facts["winner"] == "b" and outcome.rows[0][-1] == "b (tied, listed first)"
    assert len(seeds) == schedule.most == 18 and len(set(seeds)) == 9


def test_a_match_without_a_result_is_a_tie():
    rounds = KnockoutConfig(replays=0).schedule(entry("ba", 3)).rounds()
    next(rounds)
    with pytest.raises(StopIteration) as end:
        rounds.send(lambda: Results.of([]))
    assert end.value.value.facts["winner"] == "b"


# Ladder


@given(st.permutations("abcdef"))
@settings(max_examples=examples(25))
def test_a_ladder_sorts(order):
    schedule = LadderConfig().schedule(entry(order, 1))
    outcome, fixtures = simulate(schedule, FAR)
    assert outcome.facts["ladder"] == sorted(order) and rotated(fixtures)
    assert sum(map(len, fixtures)) <= schedule.most == 2 * 15


def test_challengers_climb_from_the_bottom():
    schedule = LadderConfig(challengers=("b",)).schedule(entry("abcd", 2))
    outcome, fixtures = simulate(schedule, FAR)
    assert [list(round) for round in meetings(fixtures)] == [[("b", "d")], [("b", "c")], [("a", "b")]]
    assert outcome.facts["ladder"] == ["a", "b", "c", "d"]
    with pytest.raises(UserError, match="one agent on the ladder and one challenger"):
        LadderConfig(challengers=("a", "b")).schedule(entry("ab"))


# Matches and the best


def test_a_match_ends_when_it_is_decided():
    elo = {"a": 100.0, "b": 0.0}
    schedule = SprtConfig(elo1=30).schedule(entry("ab", 4000))
    outcome, fixtures = simulate(schedule, elo)
    assert outcome.reached and outcome.facts["decision"] == "H1" and rotated(fixtures)
    assert sum(map(len, fixtures)) == 2 * sum(outcome.facts["pentanomial"]) < 1000 < schedule.most
    assert simulate(schedule, {"a": -20.0, "b": 0.0})[0].facts["decision"] == "H0"
    short, fixtures = simulate(SprtConfig(elo1=5).schedule(entry("ab", 20)), elo | {"a": 1.0})
    assert short.reached is False and "undecided after all 20 seeds" in short.text
    assert [len(round) for round in fixtures] == [32, 8]
    few, _ = simulate(SprtConfig().schedule(entry("ab", 3)), {"a": 600.0, "b": 0.0})  # open on one side
    assert few.facts["elo_ci95"] is None and " ± — Elo in 3 pairs" in few.text


def test_a_match_of_draws_is_not_minus_0():
    rounds = SprtConfig().schedule(entry("ab", 3)).rounds()
    fixtures = [f for block in next(rounds).blocks(1) for f in block]
    with pytest.raises(StopIteration) as end:
        rounds.send(lambda: in_order(Results.of([Result(f.agents, (0.0, 0.0), f.seed) for f in fixtures])))
    assert end.value.value.text.startswith("a against b: +0.0 ±") and str(end.value.value.facts["elo"]) == "0.0"


def test_the_best_is_found_and_equal_agents_end():
    config = BestConfig(delta=150, round=32)
    elo = {"a": 0.0, "b": 0.0, "c": -300.0, "d": -300.0}
    outcome, fixtures = simulate(config.schedule(entry(elo, 4000)), elo)
    assert outcome.reached and outcome.facts["best"] == ["a", "b"] and set(outcome.facts["beaten"]) == {"c", "d"}
    assert outcome.text == "a, b are the best, practically equal (within 150 Elo)"
    assert len(meetings(fixtures)[-1]) == 1  # those that are beaten play no more
    outcome, _ = simulate(config.schedule(entry(elo, 64)), elo)
    assert outcome.reached is False and outcome.text.startswith("Not decided after 64 seeds")


def test_a_cycle_has_no_best():
    beats = {("a", "b"), ("b", "c"), ("c", "a")}
    rounds = BestConfig().schedule(entry("abc", 2000)).rounds()
    round = next(rounds)
    with pytest.raises(StopIteration) as end:
        while True:
            fixtures = [f for block in round.blocks(1) for f in block]
            paid = [Result(f.agents, (1.0, -1.0) if f.agents in beats else (-1.0, 1.0), f.seed) for f in fixtures]
            round = rounds.send(lambda paid=paid: in_order(Results.of(paid)))
    assert end.value.value.text == "None is the best: each of a, b, c is beaten by another of them"
    assert end.value.value.facts["best"] == ["a", "b", "c"]


# Active


def test_an_active_tournament_plays_a_part_of_the_round_robin():
    elo = spread(6, 400)
    schedule = ActiveConfig(ci95=80).schedule(entry(elo, 400))
    outcome, fixtures = simulate(schedule, elo)
    assert outcome.reached and outcome.facts["games"] == sum(map(len, fixtures)) < schedule.most and rotated(fixtures)
    keys = seeds_of(0, range(400))
    for pairing in combinations(sorted(elo), 2):  # the first seeds of each pairing
        seeds = {f.seed for round in fixtures for f in round if f.pairing == pairing}
        assert seeds == set(keys[: len(seeds)])
    assert len(fixtures[0]) == 6 * FIRST * 2


def test_active_reaches_an_interval_with_at_most_0_6_of_the_round_robins_games():
    """The rating of one agent within ± 40 Elo, of 10 agents over 400 Elo; the results have more targets."""
    from tests.benchmarks.schedules import round_robin_games
    from tournaments.schedules.active import One

    elo = spread(10, 400)
    for draws in range(2):
        outcome, _ = simulate(ActiveConfig(agent="03", ci95=40).schedule(entry(elo, 2000)), elo, draws)
        assert outcome.reached
        assert outcome.facts["games"] <= 0.6 * round_robin_games(elo, One(3, "03", 40.0), draws)


def test_top_agents_are_known_or_practically_equal():
    elo = {"a": 0.0, "b": 0.0, "c": -300.0, "d": -300.0, "e": -500.0}
    outcome, _ = simulate(ActiveConfig(top=2, ci95=30).schedule(entry(elo, 2000)), elo)
    assert outcome.reached and set(outcome.facts["found"].removeprefix("the best 2: ").split(", ")) == {"a", "b"}
    equal, _ = simulate(ActiveConfig(top=1, ci95=120).schedule(entry(elo, 2000)), elo)
    assert equal.reached


def test_a_target_that_cannot_be_reached_says_what_was():
    elo = spread(4, 200)
    schedule = ActiveConfig(ci95=5, max_games=101).schedule(entry(elo, 50))
    outcome, fixtures = simulate(schedule, elo)
    assert outcome.reached is False and sum(map(len, fixtures)) == outcome.facts["games"] == 100
    assert outcome.text.startswith("Not reached: every difference within ± 5 Elo; the widest interval is ± ")
    every, fixtures = simulate(ActiveConfig(ci95=5).schedule(entry(elo, 3)), elo)
    assert every.reached is False and sum(map(len, fixtures)) == 6 * 2 * 3


@pytest.mark.parametrize(
    ("config", "agents", "players", "payoff", "said"),
    [
        (ActiveConfig(), "a", 2, "zero_sum", "at least 2 agents for the schedule 'active', got 1"),
        (ActiveConfig(top=2), "ab", 2, "zero_sum", "fewer than all 2 agents as the top, got 2"),
        (ActiveConfig(max_games=5), "abc", 2, "zero_sum", "max_games of at least 12"),
        (
            ActiveConfig(),
            "abc",
            2,
            "general_sum",
            "a game that gets Elo for the schedule 'active', .* whose payoffs are 'general_sum'",
        ),
        (SwissConfig(), "abc", 3, "zero_sum", "a game of two players for the schedule 'swiss', got 3"),
        (SwissConfig(), "a", 2, "zero_sum", "at least 2 agents, got 1"),
        (KnockoutConfig(), "a", 2, "zero_sum", "at least 2 agents, got 1"),
        (
            KnockoutConfig(),
            "ab",
            2,
            "team",
            "a game that gets Elo for the schedule 'knockout', .* 'team'; take round_robin",
        ),
        (BestConfig(), "a", 2, "zero_sum", "at least 2 agents, got 1"),
        (SprtConfig(), "abc", 2, "zero_sum", "2 agents for a match, got 3"),
        (LadderConfig(), "a", 2, "zero_sum", "one agent on the ladder"),
    ],
)
def test_schedules_that_do_not_fit(config, agents, players, payoff, said):
    with pytest.raises(UserError, match=said):
        config.schedule(entry(agents, 5, players, payoff))


def test_one_target_at_a_time():
    with pytest.raises(ValueError, match="got top and agent"):
        ActiveConfig(top=1, agent="a")
    with pytest.raises(ValueError, match="elo0 below elo1, got 5 and 5"):
        SprtConfig(elo0=5, elo1=5)
    with pytest.raises(ValueError, match="less than or equal to 2000"):
        SprtConfig(elo1=2001)


# Information


def variances(information):
    covariance = np.linalg.inv(information._known)
    return covariance.diagonal()[:, None] + covariance.diagonal()[None, :] - 2 * covariance


@pytest.mark.parametrize("players", [2, 3])
def test_the_game_that_is_chosen_first_takes_most_from_the_variances(players):
    """By the formula as by adding each game and inverting anew."""
    elo = np.array([-300.0, -100.0, 0.0, 20.0, 250.0])
    played = {table: 4.0 for table in ring(5, players)}
    whole = np.ones((5, 5)) - np.eye(5)
    before = Information(elo, players)
    before.add(played)
    [chosen] = before.choose(whole, np.ones(5), 1, lambda table: 9)
    taken = {}
    for table in combinations(range(5), players):
        after = Information(elo, players)
        after.add(played)
        after.add({table: float(players)})
        taken[table] = (whole * (variances(before) - variances(after))).sum()
    share = taken[chosen] / max(taken.values())
    assert share == 1 if players == 2 else share > 0.85  # tables of more are filled up one by one


def test_games_that_cost_more_are_chosen_less():
    even = np.zeros(4)
    information = Information(even, 2)
    information.add({table: 4.0 for table in ring(4, 2)})
    cost = np.array([1.0, 1.0, 1.0, 50.0])
    chosen = information.choose(np.ones((4, 4)) - np.eye(4), cost, 40, lambda table: 99)
    played = Counter()
    for table, seeds in chosen.items():
        played.update(dict.fromkeys(table, seeds))
    assert sum(chosen.values()) == 40 and played[3] < min(played[k] for k in range(3))


def test_a_newcomer_is_at_every_table():
    information = Information(np.array([0.0, 300.0, -300.0, 10.0]), 2)
    information.add({table: 50.0 for table in combinations(range(3), 2)})
    weights = np.zeros((4, 4))
    weights[3, :3] = weights[:3, 3] = 1
    chosen = information.choose(weights, np.ones(4), 12, lambda table: 8, seated=3)
    assert all(3 in table for table in chosen) and sum(chosen.values()) == 12
    assert chosen[0, 3] == 8  # the one that is as strong says most, until its seeds are used up


def test_rings():
    assert ring(3, 2) == [(0, 1), (1, 2), (0, 2)] and ring(2, 2) == [(0, 1)] and ring(3, 3) == [(0, 1, 2)]


# Determinism: arrival and other games


@pytest.mark.parametrize(
    "config",
    [ActiveConfig(ci95=90), SwissConfig(), KnockoutConfig(), LadderConfig(), BestConfig(delta=200), SprtConfig()],
)
def test_costs_and_results_decide_and_nothing_else(config):
    agents = ["00", "01"] if config.kind == "sprt" else list(spread(5, 300))
    elo = spread(5, 300)
    there = simulate(config.schedule(entry(agents, 40)), elo, length=lambda f: 5 + int(f.id[0], 16))
    again = simulate(config.schedule(entry(agents, 40)), elo, length=lambda f: 5 + int(f.id[0], 16))
    assert there[0] == again[0] and [sorted(f.id for f in r) for r in there[1]] == [
        sorted(f.id for f in r) for r in again[1]
    ]


def test_a_synthetic_game_is_the_score_of_its_elo():
    """The games of these tests: Elo is what `rate` shows."""
    elo = {"a": 100.0, "b": 0.0}
    fixtures = [f for block in RoundRobin("g", "ab", 2, 4000, 0).blocks(256) for f in block]
    won = np.mean([(r.payoffs[r.agents.index("a")] + 1) / 2 for f in fixtures for r in [played(f, elo)]])
    assert won == pytest.approx(1 / (1 + 10 ** (-100 / 400)), abs=0.02)


@pytest.mark.parametrize("players", [2, 3])
def test_every_table_plays_before_none_is_left(players):
    information = Information(np.array([0.0, 50.0, -90.0, 200.0]), players)
    chosen = information.choose(np.ones((4, 4)) - np.eye(4), np.ones(4), 99, lambda table: 2)
    assert chosen == dict.fromkeys(combinations(range(4), players), 2)
