"""The config of a league: its learners, and what is refused in one sentence."""

import pytest

from games.errors import UserError
from marl.base.origin import Origin
from marl.base.schema import build
from tests.tournaments.populations.leagues import LEAGUE
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.league.matchmaking import Rule

ROLES = {"main": 2, "main_exploiter": 1}


def read(**changes):
    data = {key: value for key, value in (LEAGUE | changes).items() if value is not ...}
    return build(LeagueConfig, Origin("'league.yaml'", data))


def test_learners_are_named_by_their_roles():
    found = read(roles=ROLES, members={"fictitious": {"opponents": "uniform", "over": ["main"]}})
    assert found.learners == {
        "main-0": "main",
        "main-1": "main",
        "main_exploiter-0": "main_exploiter",
        "fictitious": "fictitious",
    }
    assert found.rounds == 20 and read(steps=150_000).rounds == 2


def test_families_mix():
    found = read(members={"zero": {"opponents": "pfsp hard(q=1)", "learner": {"name": "alphazero"}}})
    assert found.algorithm("zero") == {"name": "alphazero"} and found.algorithm("main") == {"name": "ippo"}
    assert found.members["zero"].rule == Rule("pfsp hard", 1.0)
    alone = read(learner=..., roles=..., members={"loqa": {"opponents": "window", "learner": "loqa"}})
    assert list(alone.learners) == ["loqa"]


def test_a_config_is_read_as_it_was_written():
    found = read(
        members={"x": {"opponents": "window(k=3)", "reset": 0.5, "over": ["start", "x"]}}, start=["first_legal"]
    )
    assert found.model_dump()["members"]["x"]["over"] == ("start", "x")
    again = build(LeagueConfig, Origin("", found.model_dump(mode="json")))
    assert again == found and again.members["x"].reset_chance == 0.5


X = {"opponents": "uniform"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"roles": {"mian": 1}}, "unknown key 'roles.mian' in 'league.yaml'; did you mean 'main'?"),
        ({"roles": {"main": -1}}, "expected a number of at least 0, got -1"),
        ({"roles": {}}, "a league needs learners; name some: roles: {main: 1}, or members"),
        ({"roles": {"main_exploiter": 1}}, "a main_exploiter needs a main to train against; add one to roles: main: 1"),
        ({"members": {"main-0": X}}, "two members are called 'main-0'; rename one"),
        ({"members": {"Main-0": X}}, "expected names that differ in more than case, got 'main-0' and 'Main-0'"),
        ({"members": {"main": X}}, "'main' is the name of a role; rename the member, or write roles: {main: 1}"),
        ({"members": {"x.0007": X}}, "'x.0007' is what a frozen member is called; rename the member"),
        ({"members": {"start-0000": X}}, "'start-0000' is what a frozen member is called; rename the member"),
        ({"members": {"a/b": X}}, "expected a word that matches"),
        ({"members": {"x": X | {"latest": 1.5}}}, "expected a number of at most 1, got 1.5"),
        ({"members": {"x": X | {"latest": -0.1}}}, "expected a number of at least 0, got -0.1"),
        ({"members": {"x": X | {"reset": 2}}}, "'never' or 'always'"),
        ({"members": {"x": X | {"reset": "sometimes"}}}, "'never' or 'always'"),
        ({"members": {"x": X | {"freeze_every": 0}}}, "expected a number above 0, got 0"),
        ({"members": {"x": {"opponents": "pfsp"}}}, "expected a rule among self, uniform"),
        ({"members": {"x": {}}}, "the key 'members.x.opponents' is missing"),
        (
            {"members": {"x": X | {"over": ["mian"]}}},
            "expected 'over' of 'x' to name roles or members (main, main_exploiter, league_exploiter, start, x), "
            "got 'mian'; did you mean 'main'?",
        ),
        (
            {"members": {"x": X | {"over": ["anchors"]}}},
            "anchors are never trained against, got 'anchors' in 'over' of 'x'; leave it out",
        ),
        (
            {"start": ["random"]},
            "anchors are never trained against: 'random' is in 'start' too; take it out of one",
        ),
        ({"round": 200, "steps": 100}, "expected round to be at most steps, got round: 200, steps: 100"),
        (
            {"games": {"at_least": 64, "at_most": 32}},
            "expected at_most to be at least at_least, got at_most: 32, at_least: 64",
        ),
        (
            {"games": {"at_least": 64, "per_round": 32}},
            "expected per_round to be at least at_least, got per_round: 32, at_least: 64",
        ),
        ({"learner": ...}, "'main-0' has no algorithm; add learner: {name: ippo} for all, or one of its own"),
        ({"learner": {"clip": 0.1}}, "expected the key 'name' of an algorithm for 'main-0', got {'clip': 0.1}; add it"),
        ({"learner": "best_response"}, "best_response is computed once and does not train on"),
        ({"min_rounds": 0}, "expected a number above 0, got 0"),
        ({"present": 0}, "expected a number above 0, got 0"),
        ({"anchor": ["random"]}, "unknown key 'anchor' in 'league.yaml'; did you mean 'anchors'?"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(changes, said):
    with pytest.raises(UserError) as error:
        read(**changes)
    assert said in str(error.value) and "\n" not in str(error.value)
