"""Partners, learners and strangers: the pool, what they earn with each other, and the same bytes after every kill."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from games.errors import UserError
from marl.agents import checkpoint
from marl.agents.populations import FILE, read_population
from marl.base.origin import Origin
from marl.base.schema import validate
from marl.cli.app import app
from tests.tournaments.populations.kills import killed_everywhere
from tests.tournaments.populations.test_loop import contents, games, run
from tournaments.populations.files import META, PAYOFF, Round, read_members
from tournaments.populations.histories import history_of
from tournaments.populations.partners import loop as partners
from tournaments.populations.partners.config import PartnersConfig
from tournaments.populations.report import write_report

TINY = {
    "train": "ippo_coordination",
    "set": {
        "game": "matrix(game=coordination, steps=3, memory=true)",
        "algorithm.hidden": [8],
        "algorithm.minibatch_size": 64,
        "num_envs": 8,
        "rollout_length": 8,
        "steps": 400,
        "stretch": 100,
        "keep": 1,
        "evaluation.seeds": 10,
        "writers": [],
    },
    "partners": 2,
    "learners": 2,
    "held_out": 2,
    "seeds": 10,
    "workers": 1,
    "writers": [],
}


def config(**fields):
    return validate(PartnersConfig, {"method": "partners"} | TINY | fields, Origin("a test"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(config(), folder)
    return folder


def test_learners_train_with_the_pool_alone(whole):
    history = history_of(whole)
    roles = ["partner"] * 2 + ["held_out"] * 2 + ["learner"] * 2
    assert [member.role for member in history.members] == roles and history.over
    stages = [each["stage"] for each in history.pool]
    assert stages[0] == "start" and stages[-1] == "final"
    finals = {each["digest"] for each in history.pool if each["stage"] == "final"}
    assert finals == {member.digest for member in history.members if member.role == "partner"}
    strangers = {member.digest for member in history.members if member.role == "held_out"}
    seeds = [member.seed for member in history.members]
    assert len(set(seeds)) == 6
    for member in history.members[-2:]:
        trained = checkpoint.read(whole / member.checkpoint)["config"]
        met = {entry if isinstance(entry, str) else entry["agent"] for entry in trained["opponents"]["agents"]}
        assert met == {f"digest:{each['digest']}" for each in history.pool}
        assert trained["opponents"]["share"] == 1.0
        assert not any(digest in json.dumps(trained) for digest in strangers)


def test_the_pool_has_the_checkpoint_that_first_earned_half(whole):
    """All checkpoints of partners are kept, whatever `keep` says, with what they earn by self-play."""
    for name in ("partner-0000", "partner-0001"):
        at = whole / "members" / name / "0000"
        earned = [json.loads(line) for line in (at / "evaluations.jsonl").read_text().splitlines()]
        assert len(list((at / "checkpoints").glob("0*"))) == len(earned) >= 4
        returns = {line["step"]: np.mean(line["return_mean"]) for line in earned}
        first, last = earned[0]["step"], earned[-1]["step"]
        enough = min((returns[first] + returns[last]) / 2, returns[last])
        half = next(step for step in returns if returns[step] >= enough)
        steps = [each["step"] for each in history_of(whole).pool if each["partner"] == name]
        assert steps == sorted({first, half, last})


def test_what_is_found_follows_from_the_games(whole):
    history = history_of(whole)
    table = history.payoff(2)
    paid = np.array(table["payoff"])
    team = (paid[0] + paid[1].T) / 2
    assert np.array(table["games"]).min() == 10
    apart = team[:4, :4]
    found = history.found[0]
    assert found["self_play"][0] == pytest.approx(np.trace(apart) / 4)
    assert found["cross_play"][0] == pytest.approx((apart.sum() - np.trace(apart)) / 12)
    both = (team + team.T) / 2
    assert found["learners"] == pytest.approx(both[4:, 2:4].mean())
    assert found["partners"] == pytest.approx(both[:2, 2:4].mean())
    assert found["narrowed"]["mean"] == pytest.approx(found["learners"] - found["partners"])
    held = history.worth(history.member("held_out-0000"))
    assert held == {"alone": pytest.approx(team[2, 2]), "with_held_out": pytest.approx(both[2, 3])}


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path, whole, workers):
    run(config(workers=workers), tmp_path)
    assert contents(tmp_path) == contents(whole) and games(tmp_path) == games(whole)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_kill_at_any_file_changes_no_byte(tmp_path, whole, monkeypatch, late):
    folder = tmp_path / "killed"
    kills = killed_everywhere(
        monkeypatch, lambda: run(config(), folder, resume=True), (partners, "write_population"), late=late
    )
    assert kills >= 8
    assert contents(folder) == contents(whole) and games(folder) == games(whole)


@pytest.mark.parametrize(
    "lost",
    [
        "members",
        "members/partner-0001",
        "members/held_out-0000",
        "members/learner-0000/0001",
        "rounds",
        "rounds/0002/payoff.json",
        "rounds/0002/meta.json",
        "games.sqlite",
        "journal.jsonl",
        FILE,
    ],
)
def test_what_is_lost_is_made_again_from_the_rest(tmp_path, whole, lost):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole) and games(folder) == games(whole)


def test_a_run_that_is_over_is_not_begun_again(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with pytest.raises(UserError, match="already holds a run; go on with it"):
        run(config(), folder)
    run(config(), folder, resume=True)
    assert contents(folder) == contents(whole)


def test_what_has_begun_says_what_it_does(tmp_path, whole):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "rounds" / "0002" / "meta.json").unlink()
    assert history_of(folder).doing == "all members meet"
    shutil.rmtree(folder / "members" / "learner-0001")
    assert history_of(folder).doing == "learners train with the pool: 1 of 2 are done"
    shutil.rmtree(folder / "rounds" / "0001")
    shutil.rmtree(folder / "members" / "partner-0001")
    history = history_of(folder)
    assert history.doing == "partners and held-out agents train by self-play: 3 of 4 are done"
    assert history.headline is None and history.found == []
    assert history.to_json()["members"][0]["alone"] is None


def test_the_folder_stands_for_its_learners(whole):
    assert [member.id for member in read_population(whole).newest] == ["learner-0000", "learner-0001"]
    assert len(read_members(whole)) == 6


def test_commands_tell_what_members_are_worth(whole):
    runner = CliRunner()
    said = json.loads(runner.invoke(app, ["population", "status", str(whole), "--json"]).stdout)
    assert {member["role"] for member in said["members"]} == {"partner", "held_out", "learner"}
    assert said["found"]["gap"] == history_of(whole).found[0]["gap"]
    text = runner.invoke(app, ["population", "status", str(whole)]).stdout
    assert "co-play narrows" in text and "round 2 of 2; it is done" in text
    lineage = runner.invoke(app, ["population", "lineage", str(whole), "learner-0000"]).stdout
    assert "partner-0001" in lineage and "final" in lineage
    matches = runner.invoke(app, ["population", "matches", str(whole), "learner-0000", "held_out-0001"]).stdout
    assert "10 games" in matches
    page = write_report(history_of(whole)).read_text()
    assert "What co-play can show" in page and "the lever game" in page and 'id="payoffs"' in page


def test_the_lever_game_shows_what_co_play_cannot_do(tmp_path):
    """Trap: one-shot, so nothing of a partner shows before it counts: learners guess, and no success is claimed."""
    settings = TINY["set"] | {"game": "matrix(game=lever)", "steps": 4_000, "stretch": 2_000, "num_envs": 64}
    settings |= {"algorithm.minibatch_size": 512, "algorithm.learning_rate": 0.02}
    history = run(config(set=settings, partners=4, held_out=4), tmp_path)
    found = history.found[0]
    assert found["self_play"][0] > 0.8 and found["cross_play"][0] < 0.5 and found["learners"] < 0.5
    said = " ".join(history.warnings)
    assert "An episode of this game is one step" in said and "is not clear" in said


def test_one_learner_shows_nothing_of_other_seeds(tmp_path):
    history = run(config(learners=1), tmp_path)
    assert history.found[0]["narrowed"]["interval"] is None
    assert any("With one learner" in warning for warning in history.warnings)
    assert Round(tmp_path, 2).read(META) and Round(tmp_path, 2).read(PAYOFF)
