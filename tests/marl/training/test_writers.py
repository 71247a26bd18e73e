"""Writers: what they are given, what becomes of one that fails, and what is said where one cannot be had."""

import json
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from games import plugins
from games.errors import UserError
from marl.training import runlog
from marl.training.runlog import RunLog
from marl.training.train import train
from marl.training.writers import Mlflow, Wandb, Writer, load_writers, names
from tests.marl.training.test_train import config, lines


class Kept(Writer):
    """Keep what it is given."""

    def __init__(self, fails=""):
        self.fails, self.calls, self.values = fails, [], {}

    def _called(self, name):
        self.calls.append(name)
        if name == self.fails:
            raise ConnectionError(f"no {name}")

    def open(self, folder, config, step):
        self.begun = folder.name, dict(config), step
        self._called("open")

    def write(self, step, values):
        self.values.setdefault(step, {}).update(values)
        self._called("write")

    def flush(self):
        self._called("flush")

    def close(self):
        self._called("close")


def test_names_say_what_a_value_is_of(tmp_path):
    kept = Kept()
    with RunLog(tmp_path, -1, {"kept": kept}, {"seed": 3}) as log:
        log.metrics(64, {"entropy": 0.5, "rollout/return_mean": -2.0})
        log.evaluation(64, "random", {"return_mean": [0.25, -0.25], "length_mean": 7.0})
        log.flush()
    assert kept.begun == (tmp_path.name, {"seed": 3}, -1) and kept.calls == ["open", "write", "write", "flush", "close"]
    assert kept.values[64].pop("time/wall_seconds") >= 0
    assert kept.values[64] == {
        "train/entropy": 0.5,
        "rollout/return_mean": -2.0,
        "evaluation/random/player_0": 0.25,
        "evaluation/random/player_1": -0.25,
    }


@pytest.mark.parametrize("fails", ["write", "flush", "close"])
def test_a_writer_that_fails_is_left_out_and_nothing_else_is_lost(tmp_path, fails):
    said, kept, fine = [], Kept(fails), Kept()
    with RunLog(tmp_path, -1, {"kept": kept, "fine": fine}, warn=said.append) as log:
        for step in (1, 2):
            log.metrics(step, {"loss": 1.0})
            log.flush()
    assert said == [f"the writer 'kept' failed and is left out from here on: ConnectionError: no {fails}"]
    assert kept.calls.count(fails) == 1 and fine.calls == ["open", "write", "flush", "write", "flush", "close"]
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_writer_that_cannot_be_opened(tmp_path):
    opened = Kept()
    with pytest.raises(UserError, match="the writer 'kept' could not be opened: ConnectionError: no open"):
        RunLog(tmp_path, -1, {"first": opened, "kept": Kept("open")})
    assert opened.calls == ["open", "close"]


def test_wall_time_goes_on_where_the_checkpoint_was(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(runlog.time, "monotonic", lambda: now[0])
    for step in (1, 2, 3):  # each begins where the one before left off, after a pause of 50 seconds
        with RunLog(tmp_path, step - 1) as log:
            now[0] += 7
            log.metrics(step, {})
        now[0] += 50
    found = [json.loads(line)[runlog.WALL] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert found == [7, 14, 21]
    with RunLog(tmp_path, 1) as log:  # what came after step 1 is played again, and counted anew
        log.metrics(2, {})
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])[runlog.WALL] == 7


@pytest.mark.parametrize(
    ("references", "complaint"),
    [
        (["tensorbord"], "expected a known writer, got 'tensorbord'; did you mean 'tensorboard'"),
        (["tensorboard", "tensorboard"], "expected each writer once, got 'tensorboard' twice"),
        (["tensorboard(folder=x)"], "'tensorboard' takes no arguments, got 'folder'"),
        (["my_package:Writer"], "'my_package:Writer' is a class that is not registered here"),
        (["tensorboard("], "expected a reference such as"),
        (["wandb"], "the writer 'wandb' needs a package that cannot be imported"),
        (["mlflow"], "pip install 'marl[mlflow]'"),
        (["path"], "expected 'path' to be a subclass of marl.training.writers.Writer"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, monkeypatch, references, complaint):
    for package in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
    register(monkeypatch, path="pathlib:Path")
    with pytest.raises(UserError) as caught:
        train(config(writers=tuple(references)), tmp_path / "run", resume=False)
    assert complaint in str(caught.value) and caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def register(monkeypatch, **writers):
    """Register writers besides our own."""
    known, more = plugins.entry_points, [EntryPoint(name, value, plugins.WRITERS) for name, value in writers.items()]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [*known(group=group), *(more if group == plugins.WRITERS else [])]
    )


def test_another_package_may_register_a_writer(monkeypatch):
    register(monkeypatch, kept="tests.marl.training.test_writers:Kept")
    found = load_writers(["tensorboard", "kept(fails=open)"])
    assert list(found) == ["tensorboard", "kept"] and found["kept"].fails == "open"


def test_writers_may_change_when_a_run_goes_on(tmp_path):
    run = tmp_path / "run"
    train(config(steps=200, writers=()), run, resume=False)
    assert not (run / "tensorboard").exists() and (run / "metrics.jsonl").exists()
    train(config(steps=400, writers=("tensorboard",)), run, resume=True)
    assert list((run / "tensorboard").iterdir()) and "- tensorboard" in (run / "config.yaml").read_text()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_writer_follows_no_link(tmp_path, name):
    (tmp_path / "precious").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=f"{name}' is a symbolic link, and this run would write"):
        train(config(), tmp_path / "run", resume=False)
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / name]


def test_a_member_is_named_with_its_population(tmp_path):
    assert names(tmp_path / "runs" / "one") == ("one", None)
    assert names(tmp_path / "sweep" / "members" / "seed-1") == ("seed-1", "sweep")


class FakeWandb:
    """Weights & Biases, as far as it is called."""

    Settings = SimpleNamespace

    def __init__(self, mode="offline", logged_in=False):
        self.mode, self.logged_in, self.runs, self.logged = mode, logged_in, [], []

    def setup(self):
        return SimpleNamespace(settings=SimpleNamespace(mode=self.mode))

    def login(self, prompt):
        return self.logged_in and not prompt

    def init(self, **options):
        self.runs.append(options)
        return self

    def define_metric(self, name, step_metric):
        assert (name, step_metric) == ("*", "step")

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.logged.append("finished")


def test_weights_and_biases(tmp_path, monkeypatch):
    wandb, run = FakeWandb(), tmp_path / "sweep" / "members" / "seed-1"
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run.mkdir(parents=True)
    for step in (-1, 64):
        writer = load_writers(["wandb(project=mine)"])["wandb"]
        writer.open(run, {"seed": 1}, step)
        writer.write(step + 64, {"train/entropy": 0.5})
        writer.close()
    first, second = wandb.runs
    assert first == second and wandb.logged == [
        {"step": 63, "train/entropy": 0.5},
        "finished",
        {"step": 128, "train/entropy": 0.5},
        "finished",
    ]
    wanted = {"project": "mine", "name": "seed-1", "group": "sweep", "resume": "allow"}
    assert first | wanted == first and first["dir"] == str(run) and not first["settings"].symlink
    assert first["id"] == (run / "wandb" / "id").read_text().strip() != ""
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb("online", logged_in=True))
    assert Wandb(group="g", name="n")
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb("online"))
    with pytest.raises(UserError, match="not logged in; type `wandb login`, or set WANDB_MODE=offline"):
        Wandb()


class FakeMlflow:
    """MLflow and its client, as far as they are called."""

    entities = SimpleNamespace(Metric=lambda *values: values)

    def __init__(self):
        self.batches, self.params, self.status, self.names = [], {}, [], []

    def MlflowClient(self):
        return self

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return f"id of {name}"

    def create_run(self, experiment, run_name):
        self.names.append((experiment, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="run-1"))

    def log_param(self, run, key, value):
        self.params[key] = value

    def update_run(self, run, status):
        self.status.append((run, status))

    def set_terminated(self, run):
        self.status.append((run, "FINISHED"))

    def log_batch(self, run, metrics):
        self.batches.append(list(metrics))


def test_mlflow(tmp_path, monkeypatch):
    mlflow = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for step in (-1, 64):
        writer = load_writers(["mlflow(experiment=mine)"])["mlflow"]
        assert isinstance(writer, Mlflow)
        writer.open(tmp_path, {"algorithm": {"name": "ippo"}}, step)
        for k in range(1_001):
            writer.write(k, {"evaluation/runs/x(greedy=true)/player_0": 0.5})
        writer.write(5, {"evaluation/../x//player_0": 1.0})
        writer.close()
    assert mlflow.names == [("id of mine", tmp_path.name)] and mlflow.params == {"algorithm": "{'name': 'ippo'}"}
    assert mlflow.status == [("run-1", "RUNNING"), ("run-1", "FINISHED")] * 2
    assert [len(batch) for batch in mlflow.batches] == [1_000, 2] * 2
    name, value, _, step = mlflow.batches[0][7]
    assert (name, value, step) == ("evaluation/runs/x_greedy_true_/player_0", 0.5, 7)
    assert mlflow.batches[1][-1][0] == "evaluation/__/x/player_0"
