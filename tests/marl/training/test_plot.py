"""Curves: the estimate against hand values, runs grouped and aligned, a picture that shows them, refusals in a line."""

import json
from pathlib import Path

import numpy as np
import pytest

from marl.base.picture import COLOURS
from marl.training.curves import read
from marl.training.plot import beside, draw, table
from tests.marl.training.logs import GAME, picture, write_cooperation, write_run


@pytest.fixture
def marl(tmp_path, monkeypatch, marl):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return marl


def test_a_picture_lies_beside_what_it_shows():
    a, b, far = (Path("runs/a"), Path("runs/b"), Path("elsewhere/runs/c"))
    assert beside([a]) == a and beside([a, b]) == Path("runs") and beside([a, far]) == Path()


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
        ("nowhere", "'nowhere', which does not exist; `marl train` and `marl sweep` make one"),
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
        ("alone", "'alone' was not evaluated, as its panel is empty; name what training logs"),
        ("alone --against random", "its panel: nobody"),
        ("league", "which its report draws: `marl population report league`"),
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
    (tmp_path / "league" / "rounds").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    exit_code, printed, complaint = marl("plot", *arguments.split())
    assert (exit_code, printed) == (2, "") and complaint.startswith("marl: ") and complaint.count("\n") == 1
    assert reason in complaint
    assert sorted(tmp_path.rglob("*")) == before
