"""`marl configs` lists and copies; every command that takes a config takes a shipped one by its name."""

import json
from pathlib import Path

import pytest

from marl.base import shipped

LITTLE = ["--set", "steps=64", "--set", "stretch=64", "--set", "num_envs=4", "--set", "rollout_length=16"]
LITTLE += ["--set", "evaluation.panel=[random]", "--set", "evaluation.seeds=1"]


@pytest.fixture
def marl(tmp_path, monkeypatch, marl):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return marl


def test_all_are_listed_with_what_they_are(marl):
    code, said, _ = marl("configs")
    assert code == 0 and all(config.name in said for config in shipped.configs())
    assert [line for line in said.splitlines() if not line.startswith(" ")] == [
        "marl train ...",
        "marl population ...",
        "marl tournament run ...",
    ]
    code, said, _ = marl("configs", "--json")
    populations = [config for config in json.loads(said)["configs"] if config["kind"] == "population"]
    [quickstart] = [config for config in populations if config["name"] == "quickstart"]
    assert quickstart["about"].startswith("Three members")
    assert Path(quickstart["file"]).is_file()


def test_a_copy_is_the_config_and_is_not_written_over(marl):
    code, said, _ = marl("configs", "copy", "ippo_leduc")
    assert (code, said) == (0, "copied: ippo_leduc.yaml\nrun it: marl train ippo_leduc.yaml\n")
    shipped_text = (shipped.FOLDER / "train" / "ippo_leduc.yaml").read_text(encoding="utf-8")
    assert Path("ippo_leduc.yaml").read_text(encoding="utf-8") == shipped_text
    Path("ippo_leduc.yaml").write_text("mine")
    code, _, complaint = marl("configs", "copy", "ippo_leduc")
    assert code == 2 and "'ippo_leduc.yaml' is there already" in complaint
    assert Path("ippo_leduc.yaml").read_text() == "mine"


def test_a_copy_goes_where_one_says(marl):
    Path("mine").mkdir()
    assert marl("configs", "copy", "population/quickstart", "mine")[0] == 0
    assert marl("configs", "copy", "connect_four", "mine/rated.yaml")[1].endswith("tournament run mine/rated.yaml\n")
    code, said, _ = marl("configs", "copy", "leduc", "mine/x.yaml", "--json")
    assert code == 0 and json.loads(said) == {"file": "mine/x.yaml"}
    assert sorted(path.name for path in Path("mine").iterdir()) == ["quickstart.yaml", "rated.yaml", "x.yaml"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("copy ippo_leduk", "got 'ippo_leduk'; did you mean 'ippo_leduc'?"),
        ("copy nothing_like_it", "got 'nothing_like_it'; `marl configs` lists them"),
        ("copy ippo_leduc nowhere/x.yaml", "'nowhere/x.yaml' could not be written (No such file or directory)"),
        ("copy", "Missing argument 'name'"),
        ("lst", "expected a command of `marl configs`, got 'lst'; there are copy"),
    ],
)
def test_bad_input_is_said_in_one_sentence(marl, tmp_path, arguments, complaint):
    code, said, complained = marl("configs", *arguments.split())
    assert code == 2 and not said and complaint in complained and complained.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_name_of_several_kinds_is_told_apart_by_its_kind(marl, tmp_path, monkeypatch):
    for kind in ("train", "tournament"):
        (tmp_path / "shipped" / kind).mkdir(parents=True)
        (tmp_path / "shipped" / kind / "leduc.yaml").write_text(f"# The {kind} config.\n")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")
    code, _, complaint = marl("configs", "copy", "leduc")
    assert code == 2 and "'leduc', which is train/leduc and tournament/leduc; name one" in complaint
    assert marl("configs", "copy", "tournament/leduc")[0] == 0
    assert Path("leduc.yaml").read_text() == "# The tournament config.\n"
    assert shipped.find(Path("leduc"), "train") == tmp_path / "shipped" / "train" / "leduc.yaml"


@pytest.mark.parametrize(
    ("name", "package", "changes"),
    [
        ("ippo_kuhn_four", "pyspiel", ["steps=2_000", "stretch=2_000", "evaluation.seeds=1"]),
        (
            "ippo_knights_archers_zombies",
            "pygame",
            [
                "steps=64",
                "stretch=64",
                "evaluation.seeds=1",
                "game=pettingzoo:butterfly.knights_archers_zombies_v11(max_cycles=20)",
            ],
        ),
        (
            "ippo_battle",
            "magent2",
            [
                "steps=512",
                "stretch=512",
                "evaluation.seeds=1",
                "game=pettingzoo:magent2.environments.battle_v4(map_size=16, max_cycles=20)",
            ],
        ),
    ],
)
def test_configs_of_many_players_train(marl, name, package, changes):
    """Four players in turns, units that die while others play on, and two armies of one network."""
    pytest.importorskip(package)
    code, said, complaint = marl("train", name, *(word for change in changes for word in ("--set", change)))
    assert code == 0, complaint
    assert "mean return by seat" in said


def test_commands_take_a_shipped_config_by_its_name(marl):
    assert marl("train", "ippo_tic_tac_toe", *LITTLE)[0] == 0
    assert Path("runs/ippo_tic_tac_toe/config.yaml").is_file()
    assert marl("sweep", "ippo_tic_tac_toe", "--seeds", "1", *LITTLE)[0] == 0
    assert Path("runs/ippo_tic_tac_toe_sweep/population.json").is_file()
    members = json.dumps({"one": {"train": "ippo_tic_tac_toe", "set": {"steps": 64, "evaluation.seeds": 1}}})
    assert marl("population", "quickstart", "--set", f"members={members}")[0] == 0
    assert Path("runs/quickstart/population.json").is_file()
    field = ["--set", "agents=[random, 'mcts(simulations=2)']", "--set", "seeds=1", "--set", "workers=1"]
    assert marl("tournament", "run", "connect_four", *field)[0] == 0
    assert Path("runs/connect_four/games.sqlite").is_file()
