"""Checkpoints: what was written is what is read, or one sentence says what is wrong."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from games.errors import RunFailed, UserError
from games.keys import fold
from games.registry import make
from marl import checkpoint
from marl.algorithms.ippo import Ippo
from marl.entrants import enter
from marl.types import View

SPEC = make("openspiel:tic_tac_toe", 1).spec


def written(run, step=5, key=3):
    """Write a checkpoint and return its folder and the learner that it holds."""
    learner = Ippo(Ippo.Config(hidden=(8,)), SPEC, key=key, total_steps=100, device="cpu")
    folder = checkpoint.folder_of(run, step)
    checkpoint.write(
        folder,
        algorithm="ippo",
        settings=learner.config.model_dump(mode="json"),
        spec=SPEC,
        config={"game": SPEC.name, "seed": 0},
        step=step,
        parent=None,
        agent=learner.agent_state(),
        learner=learner.state(),
    )
    return folder, learner


def view(rows=9):
    obs = np.random.default_rng(0).random((rows, 3, 3, 3)).astype(np.float32)
    seats = np.arange(rows)
    return View(obs, np.ones((rows, 9), bool), seats % 2, seats, seats == 0, fold(1, seats))


def test_a_checkpoint_plays_as_its_learner_did(tmp_path):
    folder, learner = written(tmp_path)
    ours, _ = learner.agent().act(view(), None)
    theirs, _ = enter(str(folder), SPEC).agent.act(view(), None)
    assert (ours.action == theirs.action).all() and (ours.extras["log_prob"] == theirs.extras["log_prob"]).all()


def test_other_weights_or_options_are_another_player(tmp_path):
    one, _ = written(tmp_path / "a")
    twin, _ = written(tmp_path / "b")
    other, _ = written(tmp_path / "c", key=4)
    digests = [enter(str(folder), SPEC).digest for folder in (one, twin, other)]
    assert digests[0] == digests[1] != digests[2]
    assert enter(f"{one}(greedy=True)", SPEC).digest != digests[0]


def test_state_round_trip(tmp_path):
    folder, learner = written(tmp_path)
    state = checkpoint.tensors(folder, checkpoint.read(folder), "learner.safetensors")
    assert state.keys() == learner.state().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in learner.state().items())


def test_tensors_are_the_bytes_that_safetensors_makes_of_them(tmp_path):
    folder, learner = written(tmp_path)
    for name, state in (("agent", learner.agent_state()), ("learner", learner.state())):
        assert (folder / f"{name}.safetensors").read_bytes() == safetensors.torch.save(dict(state))


def test_who_may_read_the_json_may_read_the_tensors(tmp_path):
    folder, _ = written(tmp_path)
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_only_the_newest_can_be_resumed_and_old_ones_go(tmp_path):
    folders = [written(tmp_path, step)[0] for step in (1, 2, 10**9 + 1, 10**10)]
    (tmp_path / "checkpoints" / "000000003.partial").mkdir()
    checkpoint.retain(tmp_path, keep=3)
    assert [folder.exists() for folder in folders] == [False, True, True, True]
    assert [(folder / "learner.safetensors").exists() for folder in folders] == [False, False, False, True]
    assert checkpoint.newest(tmp_path) == folders[-1]
    assert not list((tmp_path / "checkpoints").glob("*.partial"))
    with pytest.raises(UserError, match="only a run's newest"):
        checkpoint.tensors(folders[1], checkpoint.read(folders[1]), "learner.safetensors")


def edit(path, **changes):
    """Change the JSON of a checkpoint; None drops a key."""
    about = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in about.items() if key not in changes or value is not None}))


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda f: flip(f / "agent.safetensors"), "is not what was written"),
        (lambda f: (f / "agent.safetensors").write_bytes(b""), "is not what was written"),
        (lambda f: truncate(f / "agent.safetensors"), "is not what was written"),
        (lambda f: edit(f / "checkpoint.json", settings={"hidden": [16]}), "its digest differs"),
        (lambda f: edit(f / "checkpoint.json", digest="0" * 64), "its digest differs"),
        (lambda f: edit(f / "checkpoint.json", sha256={}), "its digest differs"),
        (lambda f: edit(f / "checkpoint.json", sha256=None), "lacks 'sha256'"),
        (lambda f: edit(f / "checkpoint.json", spec=None), "lacks 'spec'"),
        (lambda f: (f / "checkpoint.json").write_text("[1]"), "is damaged"),
        (lambda f: (f / "checkpoint.json").write_bytes(b"\xff\xfe\xff"), "is damaged"),
        (lambda f: (f / "agent.safetensors").unlink(), "lacks agent.safetensors"),
        (lambda f: (f / "checkpoint.json").write_text('{"format": 1, '), "is damaged"),
        (lambda f: (f / "checkpoint.json").write_text('{"format": 99}'), "has format 99"),
        (lambda f: (f / "checkpoint.json").unlink(), "holds no checkpoint"),
    ],
)
def test_harm_is_noticed(tmp_path, harm, said):
    folder, _ = written(tmp_path)
    harm(folder)
    with pytest.raises(UserError, match=said) as caught:
        enter(str(folder), SPEC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, error", [("fsync", errno.ENOSPC), ("open", errno.EROFS)])
def test_a_disk_that_refuses_leaves_the_checkpoint_before(tmp_path, monkeypatch, name, error):
    before, _ = written(tmp_path, step=1)
    kept = {path: path.read_bytes() for path in before.iterdir()}

    def refuses(*_):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuses) if name == "fsync" else patch.setattr(Path, name, refuses)
        with pytest.raises(RunFailed, match=f"000000002' could not be written .*{os.strerror(error)}") as caught:
            written(tmp_path, step=2)
    assert "\n" not in str(caught.value)
    assert checkpoint.newest(tmp_path) == before
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000001"]
    assert {path: path.read_bytes() for path in before.iterdir()} == kept
    written(tmp_path, step=2)
    assert checkpoint.newest(tmp_path).name == "000000002"


def test_a_disk_that_is_full_leaves_the_checkpoint_before(tmp_path):
    before, _ = written(tmp_path, step=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RunFailed, match=r"could not be written .*the one before it is kept") as caught:
            written(tmp_path, step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000001"]
    assert checkpoint.newest(tmp_path) == before


def test_a_rename_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    before, _ = written(tmp_path, step=1)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(RunFailed, match="the one before it is kept"):
        written(tmp_path, step=2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000001"]
    assert checkpoint.newest(tmp_path) == before


def test_what_was_half_written_is_no_checkpoint(tmp_path):
    whole, _ = written(tmp_path, step=1)
    torn = tmp_path / "checkpoints" / "000000002.partial"
    shutil.copytree(whole, torn)
    assert checkpoint.newest(tmp_path) == whole
    (torn / "checkpoint.json").unlink()
    written(tmp_path, step=2)
    assert not torn.exists() and checkpoint.newest(tmp_path).name == "000000002"


def test_a_checkpoint_of_another_game_is_refused(tmp_path):
    folder, _ = written(tmp_path)
    with pytest.raises(UserError, match="was trained on 'openspiel:tic_tac_toe'"):
        enter(str(folder), make("openspiel:connect_four", 1).spec)


def test_the_json_says_what_it_is(tmp_path):
    folder, _ = written(tmp_path)
    about = json.loads((folder / "checkpoint.json").read_text())
    assert about["algorithm"] == "ippo" and about["game"] == SPEC.name and about["step"] == 5
    assert set(about["sha256"]) == {"agent.safetensors", "learner.safetensors"}
