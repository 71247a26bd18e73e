"""Learning curves read from logs: what is one curve, what it is called, and where it ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from marl.training.curves import MOST_POINTS, align, labels, read, runs_of
from marl.training.curves import curves as curves_of
from marl.training.plot import draw, table
from marl.training.statistics import estimate
from tests.marl.training.logs import STATES, picture, run_of, write_cooperation, write_run
from tests.properties import examples


def test_few_seeds_are_shown_as_what_they_are():
    one, two = np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [3.0, 8.0]])
    assert estimate(one)[0].tolist() == [1, 2] and estimate(one)[1:] == (None, None)
    assert [bound.tolist() for bound in estimate(two)] == [[2, 5], [1, 2], [3, 8]]
    curves = curves_of([run_of([0, 1], row, seed) for seed, row in enumerate(two)])
    assert [(curve.estimate, curve.interval) for curve in curves] == [("mean", "range")]
    [curve] = curves_of([run_of([0, 1], row, seed) for seed, row in enumerate([*two, *two])])
    assert (curve.estimate, curve.interval) == ("IQM", "95 % bootstrap")
    [curve] = curves_of([run_of([0, 1], one[0])])
    assert (curve.estimate, curve.interval) == ("one seed", None)


def test_steps_that_differ_a_little_are_interpolated():
    step, values = align([run_of([0, 100, 210], [0, 1, 2]), run_of([0, 110, 200, 300], [0, 11, 20, 30])])
    assert step.tolist() == [0, 100, 210]  # of the run with the fewest points
    np.testing.assert_allclose(values, [[0, 1, 2], [0, 10, 21]])


def test_no_run_is_drawn_beyond_its_log():
    step, values = align([run_of([10, 20, 40], [1, 2, 4]), run_of([0, 12, 24, 36], [0, 12, 24, 36])])
    assert step.tolist() == [10, 20, 36]
    np.testing.assert_allclose(values, [[1, 2, 3.6], [10, 20, 36]])
    with pytest.raises(UserError, match="ends at step 5, before another of its curve begins"):
        align([run_of([0, 5], [0, 5]), run_of([6, 9], [6, 9])])


@given(st.integers(2, 2_000), st.floats(-5, 5))
@settings(max_examples=examples(30))
def test_long_logs_are_averaged(points, slope):
    """A straight line stays one, whatever the points are averaged over."""
    at = np.arange(points, dtype=float)
    step, [value] = align([run_of(at, slope * at)])
    assert len(step) == min(points, MOST_POINTS) and (np.diff(step) > 0).all()
    np.testing.assert_allclose(value, slope * step, atol=1e-6)


def test_runs_that_differ_by_seed_are_one_curve(tmp_path):
    for rate in (1e-2, 1e-3, 1e-5):
        for seed in range(4):
            folder = tmp_path / "sweep" / "members" / f"{rate}_{seed}"
            write_run(folder, seed, returns=(0, rate, seed * rate), settings={"learning_rate": rate})
    plotted = read([tmp_path / "sweep"])
    assert [curve.label for curve in plotted.curves] == [f"learning_rate={rate}" for rate in ("1e-05", 0.001, 0.01)]
    assert [[run.seed for run in curve.runs] for curve in plotted.curves] == [[0, 1, 2, 3]] * 3
    curve = plotted.curves[2]
    np.testing.assert_allclose(
        curve.value, [0, 0.01, 0.015]
    )  # the mean over players, then the middle two of 0, 1, 2, 3
    assert plotted.against == "random" and read([tmp_path / "sweep"], "length_mean").curves[0].value.tolist() == [7] * 3


def test_labels_say_what_differs():
    first = {"algorithm.name": "ippo", "algorithm.clip": 0.2, "steps": 10}
    assert labels([first]) == ["ippo"]
    assert labels([first, first | {"steps": 20}]) == ["steps=10", "steps=20"]
    other = {"algorithm.name": "qmix", "algorithm.mixer": "qmix", "steps": 10}  # its own keys need no saying
    assert labels([first, other]) == ["ippo", "qmix"]
    assert labels([first, {"algorithm.name": "ippo", "steps": 10}]) == ["clip=0.2", "ippo"]
    twice = [{"a.seeds": 1, "b.seeds": 2}, {"a.seeds": 3, "b.seeds": 4}]
    assert labels(twice) == ["a.seeds=1, b.seeds=2", "a.seeds=3, b.seeds=4"]


def test_curves_of_a_mixed_population(tmp_path):
    """Members are called by their names; where seeds share a curve, by the algorithm and what differs within it."""
    ippo = {"learning_rate": 1e-3, "clip": 0.2, "hidden": [64, 64]}
    qmix = {"name": "qmix", "hidden": 64, "target_every": 200, "learning_rate": 5e-4}
    kinds = {"careful": ippo, "_fast$": ippo | {"learning_rate": 1e-2}, "team": qmix | {"name": "vdn"}, "mixer": qmix}
    for name, chosen in kinds.items():
        write_run(tmp_path / "pop" / "members" / name, settings=chosen, num_envs=len(name))
        for seed in range(2):
            write_run(tmp_path / "seeds" / "members" / f"{name}-{seed}", seed, settings=chosen)
        write_run(tmp_path / name, settings=chosen | {f"setting_{k}": name for k in range(9)})
    assert [curve.label for curve in read([tmp_path / "pop"]).curves] == ["_fast$", "careful", "mixer", "team"]
    seeds = read([tmp_path / "seeds"]).curves
    assert [curve.label for curve in seeds] == ["ippo, learning_rate=0.001", "ippo, learning_rate=0.01", "qmix", "vdn"]
    assert [curve.label for curve in read([tmp_path / name for name in kinds]).curves] == [*sorted(kinds)]
    one = read([tmp_path / "pop" / "members" / "team"]).curves
    assert [curve.label for curve in one] == ["team"]


def test_a_sweep_of_one_seed_is_called_by_its_settings(tmp_path):
    for rate in (1e-2, 1e-3):
        write_run(tmp_path / "s" / "members" / f"learning_rate-{rate}_seed-0", settings={"learning_rate": rate})
    assert [curve.label for curve in read([tmp_path / "s"]).curves] == ["learning_rate=0.001", "learning_rate=0.01"]


def test_a_folder_is_a_run_or_holds_members(tmp_path):
    one = write_run(tmp_path / "one")
    members = [write_run(tmp_path / "many" / "members" / name, seed) for seed, name in enumerate("ab")]
    assert runs_of(one) == [one] and runs_of(tmp_path / "many") == members
    again = tmp_path / "one" / ".." / "many" / "members" / "a"
    assert len(read([tmp_path / "many", again]).curves[0].runs) == 2  # named twice, counted once


def test_times_are_added_up_from_the_speeds(tmp_path):
    speeds = [(100, 50.0, 100.0), (300, 100.0, 400.0)]
    metrics = [
        {"step": step, "entropy": 1.0, "steps_per_second": wall, "steps_per_cpu_second": cpu}
        for step, wall, cpu in speeds
    ]
    run = write_run(tmp_path / "run", metrics=metrics)
    [curve] = read([run], "entropy").curves
    assert (curve.runs[0].wall, curve.runs[0].cpu) == (4.0, 1.5) and curve.step.tolist() == [100, 300]
    assert "| 4 s | 1.5 s |" in table(read([run]))
    (run / "metrics.jsonl").write_text('{"step": 100, "entropy": 1.0}\n{"step": 200, "ent')  # and a line being written
    plotted = read([run], "entropy")
    assert plotted.curves[0].runs[0].wall is None and plotted.curves[0].step.tolist() == [100]


def test_a_family_of_metrics_is_a_curve_for_each_member(tmp_path):
    for seed in range(4):
        write_cooperation(tmp_path / "s" / "members" / f"{seed}", seed, high=1 - seed / 10)
    plotted = read([tmp_path / "s"], "cooperation")
    assert [curve.label for curve in plotted.curves] == [*STATES] and plotted.title == "probability of cooperation"
    for curve in plotted.curves[:-1]:
        np.testing.assert_allclose(curve.value, [0.425, 0.85])  # the middle two of 1, 0.9, 0.8 and 0.7
        assert (curve.low < curve.value).all() and (curve.high > curve.value).all()
    assert plotted.curves[-1].value.tolist() == [0, 0]
    assert [line.split(" | ")[0] for line in table(plotted).splitlines()[4:]] == [f"| {state}" for state in STATES]
    [alone] = read([tmp_path / "s"], "cooperation.CD").curves
    assert alone.label == "ippo" and alone.value.tolist() == plotted.curves[2].value.tolist()
    draw(plotted, tmp_path / "family.png")
    assert picture(tmp_path / "family.png").shape[1] > 1_400  # with a legend


def test_families_of_several_configs_stand_side_by_side(tmp_path):
    runs = [write_cooperation(tmp_path / f"{rate}", 0, rate, settings={"learning_rate": rate}) for rate in (1e-2, 1e-3)]
    plotted = read(runs, "cooperation")
    assert [curve.label for curve in plotted.curves] == [
        f"learning_rate={rate}, {state}" for rate in (0.001, 0.01) for state in STATES
    ]
    assert [curve.value[-1] for curve in plotted.curves] == [0.001] * 4 + [0] + [0.01] * 4 + [0]


def test_a_member_that_a_run_has_not_logged(tmp_path):
    runs = [write_cooperation(tmp_path / "a", 0), write_cooperation(tmp_path / "b", 1, states=STATES[:3])]
    with pytest.raises(UserError, match=r"'cooperation.DC' is not logged by '.*b', and is by another; leave one out"):
        read(runs, "cooperation")


def test_a_key_of_that_name_comes_before_its_family(tmp_path):
    metrics = [{"step": 1, "loss": 3.0, "loss.value": 1.0, "losses": 2.0}]
    [curve] = read([write_run(tmp_path / "run", metrics=metrics)], "loss").curves
    assert curve.value.tolist() == [3]
