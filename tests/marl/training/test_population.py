"""Populations: members are checked before any trains, and the folder says who they are."""

import io
import json

import pytest
from pydantic import ValidationError

from games.errors import UserError
from marl.agents.load import members
from marl.algorithms.policy_gradient.critic import CriticInput
from marl.base.lock import held
from marl.base.terminal import Terminal
from marl.training.config import OpponentsConfig, PopulationConfig
from marl.training.population import MembersProgress, check_members, train_members, write
from marl.training.runlog import logged_step
from marl.training.train import prepare, train
from tests.marl.agents.test_checkpoint import written
from tests.marl.training.test_train import ROOT, config


def population(**settings) -> PopulationConfig:
    path = str(ROOT / "configs" / "train" / "ippo_tic_tac_toe.yaml")
    return PopulationConfig.model_validate({"members": {"a": {"train": path, "set": settings}}})


def test_a_members_settings_reach_its_config(tmp_path):
    settings = {"keep": None, "seed": 3, "algorithm.learning_rate": 1e-5, "algorithm.anneal": False}
    settings |= {"opponents": {"agents": ["mcts(simulations=5)"], "share": 0.25}, "algorithm.hidden": [8]}
    found = check_members(population(**settings), tmp_path, resume=False)["a"].config
    assert (found.keep, found.seed) == (None, 3)
    assert found.opponents == OpponentsConfig(agents=("mcts(simulations=5)",), share=0.25)
    assert found.algorithm["learning_rate"] == 1e-5 and found.algorithm["anneal"] is False
    assert found.algorithm["hidden"] == [8]


def test_a_member_that_does_not_fit_is_found_before_any_trains(tmp_path):
    for settings in ({"algorithm.hiden": [8]}, {"evaluation.panel": ["nobody"]}, {"game": "openspiel:chesss"}):
        with pytest.raises(UserError, match=r"did you mean|expected"):
            check_members(population(**settings), tmp_path, resume=False)
    train(config(steps=1), tmp_path / "members" / "a", resume=False)
    with pytest.raises(UserError, match="already holds the member 'a'"):
        check_members(population(), tmp_path, resume=False)
    with pytest.raises(UserError, match="the run was begun with"):
        check_members(population(seed=1), tmp_path, resume=True)


def test_what_is_wrong_with_a_member_is_said_of_it(tmp_path):
    with pytest.raises(UserError, match="the member 'a': unknown key 'stepz'"):
        check_members(population(stepz=3), tmp_path, resume=False)
    with pytest.raises(UserError, match=r"^expected --device"):
        check_members(population(), tmp_path, resume=False, device="gpu")


@pytest.mark.parametrize("name", ["a/b", "..", ".", ""])
def test_names_of_members_are_names_of_folders(name):
    with pytest.raises(ValidationError, match="pattern"):
        PopulationConfig.model_validate({"members": {name: {"train": "t.yaml"}}})


def test_names_of_members_differ_in_more_than_case():
    """macOS and Windows drives take `Small` and `small` for one folder."""
    for twins in (("small", "Small"), ("straße", "STRASSE")):
        with pytest.raises(ValidationError, match="differ in more than case"):
            PopulationConfig.model_validate({"members": {name: {"train": "t.yaml"} for name in twins}})
    PopulationConfig.model_validate({"members": {name: {"train": "t.yaml"} for name in ("small", "smaller")}})


def test_a_population_plays_along_as_its_members_do(tmp_path):
    runs = {name: tmp_path / "members" / name for name in ("a", "b")}
    for key, run in enumerate(runs.values()):
        written(run, key=key)
    write(tmp_path, runs)
    asked = config(opponents={"agents": [str(tmp_path)]}, evaluation={"panel": [str(tmp_path), "self"], "seeds": 1})
    run = prepare(asked, tmp_path / "run")
    assert [opponent.label for opponent in run.opponents.listed] == ["a", "b"]
    assert list(run.panel) == [f"{tmp_path}/a", f"{tmp_path}/b", "self"]  # another's members may be called so, too


def test_write_and_read(tmp_path):
    folders = {name: written(tmp_path / "members" / name, key=key)[0] for key, name in enumerate(("a", "b"))}
    write(tmp_path, {name: tmp_path / "members" / name for name in folders})
    assert members(tmp_path) == folders
    first, second = json.loads((tmp_path / "population.json").read_text())["members"]
    assert first["digest"] != second["digest"] and first["parent"] is None and first["step"] == 5


def logged(run, steps):
    """Leave a run's metrics, the last line torn."""
    run.mkdir(parents=True)
    text = "".join(json.dumps({"step": step, "padding": "x" * 99}) + "\n" for step in steps)
    (run / "metrics.jsonl").write_text(text + '{"step": 99999')


def test_one_line_a_member_at_80_columns(tmp_path):
    long = "learning_rate-0.0001_panel-random-self_hidden-256-256_seed-8"
    runs = {name: tmp_path / name for name in ("seed-7", long, "waits")}
    logged(runs["seed-7"], range(0, 90_001, 100))
    logged(runs[long], [4096])
    terminal, paper = (
        Terminal(file=io.StringIO(), width=80, force_terminal=live, color_system=None) for live in (True, False)
    )
    with MembersProgress(runs, dict.fromkeys(runs, 1_000_000), terminal) as progress:
        logged(runs["waits"], [])
        paper.print(progress.get_renderable())
        shown = [line.rstrip() for line in paper.file.getvalue().splitlines()]
        assert len(shown) == 3 and all(len(line) <= 80 for line in shown)
        assert [line.split()[0] for line in shown] == ["seed-7", "learning_rate-0.0001_…256_seed-8", "waits"]
        assert [line.split("/")[0].split()[-1] for line in shown] == ["90000", "4096", "0"]
        progress.ended("seed-7")
        assert len(progress.tasks) == 2
    assert logged_step(tmp_path / "nowhere") == 0


def test_on_a_terminal_members_say_their_notes_and_nothing_else(tmp_path, monkeypatch):
    """Their own lines would be drawn over those of the progress."""
    monkeypatch.setattr(CriticInput, "note", "it is so")
    sets = {"steps": 1, "num_envs": 2, "evaluation.panel": ["self"], "evaluation.seeds": 1, "algorithm.hidden": [8]}
    for terminal in (True, False):
        console = Terminal(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
        folder = tmp_path / str(terminal)
        train_members(population(**sets), folder, resume=False, device="cpu", console=console)
        said = console.file.getvalue()
        assert "a: trained" in said and ("a: note: it is so" in said) == terminal
        assert "mean return" not in said and not (folder / "lock.json").exists()


def test_two_populations_in_one_folder(tmp_path):
    with held(tmp_path, "a population"), pytest.raises(UserError, match="in use by a population"):
        train_members(population(), tmp_path, resume=True, device="cpu", console=Terminal(file=io.StringIO()))
    assert not (tmp_path / "members").exists()


def test_a_member_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match="the member 'a' has no checkpoint"):
        write(tmp_path, {"a": tmp_path / "a"})


@pytest.mark.parametrize("text", [None, "{", "[]", '{"members": [{"id": "a"}]}', '{"members": 3}'])
def test_a_folder_that_is_no_population(tmp_path, text):
    if text is not None:
        (tmp_path / "population.json").write_text(text)
    with pytest.raises(UserError, match=r"holds no readable population\.json"):
        members(tmp_path)
