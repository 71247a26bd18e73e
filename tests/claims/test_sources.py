"""Figures are read from what commands write: JSON, JSON lines, printed tables, other text."""

import json

import pytest

from games.errors import UserError
from tests.claims.sources import readings, source

EVALUATED = {"evaluations": [{"against": "random", "return_mean": [0.5, -0.25], "return_ci95": [0.1, 0.2]}]}
RATED = {"ratings": [{"agent": "random", "elo": -5.5}, {"agent": "mcts(simulations=500)", "elo": 7.0}]}
PRINTED = """
| what | players | coverage | odd |
|:--|--:|--:|--:|
| independent | 2 | 0.9509 ± 0.0015 | 5.09 ± 0.24 % |
| independent | 3 | **0.95** | 1,000 |

| measured | result | target |
|:--|--:|--:|
| 2x32: positions | 7 | |
| — ratio | 1.20 | |
| 5x64: positions | 8 | |
| — ratio | 1.48 | |
"""
WITHOUT_TITLES = "| IPPO at connect four | 38,938 | ≥ 17,000 |\n| the rollout alone | 194,854 | |\n"


def read(folder, of_claim=(0,), /, **said):
    return [(each.values, each.half_width) for each in readings(source(said), folder, of_claim)]


def test_json(tmp_path):
    (tmp_path / "e.json").write_text(json.dumps(EVALUATED))
    (tmp_path / "r.json").write_text(json.dumps(RATED))
    at = "evaluations.0.return_mean"
    assert read(tmp_path, **{"from": "e.json", "take": f"{at}.1", "scale": 2}) == [((-0.5,), None)]
    assert read(tmp_path, **{"from": "e.json", "take": [f"{at}.0", f"{at}.sum"]}) == [((0.5,), None), ((0.25,), None)]
    with_interval = {"take": f"{at}.0", "ci95": "evaluations.0.return_ci95.0"}
    assert read(tmp_path, **{"from": "e.json"}, **with_interval) == [((0.5,), 0.1)]
    elo = {"from": "r.json", "take": "ratings[agent={agent}].elo"}
    assert read(tmp_path, **elo, agent="mcts(simulations=500)") == [((7.0,), None)]


def test_json_lines_of_every_seed(tmp_path):
    for seed in (0, 1):
        lines = [{"step": step, "against": who, "loss": step + seed, "a.b": 1} for step in (0, 99, 205) for who in "xy"]
        (tmp_path / f"{seed}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    of = {"from": "{seed}.jsonl", "take": "loss"}
    assert read(tmp_path, (0, 1), **of) == [((205.0, 206.0), None)]
    assert read(tmp_path, (0, 1), **of, step=50) == [((99.0, 100.0), None)]
    assert read(tmp_path, (0, 1), **of, step="100 steps") == [((205.0, 206.0), None)]
    assert read(tmp_path, (0, 1), **of, last=200, where={"against": "x"}) == [((152.0, 153.0), None)]
    assert read(tmp_path, (0, 1), **of, where=[{"against": "x"}, {"against": "y"}], seeds=[1]) == [((206.0,), None)] * 2
    assert read(tmp_path, **{"from": "{seed}.jsonl", "take": "a.b"}) == [((1.0,), None)]


def test_lines_of_csv(tmp_path):
    (tmp_path / "pairs.csv").write_text('agent,other,payoff,ci95\n"a(x=1,y=2)",b,0.5,0.1\nb,"a(x=1,y=2)",-0.5,\n')
    of = {"from": "pairs.csv", "take": "payoff"}
    assert read(tmp_path, **of, ci95="ci95", where={"agent": "a(x=1,y=2)", "other": "b"}) == [((0.5,), 0.1)]
    both = [{"agent": "{who}"}, {"other": "{who}"}]
    assert read(tmp_path, **of, where=both, who="b") == [((-0.5,), None), ((0.5,), None)]
    with pytest.raises(UserError, match=r"could not be read from '.*pairs\.csv'"):
        read(tmp_path, **of, where={"agent": "c"})


def test_printed_tables(tmp_path):
    (tmp_path / "t.md").write_text(PRINTED)
    cell = {"from": "t.md", "column": "coverage"}
    assert read(tmp_path, **cell, row="independent | 2") == [((0.9509,), 0.0015)]
    assert read(tmp_path, **{"from": "t.md", "column": "odd", "row": "independent | 3"}) == [((1000.0,), None)]
    ratio = {"from": "t.md", "column": "result", "row": "— ratio"}
    assert read(tmp_path, **ratio) == [((1.2,), None)]
    assert read(tmp_path, **ratio, after="5x64: positions") == [((1.48,), None)]


def test_a_cell_is_named_by_its_labels_wherever_they_stand(tmp_path):
    (tmp_path / "t.md").write_text(PRINTED)
    cell = source({"from": "t.md", "row": "independent | {row}"}, {"row": "2", "column": "coverage"})
    assert readings(cell, tmp_path, [0])[0].values == (0.9509,)


def test_a_printed_table_without_titles(tmp_path):
    (tmp_path / "t.md").write_text(WITHOUT_TITLES)
    assert read(tmp_path, **{"from": "t.md", "column": "result", "row": "the rollout alone"}) == [((194854.0,), None)]


def test_other_text(tmp_path):
    (tmp_path / "t.txt").write_text("x: mean 1.5, most 7\ny: +2.0 ± 0.5\n")
    assert read(tmp_path, **{"from": "t.txt", "find": r"^x: mean ([\d.]+), most (\d+)"}) == [
        ((1.5,), None),
        ((7.0,), None),
    ]
    assert read(tmp_path, **{"from": "t.txt", "find": r"^{who}: (\S+ ± \S+)", "who": "y"}) == [((2.0,), 0.5)]
    (tmp_path / "t.txt").write_text("mcts(simulations=9): 3\n")
    of_row = source({"from": "t.txt", "find": r"^{row}: (\d+)"}, {"row": "mcts(simulations=9)", "column": "games"})
    assert readings(of_row, tmp_path, [0])[0].values == (3.0,)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"take": "x"}, "'from' is missing"),
        ({"from": "a.json"}, "'take' is missing"),
        ({"from": "a.txt"}, "'find' is missing"),
        ({"from": "{run}.json", "take": "x"}, "nothing says what {run}"),
        ({"from": "a.json", "take": "x.{who}"}, "nothing says what {who}"),
        ({"from": "a.json", "take": "x", "stpe": 3}, "'stpe' is unknown"),
        ({"from": "a.json", "take": ["x", "y"], "ci95": "z"}, "as many paths"),
    ],
)
def test_sources_that_do_not_fit(said, complaint):
    with pytest.raises(UserError, match=complaint):
        source(said)


@pytest.mark.parametrize(
    "said",
    [
        {"from": "none.json", "take": "x"},
        {"from": "e.json", "take": "evaluations.0.nothing"},
        {"from": "e.json", "take": "evaluations.0.return_mean"},
        {"from": "e.json", "take": "evaluations[against=mcts].return_mean.0"},
        {"from": "t.md", "column": "coverage", "row": "dependent"},
        {"from": "t.txt", "find": "nowhere ([0-9])"},
    ],
)
def test_what_is_not_there_is_named(said, tmp_path):
    (tmp_path / "e.json").write_text(json.dumps(EVALUATED))
    (tmp_path / "t.md").write_text(PRINTED)
    (tmp_path / "t.txt").write_text("")
    with pytest.raises(UserError, match=f"could not be read from '.*{said['from']}'"):
        read(tmp_path, **said)
