"""What training has cost, by the log of a run."""

import json
import os

import pytest

from marl.agents.cost import METRICS, cost

UNKNOWN = {"wall_seconds": None, "cpu_seconds": None}


def log(run, *lines):
    run.mkdir(exist_ok=True)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (run / METRICS).write_text(text)


def update(step, wall=50, cpu=100, **more):
    return {"step": step, "entropy": 1.0, "steps_per_second": wall, "steps_per_cpu_second": cpu, **more}


def test_updates_up_to_a_step_count(tmp_path):
    log(tmp_path, update(100), update(300, 100, 50), update(400))
    assert cost(tmp_path, 300) == {"wall_seconds": pytest.approx(2 + 2), "cpu_seconds": pytest.approx(1 + 4)}
    assert cost(tmp_path, 100) == {"wall_seconds": pytest.approx(2), "cpu_seconds": pytest.approx(1)}
    assert cost(tmp_path, 99) == UNKNOWN


def test_a_log_that_has_grown_is_read_again(tmp_path):
    log(tmp_path, update(100))
    assert cost(tmp_path, 500)["cpu_seconds"] == pytest.approx(1)
    log(tmp_path, update(100), update(500))
    os.utime(tmp_path / METRICS, ns=(1, 1))  # whatever the clock's resolution
    assert cost(tmp_path, 500)["cpu_seconds"] == pytest.approx(5)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["{"],
        ["[]"],
        [{"step": 10}],
        [{"loss": 1}],
        [update("x")],
        [update(10, -1, -1)],
        [update(10, 1e-320, 1e-320)],
    ],
)
def test_what_a_log_does_not_say_is_not_known(tmp_path, lines):
    log(tmp_path, *lines)
    assert cost(tmp_path, 10) == UNKNOWN
    assert cost(tmp_path / "gone", 10) == UNKNOWN
