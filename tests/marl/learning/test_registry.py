"""Algorithms by name: registered ones, classes that a user names, and what is refused."""

import json
import sys
from pathlib import Path

import pytest

from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrant
from marl.agents.references import refuse_code
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.base.schema import validate
from marl.base.terminal import Terminal
from marl.cli.app import main
from marl.learning.learner import Learner
from marl.learning.registry import algorithm, configured
from marl.training.config import TrainConfig
from marl.training.train import train

MINE = """
from pathlib import Path
from marl.algorithms.policy_gradient.ippo import Ippo

Path(__file__).with_name("imported").touch()

class Mine(Ippo):
    \"\"\"PPO under another name.\"\"\"
"""
TINY = {"game": "openspiel:tic_tac_toe", "steps": 64, "stretch": 64, "num_envs": 4, "rollout_length": 8}
TINY |= {"evaluation": {"panel": [], "seeds": 1}}


class Lacking(Learner):
    Config = Ippo.Config

    def actors(self):
        return []


class NoSettings(Ippo):
    Config = None


class Apart:
    Config = Ippo.Config


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module in the working folder, which no test before has imported."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def trained(name: str, folder: str = "run") -> Path:
    config = validate(TrainConfig, TINY | {"algorithm": {"name": name, "hidden": [8]}}, "it")
    return train(config, Path(folder), resume=False, device="cpu", console=Terminal(quiet=True))


def forget(name: str) -> Path:
    """Let the module be as one that was never imported; return the file that importing it makes."""
    sys.modules.pop(name, None)
    Path("imported").unlink()
    return Path("imported")


def test_a_learner_without_update_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Lacking(None, None, key=0, total_steps=1, device="cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Lacking", "lacks __init__, agent, agent_state, load_agent, load_state, state, update of a marl.Learner"),
        ("NoSettings", "expected Config of the algorithm '.*NoSettings' to be a pydantic model, got None"),
        ("Apart", "to be a class that inherits from marl.Learner, got <class"),
        ("TINY", "to be a class that inherits from marl.Learner, got {"),
        ("Missing", "has no 'Missing'"),
        ("Mine(clip=1)", r"as keys of its section, got \(clip=1\)"),
    ],
)
def test_what_is_no_algorithm_is_named(name, said):
    with pytest.raises(UserError, match=said):
        algorithm(f"{__name__}:{name}", typed=True)


def test_what_nobody_typed_is_not_imported(module):
    with pytest.raises(UserError, match="not registered here"):
        algorithm(f"{module}:Mine")
    with pytest.raises(UserError, match="not registered here"):
        configured({"name": "versus", "learners": [{"name": f"{module}:Mine"}, {"name": "naive"}]}, "algorithm")
    assert module not in sys.modules and not Path("imported").exists()


def test_a_class_of_ones_own_trains_and_its_checkpoint_loads_where_it_is_named(module, capsys):
    newest = trained(f"{module}:Mine")
    assert json.loads((newest / "checkpoint.json").read_text())["algorithm"] == f"{module}:Mine"
    imported = forget(module)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "run", "--against", "random", "--seeds", "2"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and f"--algorithm {module}:Mine" in said and said.count("\n") == 1
    assert not imported.exists()
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "run", "--against", "run(greedy=true)", "--seeds", "2", "--algorithm", f"{module}:Mine"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert imported.exists()


def test_the_class_that_was_named_is_no_part_of_who_plays(module):
    newest = trained(f"{module}:Mine")
    about = json.loads((newest / "checkpoint.json").read_text())
    spec = make(TINY["game"], 1).spec
    named = load_entrant(f"run(algorithm={module}:Mine)", spec)
    assert (named.name, named.digest) == ("run", about["digest"])
    greedy = load_entrant(f"run(greedy=true, algorithm={module}:Mine)", spec)
    assert greedy.name == "run(greedy=true)" and greedy.digest != named.digest
    other = load_entrant("run(algorithm=ippo)", spec)  # as another class plays it, it is another agent
    assert other.name == "run(algorithm='ippo')" and other.digest != named.digest


def test_a_run_goes_on_with_the_class_that_its_user_types(module):
    trained(f"{module}:Mine")
    config = validate(TrainConfig, TINY | {"steps": 128, "algorithm": {"name": f"{module}:Mine", "hidden": [8]}}, "it")
    assert train(config, Path("run"), resume=True, device="cpu", console=Terminal(quiet=True)).name >= "000000128"


def test_a_runs_own_config_names_no_code(module):
    trained(f"{module}:Mine")
    imported = forget(module)
    config = validate(TrainConfig, TINY | {"algorithm": "ippo"}, "it")
    with pytest.raises(UserError, match="not registered here"):
        train(config, Path("run"), resume=True, device="cpu", console=Terminal(quiet=True))
    with pytest.raises(UserError, match="names code"):
        refuse_code([f"run(algorithm={module}:Mine)"], "evaluation.panel", Path("run/config.yaml"))
    assert not imported.exists()


def test_a_tournament_takes_checkpoints_of_a_class_that_is_named(module, capsys):
    trained(f"{module}:Mine")
    Path("t.yaml").write_text(f"game: {TINY['game']}\nagents: [run, random]\nseeds: 2\nworkers: 1\n")
    forget(module)
    for arguments, code in ((["--algorithm", f"{module}:Mine"], 0), ([], 2)):
        with pytest.raises(SystemExit) as ended:
            main(["tournament", "run", "t.yaml", *arguments])
        assert ended.value.code == code, capsys.readouterr().err
