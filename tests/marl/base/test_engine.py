"""Where work runs: the same results here and in worker processes; the task of a worker that dies is run again."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest

from games.errors import RunFailed, UserError, WorkerDied
from games.registry import make
from marl.agents.load import load_entrant
from marl.base import cluster, engine, tasks
from marl.base.parcels import Writes
from marl.evaluation.evaluate import evaluate_entrant
from tests.marl.base.tasks import a_function, dies, notes, process, refuses, says, serves, square, untold
from tests.torture import _alive


def played(game, seed):
    """Evaluate random: what a worker of a population or a tournament does."""
    venv = make(game, 4)
    return game, seed, evaluate_entrant(venv, load_entrant("random", venv.spec), None, seeds=20, key=seed).return_mean


@pytest.mark.parametrize("tasks", [[], [(3,)], [(1,), (2,), (3,)]])
def test_here_in_order(tasks):
    assert list(engine.run(square, tasks, 1)) == [number * number for (number,) in tasks]


def test_one_worker_or_one_task_is_this_process():
    assert list(engine.run(process, [(0,), (0,)], 1)) == [os.getpid()] * 2
    assert list(engine.run(process, [(0,)], 4)) == [os.getpid()]


def test_two_processes_give_the_same_results():
    tasks = [("openspiel:tic_tac_toe", 1), ("openspiel:leduc_poker", 2), ("openspiel:leduc_poker", 3)]
    here, there = list(engine.run(played, tasks, 1)), list(engine.run(played, tasks, 2))
    assert sorted(here) == sorted(there)
    assert os.getpid() not in engine.run(process, [(0,), (0,)], 2)


def test_the_task_of_a_worker_that_dies_is_run_again(tmp_path):
    found = dict(engine.outcomes(dies, [(tmp_path, 0, 0), (tmp_path, 1, 2), (tmp_path, 2, 0)], 2))
    assert {place: ended.value() for place, ended in found.items()} == {0: 0, 1: 1, 2: 2}
    again = ("its worker process was ended by SIGKILL, and another one took up the work again",)
    assert [found[place].notes for place in range(3)] == [(), again, ()]
    # Who was in flight beside it was not begun again.
    assert [(tmp_path / f"{number}").read_text() for number in range(3)] == ["x", "xxx", "x"]


def test_a_task_whose_workers_die_is_given_up_and_the_others_go_on(tmp_path):
    results = engine.run(dies, [(tmp_path, 0, 0), (tmp_path, 1, 9), (tmp_path, 2, 0)], 2)
    found = []
    with pytest.raises(WorkerDied, match=r"task 2: its worker process died 3 times, .* by SIGKILL") as caught:
        for result in results:
            found.append(result)
    assert sorted(found) == [0, 2] and (tmp_path / "1").read_text() == "xxx"
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


def test_where_all_workers_die_not_every_task_is_tried(tmp_path):
    found = [ended for _, ended in engine.outcomes(dies, [(tmp_path, number, 9) for number in range(9)], 2)]
    assert len(found) == 9 and all(isinstance(ended.error, WorkerDied) for ended in found)
    not_begun = sum("it was not begun, since" in str(ended.error) for ended in found)
    assert len(list(tmp_path.iterdir())) == 9 - not_begun
    assert tasks.HOPELESS <= 9 - not_begun <= tasks.HOPELESS + 1  # one may be in flight beside the last


@pytest.mark.parametrize("workers", [1, 2])
def test_notes_come_with_results_and_with_errors(workers):
    found = dict(engine.outcomes(notes, [(0,), (1,), (2,)], workers))
    assert [found[place].notes for place in range(3)] == [("of 0",), ("of 1",), ("of 2",)]
    assert (found[0].value(), found[2].value()) == (0, 2)
    with pytest.raises(ZeroDivisionError, match="one") as caught:
        found[1].value()
    if workers == 2:
        assert "in notes" in str(caught.value.__cause__)  # where it was raised


def test_what_cannot_travel_is_said_in_words():
    with pytest.raises(RunFailed, match="unexpected Untold: 1 and 1"):
        list(engine.run(untold, [(1,), (1,)], 2))
    with pytest.raises(RunFailed, match="the result of a task cannot be sent: "):
        list(engine.run(a_function, [(1,), (1,)], 2))


SLEEPING = """
import sys
from pathlib import Path
from marl.base import engine
from tests.marl.base.tasks import sleeps
list(engine.run(sleeps, [(Path(sys.argv[1]), 0), (Path(sys.argv[1]), 1)], 2))
"""


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, by):
    """At once, in the middle of their tasks: on Ctrl-C, and when it is killed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL
    )
    files = [tmp_path / f"{number}.pid" for number in range(2)]
    while not all(file.exists() and file.read_text() for file in files):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(by)
    assert parent.wait() != 0
    for file in files:
        while _alive(int(file.read_text())):
            time.sleep(0.01)


def test_only_workers_are_workers():
    assert not engine.in_worker()
    assert all(engine.run(serves, [(0,), (0,)], 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tasks_error_is_raised_as_it_was(workers):
    with pytest.raises(UserError, match="expected another number, got 1"):
        list(engine.run(refuses, [(0,), (1,), (2,)], workers))


def test_ray_is_asked_for_before_anything_is_written(monkeypatch):
    engine.require("processes")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine.require("processes")
    with pytest.raises(UserError, match=r"pip install 'marl\[ray\]'"):
        engine.require("ray")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_same_results_and_prints_what_tasks_print(capfd):
    assert sorted(engine.run(square, [(1,), (2,), (3,)], 1, "ray")) == [1, 4, 9]
    list(engine.run(says, [("a line",), ("a line",)], 1, "ray"))
    assert "a line" in capfd.readouterr().out  # Ray may drop the last lines before it shuts down


def test_results_come_as_they_end():
    """A generator: nothing is asked of a later task before the first result is taken."""
    asked = []

    def note(number):
        asked.append(number)
        return number

    results = engine.run(note, [(1,), (2,)], 1)
    assert asked == [] and next(results) == 1 and asked == [1]


def test_workers_are_kept_from_one_call_to_the_next(tmp_path):
    with engine.kept("processes", tmp_path):
        first = set(engine.run(process, [(0,)] * 4, 2))
        with engine.kept("processes", tmp_path):
            assert set(engine.run(process, [(0,)] * 4, 2)) == first
        os.kill(killed := min(first), signal.SIGKILL)
        while _alive(killed):
            time.sleep(0.01)
        later = set(engine.run(process, [(0,)] * 4, 2))
        assert killed not in later and len(later & first) == 1
        assert all(_alive(pid) for pid in later)
    assert not any(_alive(pid) for pid in later)
    assert later.isdisjoint(engine.run(process, [(0,)] * 4, 2))


class Evicted(Exception):
    """Stands for Ray's OutOfMemoryError."""


class Crashed(Exception):
    """Stands for its WorkerCrashedError."""


class Ray(SimpleNamespace):
    """A stub of Ray: each task has a list of what befalls its tries before one of them ends."""

    def __init__(self, befalls=(), refuses=None):
        names = ("NodeDiedError", "ObjectLostError", "RayError")
        exceptions = SimpleNamespace(WorkerCrashedError=Crashed, OutOfMemoryError=Evicted)
        super().__init__(exceptions=exceptions, befalls=befalls, refuses=refuses, options=None, begun=[], stopped=0)
        vars(exceptions).update({name: type(name, (Exception,), {}) for name in names})

    def init(self, address, **_):
        assert address == os.environ.get("RAY_ADDRESS", "local")
        if self.refuses:
            raise self.refuses

    def shutdown(self):
        self.stopped += 1

    def remote(self, **options):
        self.options = options

        def decorated(attempt):
            def ask(function, task):
                self.begun.append(task)
                return len(self.begun) - 1, partial(attempt, function, task)

            return SimpleNamespace(remote=ask)

        return decorated

    def wait(self, waiting):
        return waiting[-1:], waiting[:-1]  # the newest first

    def get(self, asked):
        _, attempt = asked
        left = self.befalls[attempt.args[1][0]] if self.befalls else []
        if left:
            raise left.pop()
        return attempt()


@pytest.fixture
def on_ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS"):
        monkeypatch.setenv(name, "0")

    def outcomes(ray, tasks):
        monkeypatch.setitem(sys.modules, "ray", ray)
        return dict(engine.outcomes(square, [(number,) for number in range(tasks)], 1, "ray"))

    return outcomes


def test_ray_runs_a_task_again_whose_worker_died(on_ray):
    """Its own retries are off; its memory monitor judges the machine, so its kills do not use up the three tries."""
    ray = Ray(befalls=[[], [Crashed(), Crashed()], [Evicted()] * 5 + [Crashed()], [Crashed()] * 3])
    found = on_ray(ray, 4)
    assert ray.options == {"num_cpus": 1, "max_retries": 0, "retry_exceptions": False} and ray.stopped == 1
    assert [found[place].value() for place in range(3)] == [0, 1, 4]
    assert "ended with Crashed" in found[1].notes[0] and found[0].notes == ()
    with pytest.raises(WorkerDied, match="task 4: its worker process died 3 times"):
        found[3].value()
    assert [ray.begun.count((place,)) for place in range(4)] == [1, 3, 7, 3]


def test_what_ray_evicts_without_end_is_given_up(on_ray):
    ray = Ray(befalls=[[Evicted()] * 99, []])
    assert on_ray(ray, 2)[0].given_up and ray.begun.count((0,)) == tasks.EVICTIONS


def test_ray_that_cannot_run_a_task_is_a_sentence(on_ray):
    ray = Ray()
    ray.befalls = [[ray.exceptions.RayError("no such resource")]]
    with pytest.raises(RunFailed, match="Ray could not run a task: RayError: no such resource"):
        on_ray(ray, 1)[0].value()


def test_a_ray_that_does_not_start_is_a_sentence(on_ray, monkeypatch):
    ray = Ray(refuses=Exception("The current node timed out during startup"))
    with pytest.raises(UserError, match=r"a local Ray did not start .*timed out.*; use --engine processes") as caught:
        on_ray(ray, 1)
    assert caught.value.exit_code == 2 and ray.stopped == 1
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", address := f"127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(UserError, match=f"no Ray cluster answers at '{address}' .*unset RAY_ADDRESS"):
            on_ray(Ray(), 1)


def test_what_a_machine_of_another_version_did_is_done_again(on_ray, monkeypatch):
    """One that joined the cluster after its machines were asked."""
    answers = iter([("other", "late"), ("other", "late"), ("", "")] * 3)

    def there(function, task):
        code, host = next(answers)
        return tasks.attempt_elsewhere(function, task), code or cluster.code_here(), host, None

    monkeypatch.setattr(cluster, "_attempt_there", there)
    ray = Ray()
    found = on_ray(ray, 1)
    assert found[0].value() == 0 and ray.begun == [(0,)] * 3
    assert "was of another version, on late" in found[0].notes[0]


HERE = cluster.this_machine()


@pytest.mark.parametrize(
    "other, complaint",
    [
        (
            replace(HERE, host="b", versions=HERE.versions | {"numpy": "1.0"}, code="x"),
            r"machine b has numpy 1\.0, this",
        ),
        (replace(HERE, host="b", code="x"), "machine b has other plug-ins, or another source of marl"),
    ],
)
def test_a_machine_that_is_not_like_this_one_is_refused(on_ray, monkeypatch, tmp_path, other, complaint):
    monkeypatch.setitem(sys.modules, "ray", ray := Ray())
    monkeypatch.setattr(cluster, "_machines", lambda ray, probe: [HERE, other])
    with pytest.raises(UserError, match=complaint), engine.kept("ray", tmp_path):
        raise AssertionError("it began")
    assert ray.stopped == 1 and not list(tmp_path.iterdir())


def test_a_cluster_is_connected_once(on_ray, monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(sys.modules, "ray", ray := Ray())
    monkeypatch.setattr(cluster, "_machines", lambda ray, probe: [HERE, replace(HERE, host="b", processor="AVX9")])
    with engine.kept("ray", tmp_path):
        assert [list(engine.run(square, [(2,)], 1, "ray")) for _ in range(3)] == [[4]] * 3
        assert ray.stopped == 0
    assert ray.stopped == 1
    assert "the machine b has another kind of processor (AVX9" in caplog.text


def test_this_machine_says_whether_it_sees_a_file(tmp_path):
    assert cluster.this_machine(str(tmp_path)).sees and not cluster.this_machine(str(tmp_path / "x")).sees
    assert HERE.code == cluster.this_machine().code and HERE.processor


def test_a_machine_that_came_late_and_does_not_see_the_folder_does_nothing(on_ray, monkeypatch, tmp_path):
    task = Writes(tmp_path / "elsewhere", "members/a"), tmp_path
    ended, code, _, content = cluster._attempt_there(square, task)
    assert (ended.result, ended.error, code, content) == (None, None, "", None)
    (tmp_path / "elsewhere").mkdir()
    assert cluster._attempt_there(lambda folder, _: folder.part, task)[0].value() == "members/a"
    answers = iter([True, False])
    monkeypatch.setattr(cluster.parcels, "out_of_sight", lambda task: next(answers))
    assert "did not see the run's folder, on " in on_ray(Ray(), 1)[0].notes[0]


def test_a_task_on_ray_imports_no_torch_of_its_own():
    """A tournament of agents without networks starts its workers in half the time."""
    does = (
        "import sys; from marl.base import cluster; cluster._attempt_there(abs, (-1,)); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", does], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_taken_as_they_are_needed(workers):
    """There may be more of them than fit into memory."""
    taken = []
    results = engine.run(abs, ((taken.append(k) or -k,) for k in count(1)), workers)
    found = [next(results) for _ in range(5)]
    assert len(taken) <= 5 + 2 * workers and set(found) <= set(taken)
    results.close()
