"""A league's decisions: who freezes by hand and by simulation, from where it trains on, and whom it meets."""

import json
from itertools import permutations
from typing import get_args, get_type_hints

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold, stream, uniform
from games.registry import make
from marl.training.pfsp import Tally
from tests.tournaments.populations.leagues import config, evidence, frozen, main
from tournaments.populations.league.decisions import Freeze, check_game, decide, freeze_of, more_games, to_json
from tournaments.populations.league.evidence import Evidence, Learner
from tournaments.populations.league.loop import WHY
from tournaments.populations.league.roles import League
from tournaments.ratings.bounds import radius

THREE = config(roles={"main": 1, "main_exploiter": 1, "league_exploiter": 1}, min_rounds=2)
CLEAR = 500  # pairs


def learner(role, rounds, digest="new"):
    return Learner(f"{role}-0", role, (digest, "old"), rounds)


def froze(one, scores, league, settings=THREE, **options):
    return freeze_of(one, settings, league, evidence(scores, **options))


def test_a_main_freezes_when_all_frozen_are_beaten():
    M = learner("main", 2)
    league = League([M], [frozen("a"), frozen("x", "main_exploiter")])
    won = {("new", "a"): 0.9, ("new", "x"): 0.95}
    assert froze(M, won, league, pairs=CLEAR) == Freeze("new", "all beaten")
    assert froze(M, won | {("new", "x"): 0.6}, league, pairs=CLEAR) is None
    assert froze(M, {("new", "a"): 0.9}, league, pairs=CLEAR) is None  # x has not been met
    assert froze(M, won, league, pairs=31) is None
    assert froze(learner("main", 1), won, league, pairs=CLEAR) is None  # too early


def test_a_main_freezes_at_last():
    league = League([], [frozen("a")])
    assert froze(learner("main", 3), {("new", "a"): 0.1}, league, pairs=CLEAR) is None
    assert froze(learner("main", 4), {("new", "a"): 0.1}, league, pairs=CLEAR) == Freeze("new", "time")
    assert froze(learner("main", 4), {}, League([], [])) == Freeze("new", "time")


def test_every_reason_to_freeze_is_said_in_words():
    assert set(WHY) == set(get_args(get_type_hints(Freeze)["why"]))


def test_the_first_main_freezes_as_soon_as_it_may():
    assert froze(learner("main", 2), {}, League([], [])) == Freeze("new", "no rivals")
    assert froze(learner("main", 1), {}, League([], [])) is None
    assert froze(Learner("main-0", "main", (), 9), {}, League([], [])) is None  # nothing to freeze


def test_a_main_exploiter_must_beat_the_mains():
    E, league = learner("main_exploiter", 2), League([main("m"), main("n", id="main-1")], [frozen("a")])
    won = {("new", "m"): 0.9, ("new", "n"): 0.9, ("new", "a"): 0.0}
    assert froze(E, won, league, pairs=CLEAR) == Freeze("new", "all beaten")
    assert froze(E, won | {("new", "n"): 0.5}, league, pairs=CLEAR) is None


def test_a_league_exploiter_must_beat_all_frozen():
    L, league = learner("league_exploiter", 2), League([main("m")], [frozen("a")])
    assert froze(L, {("new", "a"): 0.9, ("new", "m"): 0.0}, league, pairs=CLEAR) == Freeze("new", "all beaten")
    assert froze(L, {("new", "a"): 0.5, ("new", "m"): 1.0}, league, pairs=CLEAR) is None


def test_a_custom_role_freezes_by_time_alone():
    settings = config(members={"x": {"opponents": "uniform", "freeze_every": 3}})
    league = League([], [frozen("a")])
    said = [freeze_of(Learner("x", "x", ("new",), k), settings, league, evidence({})) for k in (1, 2, 3)]
    assert said == [None, None, Freeze("new", "time")]


def test_the_bound_is_shared_by_all_rivals_and_rounds():
    """20 rounds and two rivals: a score of one is above 0.7 as soon as r(n) < 0.3 with α = 0.05 / 40."""
    M, league = learner("main", 2), League([], [frozen("a"), frozen("b")])
    first = next(n for n in range(32, 200) if radius(n, 0.05 / 40) < 0.3)
    won = {("new", "a"): 1.0, ("new", "b"): 1.0}
    assert froze(M, won, league, pairs=first) and not froze(M, won, league, pairs=first - 1)
    assert THREE.rounds == 20 and config(steps=250_000).rounds == 3


def test_a_cell_that_had_all_its_games_counts_by_its_mean_and_is_marked():
    M, league = learner("main", 2), League([], [frozen("a"), frozen("b")])
    won = {("new", "a"): (0.72, 1024), ("new", "b"): 0.95}
    assert froze(M, won, league, pairs=CLEAR) == Freeze("new", "all beaten", ("a",))
    assert froze(M, won | {("new", "a"): (0.69, 1024)}, league, pairs=CLEAR) is None
    assert froze(M, won | {("new", "a"): (0.72, 1023)}, league, pairs=CLEAR) is None  # open


def test_a_rival_that_is_beaten_in_six_of_ten_is_never_said_to_be_beaten():
    """Trap: 2,000 learners, each looked at in every round, freeze wrongly less often than ALPHA."""
    settings = config(steps=1_000_000, games={"at_least": 32, "at_most": 1024})
    learners, pairs = 2000, 128
    wins = uniform(fold(stream(0, "wins"), np.arange(learners * pairs, dtype=np.uint64))).reshape(learners, pairs) < 0.6
    means = wins.cumsum(1) / np.arange(1, pairs + 1)
    M, league, wrong = learner("main", 2), League([], [frozen("a")]), 0
    for row in means:
        best = 31 + int(np.argmax(row[31:] - radius(np.arange(32, pairs + 1), 0.05 / 10)))  # the most convincing look
        wrong += froze(M, {("new", "a"): (float(row[best]), best + 1)}, league, settings) is not None
    assert wrong / learners < 0.05


def test_training_changes_whom_a_learner_meets_and_not_who_freezes():
    """Trap: the outcomes of training are made up."""
    M = learner("main", 2)
    league = League([M], [frozen("a", learner="main-0"), frozen("b", round=2, learner="main-0")])
    scores = {("new", "a"): (0.72, CLEAR), ("new", "b"): (0.9, CLEAR)}
    honest = decide(THREE, 5, league, evidence(scores))
    lied = decide(THREE, 5, league, evidence(scores, {"main-0": {"a": Tally(10**5, 10**5), "b": Tally(10**5, 0)}}))
    assert honest["main-0"].freeze is None and lied["main-0"].freeze is None
    assert honest["main-0"].meets["a"] > 0.4 and lied["main-0"].meets["b"] > 0.4
    done = [evidence(scores | {("new", "a"): (0.9, CLEAR)}, lies) for lies in ({}, {"main-0": {"a": Tally(10**5, 0)}})]
    assert [decide(THREE, 5, league, each)["main-0"].freeze for each in done] == [Freeze("new", "all beaten")] * 2


def test_what_freezes_is_the_checkpoint_that_was_measured_and_then_it_starts_again():
    """Trap: AlphaStar's text resets the weights and freezes these."""
    E = learner("main_exploiter", 4, "e")
    decision = decide(THREE, 5, League([learner("main", 1), E], []), evidence({}))["main_exploiter-0"]
    assert decision.freeze is not None and decision.freeze.digest == "e" == E.newest
    assert decision.trains_from is None  # from the start
    main_decision = decide(THREE, 5, League([learner("main", 4, "m")], []), evidence({}))["main-0"]
    assert main_decision.freeze.digest == main_decision.trains_from == "m"


def test_who_does_not_freeze_is_not_reset():
    league = League([learner(role, 1, role) for role in ("main", "main_exploiter", "league_exploiter")], [])
    for decision in decide(THREE, 5, league, evidence({})).values():
        assert decision.freeze is None and decision.trains_from is not None


@pytest.mark.parametrize(("reset", "low", "high"), [("never", 0, 0), ("always", 400, 400), (0.25, 75, 125)])
def test_a_reset_is_drawn_by_round_and_learner(reset, low, high):
    settings = config(members={"x": {"opponents": "uniform", "freeze_every": 1, "reset": reset}})
    league = League([Learner("x", "x", ("new",), 1)], [])
    resets = [decide(settings, round, league, evidence({}))["x"].trains_from is None for round in range(400)]
    assert low <= sum(resets) <= high
    again = [decide(settings, round, league, evidence({}))["x"].trains_from is None for round in range(400)]
    assert resets == again


def test_a_league_exploiter_is_reset_in_one_of_four():
    league = League([learner("league_exploiter", 4)], [])
    decisions = [decide(THREE, round, league, evidence({}))["league_exploiter-0"] for round in range(400)]
    assert all(each.freeze for each in decisions)
    assert 75 <= sum(each.trains_from is None for each in decisions) <= 125


def test_a_member_is_met_from_the_round_in_which_it_froze():
    M, L = learner("main", 4, "m"), learner("league_exploiter", 1, "l")
    decisions = decide(THREE, 5, League([M, L], [frozen("a")]), evidence({("l", "m"): 0.2, ("l", "a"): 0.2}))
    assert decisions["league_exploiter-0"].meets == pytest.approx({"m": 0.5, "a": 0.5})


def test_opponents_are_members_as_they_were_when_the_round_began():
    """Trap: no live weights, and no anchors: only digests that the league had."""
    learners = [learner(role, 2, role) for role in ("main", "main_exploiter", "league_exploiter")]
    league = League(learners, [frozen(f"f{k}", round=k) for k in range(12)])
    scores = {(each.newest, f"f{k}"): 0.3 for each in learners for k in range(12)} | {("main", "anchor"): 0.1}
    known = {each.newest for each in learners} | {each.digest for each in league.frozen}
    for decision in decide(THREE, 7, league, evidence(scores)).values():
        assert set(decision.meets) <= known and len(decision.meets) <= THREE.present
        assert 0 < decision.share <= 1


def test_after_a_reset_nothing_is_known():
    E = learner("main_exploiter", 4, "e")
    scores, lies = {("e", "m"): (0.0, CLEAR), ("e", "a"): (0.5, CLEAR)}, {"main_exploiter-0": {"m": Tally(999, 0)}}
    league = League([main("m"), E], [frozen("a")])
    met = decide(THREE, 5, league, evidence(scores, lies))["main_exploiter-0"].meets
    assert met == {"m": 1.0}  # and not its frozen, as the one before it had to


def test_the_order_in_which_members_are_given_changes_nothing():
    learners = [learner(role, rounds, role) for role, rounds in (("main", 3), ("main_exploiter", 2), ("x", 4))]
    settings = config(
        roles={"main": 1, "main_exploiter": 1}, members={"x": {"opponents": "pfsp even", "reset": 0.5}}, present=2
    )
    past = [frozen(f"f{k}", round=k % 2, learner="main-0") for k in range(4)]
    scores = {(each.newest, f"f{k}"): 0.2 + k / 7 for each in learners for k in range(4)}
    whole = evidence(scores)

    def written(league):
        return json.dumps(to_json(decide(settings, 3, league, whole), whole), allow_nan=False)

    expected = written(League(learners, past))
    for order in permutations(range(3)):
        assert written(League([learners[k] for k in order], past[::-1])) == expected
    assert list(json.loads(expected)["learners"]) == ["main-0", "main_exploiter-0", "x-0"]
    assert list(decide(settings, 3, League(learners[::-1], past), whole)) == ["main-0", "main_exploiter-0", "x-0"]


def test_a_decision_is_written_with_digests_weights_and_who_forfeits():
    M = learner("main", 4, "m")
    found = evidence({("m", "a"): (0.9, CLEAR), ("m", "b"): (1.0, CLEAR)}, forfeiters=["b"])
    data = to_json(decide(THREE, 5, League([M], [frozen("a", learner="o"), frozen("b", learner="o")]), found), found)
    said = data["learners"]["main-0"]
    assert data["forfeiters"] == ["b"]
    assert said["freeze"] == {"digest": "m", "why": "time", "undecided": []} and said["trains_from"] == "m"
    assert set(said["meets"]) == {"a", "m"} and said["share"] == pytest.approx(sum(said["meets"].values()))


def test_a_learner_that_never_meets_itself_has_a_whole_share():
    league = League([learner("league_exploiter", 1)], [frozen(f"f{k}") for k in range(7)])
    assert decide(THREE, 5, league, evidence({}))["league_exploiter-0"].share == 1.0


def test_games_are_played_for_those_that_may_freeze():
    learners = [learner("main", 1, "m"), learner("main_exploiter", 2, "e"), learner("league_exploiter", 4, "l")]
    league = League(learners, [frozen("a"), frozen("b")])
    assert more_games(THREE, league, evidence({})) == {("e", "m"): 32}  # of the others it is too early, or time is up
    league = League([learner("main", 2, "m")], [frozen("a"), frozen("b")])
    assert more_games(THREE, league, evidence({("m", "a"): (0.9, 32)})) == {("b", "m"): 32}


def test_games_go_to_the_rival_that_is_beaten_least_clearly():
    league = League([learner("main", 2, "m")], [frozen("a"), frozen("b")])

    def more(a, b):
        return more_games(THREE, league, evidence({("m", "a"): a, ("m", "b"): b}))

    assert more((0.8, 32), (0.9, 32)) == {("a", "m"): 64}
    assert more((0.8, 120), (0.9, 32)) == {("a", "m"): 128}
    assert more((0.8, 128), (0.9, 32)) == {}  # open at `per_round`: not beaten
    assert more((0.05, 32), (0.9, 32)) == {}  # clearly not beaten
    assert more((0.99, 128), (0.9, 32)) == {("b", "m"): 64}
    assert more((0.99, 128), (1.0, 128)) == {}  # both are beaten


def test_members_play_each_other_where_a_rule_asks_for_their_payoffs():
    settings = config(members={"x": {"opponents": "nash", "over": ["main"]}})
    league = League([main("m"), Learner("x", "x", ("x0",))], [frozen("a"), frozen("b"), frozen("s", "start")])
    found = evidence({("a", "b"): (0.5, 32)})
    assert more_games(settings, league, found) == {("a", "m"): 32, ("b", "m"): 32}
    known = evidence({cell: (0.5, 32) for cell in (("a", "b"), ("a", "m"), ("b", "m"))})
    assert more_games(settings, league, known) == {}
    assert decide(settings, 3, league, known)["x"].meets == pytest.approx({"a": 0.5, "b": 0.5})


def test_a_league_needs_two_players_and_a_winner():
    check_game(THREE, make("openspiel:connect_four", 1).spec)
    with pytest.raises(UserError, match=r"needs a game of two players, and .* has 3"):
        check_game(THREE, make("spread", 1).spec)
    dilemma = make("openspiel:matrix_pd", 1).spec
    with pytest.raises(UserError, match=r"'main-0' meets opponents by how often it wins, .* is not zero-sum"):
        check_game(THREE, dilemma)
    pool = {"loqa": {"opponents": "window(k=3)"}, "naive": {"opponents": "uniform"}}
    check_game(config(roles={}, members=pool), dilemma)
    with pytest.raises(UserError, match="'naive' meets"):
        check_game(config(roles={}, members=pool | {"naive": {"opponents": "pfsp hard"}}), dilemma)


def test_evidence_has_no_say_without_a_table_entry():
    """A member that has no games yet is met as an equal."""
    league = League([learner("league_exploiter", 1)], [frozen("a")])
    empty = evidence({("p", "q"): 0.5})
    assert decide(THREE, 1, league, Evidence(empty.table))["league_exploiter-0"].meets == {"a": 1.0}
