"""The rounds of a league: what freezes is what was measured, and the same bytes after every kill."""

import ctypes
import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from games.registry import make
from marl import evaluate
from marl.agents import checkpoint
from marl.agents.load import load_entrant, load_entrants
from marl.agents.populations import FILE
from marl.base.origin import Origin
from marl.base.schema import validate
from tests.tournaments.populations.bytes import contents, games, killed_at_any_file
from tournaments.playing import play
from tournaments.populations import loop
from tournaments.populations.files import MADE, Round, read_members
from tournaments.populations.histories import history_of
from tournaments.populations.league import loop as league
from tournaments.populations.league.config import LeagueConfig
from tournaments.populations.report import write_report
from tournaments.populations.spent import GAMES, TRAINING, spending, spent

TINY = {
    "method": "league",
    "game": "openspiel:kuhn_poker",
    "learner": {"name": "ippo", "hidden": [8], "minibatch_size": 256},
    "roles": {"main": 1, "main_exploiter": 1},
    "members": {"past": {"opponents": "window(k=2)", "over": ["main", "start"], "latest": 0.3, "freeze_every": 2}},
    "start": ["constant(action=0)", "constant(action=1)"],
    "anchors": ["random"],
    "steps": 1_700,
    "round": 500,
    "min_rounds": 1,
    "num_envs": 8,
    "rollout_length": 16,
    "games": {"at_least": 4, "per_round": 12, "at_most": 24, "batch": 4},
    "workers": 1,
    "writers": [],
}


def config(**fields):
    return validate(LeagueConfig, TINY | fields, Origin("a test"))


def run(settings, folder, **options):
    loop.run(settings, folder, resume=options.pop("resume", False), **options)
    return history_of(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A league that nothing has interrupted."""
    return run(config(), tmp_path_factory.mktemp("league") / "whole")


def decisions(history):
    return [history.decision(number)["learners"] for number in range(history.config.rounds)]


def test_a_league_freezes_and_trains_on(whole):
    assert whole.over and len(whole.found) == 5
    frozen = [member for member in whole.members if member.learner not in (None, member.id)]
    newest = [member for member in whole.members if member.id == member.learner]
    assert [member.id for member in newest] == ["main-0", "main_exploiter-0", "past"]
    assert {member.round for member in newest} == {4} and max(member.round for member in frozen) < 4
    assert all(member.id == f"{member.learner}.{member.round:04d}" for member in frozen)
    assert [member.id for member in frozen if member.learner == "past"] == ["past.0002"]
    steps = [checkpoint.read(whole.folder / member.checkpoint)["step"] for member in newest]
    assert steps[0] >= 1_700 and steps == [member.step for member in newest]


def test_what_freezes_was_measured_and_only_then_is_reset(whole):
    """Trap: exploiters that are reset before they freeze, so that the frozen member is the initial network."""
    begun = Round(whole.folder, 0).read("begun")["learners"]
    members = {(member.learner, member.round): member for member in whole.members if member.id != member.learner}
    resets = 0
    for number, learners in enumerate(decisions(whole)):
        for name, decision in learners.items():
            if decision["freeze"]:
                before = Round(whole.folder, number - 1).read(MADE)["learners"][name]
                assert decision["freeze"]["digest"] == before["digest"] == members[name, number].digest
                assert before["digest"] != begun[name]["digest"]
            if decision["trains_from"] is None:
                assert decision["freeze"]
                resets += 1
                after = whole.folder / Round(whole.folder, number).read(MADE)["learners"][name]["checkpoint"]
                config = checkpoint.read(after)["config"]
                start = checkpoint.read(whole.folder / begun[name]["checkpoint"])
                assert config["parent"] == f"digest:{start['integrity']}"
    assert resets
    assert [member.parent for member in whole.members if member.learner == "main_exploiter-0"][-1] is None
    assert whole.member("main-0").parent == [each.id for each in whole.members if each.learner == "main-0"][-2]


def test_opponents_are_of_earlier_rounds_and_never_anchors(whole):
    """Traps: live weights; and anchors that leak into training, whatever names them."""
    anchor = load_entrant("random", make(TINY["game"], 1).spec).digest
    known = {member.digest for member in whole.members if member.role == "start"}
    for number, learners in enumerate(decisions(whole)):
        known |= {digest for digest, _ in whole.found[number]["learners"].values()}
        assert all(set(decision["meets"]) <= known for decision in learners.values())
    said = (whole.folder / "journal.jsonl").read_text() + "".join(
        path.read_text() for path in whole.folder.glob("members/*/*/c*/*/checkpoint.json")
    )
    assert anchor not in said and "random" not in json.dumps(decisions(whole))
    assert all(anchor in whole.payoff(number)["agents"] for number in range(5))


def test_training_is_counted_by_opponent_and_steers_matchmaking_alone(whole, tmp_path, monkeypatch):
    made = Round(whole.folder, 0).read(MADE)["learners"]
    assert all(set(made[name]["outcomes"]) == set(each["meets"]) for name, each in decisions(whole)[0].items())
    counted = [each for output in made.values() for each in output["outcomes"].values()]
    assert counted and all(0 <= each["score"] <= each["episodes"] and each["episodes"] >= 20 for each in counted)

    def lost(run, opponents):
        return {digest: {"episodes": 1000.0, "score": 900.0 * k} for k, digest in enumerate(opponents)}

    monkeypatch.setattr("tournaments.populations.league.training.outcomes_of", lost)
    corrupt = run(config(), tmp_path / "corrupt")
    for number in range(2):
        pairs = zip(decisions(corrupt)[number].values(), decisions(whole)[number].values(), strict=True)
        assert all(one["freeze"] == other["freeze"] for one, other in pairs)
        assert corrupt.found[number] == whole.found[number]
    assert decisions(corrupt)[1]["main-0"]["meets"] != decisions(whole)[1]["main-0"]["meets"]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_kill_at_any_file_changes_no_byte(whole, tmp_path, monkeypatch, late):
    kills = killed_at_any_file(monkeypatch, tmp_path, lambda folder: run(config(), folder, resume=True), league, late)
    assert kills >= 10
    assert contents(tmp_path) == contents(whole.folder) and games(tmp_path) == games(whole.folder)


def test_the_order_in_which_work_ends_changes_no_byte(whole, tmp_path, monkeypatch):
    def backwards(function, tasks, *others):
        return reversed([function(*task) for task in tasks])

    def outcomes(function, tasks, *others):
        ended = [play.engines.Ended(function(*task)) for task in tasks]
        return reversed(list(enumerate(ended)))

    monkeypatch.setattr(play.engines, "run", backwards)
    monkeypatch.setattr(play.engines, "outcomes", outcomes)
    run(config(), tmp_path)
    assert contents(tmp_path) == contents(whole.folder) and games(tmp_path) == games(whole.folder)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_byte(whole, tmp_path, workers):
    run(config(workers=workers), tmp_path)
    assert contents(tmp_path) == contents(whole.folder) and games(tmp_path) == games(whole.folder)
    assert min(spent(tmp_path).values()) > 0.1


def test_cpu_time_is_counted_by_what_it_was_spent_on(tmp_path):
    with spending(tmp_path, 0, GAMES):
        sum(range(100_000))
    with spending(tmp_path, 0, TRAINING):
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    with (tmp_path / "cpu.jsonl").open("a") as file:
        file.write('{"round": 1, "wh')
    seconds = spent(tmp_path)
    assert seconds.keys() == {GAMES, TRAINING} and seconds[TRAINING] > seconds[GAMES] >= 0


def test_going_on_with_what_is_over_changes_nothing(whole):
    before = contents(whole.folder)
    with pytest.raises(UserError, match="already holds a run; go on with it"):
        run(config(), whole.folder)
    run(config(), whole.folder, resume=True)
    assert contents(whole.folder) == before


LOST = [
    "games.sqlite",
    "members",
    "members/main-0/0003",
    "population.json",
    "rounds/0004",
    "rounds/0004/cells.json",
    "rounds/0001/payoff.json",
    "rounds/0002",
    "rounds",
    "rounds/0003/decision.json",
    "rounds/0003/made.json",
    "rounds/0000/begun.json",
]


@pytest.mark.parametrize("lost", LOST)
def test_what_is_lost_is_made_again_from_the_rest(whole, tmp_path, lost):
    folder = tmp_path / "lost"
    shutil.copytree(whole.folder, folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole.folder) and games(folder) == games(whole.folder)


@pytest.mark.parametrize("name", ["cells", "meta", "decision", "made"])
def test_a_damaged_file_is_named_and_can_be_deleted(whole, tmp_path, name):
    folder = tmp_path / "damaged"
    shutil.copytree(whole.folder, folder)
    path = folder / "rounds" / "0003" / f"{name}.json"
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(RunFailed, match=rf"{name}.json' cannot be read .*; delete it, and --resume makes it again"):
            run(config(), folder, resume=True)
    path.unlink()
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole.folder)


def test_old_states_of_learners_are_dropped_and_those_that_may_be_needed_stay(whole):
    kept = {str(path.parents[2].relative_to(whole.folder / "members")) for path in whole.folder.rglob("learner.*")}
    learners = ("main-0", "main_exploiter-0", "past")
    assert kept == {f"{name}/{run}" for name in learners for run in ("start", "0002", "0003")}


def test_a_folder_stands_for_its_newest_learners_and_its_mixture(whole):
    listed = {member.digest: member.id for member in read_members(whole.folder)}
    mixture = json.loads((whole.folder / FILE).read_text())["mixture"]["weights"]
    assert set(mixture) <= set(listed) and np.sum(list(mixture.values()), axis=0) == pytest.approx([1, 1])
    assert len(evaluate(f"mixture({whole.folder})", against="random", seeds=2).return_mean) == 2
    spec = make(TINY["game"], 1).spec
    assert len(load_entrants(f"{whole.folder}(frozen=true)", spec)) == len(listed)
    newest = {entrant.digest for entrant in load_entrants(str(whole.folder), spec).values()}
    assert newest == {digest for digest, _ in whole.found[-1]["learners"].values()}


def test_status_and_report(whole, tmp_path):
    said = whole.to_json()
    assert said["next"] == "it is done" and len(said["members"]) == len(whole.members)
    assert all(each["elo"] for each in said["members"] if each["role"] == "main")
    page = write_report(whole).read_text()
    assert all(member.id in page for member in whole.members) and "Opponents by round" in page
    for member in whole.members:
        assert all(each["id"] for each in whole.origin(member)["opponents"])
    start, main = whole.members[0], whole.member("main-0")
    for one, other in ((start, main), (main, start)):
        cells = whole.cells(one, other)
        assert len(cells) == 2 and cells[0]["payoff"] == pytest.approx(-whole.cells(other, one)[1]["payoff"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"game": "spread"}, "league needs a game of two players, and 'spread' has 3"),
        ({"game": "matrix(game=chicken)"}, "'main-0' meets opponents by how often it wins"),
        ({"start": ["random", "random"]}, "'random' is in 'start' too; take it out of one"),
        ({"start": ["random()"]}, r"anchors are never trained against: 'random\(\)', the same agent as 'random',"),
        ({"anchors": ["mtcs"]}, "did you mean 'mcts'"),
        ({"learner": "ippoo"}, "did you mean 'ippo'"),
        ({"learner": {"name": "ippo", "entropy": 1}}, "unknown key 'entropy'"),
        ({"writers": ["tensorbord"]}, "did you mean 'tensorboard'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path, fields, said):
    with pytest.raises(UserError, match=said):
        run(config(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_learners_stay_when_a_league_goes_on(whole):
    with pytest.raises(UserError, match=r"begun with roles\.main: 1, the config now says 2; resume with the same, or "):
        run(config(roles={"main": 2, "main_exploiter": 1}), whole.folder, resume=True, accept_changes=True)
    with pytest.raises(UserError, match=r"begun with steps: 1700, the config now says 2200; .*--accept-changes"):
        run(config(steps=2_200), whole.folder, resume=True)


def test_a_league_goes_on_with_other_settings_from_where_it_was(whole, tmp_path):
    folder = tmp_path / "longer"
    shutil.copytree(whole.folder, folder)
    longer = config(steps=2_500, learner=TINY["learner"] | {"learning_rate": 1e-3})
    history = run(longer, folder, resume=True, accept_changes=True)
    assert decisions(history)[:4] == decisions(whole) and len(history.found) == 6
    assert history.member("main-0").step >= 2_500


def test_families_mix(tmp_path):
    """Networks, searches and scripted agents meet; where nothing is learnt of a role's own algorithm, it has the
    league's."""
    zero = {"name": "alphazero", "simulations": 4, "batch_size": 32, "steps_per_update": 16, "hidden": [8]}
    members = {"zero": {"opponents": "uniform", "learner": zero | {"encoder": "mlp"}, "freeze_every": 1}}
    settings = config(
        game="openspiel:tic_tac_toe",
        start=["mcts(simulations=5)", "random"],
        anchors=["uct(simulations=5)"],
        roles={"main": 1},
        members=members,
        steps=400,
        round=200,
    )
    history = run(settings, tmp_path)
    assert {member.algorithm for member in history.members} == {None, "ippo", "alphazero"}
    met = decisions(history)[1]["main-0"]["meets"]
    assert {history.name[digest] for digest in met} >= {"start-0000", "start-0001", "zero.0001"}


def test_general_sums_have_no_elo_and_no_mixture(tmp_path):
    members = {"tit": {"opponents": "uniform", "learner": {"name": "ippo", "hidden": [8]}, "freeze_every": 1}}
    settings = config(game="matrix(game=prisoners_dilemma, steps=4)", roles={}, members=members, start=[], steps=1_000)
    history = run(settings, tmp_path)
    assert "mixture" not in json.loads((tmp_path / FILE).read_text())
    assert next(history.warnings).startswith("No Elo") and history.over
    write_report(history)
    with pytest.raises(UserError, match="has no mixture: method: psro finds one, and method: league"):
        evaluate(f"mixture({tmp_path})", against="random", seeds=2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read where Linux tells it")
def test_three_hundred_frozen_members_take_no_more_memory_than_their_games(tmp_path, monkeypatch):
    """Trap: agents that stay when they have played. Their weights alone would be 37 MiB."""
    learners = {f"m{k}": {"opponents": "window(k=2)", "freeze_every": 1} for k in range(10)}
    learner = TINY["learner"] | {"hidden": [128, 128]}
    settings = config(roles={}, members=learners, learner=learner, min_rounds=1, steps=30 * 130, round=130)
    taken = {}

    def measured(self, round, *others):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        anonymous = next(line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
        taken[len(self.frozen)] = int(anonymous.split()[1]) / 1024
        return train(self, round, *others)

    train = league.LeaguePopulation._train
    monkeypatch.setattr(league.LeaguePopulation, "_train", measured)
    history = run(settings, tmp_path)
    frozen = sorted(taken)
    assert frozen[-1] >= 280 and len(history.members) >= 300
    assert taken[frozen[-1]] - taken[frozen[3]] < 20
