"""Checkpoints: what was written is what is read, or one sentence says what is wrong."""

import errno
import hashlib
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
from games.keys import fold, uniform
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.rollout.types import View

ROOT = Path(__file__).parents[3]
SPEC = make("openspiel:tic_tac_toe", 1).spec


def written(run, step=5, key=3, parent=None, **more):
    """Write a checkpoint and return its folder and the learner that it holds; `more` tensors are the learner's."""
    learner = Ippo(Ippo.Config(hidden=(8,)), SPEC, key=key, total_steps=100, device="cpu")
    folder = checkpoint.folder_of(run, step)
    checkpoint.write(
        folder,
        algorithm="ippo",
        settings=learner.config.model_dump(mode="json"),
        spec=SPEC,
        config={"game": SPEC.name, "seed": 0},
        step=step,
        parent=parent,
        agent=learner.agent_state(),
        learner=learner.state() | more,
    )
    return folder, learner


def view(rows=9):
    obs = np.random.default_rng(0).random((rows, 3, 3, 3)).astype(np.float32)
    seats = np.arange(rows)
    return View(obs, np.ones((rows, 9), bool), seats % 2, seats, seats == 0, fold(1, seats))


def test_a_checkpoint_plays_as_its_learner_did(tmp_path):
    folder, learner = written(tmp_path)
    ours, _ = learner.agent().act(view(), None)
    theirs, _ = load_entrant(str(folder), SPEC).agent.act(view(), None)
    assert (ours.action == theirs.action).all() and (ours.extras["log_prob"] == theirs.extras["log_prob"]).all()


def test_other_weights_or_options_are_another_player(tmp_path):
    one, _ = written(tmp_path / "a")
    twin, _ = written(tmp_path / "b")
    other, _ = written(tmp_path / "c", key=4)
    digests = [load_entrant(str(folder), SPEC).digest for folder in (one, twin, other)]
    assert digests[0] == digests[1] != digests[2]
    assert load_entrant(f"{one}(greedy=True)", SPEC).digest != digests[0]


def test_state_round_trip(tmp_path):
    folder, learner = written(tmp_path)
    state = checkpoint.learner_state(folder, checkpoint.read(folder))
    assert state.keys() == learner.state().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in learner.state().items())


def test_tensors_are_the_bytes_that_safetensors_makes_of_them(tmp_path):
    folder, learner = written(tmp_path)
    for name, state in (("agent", learner.agent_state()), ("learner", learner.state())):
        assert (folder / f"{name}.safetensors").read_bytes() == safetensors.torch.save(dict(state))


def test_who_may_read_the_json_may_read_the_tensors(tmp_path):
    folder, _ = written(tmp_path)
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_the_two_newest_can_be_resumed_and_old_ones_go(tmp_path):
    folders = [written(tmp_path, step)[0] for step in (1, 2, 10**9 + 1, 10**10)]
    (tmp_path / "checkpoints" / "000000003.partial").mkdir()
    checkpoint.retain(tmp_path, keep=3)
    assert [folder.exists() for folder in folders] == [False, True, True, True]
    assert [(folder / "learner.safetensors").exists() for folder in folders] == [False, False, True, True]
    assert checkpoint.newest(tmp_path) == folders[-1]
    assert not list((tmp_path / "checkpoints").glob("*.partial"))
    with pytest.raises(UserError, match=r"lacks learner\.safetensors"):
        checkpoint.learner_state(folders[1], checkpoint.read(folders[1]))


def edit(path, sealed=True, **changes):
    """Change the JSON of a checkpoint, with an integrity that fits it where `sealed`; ... drops a key."""
    about = json.loads(path.read_text()) | changes
    about = {key: value for key, value in about.items() if value is not ...}
    path.write_bytes(checkpoint._sealed(about) if sealed else json.dumps(about).encode())


def flip(path, bit=-8):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
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
        (lambda f: edit(f / "checkpoint.json", step=6, sealed=False), "its integrity differs"),
        (lambda f: edit(f / "checkpoint.json", integrity=..., sealed=False), "format 2 has no 'integrity'"),
        (lambda f: edit(f / "checkpoint.json", format=1), "format 1 has an 'integrity'"),
        (lambda f: edit(f / "checkpoint.json", format=True), "has format True"),
        (lambda f: edit(f / "checkpoint.json", sha256={}), r"lacks 'sha256\.agent\.safetensors'"),
        (lambda f: edit(f / "checkpoint.json", sha256=...), "lacks 'sha256'"),
        (lambda f: edit(f / "checkpoint.json", spec=...), "lacks 'spec'"),
        (lambda f: edit(f / "checkpoint.json", spec={"num_players": 2}), r"lacks 'spec\.observation'"),
        (lambda f: edit(f / "checkpoint.json", step=None), "'step': expected a whole number"),
        (lambda f: edit(f / "checkpoint.json", step="5"), "'step': expected a whole number"),
        (lambda f: edit(f / "checkpoint.json", step=5.5), "'step': expected a whole number"),
        (lambda f: edit(f / "checkpoint.json", step=-1), "'step': expected a number of at least 0"),
        (lambda f: edit(f / "checkpoint.json", seed=10**400), "'seed': "),
        (lambda f: edit(f / "checkpoint.json", parent=5), "'parent': "),
        (lambda f: edit(f / "checkpoint.json", game=["a"]), "'game': "),
        (lambda f: edit(f / "checkpoint.json", config=[]), "'config': "),
        (lambda f: (f / "checkpoint.json").write_text("[1]"), "is no JSON of a checkpoint"),
        (lambda f: (f / "checkpoint.json").write_text("[" * 100_000), "is no JSON of a checkpoint"),
        (lambda f: (f / "checkpoint.json").write_text('{"format": ' + "9" * 5000), "is no JSON of a checkpoint"),
        (lambda f: (f / "checkpoint.json").write_bytes(b"\xff\xfe\xff"), "is no JSON of a checkpoint"),
        (lambda f: (f / "agent.safetensors").unlink(), "lacks agent.safetensors"),
        (lambda f: (f / "checkpoint.json").write_text('{"format": 1, '), "is no JSON of a checkpoint"),
        (lambda f: (f / "checkpoint.json").write_text('{"format": 99}'), "has format 99"),
        (lambda f: (f / "checkpoint.json").unlink(), "holds no checkpoint"),
    ],
)
def test_harm_is_noticed(tmp_path, harm, said):
    folder, _ = written(tmp_path)
    harm(folder)
    with pytest.raises(UserError, match=said) as caught:
        load_entrant(str(folder), SPEC)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def forge(folder, name, data):
    """Put other bytes in the place of a file, with all the digests that fit them."""
    (folder / name).write_bytes(data)
    about = checkpoint.read(folder)
    about["sha256"][name] = hashlib.sha256(data).hexdigest()
    about["digest"] = checkpoint._digest_of(about)
    (folder / "checkpoint.json").write_bytes(checkpoint._sealed(about))


def raw(header, size=0):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 64,
        raw([]),
        raw({"w": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}, 8),
        raw({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, 8),
        raw({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        safetensors.torch.save({"shards/replay/9": torch.zeros(3)}),
        safetensors.torch.save({"shards/replay/9": torch.zeros((2, 32), dtype=torch.uint8)}),
        safetensors.torch.save({"shards/replay/9": torch.tensor(7)}),
    ],
)
def test_what_a_forger_sealed_is_one_sentence_too(tmp_path, data):
    folder, _ = written(tmp_path)
    forge(folder, "agent.safetensors", data)
    with pytest.raises(UserError) as caught:
        load_entrant(str(folder), SPEC)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    folder, _ = written(tmp_path)
    forge(folder, "learner.safetensors", data)
    with pytest.raises(UserError, match=r"can be resumed: .*is not what was written|lacks .*safetensors"):
        checkpoint.resumed(tmp_path)


def test_no_bit_of_a_checkpoint_can_turn(tmp_path):
    """In no file; where two checkpoints share no shards, the one before is resumed."""
    rows = np.arange(3000).reshape(1500, 2)
    before, _ = written(tmp_path, step=4, key=4, **{"replay.obs": rows})
    folder, _ = written(tmp_path, step=5, **{"replay.obs": rows + 1})
    shards = checkpoint._named_by(folder / "learner.safetensors")
    files = [*folder.iterdir(), *(checkpoint._shard(folder.with_name("shards"), digest) for digest in shards)]
    assert len(files) == 4 and checkpoint.resumed(tmp_path).folder == folder
    for path in files:
        whole = path.read_bytes()
        bits = 8 * len(whole)
        for bit in (uniform(fold(len(whole), np.arange(60))) * bits).astype(int):
            flip(path, bit)
            found = checkpoint.resumed(tmp_path)
            assert found.folder == before and found.damaged == [folder] and "is not what was written" in found.why
            if path.name in ("checkpoint.json", "agent.safetensors"):
                with pytest.raises(UserError, match="is not what was written"):
                    load_entrant(str(folder), SPEC)
            path.write_bytes(whole)
    assert checkpoint.resumed(tmp_path).folder == folder


def test_the_json_is_covered_from_end_to_end(tmp_path):
    folder, _ = written(tmp_path)
    path = folder / "checkpoint.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        flip(path, 8 * place + place % 8)
        with pytest.raises(checkpoint.Damaged, match="is not what was written"):
            checkpoint.read(folder)
        path.write_bytes(whole)


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    folders = []
    for step in (1, 2, 3):
        parent = (checkpoint.read(folders[-1])["digest"], step - 1) if folders else None
        folders.append(written(tmp_path, step, key=step, parent=parent)[0])
    assert checkpoint.resumed(tmp_path).folder == folders[2] and not checkpoint.resumed(tmp_path).damaged
    (folders[2] / "checkpoint.json").unlink()
    found = checkpoint.resumed(tmp_path)
    assert found.folder == folders[1] and "lacks checkpoint.json" in found.why
    flip(folders[1] / "agent.safetensors")
    found = checkpoint.resumed(tmp_path)
    assert found.folder == folders[0] and found.damaged == [folders[2], folders[1]]
    checkpoint.set_aside(found.damaged)
    checkpoint.retain(tmp_path, keep=1)
    assert checkpoint.newest(tmp_path) == folders[0] == checkpoint.resumed(tmp_path).folder
    truncate(folders[0] / "learner.safetensors")
    with pytest.raises(UserError, match=r"no checkpoint of '.*' can be resumed: .*000000001/learner"):
        checkpoint.resumed(tmp_path)
    assert checkpoint.resumed(tmp_path / "nowhere") is None


def test_a_checkpoint_of_another_version_is_not_passed_over(tmp_path):
    written(tmp_path, step=4)
    folder, _ = written(tmp_path, step=5)
    edit(folder / "checkpoint.json", format=3)
    with pytest.raises(UserError, match=r"has format 3, .*install the version that wrote it"):
        checkpoint.resumed(tmp_path)


def test_a_place_counts_in_a_run_only(tmp_path):
    """A checkpoint that was copied or renamed is an agent; a run goes on from no other's."""
    first, _ = written(tmp_path, step=1)
    parent = checkpoint.read(first)["digest"]
    second, _ = written(tmp_path, step=2, key=2, parent=(parent, 1))
    stranger, _ = written(tmp_path / "other", step=3, key=3, parent=("0" * 64, 1))
    for folder, name in ((second, "000000009"), (stranger, "000000003")):
        copy = shutil.copytree(folder, tmp_path / "checkpoints" / name)
        assert load_entrant(str(copy), SPEC).digest == checkpoint.read(folder)["digest"]
        assert checkpoint.resumed(tmp_path).folder == second and checkpoint.resumed(tmp_path).damaged == [copy]
        shutil.rmtree(copy)
    shutil.rmtree(first)  # thinned out by hand: what came before is not there to be compared with
    assert checkpoint.resumed(tmp_path).folder == second


def shards_of(run):
    return {path.name for path in (run / "checkpoints" / "shards").iterdir()}


def test_checkpoints_share_the_shards_of_a_replay(tmp_path):
    """Of a replay that grows only the new rows are written, and only what the two newest name is kept."""
    rows = fold(1, np.arange(5000)).astype(np.int64)
    folders, names = [], []
    for step, count in enumerate((2100, 3500, 5000)):
        replay = {"replay.obs": rows[:count], "replay.acting": rows[:count] % 2 == 0, "replay.waiting.obs": rows[:9]}
        folders.append(written(tmp_path, step, **replay)[0])
        names.append(shards_of(tmp_path))
        checkpoint.retain(tmp_path, keep=None)
        state = checkpoint.learner_state(folders[-1], checkpoint.read(folders[-1]))
        assert all((state[name].numpy() == value).all() for name, value in replay.items())
        assert not any("/" in name for name in state)
    assert [len(found) for found in names] == [2, 3, 4] and names[0] < names[1] < names[2]
    assert (
        checkpoint.learner_state(folders[1], checkpoint.read(folders[1]))["replay.obs"].tolist() == rows[:3500].tolist()
    )
    written(tmp_path, 4, **{"replay.obs": rows[:1024]})
    (tmp_path / "checkpoints" / "shards" / "torn.partial").write_text("")
    checkpoint.retain(tmp_path, keep=1)
    assert len(shards_of(tmp_path)) == 1
    retained = checkpoint.resumed(tmp_path)
    assert retained.learner["replay.obs"].tolist() == rows[:1024].tolist()


def test_a_shard_that_was_torn_is_written_again(tmp_path):
    rows = {"replay.obs": np.arange(2048)}
    folder, _ = written(tmp_path, 1, **rows)
    for path in folder.with_name("shards").iterdir():
        truncate(path)
    with pytest.raises(UserError, match="can be resumed"):
        checkpoint.resumed(tmp_path)
    written(tmp_path, 2, **rows)
    assert checkpoint.resumed(tmp_path).folder.name == "000000002"


def test_who_an_agent_is_has_not_changed_since_format_1(tmp_path, caplog):
    """The digest of a checkpoint of that format is the one that the same agent gets today; it is read, with a note."""
    folder = ROOT / "tests" / "golden" / "run_of_format_1" / "checkpoints" / "000000400"
    about = checkpoint.read(folder)
    known = "d6c6ca7bd82c95e7ef1fc2672ff25ecfb289a75bb8e4be8ccb6a7f5acc044ff5"
    assert about["format"] == 1 and about["digest"] == known
    again = checkpoint.write(
        tmp_path / "1",
        algorithm=about["algorithm"],
        settings=about["settings"],
        spec=SPEC,
        config=about["config"],
        step=1,
        parent=None,
        agent=checkpoint.tensors(folder, about, "agent.safetensors"),
        learner={},
    )
    assert again == known
    checkpoint.note_unverified.cache_clear()
    assert (
        {load_entrant(str(folder), SPEC).digest for _ in range(2)}
        == {known}
        == {load_entrant(str(tmp_path / "1"), SPEC).digest}
    )
    checkpoint.note_unverified(tmp_path / "\x1b[31mred")  # as a stranger's population may call a member's folder
    notes = ["note: " + checkpoint.UNVERIFIED_SAYS % name for name in (folder, tmp_path / "\\x1b[31mred")]
    assert [record.message for record in caplog.records] == notes


@pytest.mark.parametrize("step", [None, "400", 400.5, 600])
def test_format_1_is_checked_as_far_as_it_can_be(tmp_path, step):
    run = shutil.copytree(ROOT / "tests" / "golden" / "run_of_format_1", tmp_path / "run")
    edit(checkpoint.newest(run) / "checkpoint.json", sealed=False, step=step)
    with pytest.raises(UserError, match=r"no checkpoint of '.*' can be resumed: .*is not what was written"):
        checkpoint.resumed(run)


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
        load_entrant(str(folder), make("openspiel:connect_four", 1).spec)


def test_the_json_says_what_it_is(tmp_path):
    folder, _ = written(tmp_path)
    about = json.loads((folder / "checkpoint.json").read_text())
    assert about["algorithm"] == "ippo" and about["game"] == SPEC.name and about["step"] == 5
    assert about["format"] == 2 and about["parent"] is None and len(about["integrity"]) == 64
    assert set(about["sha256"]) == {"agent.safetensors", "learner.safetensors"}
