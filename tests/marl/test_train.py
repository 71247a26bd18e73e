"""Training: the same bytes for the same seed, and after any kill; a run folder that is never half right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from games.errors import RunFailed, UserError
from marl import checkpoint
from marl.config import TrainConfig, load
from marl.train import prepare, train

ROOT = Path(__file__).parents[2]

TINY = {
    "game": "openspiel:tic_tac_toe",
    "algorithm": {"name": "ippo", "hidden": (16,), "minibatch_size": 64},
    "steps": 600,
    "stretch": 200,
    "num_envs": 4,
    "rollout_length": 16,
    "opponents": {"agents": ("random",), "share": 0.5},
    "evaluation": {"panel": ("random", "self"), "seeds": 2},
}

KILLED = """
import json, os, signal, sys
from pathlib import Path
from marl import checkpoint
from marl.config import TrainConfig
from marl.train import train
write, calls = checkpoint._write_bytes, [0]
def dies(path, data):
    calls[0] += 1
    if calls[0] == int(sys.argv[3]):
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)
checkpoint._write_bytes = dies
train(TrainConfig.model_validate(json.loads(sys.argv[2])), Path(sys.argv[1]), resume=True)
"""


def config(**changes) -> TrainConfig:
    return TrainConfig.model_validate(TINY | changes)


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}


def lines(path: Path) -> list[dict]:
    timed = ("steps_per_second", "steps_per_cpu_second")
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in timed} for line in found]


def same(run: Path, other: Path) -> bool:
    logs = all(lines(run / name) == lines(other / name) for name in ("metrics.jsonl", "evaluations.jsonl"))
    return logs and files(run) == files(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    train(config(), folder, resume=False)
    return folder


def test_the_same_seed_gives_the_same_bytes(whole, tmp_path):
    train(config(), tmp_path / "again", resume=False)
    assert same(whole, tmp_path / "again")
    train(config(seed=1), tmp_path / "other", resume=False)
    assert not same(whole, tmp_path / "other")


@pytest.mark.parametrize("at_write", [2, 5, 6, 9])  # of three files a checkpoint: in a file, in a checkpoint
def test_killed_in_the_middle_of_a_checkpoint_and_resumed(whole, tmp_path, at_write):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), config().model_dump_json(), str(at_write)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert died.returncode == -signal.SIGKILL
    train(config(), tmp_path / "run", resume=True)
    assert same(whole, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("*.partial"))


def test_killed_at_any_moment_and_resumed(tmp_path):
    longer = config(steps=6_000, stretch=1_000)
    train(longer, tmp_path / "whole", resume=False)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), longer.model_dump_json(), "0"]
    for moment in (1, 3):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while len(list((tmp_path / "run" / "checkpoints").glob("*/checkpoint.json"))) <= moment:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    train(longer, tmp_path / "run", resume=True)
    assert same(tmp_path / "whole", tmp_path / "run")


def test_n_steps_and_n_more_equal_2n(tmp_path):
    """Without annealing, whose rate depends on the run's length."""
    algorithm = TINY["algorithm"] | {"anneal": False}
    train(config(algorithm=algorithm, steps=400), tmp_path / "whole", resume=False)
    train(config(algorithm=algorithm, steps=200), tmp_path / "parts", resume=False)
    train(config(algorithm=algorithm, steps=400), tmp_path / "parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_a_folder_that_holds_a_run_is_left_alone(whole):
    before = files(whole)
    with pytest.raises(UserError, match="already holds a run; add --resume"):
        train(config(), whole, resume=False)
    with pytest.raises(UserError, match="begun with stretch: 200, the config now says 300"):
        train(config(stretch=300), whole, resume=True)
    assert files(whole) == before


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(RunFailed, match="is not finite"):
        train(
            config(algorithm={"name": "ippo", "hidden": (16,), "learning_rate": 1e30}), tmp_path / "run", resume=False
        )
    assert checkpoint.newest(tmp_path / "run").name == "000000000"


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    write, calls = checkpoint._write_bytes, []

    def full(path, data):
        calls.append(path)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(checkpoint, "_write_bytes", full)
    with pytest.raises(RunFailed, match="No space left"):
        train(config(), tmp_path / "run", resume=False)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["000000000"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        train(config(), tmp_path / "file" / "run", resume=False)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_fits_its_game(path, tmp_path):
    run = prepare(load(TrainConfig, path), tmp_path / "run", resume=False)
    assert run.step == 0 and path.stem == f"{run.name}_{run.config.game.partition(':')[2]}"
