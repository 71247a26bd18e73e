"""Curves: the estimate against hand values, runs grouped and aligned, a picture that shows them, refusals in a line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.image import imread

from games.errors import UserError
from games.keys import uniform
from marl.base.picture import COLOURS
from marl.base.schema import dump
from marl.cli.app import main
from marl.training.config import TrainConfig
from marl.training.curves import MOST_POINTS, Run, align, labels, read, runs_of
from marl.training.curves import curves as curves_of
from marl.training.plot import beside, draw, table
from marl.training.statistics import bootstrap, estimate, iqm
from tests.properties import examples

GAME = "openspiel:tic_tac_toe"


def write_run(folder, seed=0, steps=(0, 100, 200), returns=(0.0, 0.5, 1.0), metrics=(), settings=None, **config):
    """Write a run's folder by hand: its config and its logs."""
    folder.mkdir(parents=True)
    algorithm = {"name": "ippo", "learning_rate": 1e-3, "hidden": [8]} | (settings or {})
    resolved = TrainConfig.model_validate(
        {"game": GAME, "algorithm": algorithm, "seed": seed, "evaluation": {"panel": ["random"]}} | config
    )
    (folder / "config.yaml").write_text(dump(resolved))
    evaluations = [
        {"step": step, "against": against, "return_mean": [value - gap, value + gap], "length_mean": 7.0}
        for step, value in zip(steps, returns, strict=True)
        for against, gap in (("random", 0.25), ("self", 0.0))
        if against in resolved.evaluation.panel
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def run_of(steps, values, seed=0):
    return Run(Path("run"), {"algorithm.name": "ippo"}, seed, np.array(steps), np.array(values), None, None)


@pytest.fixture
def marl(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; return its exit code, what it printed, and what it complained."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 6.0], 3.0),  # nothing to cut: the mean
        ([100.0, 2.0, 4.0, -50.0], 3.0),  # 2 and 4
        ([9.0, 1.0, 2.0, 3.0, -9.0], 2.0),  # 1, 2 and 3
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 4.5),  # 3, 4, 5 and 6
    ],
)
def test_iqm_by_hand(values, expected):
    assert iqm(np.array(values)) == expected


samples = arrays.arrays(np.float64, st.tuples(st.integers(4, 9), st.integers(1, 4)), elements=st.floats(-100, 100))


@given(samples)
def test_iqm_lies_between_the_quartiles_and_moves_with_the_values(values):
    found = iqm(values)
    ranked = np.sort(values, 0)
    cut = len(values) // 4
    assert (ranked[cut] - 1e-9 <= found).all() and (found <= ranked[-cut - 1] + 1e-9).all()
    np.testing.assert_allclose(iqm(2 * values + 3), 2 * found + 3, atol=1e-9)
    np.testing.assert_array_equal(iqm(values[::-1]), found)


@given(samples)
@settings(max_examples=examples(20))
def test_the_interval_holds_the_values_range_and_moves_with_them(values):
    low, high = bootstrap(values, 7)
    assert (values.min(0) - 1e-9 <= low).all() and (low <= high).all() and (high <= values.max(0) + 1e-9).all()
    moved_low, moved_high = bootstrap(3 * values - 1, 7)
    np.testing.assert_allclose([moved_low, moved_high], [3 * low - 1, 3 * high - 1], atol=1e-6)


def test_the_interval_of_equal_values_is_a_point():
    low, high = bootstrap(np.full((5, 2), 0.25), 0)
    assert low.tolist() == high.tolist() == [0.25, 0.25]


def test_the_interval_is_the_exact_one_of_zeros_and_ones():
    """k ones among n draws are binomial, and the IQM of 8 draws is (k - 2) / 4 between 0 and 1: by hand."""
    low, high = bootstrap(np.array([[0.0], [0.0], [1.0], [1.0]]), 3)  # P(0 or 1 of 4) = 5/16 = P(3 or 4)
    assert (low, high) == (0, 1)
    low, high = bootstrap(np.array([[0.0]] * 7 + [[1.0]]), 3)  # P(3 ones or more) = 0.067, P(4 or more) = 0.011
    assert (low, high) == (0, 0.25)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """200 samples of 16 uniform numbers, whose true IQM is 1/2; of so few the interval is a bit short."""
    numbers = uniform(np.arange(16, dtype=np.uint64), 200)  # [S, G]
    low, high = bootstrap(numbers, 0)
    assert 0.85 <= np.mean((low <= 0.5) & (high >= 0.5)) <= 0.98


def test_the_interval_depends_on_its_key_alone():
    values = uniform(np.arange(6, dtype=np.uint64), 3)
    assert np.array_equal(bootstrap(values, 1), bootstrap(values, 1))
    assert not np.array_equal(bootstrap(values, 1), bootstrap(values, 2))
    together, apart = bootstrap(values, 1), [bootstrap(values[:, [step]], 1) for step in range(3)]
    assert np.array_equal(together, np.concatenate(apart, axis=1))  # the same seeds at every step


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


def test_a_picture_lies_beside_what_it_shows():
    a, b, far = (Path("runs/a"), Path("runs/b"), Path("elsewhere/runs/c"))
    assert beside([a]) == a and beside([a, b]) == Path("runs") and beside([a, far]) == Path()


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


def test_the_table(tmp_path):
    write_run(tmp_path / "s" / "members" / "a", 0)
    write_run(tmp_path / "s" / "members" / "b", 1, (0, 100, 1_400), (0, 0.5, 1.5))
    assert table(read([tmp_path / "s"])).splitlines() == [
        "openspiel:tic_tac_toe: mean return of an episode against random",
        "",
        "| curve | seeds | steps | at the end | estimate | interval | wall time a run | CPU time a run |",
        "| :-- | --: | --: | --: | :-- | :-- | --: | --: |",
        "| ippo | 2 | 200 (the longest run: 1,400) | 0.7885 | mean | 0.5769 to 1 (range) |  |  |",
    ]


def picture(path):
    """Return a PNG's pixels [H, W, RGBA]."""
    return imread(path)


def test_a_picture_shows_curves(tmp_path):
    for seed in range(5):
        write_run(tmp_path / "a" / "members" / f"{seed}", seed, returns=(0, 0.1 * seed, 1))
        write_run(tmp_path / "b" / "members" / f"{seed}", seed, returns=(1, 0.1 * seed, 0), settings={"hidden": [9]})
    draw(read([tmp_path / "a"]), tmp_path / "a.png")
    draw(read([tmp_path / "a", tmp_path / "b"]), tmp_path / "both.png")
    one, both = picture(tmp_path / "a.png"), picture(tmp_path / "both.png")
    assert min(one.shape[:2]) >= 600 and both.shape[1] > one.shape[1]  # its legend stands beside the axes

    def pixels(image, colour):
        rgb = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        return int((np.abs(image[..., :3] - rgb).max(-1) < 0.02).sum())

    blue, red = COLOURS[:2]
    assert pixels(one, blue) > 1_000 and pixels(both, red) > 1_000 and pixels(one, red) == 0
    draw(read([tmp_path / "a"]), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_many_curves_make_room_for_their_legend(tmp_path):
    runs = [write_run(tmp_path / f"{k}", settings={"hidden": [k]}) for k in range(40)]
    draw(read(runs[:2]), tmp_path / "few.png")
    draw(read(runs), tmp_path / "many.png")
    assert picture(tmp_path / "many.png").shape[0] > picture(tmp_path / "few.png").shape[0]


STATES = ("start", "CC", "CD", "DC", "DD")


def write_cooperation(folder, seed, high=1.0, states=STATES, **more):
    """Write a run that logs a family of metrics; its members rise to `high` but for the last, which stays at 0."""
    metrics = [
        {"step": step, "entropy": 0.5}
        | {f"cooperation.{state}": high * step / 200 for state in states[:-1]}
        | {f"cooperation.{states[-1]}": 0.0}
        for step in (100, 200)
    ]
    return write_run(folder, seed, metrics=metrics, **more)


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


def test_the_command(marl, tmp_path):
    write_run(tmp_path / "s" / "members" / "a", 0, evaluation={"panel": ["random", "self"]})
    write_run(tmp_path / "s" / "members" / "b", 1, evaluation={"panel": ["random", "self"]})
    exit_code, printed, complaint = marl("plot", "s")
    assert (exit_code, complaint) == (0, "") and printed.endswith("\ncurves: s/plot.png\n")
    assert (tmp_path / "s" / "plot.png").stat().st_size > 10_000
    exit_code, printed, complaint = marl("plot", "s", "--against", "self", "--out", "x.svg", "--json")
    found = json.loads(printed)
    assert (exit_code, complaint) == (0, "") and (found["game"], found["against"]) == (GAME, "self")
    [curve] = found["curves"]
    assert (curve["label"], curve["seeds"], curve["estimate"], curve["interval"]) == ("ippo", [0, 1], "mean", "range")
    assert curve["step"] == [0, 100, 200] and curve["value"] == curve["low"] == curve["high"] == [0, 0.5, 1]
    assert found["file"] == "x.svg" and (tmp_path / "x.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("nowhere", "'nowhere', which does not exist"),
        ("runn", "did you mean 'run'?"),
        ("run/config.yaml", "which is a file"),
        ("empty", "holds neither a run (config.yaml) nor members"),
        ("young", "'young' has no evaluations yet"),
        ("run young", "'young' has no evaluations yet"),
        ("young --metric entropy", "'young' has no metrics yet"),
        ("run --metric entrpy", "did you mean 'entropy'?"),
        ("family --metric cooperaton", "did you mean 'cooperation'?"),
        ("family --metric cooperation --against random", "'cooperation' is of training"),
        ("run --metric zzz", "known: return, length_mean, entropy"),
        ("run --against randm", "did you mean 'random'?"),
        ("run --against mcts", "is not evaluated against 'mcts'; its panel: random"),
        ("alone", "its panel: nobody"),
        ("run --metric entropy --against random", "'entropy' is of training"),
        ("run --out nowhere/x.png", "the folder of 'nowhere/x.png' does not exist"),
        ("run --out x.gif", "ends in .png, .pdf, .svg, got 'x.gif'"),
        ("run --out empty.png", "cannot be written"),
        ("run chess", "different games, 'openspiel:tic_tac_toe' and 'openspiel:chess'"),
        ("run copy", "'run' and 'copy' are the same config with the same seed"),
        ("torn", "cannot be read"),
        ("broken", "not every line is an object with a step"),
        ("wrong", "are damaged"),
        ("", "Missing argument"),
    ],
)
def test_bad_input(marl, tmp_path, arguments, reason):
    write_run(tmp_path / "run", metrics=[{"step": 10, "entropy": 1.0}])
    write_run(tmp_path / "copy")
    write_cooperation(tmp_path / "family", 0)
    write_run(tmp_path / "young", 1, (), ())
    write_run(tmp_path / "chess", game="openspiel:chess")
    write_run(tmp_path / "alone", evaluation={"panel": []})
    for name, text in [("torn", "{\n{}\n"), ("broken", "[]\n"), ("wrong", '{"step": 1, "against": "random"}\n')]:
        write_run(tmp_path / name)
        (tmp_path / name / "evaluations.jsonl").write_text(text)
    (tmp_path / "wrong" / "evaluations.jsonl").write_text(
        '{"step": 1, "against": "random", "return_mean": [1, "x"], "length_mean": 1}\n'
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    exit_code, printed, complaint = marl("plot", *arguments.split())
    assert (exit_code, printed) == (2, "") and complaint.startswith("marl: ") and complaint.count("\n") == 1
    assert reason in complaint
    assert sorted(tmp_path.rglob("*")) == before
