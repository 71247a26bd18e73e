"""Families of agents by their references, and the prior along the checkpoints of one run."""

import csv
import json

import pytest

from games.references import parse
from tests.tournaments.reports.test_curves import RUN, play
from tests.tournaments.test_tournament import marl
from tournaments.reports.families import family_of, lineages, numbers


@pytest.mark.parametrize(
    ("reference", "values", "by", "family"),
    [
        ("mcts(simulations=10)", {"simulations": 10}, "simulations", "mcts"),
        ("uct(uct_c=0.5, simulations=9)", {"uct_c": 0.5, "simulations": 9}, "simulations", "uct(uct_c=0.5)"),
        ("runs/c4(simulations=10)", {"simulations": 10}, "simulations", "runs/c4"),
        ("runs/c4(solve=false, greedy=true)", {}, "simulations", "runs/c4(greedy=true, solve=false)"),
        (f"{RUN}/000408676", {"steps": 408676}, "steps", "runs/c4"),
        (f"{RUN}/000408676(simulations=9)", {"steps": 408676, "simulations": 9}, "steps", "runs/c4(simulations=9)"),
        (f"{RUN}/000408676(simulations=9)", {"steps": 408676, "simulations": 9}, "simulations", f"{RUN}/000408676"),
        ("checkpoints/newest", {}, "steps", "checkpoints/newest"),
        ("a.b:Own(depth=3, how=fast)", {"depth": 3}, "depth", "a.b:Own(how='fast')"),
        ("random", {}, "steps", "random"),
    ],
)
def test_numbers_and_families(reference, values, by, family):
    assert numbers(parse(reference)) == values
    assert family_of(parse(reference), by).shown == family


def test_lineages_are_the_checkpoints_of_a_run_by_steps():
    names = {
        "late": f"{RUN}/000000900",
        "early": f"{RUN}/000000080",
        "other": "runs/other/checkpoints/000000080",
        "searching": f"{RUN}/000000080(simulations=9)",
        "searches": f"{RUN}/000000090(simulations=9)",
        "whole": "runs/c4",
        "random": "random",
    }
    assert lineages(names) == (("early", "late"), ("searching", "searches"))


def test_the_flag_ties_the_checkpoints_of_a_run(tmp_path, capsys):
    stages = {f"{RUN}/{steps:09d}": strength for steps, strength in ((10, -0.5), (20, 0.6), (30, 0.1))}
    play(tmp_path / "games.sqlite", stages | {"random": -1.0}, seeds=4).close()

    def rated(*options):
        assert marl("tournament", "rate", tmp_path, "--json", *options) == 0
        data = json.loads(capsys.readouterr().out)
        elo = {rating["agent"]: rating["elo"] for rating in data["ratings"]}
        return data, max(elo[agent] for agent in stages) - min(elo[agent] for agent in stages)

    free, spread = rated()
    tied, narrow = rated("--lineage", "5")
    assert "lineage" not in free and tied["lineage"] == {"elo": 5, "chains": [[*stages]]}
    assert narrow < 20 < 100 < spread
    assert marl("tournament", "report", tmp_path, "--lineage", "5") == 0
    assert "5 Elo on the gain" in (tmp_path / "leaderboard.md").read_text()
    [*rows] = csv.DictReader((tmp_path / "leaderboard.csv").read_text().splitlines())
    assert {row["agent"]: float(row["elo"]) for row in rows} == {r["agent"]: r["elo"] for r in tied["ratings"]}


@pytest.mark.parametrize("sd", ["0", "-5", "inf", "nan"])
def test_an_sd_that_is_none_is_refused(tmp_path, capsys, sd):
    play(tmp_path / "games.sqlite", {"random": 0.0, "mcts": 1.0}).close()
    assert marl("tournament", "rate", tmp_path, "--lineage", sd) == 2
    assert "above 0" in capsys.readouterr().err


def test_a_tournament_without_a_run_of_two_checkpoints_says_that_nothing_changes(tmp_path, capsys):
    play(tmp_path / "games.sqlite", {"random": 0.0, f"{RUN}/000000010": 1.0}).close()
    assert marl("tournament", "rate", tmp_path, "--lineage", "50") == 0
    assert "changes nothing" in " ".join(capsys.readouterr().out.split())
