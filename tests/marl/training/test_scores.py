"""Final scores over several games: aggregates and profiles with known answers, pictures, refusals in a sentence."""

import json

import numpy as np
import pytest

from games.errors import UserError
from games.keys import fold, uniform
from marl.base.picture import COLOURS
from marl.training.score_plot import draw_aggregates, draw_profiles, score_table
from marl.training.scores import _normalisation, _random_play, read_scores
from marl.training.statistics import AGGREGATES, interval, mean, profile, resampled
from tests.marl.training.logs import GAME, picture, write_run

CHESS = "openspiel:chess"
BOUNDS = [f"{GAME}=-1,1", f"{CHESS}=0,2"]
SCORES = np.array([[0.1, 0.9, 1.4], [0.3, 0.8, 0.2], [0.2, 1.3, 0.6], [0.4, 0.7, 0.5]])


def test_aggregates_by_hand():
    scores = np.array([[0.0, 1.0], [0.5, 2.0]])  # means of the games: 0.25 and 1.5
    found = {name: float(statistic(scores)) for name, statistic in AGGREGATES.items()}
    assert found == {"median": 0.875, "IQM": 0.75, "mean": 0.875, "optimality gap": 0.375}
    assert profile(scores, np.array([-0.1, 0.0, 0.5, 1.0, 2.0])).tolist() == [1, 0.75, 0.5, 0.25, 0]
    stacked = np.stack([scores, scores + 1])  # resamples are computed at once
    assert [statistic(stacked).shape for statistic in AGGREGATES.values()] == [(2,)] * 4
    assert AGGREGATES["IQM"](stacked).tolist() == [0.75, 1.75]


def test_aggregates_of_more_runs():
    """Sorted: 0.1 0.2 0.2, 0.3 0.4 0.5 0.6 0.7 0.8, 0.9 1.3 1.4; means of the games: 0.25, 0.925, 0.675."""
    found = {name: float(statistic(SCORES)) for name, statistic in AGGREGATES.items()}
    assert found == pytest.approx({"median": 0.675, "IQM": 0.55, "mean": 0.6166667, "optimality gap": 0.4416667})


def test_aggregates_are_those_of_rliable():
    """Values of rliable (github.com/google-research/rliable); its intervals, of as many resamples, are other draws."""
    scores = uniform(fold(0, np.arange(40))).reshape(10, 4) * np.array([1, 0.5, 2, 1.2])
    found = [float(statistic(scores)) for statistic in AGGREGATES.values()]
    np.testing.assert_allclose(found, [0.60861563, 0.57607762, 0.69019626, 0.43755654], rtol=1e-7)
    bounds = np.transpose([interval(statistic, scores) for statistic in AGGREGATES.values()])
    np.testing.assert_allclose(bounds, [[0.455, 0.422, 0.569, 0.361], [0.757, 0.728, 0.792, 0.523]], atol=0.02)
    low, high = interval(lambda drawn: profile(drawn, np.array([0.25, 0.5, 1.0, 1.5])), scores)
    np.testing.assert_allclose(low, [0.6, 0.375, 0.175, 0.05], atol=0.051)
    np.testing.assert_allclose(high, [0.825, 0.625, 0.375, 0.2], atol=0.051)


def test_intervals_resample_within_each_game():
    """Differences between games are no uncertainty of the mean over them."""
    apart = np.array([[0.0, 50.0, 100.0]]).repeat(5, 0)
    assert [bound.tolist() for bound in interval(mean, apart)] == [50, 50]
    scores = uniform(fold(0, np.arange(200))).reshape(20, 10) + np.arange(10)
    drawn = resampled(scores)
    assert drawn.shape == (2_000, 20, 10) and (np.floor(drawn) == np.arange(10)).all()
    assert len({drawn[..., g].argsort(1).tobytes() for g in range(10)}) == 10  # independently
    low, high = interval(mean, scores)
    deviation = np.sqrt((scores.var(0) / 20).sum()) / 10
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert interval(mean, scores[:1]) is None


def write_runs(folder, methods=("ippo", "naive"), games=(GAME, CHESS), seeds=3):
    """Write runs of several methods at several games; `ippo` ends at 0, 0.1, 0.2, and others one higher."""
    for rank, name in enumerate(methods):
        for game in games:
            for seed in range(seeds):
                write_run(
                    folder / f"{name}-{game[-5:]}-{seed}",
                    seed,
                    returns=(-9, -9, rank + seed / 10),
                    settings={"name": name},
                    game=game,
                )
    return sorted(folder.iterdir())


def test_runs_of_several_games(tmp_path):
    scores = read_scores(write_runs(tmp_path), normalise=BOUNDS)
    assert [method.label for method in scores.methods] == ["ippo", "naive"] and scores.title.startswith("2 games: ")
    assert set(scores.games) == {GAME, CHESS} and scores.against == {GAME: "random", CHESS: "random"}
    ippo, naive = ({game: method.scores[:, g] for g, game in enumerate(scores.games)} for method in scores.methods)
    np.testing.assert_allclose(ippo[GAME], [0.5, 0.55, 0.6])  # -1 became 0, and 1 became 1
    np.testing.assert_allclose(naive[CHESS], [0.5, 0.55, 0.6])
    assert [run.seed for run in scores.methods[0].runs[GAME]] == [0, 1, 2]
    text = score_table(scores)
    assert "| ippo | 3 | 0.300 (" in text and "| openspiel:chess | random | 0 | 2 |" in text
    found = scores.to_json()
    assert found["methods"][1]["aggregates"]["IQM"]["value"] == pytest.approx(0.8, abs=0.05)
    assert len(found["at"]) == len(found["methods"][0]["profile"]["share"]) == 101
    assert json.loads(json.dumps(found)) == found


def test_settings_tell_methods_apart(tmp_path):
    for k, rate in enumerate((1e-3, 1e-2)):
        write_run(tmp_path / f"{k}", returns=(0, 0, k), settings={"learning_rate": rate})
    runs = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"both runs of 'ippo' with the seed 0; .*--by algorithm.learning_rate"):
        read_scores(runs, normalise=BOUNDS[:1])
    keys = ["algorithm.name", "algorithm.learning_rate"]
    scores = read_scores(runs, by=keys, normalise=BOUNDS[:1])
    assert [method.label for method in scores.methods] == ["ippo, learning_rate=0.001", "ippo, learning_rate=0.01"]
    assert [method.scores.tolist() for method in scores.methods] == [[[0.5]], [[1.0]]]
    assert scores.methods[0].aggregates()["mean"] == {"value": 0.5, "low": None, "high": None}  # one run


def test_a_metric_of_training(tmp_path):
    metrics = [{"step": 1, "rollout/return_mean": -3.0}, {"step": 2, "entropy": 1.0, "rollout/return_mean": 0.5}]
    run = write_run(tmp_path / "run", metrics=metrics)
    [method] = read_scores([run], "rollout/return_mean", normalise=[f"{GAME}=0,2"]).methods
    assert method.scores.tolist() == [[0.25]]


def test_random_play_as_zero():
    first = _random_play("openspiel:tic_tac_toe", "return", "random")
    assert first == _random_play("openspiel:tic_tac_toe", "return", "random") and abs(first) < 0.3
    assert _normalisation("matrix(game=stag_hunt, steps=5)= random , 4e0") == (
        "matrix(game=stag_hunt, steps=5)",
        (None, 4.0),
    )


def pixels(path, colour):
    rgb = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return int((np.abs(picture(path)[..., :3] - rgb).max(-1) < 0.02).sum())


def test_pictures(tmp_path):
    runs = write_runs(tmp_path / "runs")
    scores = read_scores(runs, normalise=BOUNDS)
    for draw in (draw_profiles, draw_aggregates):
        draw(scores, tmp_path / "a.png")
        assert min(pixels(tmp_path / "a.png", colour) for colour in COLOURS[:2]) > 100
        assert pixels(tmp_path / "a.png", COLOURS[2]) == 0


def test_the_command(marl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [str(run.relative_to(tmp_path)) for run in write_runs(tmp_path / "runs")]
    options = [part for text in BOUNDS for part in ("--normalise", text)]
    exit_code, printed, complaint = marl("plot", *runs, "--kind", "profile", *options)
    assert (exit_code, complaint) == (0, "") and printed.endswith("\nprofile: runs/profile.png\n")
    exit_code, printed, complaint = marl("plot", *runs, "--kind", "aggregates", *options, "--out", "x.svg", "--json")
    found = json.loads(printed)
    assert (exit_code, complaint, found["file"]) == (0, "", "x.svg") and (tmp_path / "x.svg").exists()
    assert {method["label"] for method in found["methods"]} == {"ippo", "naive"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("runs/a-0 --by algorithm.name", "--by is for --kind profile and --kind aggregates"),
        (f"runs/a-0 --normalise {GAME}=0,1", "--normalise is for --kind profile"),
        ("runs/a-0 --kind curvs", "curvs"),
        ("runs/a-0 --kind profile", f"nothing says which values of 'return' at '{GAME}' are 0 and 1; add --normalise"),
        ("runs/a-0 --kind profile --normalise 0,1", "expected --normalise GAME=LOW,HIGH with two numbers"),
        (f"runs/a-0 --kind profile --normalise {GAME}=0", "expected --normalise GAME=LOW,HIGH with two numbers"),
        (f"runs/a-0 --kind profile --normalise {GAME}=0,nan", "expected --normalise GAME=LOW,HIGH with two numbers"),
        (f"runs/a-0 --kind profile --normalise {GAME}=1,1", "expected LOW below HIGH"),
        (f"runs/a-0 --kind profile --normalise {GAME}x=0,1", f"a game that no run plays, '{GAME}x'; did you mean"),
        ("runs/a-0 --kind profile --metric cooperation", "'cooperation' is not logged by"),
        (
            "runs/a-0 --kind profile --metric rollout/return_mean",
            "which is 2; name one: 'rollout/return_mean.player_0'",
        ),
        (f"runs/a-0 --kind profile --metric entropy --normalise {GAME}=random,1", "type a number"),
        ("runs/a-0 --kind profile --metric entropy", "nothing says which values of 'entropy'"),
        ("runs/a-0 --kind profile --metric entropy --against random", "'entropy' is of training"),
        ("runs/a-0 --kind profile --by nonsense", "got 'nonsense', which none of them has"),
        (
            "runs/a-0 --kind profile --by algorithm.name --by algorithm.learning_rat",
            "did you mean 'algorithm.learning_r",
        ),
        (
            f"runs/a-0 --kind profile --normalise {GAME}=0,1 --normalise {GAME}=0,2",
            f"got '{GAME}' twice; leave one out",
        ),
        ("runs/a-0 --kind profile --by algorithm.nonsense", "got 'algorithm.nonsense', which none of them has"),
        (f"runs/a-0 runs/a-0b --kind profile --normalise {GAME}=0,1", "both runs of 'ippo' with the seed 0; leave one"),
        (
            f"runs/a-0 runs/a-1 runs/c-0 --kind aggregates --normalise {GAME}=0,1 --normalise {CHESS}=0,1",
            "expected as many runs of 'ippo' at each game, got 2 at 'openspiel:tic_tac_toe' and 1 at 'openspiel:chess'",
        ),
        (f"runs/a-0 --kind profile --normalise {GAME}=0,1 --out x.gif", "ends in .png, .pdf, .svg"),
    ],
)
def test_bad_input(marl, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    metrics = [{"step": 10, "entropy": 1.0, "rollout/return_mean.player_0": 0.5, "rollout/return_mean.player_1": -0.5}]
    for name, seed, game in (("a-0", 0, GAME), ("a-0b", 0, GAME), ("a-1", 1, GAME), ("c-0", 0, CHESS)):
        write_run(tmp_path / "runs" / name, seed, metrics=metrics, game=game)
    before = sorted(tmp_path.rglob("*"))
    exit_code, printed, complaint = marl("plot", *arguments.split())
    assert (exit_code, printed) == (2, "") and complaint.startswith("marl: ") and complaint.count("\n") == 1
    assert reason in complaint
    assert sorted(tmp_path.rglob("*")) == before
