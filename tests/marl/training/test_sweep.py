"""Sweeps: the members are the runs that `marl train` makes, to the byte; what fails, or is killed, harms no other."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from games.errors import RunFailed, UserError
from marl.agents import checkpoint
from marl.agents.load import members
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.base.origin import typed
from marl.base.schema import load
from marl.base.terminal import Terminal
from marl.training.config import TrainConfig
from marl.training.population import train_members
from marl.training.sweep import axis, names_of, sweep
from marl.training.train import train
from tests.marl.training.test_train import same

ROOT = Path(__file__).parents[3]

TINY = {
    "game": "openspiel:tic_tac_toe",
    "algorithm": {"name": "ippo", "hidden": [8], "minibatch_size": 64},
    "steps": 300,
    "stretch": 150,
    "num_envs": 4,
    "rollout_length": 16,
    "seed": 7,
    "evaluation": {"panel": ["random"], "seeds": 2},
}

KILLED = """
import os, signal, sys
from marl.agents import checkpoint
from marl.cli.app import main
sync, calls = checkpoint._sync, [0]
def dies(path):
    calls[0] += path.is_file()
    if calls[0] == int(sys.argv[1]):
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
checkpoint._sync = dies
main(sys.argv[2:])
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    return Path("tiny.yaml")


@pytest.fixture
def marl(config, marl):
    """Run a command beside the config."""
    return marl


def settings_of(config, **options):
    """Return what sets each member apart, by its name."""
    options = {"seeds": 1, "sets": [], "grid": [], "workers": 1} | options
    return {name: member.set for name, member in sweep(config, **options).members.items()}


def alone(config, folder, *sets):
    """Train a config by itself."""
    train(load(TrainConfig, config, typed(sets)), folder, resume=False)
    return folder


def test_members_are_config_times_grid_times_seed(config):
    grid = ["algorithm.learning_rate=1e-4,3", "evaluation.panel=[random],[random, self]"]
    members = settings_of(config, seeds=2, sets=["steps=50", "stretch=10", "steps=60"], grid=grid)
    assert list(members) == [
        f"learning_rate-{rate}_panel-{panel}_seed-{seed}"
        for rate in ("0.0001", "3")
        for panel in ("random", "random-self")
        for seed in (7, 8)
    ]
    assert list(members["learning_rate-0.0001_panel-random-self_seed-8"].items()) == [
        ("stretch", 10),
        ("steps", 60),
        ("algorithm.learning_rate", 1e-4),
        ("evaluation.panel", ["random", "self"]),
        ("seed", 8),
    ]
    assert list(settings_of(config, seeds=3, sets=["seed=2"])) == ["seed-2", "seed-3", "seed-4"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1,2,3", [1, 2, 3]),
        (" a.b =1e-4, 0.5", [1e-4, 0.5]),
        ("a.b=[8],[16, 16]", [[8], [16, 16]]),
        ("a.b=mcts(simulations=20, c=1),random", ["mcts(simulations=20, c=1)", "random"]),
        ("a.b=true,null,gru", [True, None, "gru"]),
        ("a.b={c: 1},{c: 2}", [{"c": 1}, {"c": 2}]),
        ("a.b=x=1,y", ["x=1", "y"]),
    ],
)
def test_an_axis_is_a_yaml_list(text, values):
    assert axis(text) == ("a.b", values)


def test_names_are_safe_and_each_its_own():
    assert names_of("a.hidden", [[8], [256, 256]], ["a.hidden"]) == ["hidden-8", "hidden-256-256"]
    assert names_of("a.b", [-1, 1, 1e-5, None], ["a.b", "c.b"]) == ["a.b--1", "a.b-1", "a.b-1e-05", "a.b-null"]
    [connect] = names_of("game", ["openspiel:connect_four(rows=5) | agent_id"], ["game"])
    assert connect == "game-openspiel-connect_four-rows-5-agent_id"
    values = [[8], "8", "../8", "x" * 50, "x" * 51]
    names = names_of("a", values, ["a"])
    assert len(set(names)) == len(values) and all(len(name) < 60 and "/" not in name for name in names)


def test_a_sweep_trains_what_training_alone_does(config, marl):
    arguments = ["sweep", config, "--seeds", 2, "--grid", "algorithm.hidden=[8],[6]", "--set", "steps=310"]
    exit_code, printed, complaint = marl(*arguments, "--workers", 2)
    folder = Path("runs/tiny_sweep")
    assert (exit_code, complaint) == (0, "") and "hidden-6_seed-8: trained" in printed
    assert f"curves: marl plot {folder}" in printed
    listed = members(folder)
    assert set(listed) == {f"hidden-{hidden}_seed-{seed}" for hidden in (8, 6) for seed in (7, 8)}
    for name, newest in listed.items():
        hidden, seed = name.removeprefix("hidden-").split("_seed-")
        sets = [f"algorithm.hidden=[{hidden}]", f"seed={seed}", "steps=310"]
        run = alone(config, Path("alone") / name, *sets)
        assert same(run, folder / "members" / name)
        assert (run / "config.yaml").read_bytes() == (folder / "members" / name / "config.yaml").read_bytes()
        assert newest == checkpoint.newest(folder / "members" / name)
    assert marl("plot", folder)[0] == 0
    assert marl("evaluate", f"{newest.parents[1]}(greedy=true)", "--seeds", 2)[0] == 0


@pytest.mark.parametrize("at_write", [5, 11, 17])  # of 3 files a checkpoint and 3 checkpoints a member
def test_killed_and_resumed(config, marl, at_write):
    arguments = ["sweep", str(config), "--seeds", "2", "--workers", "1", "--run-dir", "killed"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(at_write), *arguments], env=environment, capture_output=True, timeout=120
    )
    assert died.returncode == -signal.SIGKILL
    exit_code, printed, complaint = marl(*arguments, "--resume")
    assert (exit_code, complaint) == (0, "")
    assert printed.count("nothing to do") == (at_write > 9) and printed.count("goes on from") == (at_write in (5, 17))
    for seed in (7, 8):
        assert same(alone(config, Path(f"alone{seed}"), f"seed={seed}"), Path("killed/members") / f"seed-{seed}")


def test_a_finished_sweep_takes_more_seeds(config, marl):
    assert marl("sweep", config, "--seeds", 1, "--run-dir", "s")[0] == 0
    exit_code, _, complaint = marl("sweep", config, "--seeds", 2, "--run-dir", "s")
    assert exit_code == 2 and "already holds the member 'seed-7'; add --resume" in complaint
    assert [path.name for path in Path("s/members").iterdir()] == ["seed-7"]
    assert marl("sweep", config, "--seeds", 2, "--run-dir", "s", "--resume")[0] == 0
    assert list(members(Path("s"))) == ["seed-7", "seed-8"]
    exit_code, _, complaint = marl(
        "sweep", config, "--seeds", 3, "--run-dir", "s", "--resume", "--set", "algorithm.hidden=[9]"
    )
    assert (
        exit_code == 2
        and "begun with algorithm.hidden: [8], the config now says [9]" in complaint
        and not Path("s/members/seed-9").exists()
    )


@pytest.mark.parametrize("error", [None, ZeroDivisionError("by\nzero")])
def test_a_member_that_fails_stops_no_other(config, marl, monkeypatch, error):
    """With a learning rate of 1e30 the loss is not finite; or the learner raises what nobody expects."""
    if error:
        update = Ippo.update

        def broken(self, trajectory, mine):
            if self.config.learning_rate > 1:
                raise error
            return update(self, trajectory, mine)

        monkeypatch.setattr(Ippo, "update", broken)
    arguments = ["sweep", config, "--seeds", 1, "--grid", "algorithm.learning_rate=1e30,1e-3", "--run-dir", "s"]
    exit_code, printed, complaint = marl(*arguments, "--workers", 1)
    reason = "unexpected ZeroDivisionError: by zero" if error else "is not finite"
    assert exit_code == 1 and complaint.count("\n") == 1 and reason in complaint
    assert "1 of 2 members failed, 'learning_rate-1e+30_seed-7' first: " in complaint
    assert "learning_rate-0.001_seed-7: trained" in printed and "learning_rate-1e+30_seed-7: failed: " in printed
    assert list(members(Path("s"))) == ["learning_rate-0.001_seed-7"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_worker_comes_back_as_a_sentence(config, workers):
    """An error that takes several arguments, as GameFailed does, could not travel as itself."""
    game = "game=tests.games.test_guard:Failing(state=Raising)"
    population = sweep(config, seeds=2, sets=[game], grid=[], workers=workers)
    console = Terminal(file=io.StringIO())
    with pytest.raises(RunFailed, match=r"2 of 2 members failed, 'seed-[78]' first: .*raised RuntimeError"):
        train_members(population, Path("s"), resume=False, device="cpu", console=console)
    assert console.file.getvalue().count("failed: ") == 2 and not Path("s/population.json").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--grid algorithm.hiden=[8],[9]", "did you mean 'hidden'"),
        ("--grid algorithm.learning_rate=1,many", "'learning_rate'"),  # the last member's
        ("--grid stepz=1,2", "did you mean 'steps'"),
        ("--set stepz=3", "did you mean 'steps'"),
        ("--set steps", "expected --set a.b=c"),
        ("--grid steps", "expected --grid a.b=1,2,3, got 'steps'"),
        ("--grid steps=", "has no values"),
        ("--grid steps=1,2,1", "has the value 1 twice"),
        ("--grid steps=[1", "no list in YAML"),
        ("--grid seed=1,2", "with --seeds, not --grid seed"),
        ("--grid steps=1,2 --grid steps=3,4", "would undo what is given for 'steps'"),
        ("--grid steps=1,2 --set steps=3", "would undo what is given for 'steps'"),
        ("--set evaluation.seeds=3 --grid evaluation={seeds: 1},{seeds: 2}", "given for 'evaluation.seeds'"),
        ("--grid evaluation.panel=[random],[randm]", "did you mean 'random'"),
        ("--grid game=openspiel:tic_tac_toe,openspiel:tic_tac_to", "did you mean 'tic_tac_toe'"),
        ("--seeds 0", "'--seeds'"),
        ("--set seed=9223372036854775807 --seeds 2", "'set.seed': expected"),
        ("--workers 0", "'--workers'"),
        ("--workers 1 --device tpu", "auto, cpu, cuda or cuda:N"),
        ("--workers 1 --run-dir tiny.yaml/s", "cannot be written"),
    ],
)
def test_bad_input(marl, arguments, reason):
    before = sorted(Path().rglob("*"))
    words = arguments.replace("{seeds: ", "{seeds:~").split()
    exit_code, printed, complaint = marl("sweep", "tiny.yaml", *(word.replace("~", " ") for word in words))
    assert (exit_code, printed) == (2, "") and complaint.startswith("marl: ") and complaint.count("\n") == 1
    assert reason in complaint
    assert sorted(Path().rglob("*")) == before


def test_a_config_that_does_not_exist(marl):
    exit_code, _, complaint = marl("sweep", "tinny.yaml")
    assert exit_code == 2 and "did you mean 'tiny.yaml'" in complaint


def test_an_axis_that_cannot_be_read():
    for text in ("", "=1", "a"):
        with pytest.raises(UserError, match="expected --grid"):
            axis(text)
