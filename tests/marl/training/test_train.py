"""Training: the same bytes for the same seed, and after any kill; a run folder that is never half right."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrants
from marl.algorithms.opponent_shaping.loqa import Loqa
from marl.base.lock import held
from marl.base.origin import typed
from marl.base.schema import load
from marl.base.terminal import Terminal
from marl.training import runlog
from marl.training.config import EvaluationConfig, TrainConfig
from marl.training.runlog import RunLog
from marl.training.train import as_begun, device_of, prepare, train
from marl.training.writers import TensorBoard

ROOT = Path(__file__).parents[3]

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
from marl.agents import checkpoint
from marl.training.config import TrainConfig
from marl.training.train import train
sync, calls = checkpoint._sync, [0]
def dies(path):
    calls[0] += path.is_file()
    if calls[0] == int(sys.argv[3]):
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
checkpoint._sync = dies
train(TrainConfig.model_validate(json.loads(sys.argv[2])), Path(sys.argv[1]), resume=True)
"""


def config(**changes) -> TrainConfig:
    return TrainConfig.model_validate(TINY | changes)


def files(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}


def lines(path: Path) -> list[dict]:
    timed = ("steps_per_second", "steps_per_cpu_second", runlog.WALL)
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
            assert process.poll() is None, "it ended before it could be killed"
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


def test_a_run_of_before_a_setting_was_there_goes_on(tmp_path):
    train(config(steps=200), tmp_path / "run", resume=False)
    path = tmp_path / "run" / "config.yaml"
    held = yaml.safe_load(path.read_text())
    del held["algorithm"]["anneal"], held["rollout_workers"]
    path.write_text(yaml.safe_dump(held))
    train(config(), tmp_path / "run", resume=True)
    assert checkpoint.newest(tmp_path / "run").name >= "000000600"


def test_a_sweep_goes_on_where_the_config_leaves_the_length_of_rollouts_to_the_run(tmp_path):
    silent = TrainConfig.model_validate({k: v for k, v in TINY.items() if k != "rollout_length"} | {"steps": 1})
    train(silent, tmp_path / "run", resume=False)
    assert as_begun(silent, tmp_path / "run").rollout_length == 64
    with pytest.raises(UserError, match="begun with rollout_length: 64, the config now says 32"):
        as_begun(silent.model_copy(update={"rollout_length": 32}), tmp_path / "run")


def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    train(config(steps=200), tmp_path / "run", resume=False)
    state = checkpoint.learner_state
    monkeypatch.setattr(
        checkpoint, "learner_state", lambda *of: {k: v for k, v in state(*of).items() if "step" not in k}
    )
    with pytest.raises(UserError, match="does not fit this version of ippo; go on with the version that"):
        train(config(), tmp_path / "run", resume=True)


def test_a_folder_that_holds_a_run_is_left_alone(whole):
    before = files(whole)
    with pytest.raises(UserError, match="already holds a run; go on with it"):
        train(config(), whole, resume=False)
    with pytest.raises(UserError, match="begun with stretch: 200, the config now says 300"):
        train(config(stretch=300), whole, resume=True)
    assert files(whole) == before


@pytest.mark.parametrize("text", ["", "5", "[1, 2]", "a: [", b"\xff\xfe\xff"])
def test_a_damaged_config_is_one_sentence(whole, tmp_path, text):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"config\.yaml' is damaged \(") as caught:
        train(config(), tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_at_the_start_keeps_the_config(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(UserError, match="cannot be written"):
        train(config(steps=800), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name, harm",
    [
        ("learner.safetensors", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("learner.safetensors", Path.unlink),
        ("agent.safetensors", lambda path: flip(path, -1)),
        ("checkpoint.json", lambda path: flip(path, path.read_bytes().index(b'"step": ') + 8)),
        ("checkpoint.json", Path.unlink),
    ],
    ids=["torn", "gone", "bit in the agent", "bit in the step", "no json"],
)
def test_a_damaged_checkpoint_is_trained_again(whole, tmp_path, name, harm):
    """The run goes on from the one before, and is the same as if nothing had been damaged."""
    run = shutil.copytree(whole, tmp_path / "run")
    newest = checkpoint.newest(run)
    harm(newest / name)
    console = Terminal(file=io.StringIO())
    train(config(), run, resume=True, console=console)
    said = console.file.getvalue()
    before = checkpoint._folders(whole)[-2]
    assert f"goes on from step {int(before.name):,}" in said
    assert f"note: '{newest}" in said.replace("the checkpoint ", "") and newest.name in said
    assert same(whole, run)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        folder.name for folder in checkpoint._folders(whole)
    ]


def test_a_damaged_run_that_is_killed_while_it_trains_again(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    flip(checkpoint.newest(run) / "learner.safetensors", -1)
    command = [sys.executable, "-c", KILLED, str(run), config().model_dump_json(), "2"]
    died = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert died.returncode == -signal.SIGKILL
    assert [path.name for path in (run / "checkpoints").glob("*.damaged")] == [
        f"{checkpoint.newest(whole).name}.damaged"
    ]
    train(config(), run, resume=True)
    assert same(whole, run)


def test_a_run_without_a_whole_checkpoint_is_left_alone(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    for path in run.rglob("learner.safetensors"):
        path.unlink()
    before = files(run)
    with pytest.raises(UserError, match=r"can be resumed: .*; put back a copy of one, or name another --run-dir"):
        train(config(steps=800), run, resume=True)
    assert files(run) == before and not (run / "lock.json").exists()


def test_a_run_of_format_1_goes_on(tmp_path):
    run = shutil.copytree(ROOT / "tests" / "golden" / "run_of_format_1", tmp_path / "run")
    console = Terminal(file=io.StringIO())
    newest = train(load(TrainConfig, run / "config.yaml", typed(["steps=600"])), run, resume=True, console=console)
    about = checkpoint.read(newest)
    assert about["format"] == 2 and about["step"] >= 600 and about["parent_step"] == 400
    assert console.file.getvalue().count("is of format 1: its agent is verified") == 1


@pytest.mark.parametrize("key, value", [("seed", 7), ("game", "openspiel:connect_four")])
def test_a_run_goes_on_from_no_checkpoint_of_another(whole, tmp_path, key, value):
    """Not even where the checkpoint is whole in itself."""
    run = shutil.copytree(whole, tmp_path / "run")
    path = checkpoint.newest(run) / "checkpoint.json"
    about = json.loads(path.read_text())
    about["config"][key] = value
    path.write_bytes(checkpoint._sealed(about))
    with pytest.raises(UserError, match=f"the checkpoint '.*' was begun with {key}: "):
        train(config(steps=800), run, resume=True)


def test_a_run_is_not_written_through_links(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "learner.safetensors").write_text("kept")
    (run / "checkpoints" / "000000001").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="000000001' is a symbolic link, and this run would write"):
        train(config(steps=800), run, resume=True)
    assert (tmp_path / "precious" / "learner.safetensors").read_text() == "kept"


def test_two_trainers_in_one_folder(whole, tmp_path):
    for run, resume in ((shutil.copytree(whole, tmp_path / "run"), True), (tmp_path / "new", False)):
        with held(run, "a training run"):
            before = files(run)
            with pytest.raises(UserError, match=rf"in use by a training run \(pid {os.getpid()} on ") as caught:
                train(config(steps=800), run, resume=resume)
            assert caught.value.exit_code == 2 and files(run) == before
    train(config(steps=1), tmp_path / "new", resume=False)
    assert not (tmp_path / "new" / "lock.json").exists()


def test_logs_can_be_read_while_a_stretch_is_trained(tmp_path, monkeypatch):
    """Every few seconds of the clock, and what is written is the same."""
    now, seen = [0.0], []
    monkeypatch.setattr(runlog.time, "monotonic", lambda: now[0])
    with RunLog(tmp_path, -1, {"tensorboard": TensorBoard()}) as log:
        for step in range(1, 10):
            now[0] += 2.0
            log.metrics(step, {"loss": step / 3})
            seen.append(runlog.logged_step(tmp_path))
            board = sum(path.stat().st_size for path in (tmp_path / "tensorboard").iterdir())
            assert step < 3 or board > 100
    assert seen == [0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert [line["loss"] for line in lines(tmp_path / "metrics.jsonl")] == [step / 3 for step in range(1, 10)]


def test_a_team_is_evaluated_with_itself_by_default(tmp_path):
    silent = {key: value for key, value in TINY.items() if key not in ("evaluation", "opponents")}
    for game, panel in (("two_step", ["self", "random"]), ("openspiel:tic_tac_toe", ["random"])):
        run = prepare(TrainConfig.model_validate(silent | {"game": game}), tmp_path / "run")
        assert list(run.panel) == panel == list(run.config.evaluation.panel)


def test_a_run_keeps_the_panel_that_it_was_begun_with(tmp_path):
    """As runs of teams have it from before their default began with self."""
    silent = {key: value for key, value in TINY.items() if key not in ("evaluation", "opponents")}
    asked = TrainConfig.model_validate(silent | {"game": "two_step", "steps": 1, "evaluation": {"seeds": 1}})
    begun = asked.model_copy(update={"evaluation": EvaluationConfig(panel=("random",), seeds=1)})
    train(begun, tmp_path / "run", resume=False)
    train(asked.model_copy(update={"steps": 300}), tmp_path / "run", resume=True)
    assert {line["against"] for line in lines(tmp_path / "run" / "evaluations.jsonl")} == {"random"}


@pytest.mark.parametrize("key, none", [("evaluation.panel", "- random"), ("opponents.agents", "[]")])
def test_agents_that_a_run_names_run_no_code(tmp_path, monkeypatch, key, none):
    """The run's folder may be a stranger's; its config names the agents where the user's leaves them open."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_panel.py").write_text("import pathlib\npathlib.Path(__file__).with_name('canary').touch()\n")
    asked = TrainConfig.model_validate(TINY | {"steps": 1, "opponents": {}, "evaluation": {"seeds": 1}})
    train(asked, tmp_path / "run", resume=False)
    path = tmp_path / "run" / "config.yaml"
    evil = "- evil_panel:Agent" if none.startswith("-") else "['evil_panel:Agent']"
    assert none in path.read_text()
    path.write_text(path.read_text().replace(none, evil))
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"names code, 'evil_panel:Agent': not run; .*--set '{key}=\["):
        train(asked.model_copy(update={"steps": 300}), tmp_path / "run", resume=True)
    assert path.read_bytes() == before and not (tmp_path / "canary").exists()


def test_what_a_config_leaves_open_is_as_the_run_was_begun(whole):
    """Steps, sections and the settings of the algorithm; nothing is taken from the defaults."""
    least, begun = TrainConfig(game=TINY["game"], algorithm={"name": "ippo"}), load(TrainConfig, whole / "config.yaml")
    assert as_begun(least, whole) == begun
    assert as_begun(least.model_copy(update={"steps": 800}), whole) == begun.model_copy(update={"steps": 800})
    with pytest.raises(UserError, match=r"begun with algorithm.epochs: 4, the config now says 5"):
        as_begun(least.model_copy(update={"algorithm": {"name": "ippo", "epochs": 5}}), whole)


SMALL = {"actor_hidden": [4], "actor_memory": 0, "critic_hidden": [4], "critic_memory": 0}
OLD = {  # algorithms of which runs were begun before `literal` existed
    "loqa": {"name": "loqa"} | SMALL,
    "versus": {"name": "versus", "learners": [{"name": "loqa"} | SMALL, {"name": "naive"} | SMALL]},
}


def without(data, key: str):
    """Return JSON data without a key, wherever it stands."""
    if isinstance(data, list):
        return [without(part, key) for part in data]
    return {k: without(v, key) for k, v in data.items() if k != key} if isinstance(data, dict) else data


def forget(run: Path, key: str) -> None:
    """Make a run what it had been if a key had not existed when it was begun."""
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(without(yaml.safe_load(path.read_text()), key), sort_keys=False))
    parent = None
    for path in sorted(run.glob("checkpoints/*/checkpoint.json")):
        about = without(json.loads(path.read_text()), key) | {"parent": parent}
        parent = about["digest"] = checkpoint._digest_of(about)
        path.write_bytes(checkpoint._sealed(about))


@pytest.mark.parametrize("name", OLD)
def test_a_run_begun_before_a_key_existed_goes_on_as_it_was(tmp_path, name, monkeypatch):
    """From its own config.yaml or from the user's, which leaves the key open; and its agents are what they were."""
    game = "matrix(game=stag_hunt, steps=5, memory=true, truncate=true)"
    algorithm = OLD[name] | ({"literal": True} if name == "loqa" else {})  # what the old default did
    if name == "versus":
        algorithm["learners"] = [OLD["loqa"] | {"literal": True}, algorithm["learners"][1]]
    long = TINY | {"game": game, "opponents": {}, "rollout_length": None, "algorithm": algorithm}
    train(TrainConfig.model_validate(long), tmp_path / "whole", resume=False)
    train(TrainConfig.model_validate(long | {"steps": 200}), tmp_path / "begun", resume=False)
    forget(tmp_path / "begun", "literal")
    shutil.copytree(tmp_path / "begun", tmp_path / "again")
    users = TrainConfig.model_validate({"game": game, "algorithm": OLD[name], "steps": TINY["steps"]})
    for run, resumed in (
        ("begun", users),
        ("again", load(TrainConfig, tmp_path / "again" / "config.yaml", typed(["steps=600"]))),
    ):
        train(resumed, tmp_path / run, resume=True)
        assert same(tmp_path / run, tmp_path / "whole")
        assert "literal: true" in (tmp_path / run / "config.yaml").read_text()
    train(TrainConfig.model_validate(long | {"algorithm": OLD[name]}), tmp_path / "new", resume=False)
    assert "literal: false" in (tmp_path / "new" / "config.yaml").read_text()
    assert not same(tmp_path / "new", tmp_path / "whole")
    forget(tmp_path / "new", "literal")
    loaded, load_agent = [], Loqa.load_agent
    monkeypatch.setattr(Loqa, "load_agent", lambda c, *a, **o: loaded.append(c.literal) or load_agent(c, *a, **o))
    load_entrants(str(tmp_path / "new"), make(game, 1).spec)
    assert loaded == [True]


def test_logs_are_cut_back_to_the_checkpoint(whole, tmp_path):
    """Lines after the checkpoint, and one that was torn, are gone when the run goes on."""
    shutil.copytree(whole, tmp_path / "run")
    step = json.loads((whole / "evaluations.jsonl").read_text().splitlines()[-1])["step"]
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        with (tmp_path / "run" / name).open("a") as file:
            file.write(f'{{"step": {step + 1}, "stale": 1}}\nno json\n{{"step": {step}, "to')
    train(config(steps=800), tmp_path / "run", resume=True)
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        found = lines(tmp_path / "run" / name)
        before = lines(whole / name)
        assert found[: len(before)] == before and len(found) > len(before)
        assert not any("stale" in line for line in found)
        assert [line["step"] for line in found] == sorted(line["step"] for line in found)


def test_a_finished_run_has_nothing_to_do(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    newest = train(config(), tmp_path / "run", resume=True)
    assert newest == checkpoint.newest(tmp_path / "run") and same(whole, tmp_path / "run")


def test_what_a_run_writes(whole):
    steps = [int(path.name) for path in sorted((whole / "checkpoints").iterdir())]
    assert steps[0] == 0 and len(steps) == 4 and all(k * 200 <= step < k * 200 + 64 for k, step in enumerate(steps))
    evaluated = [(line["step"], line["against"]) for line in lines(whole / "evaluations.jsonl")]
    assert evaluated == [(step, name) for step in steps for name in ("random", "self")]
    assert lines(whole / "metrics.jsonl")[-1]["step"] == steps[-1]
    parents = [checkpoint.read(checkpoint.folder_of(whole, step))["parent"] for step in steps]
    digests = [checkpoint.read(checkpoint.folder_of(whole, step))["digest"] for step in steps]
    assert parents == [None, *digests[:-1]] and len(set(digests)) == 4
    assert list((whole / "tensorboard").iterdir())


def test_keep_drops_the_oldest(tmp_path):
    train(config(keep=2), tmp_path / "run", resume=False)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    assert [(path / "learner.safetensors").exists() for path in checkpoint._folders(tmp_path / "run")] == [True, True]


def test_nothing_is_written_where_the_config_does_not_fit(tmp_path):
    bad = [
        {"game": "openspiel:tic_tac_to"},
        {"algorithm": {"name": "ippo", "hiden": (8,)}},
        {"opponents": {"agents": ("nobody",)}},
        {"evaluation": {"panel": ("runs/none",)}},
        {"game": "openspiel:leduc_poker", "opponents": {"agents": ("mcts",)}},
    ]
    for changes in bad:
        with pytest.raises(UserError):
            train(config(**changes), tmp_path / "run", resume=False)
    with pytest.raises(UserError, match="expected --device"):
        train(config(), tmp_path / "run", resume=False, device="gpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "gpus, name, found",
    [
        (0, "auto", "cpu"),
        (2, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
        (0, "cuda:0", "--device cuda:0 was asked for, and torch finds no GPU here; use --device auto"),
        (1, "cuda:1", "--device cuda:1 was asked for, and torch finds cuda:0 here; name one of these"),
        (2, "cuda:2", "--device cuda:2 was asked for, and torch finds cuda:0 to cuda:1 here; name one of these"),
        (2, "cuda:x", "expected --device auto, cpu, cuda or cuda:N, got 'cuda:x'"),
    ],
)
def test_a_device_is_there_or_is_refused(monkeypatch, gpus, name, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if found.startswith("c"):
        assert device_of(name) == found
    else:
        with pytest.raises(UserError) as refused:
            device_of(name)
        assert str(refused.value) == found


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(RunFailed, match="is not finite"):
        train(
            config(algorithm={"name": "ippo", "hidden": (16,), "learning_rate": 1e30}), tmp_path / "run", resume=False
        )
    assert checkpoint.newest(tmp_path / "run").name == "000000000"


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    sync, calls = checkpoint._sync, []

    def full(path):
        calls.append(path)
        if len(calls) > 6:  # three files, their folder and its own are the first checkpoint's
            raise OSError(28, "No space left on device")
        sync(path)

    monkeypatch.setattr(checkpoint, "_sync", full)
    with pytest.raises(RunFailed, match="No space left"):
        train(config(), tmp_path / "run", resume=False)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["000000000"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        train(config(), tmp_path / "file" / "run", resume=False)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_fits_its_game(path, tmp_path):
    if path.stem == "ippo_battle":
        pytest.importorskip("magent2")  # no part of the extra `games`
    run = prepare(load(TrainConfig, path), tmp_path / "run")
    assert run.step == 0 and path.stem.startswith(f"{run.name}_")


def test_an_evaluation_that_does_not_end_is_cut_and_said_once(tmp_path, capsys):
    config = TrainConfig(
        game="tests.games.endless:Ring(ends=false)",
        algorithm={"name": "ippo"},
        steps=64,
        stretch=32,
        num_envs=4,
        rollout_length=8,
        evaluation={"panel": ("random", "self"), "seeds": 2, "max_steps": 25},
    )
    train(config, tmp_path / "run", resume=False, console=Terminal())
    said = capsys.readouterr().out
    assert said.count("note: 4 of 4 episodes against random had not ended") == 1
    assert said.count("note: 2 of 2 episodes against self had not ended") == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()]
    assert [(line["against"], line["cut"], line["length_mean"]) for line in lines] == [
        ("random", 4, 25.0),
        ("self", 2, 25.0),
    ] * 3
