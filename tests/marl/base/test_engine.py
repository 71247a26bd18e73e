"""Where work runs: the same results here and in worker processes, and one sentence where a worker dies."""

import importlib.util
import os

import pytest

from games.errors import RunFailed, UserError
from games.registry import make
from marl.agents.load import load_entrant
from marl.base import engine
from marl.evaluation.evaluate import evaluate_entrant


def square(number):
    return number * number


def process(_):
    return os.getpid()


def dies(number):
    if number == 1:
        os._exit(9)
    return number


def says(text):
    print(text)


def refuses(number):
    if number == 1:
        raise UserError(f"expected another number, got {number}")
    return number


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


def test_a_worker_that_dies_is_one_sentence():
    with pytest.raises(RunFailed, match="a worker process died") as caught:
        list(engine.run(dies, [(0,), (1,), (2,)], 2))
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


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
