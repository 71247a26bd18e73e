"""The rounds of population-based training: what is copied, its replay, and the same bytes after every kill."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from games.errors import UserError
from marl.agents import checkpoint
from marl.agents.populations import FILE, read_population
from marl.base.origin import Origin
from marl.base.schema import validate
from marl.cli.app import app
from tests.tournaments.populations.kills import killed_everywhere
from tests.tournaments.populations.test_loop import contents, run
from tournaments.populations.files import read_members
from tournaments.populations.histories import history_of
from tournaments.populations.pbt import loop as pbt
from tournaments.populations.pbt.config import PbtConfig
from tournaments.populations.pbt.selection import Meeting, meetings
from tournaments.populations.report import write_report

RATE = "algorithm.learning_rate"
TINY = {
    "train": "ippo_kuhn",
    "set": {
        "algorithm.hidden": [8],
        "algorithm.minibatch_size": 64,
        "num_envs": 8,
        "rollout_length": 16,
        "steps": 600,
        "stretch": 100,
        "keep": 1,
        "evaluation.panel": [],
        "writers": [],
    },
    "size": 5,
    "ready": 200,
    "vary": {RATE: {"log": [1e-4, 1e-1]}, "algorithm.epochs": {"uniform": [1, 4]}},
    "anchors": ["random"],
    "seeds": 32,
    "workers": 1,
    "writers": [],
}


ALONE = TINY | {"set": TINY["set"] | {"game": "gymnasium:gymnasium.CartPole-v1"}}
ALONE.pop("anchors")


def config(**fields):
    given = {"method": "pbt"} | TINY | fields
    if "fitness" in fields and "anchors" not in fields:
        del given["anchors"]
    return validate(PbtConfig, given, Origin("a test"))


@pytest.fixture
def copying(monkeypatch):
    """Let every meeting copy, as if all differences were real: a copy each round."""
    monkeypatch.setattr(pbt, "meetings", always)


class Always(Meeting):
    copies = True


def always(returns, key, diverged):
    return [Always(met.child, met.parent, met.difference) for met in meetings(returns, key, diverged)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a run in which every meeting copied."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pbt, "meetings", always)
        run(config(), folder)
    return folder


def copies(folder):
    return history_of(folder).copies


def test_members_train_score_and_copy_in_rounds(whole):
    history = history_of(whole)
    assert history.over and history.rounds == 3 and [found["round"] for found in history.found] == [0, 1, 2, 3]
    assert [member.id for member in history.members] == [f"member-{k:04d}" for k in range(5)]
    assert all(member.round == 3 and member.step >= 600 for member in history.members)
    assert len(history.copies) == 2 and history.copied == 2
    assert [copy.round for copy in history.copies] == [1, 2]
    for copy in history.copies:
        found = history.found[copy.round]["members"]
        worth = {name: member["fitness"] for name, member in found.items()}
        assert copy.child == min(worth, key=worth.get) and copy.parent == max(worth, key=worth.get)
        assert copy.before == found[copy.child]["settings"]
        assert history.found[copy.round + 1]["members"][copy.child]["settings"] == copy.after
        assert copy.difference.mean == pytest.approx(worth[copy.parent] - worth[copy.child])


def test_a_copy_is_the_learner_of_its_round(tmp_path, copying, monkeypatch):
    """Trap: with `keep: 1`, and the parent going on, the child's first checkpoint has the parent's bytes of then."""
    first = {}
    retain = checkpoint.retain

    def watched(run, keep):
        for found in (run / "checkpoints").glob("0*"):
            if run not in first:
                first[run] = [(found / name).read_bytes() for name in ("agent.safetensors", "learner.safetensors")]
        retain(run, keep)

    monkeypatch.setattr("marl.training.train.checkpoint.retain", watched)
    run(config(), tmp_path)
    found = copies(tmp_path)
    assert found
    for copy in found:
        parent = checkpoint.newest(tmp_path / "members" / copy.parent / f"{copy.round - 1:04d}")
        assert checkpoint.read(parent)["integrity"] == copy.parent_digest
        assert checkpoint.newest(tmp_path / "members" / copy.parent / f"{copy.round:04d}") is not None
        child = tmp_path / "members" / copy.child / f"{copy.round:04d}"
        assert first[child][0] == (parent / "agent.safetensors").read_bytes()
        assert first[child][1] == (parent / "learner.safetensors").read_bytes()
        assert len(list((child / "checkpoints").glob("0*"))) == 1


def test_a_member_whose_difference_is_not_clear_explores_alone(tmp_path):
    history = run(config(seeds=10, start="train", vary={RATE: {"log": [1e-4, 1e-1]}}), tmp_path)
    alone = [copy for copy in history.copies if copy.alone]
    assert alone and history.copied == len(history.copies) - len(alone)
    for copy in alone:
        decision = history.decision(copy.round)["members"][copy.child]
        assert decision["parent"]["checkpoint"].startswith(f"members/{copy.child}/{copy.round - 1:04d}/")
        assert decision["settings"] == copy.after != copy.before


def test_fitness_by_the_other_members(tmp_path):
    """In a zero-sum game what one earns another pays: all members together earn nothing."""
    settings = config(fitness="league", seeds=16, set=TINY["set"] | {"steps": 400})
    history = run(settings, tmp_path)
    for found in history.found[1:]:
        worth = [member["fitness"] for member in found["members"].values()]
        assert sum(worth) == pytest.approx(0, abs=1e-9) and max(worth) > 0
    assert "against the other members" in write_report(history).read_text()
    run(settings, tmp_path, resume=True)
    with pytest.raises(UserError, match=r"league is by games with the other members, got anchors: \['self'\] too"):
        config(fitness="league", anchors=["self"])
    alone = validate(PbtConfig, {"method": "pbt", "fitness": "league"} | ALONE, Origin("a test"))
    with pytest.raises(UserError, match="is a game of one player, in which no members meet; use anchors"):
        alone.checked()


def test_the_number_of_workers_changes_no_byte(tmp_path):
    """Trap: the clock is in steps, so one worker and four give one lineage."""
    settings = config(size=6, seeds=64)
    run(settings, tmp_path / "one")
    run(config(size=6, seeds=64, workers=4), tmp_path / "four")
    assert contents(tmp_path / "four") == contents(tmp_path / "one")
    assert [copy.to_json() for copy in copies(tmp_path / "four")] == [
        copy.to_json() for copy in copies(tmp_path / "one")
    ]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_kill_at_any_file_changes_no_byte(tmp_path, whole, copying, monkeypatch, late):
    folder = tmp_path / "killed"
    kills = killed_everywhere(
        monkeypatch, lambda: run(config(), folder, resume=True), (pbt, "write_population"), late=late, every=2
    )
    assert kills >= 8
    assert contents(folder) == contents(whole)


def test_a_run_that_is_over_is_not_begun_again(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with pytest.raises(UserError, match="already holds a run; go on with it"):
        run(config(), folder)
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize(
    "lost",
    ["members", "members/member-0002", "members/member-0001/0001", "rounds/0002", "rounds/0001/decision.json", FILE],
)
def test_what_is_lost_is_made_again_from_the_rest(tmp_path, whole, copying, lost):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole)


def test_without_a_journal_members_are_scored_again(tmp_path, whole, copying):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "journal.jsonl").unlink()
    shutil.rmtree(folder / "rounds")
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("place", [0, -1])
def test_a_schedule_is_replayed_to_the_members_bytes(tmp_path, whole, place):
    """`lineage RUN MEMBER --config FOLDER` prints commands; what they train is the member."""
    history = history_of(whole)
    copied = [copy.child for copy in history.copies]
    member = history.member(copied[place])
    said = CliRunner().invoke(
        app, ["population", "lineage", str(whole), member.id, "--config", str(tmp_path / "again")]
    )
    commands = said.stdout.splitlines()
    assert said.exit_code == 0 and len(commands) == 3
    for command in commands:
        words = command.split()
        assert words[:2] == ["marl", "train"]
        ended = CliRunner().invoke(app, words[1:])
        assert ended.exit_code == 0, ended.output
    again = checkpoint.newest(tmp_path / "again" / "0002")
    for name in ("agent.safetensors", "learner.safetensors"):
        assert (again / name).read_bytes() == (whole / member.checkpoint / name).read_bytes()
    assert checkpoint.read(again)["digest"] == member.digest


def test_lineage_tells_the_schedule(whole):
    history = history_of(whole)
    copy = history.copies[-1]
    said = history.origin(history.member(copy.child))["schedule"]
    assert said[-1] == {"begin": 400, "end": 600, "member": copy.child, "settings": copy.after}
    assert said[0]["begin"] == 0 and said[-2]["member"] == copy.parent
    text = CliRunner().invoke(app, ["population", "lineage", str(whole), copy.child]).stdout
    assert "400 to 600" in text and copy.parent in text
    refused = CliRunner().invoke(app, ["population", "lineage", str(whole), "--config", "x"])
    assert isinstance(refused.exception, UserError)


def test_status_and_report_say_what_members_are_worth(whole):
    history = history_of(whole)
    said = json.loads(CliRunner().invoke(app, ["population", "status", str(whole), "--json"]).stdout)
    best = max(said["members"], key=lambda member: member["fitness"])
    assert said["best"] == best["id"] and len(said["copies"]) == 2 and said["next"] == "it is done"
    text = CliRunner().invoke(app, ["population", "status", str(whole)]).stdout
    assert f"the best: {said['best']}" in text and "learning_rate" in text and "round 3 of 3" in text
    page = write_report(history).read_text()
    assert "Copies" in page and "learning_rate" in page and 'id="payoffs"' not in page
    refused = CliRunner().invoke(app, ["population", "matches", str(whole), "member-0000", "member-0001"])
    assert isinstance(refused.exception, UserError)


def test_a_run_that_has_begun_says_what_it_does(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for number in (2, 3):
        shutil.rmtree(folder / "rounds" / f"000{number}", ignore_errors=True)
    shutil.rmtree(folder / "members" / "member-0003" / "0001")
    assert history_of(folder).doing == "the members train: 4 of 5 have reached step 400"
    (folder / FILE).unlink()
    assert history_of(folder).to_json()["members"] == []


def test_the_folder_stands_for_its_newest_members(whole):
    found = read_population(whole)
    assert [member.id for member in found.newest] == [f"member-{k:04d}" for k in range(5)] and found.mixture is None
    assert all(member.checkpoint and "/0002/" in member.checkpoint for member in found.newest)


def test_no_training_names_an_anchor(whole):
    """Trap: an anchor that members are trained against would make fitness worthless."""
    units = [json.loads(line) for line in (whole / "journal.jsonl").read_text().splitlines()]
    anchors = {anchor for unit in units if unit["kind"] == "score" for anchor in unit["inputs"]["anchors"]}
    assert len(anchors) == 1
    assert not any(anchor in json.dumps(unit) for unit in units if unit["kind"] == "train" for anchor in anchors)


def test_writers_get_fitness_and_settings():
    values = pbt.values_of(
        {"members": {"member-0000": {"fitness": 0.5, "settings": {RATE: 0.1, "algorithm.x": "word"}}}}
    )
    assert values == {"fitness/member-0000": 0.5, f"pbt/{RATE}/member-0000": 0.1}


def test_members_that_have_had_all_steps_rest(tmp_path):
    """A rollout has 128 steps: after two rounds of 200 each all have 512 of 500."""
    history = run(config(set=TINY["set"] | {"steps": 500, "num_envs": 16}, ready=250), tmp_path / "two")
    assert history.rounds == 2 and all(member.step >= 500 for member in history.members)
    history = run(config(set=TINY["set"] | {"steps": 500, "num_envs": 16}, ready=240), tmp_path / "three")
    assert history.rounds == 3 and history.over
    assert not (tmp_path / "three" / "members" / "member-0000" / "0002").exists()
    assert all(member.step >= 500 for member in read_members(tmp_path / "three"))


def test_another_config_is_refused_unless_changes_are_accepted(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with pytest.raises(UserError, match=r"begun with seeds: 32, the config now says 33; .*--accept-changes"):
        run(config(seeds=33), folder, resume=True)
    with pytest.raises(UserError, match=r"begun with ready: 200, .* name another --run-dir"):
        run(config(ready=100), folder, resume=True, accept_changes=True)
    run(config(seeds=33), folder, resume=True, accept_changes=True)


def test_another_training_config_is_refused(tmp_path):
    """The file that `train` names may change while a population stands still."""
    train = tmp_path / "train.yaml"
    text = "game: openspiel:kuhn_poker\nalgorithm: {name: ippo, hidden: [8]}\nsteps: 200\nstretch: 100\n"
    train.write_text(f"{text}num_envs: 8\nrollout_length: 16\nevaluation: {{panel: []}}\nwriters: []\n")
    settings = config(train=str(train), set={}, ready=200)
    run(settings, tmp_path / "run")
    train.write_text(train.read_text().replace("[8]", "[16]"))
    with pytest.raises(UserError, match=r"begun with train.algorithm.hidden: \[8\], the config now says \[16\]"):
        run(config(train=str(train), set={}, ready=200), tmp_path / "run", resume=True)
    train.unlink()
    assert history_of(tmp_path / "run").game == "openspiel:kuhn_poker"
