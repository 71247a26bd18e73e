"""Files of a user in the working folder, or beside a script, break nothing; only those that a reference names run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CANARY = "import pathlib\npathlib.Path(__file__).with_name('canary').touch()\n"
COMMANDS = (
    ["games", "list"],
    ["algorithms"],
    ["games", "check", "two_step", "--episodes", "2"],
    ["evaluate", "random", "--game", "openspiel:tic_tac_toe", "--seeds", "1"],
    ["configs"],
    ["train", "ippo_tic_tac_toe", "--set", "steps=64", "--set", "stretch=64", "--set", "evaluation.panel=[]"],
    ["tournament", "rate", "."],
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder in which a wheel of this project is installed."""
    home = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "tests", "runs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, home / "source", ignore=unwanted)
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*pip, "--target", str(home / "site"), str(home / "source")], check=True, capture_output=True)
    return home / "site"


@pytest.fixture
def folder(tmp_path):
    """A folder with what a user, or a stranger, may have left there."""
    for name in ("tqdm", "dill", "games", "tournaments"):
        (tmp_path / f"{name}.py").write_text(CANARY)
    return tmp_path


def run(site: Path, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_run_nothing_of_the_working_folder(command, folder, wheel):
    done = run(wheel, folder, "-m", "marl", *command)
    expected = 2 if command[0] == "tournament" else 0  # there is no store
    assert done.returncode == expected and "Traceback" not in done.stderr, done.stderr
    assert not (folder / "canary").exists()


def test_empty_folders_of_our_names(tmp_path, wheel):
    for name in ("games", "tournaments"):
        (tmp_path / name).mkdir()
    for site in (wheel, ROOT):
        done = run(site, tmp_path, "-m", "marl", "games", "check", "two_step", "--episodes", "2")
        assert done.returncode == 0, done.stderr


def test_a_class_in_a_file_of_our_name(folder, wheel):
    done = run(wheel, folder, "-m", "marl", "games", "check", "games:Nim")
    assert done.returncode == 2 and "'games' is a package of marl's: rename 'games.py', to my_games.py" in done.stderr


@pytest.mark.parametrize("name", ["games", "tournaments"])
def test_a_script_beside_a_file_of_our_name(name, tmp_path, wheel):
    (tmp_path / f"{name}.py").write_text(CANARY)
    (tmp_path / "script.py").write_text("import marl\n")
    for site in (wheel, ROOT):
        done = run(site, tmp_path, str(tmp_path / "script.py"))
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"ImportError: '{name}' is a package of marl's") and f"{name}.py" in last, done.stderr
    assert not (tmp_path / "canary").exists()


EDITABLE = f"""
import sys
from importlib.machinery import PathFinder

class Editable:  # as setuptools writes it: asked behind sys.path, where a folder without code is found before
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{str(ROOT)!r}]) if path is None else None

sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, Editable)
import marl
import games.contract
import tournaments
assert games.__file__ and tournaments.__file__
"""


def test_a_script_beside_empty_folders_under_an_editable_install(tmp_path):
    for name in ("games", "tournaments"):
        (tmp_path / name).mkdir()
    (tmp_path / "script.py").write_text(EDITABLE)
    done = run(tmp_path, tmp_path, str(tmp_path / "script.py"))
    assert done.returncode == 0, done.stderr


def test_a_reference_finds_its_module_and_what_that_imports(folder, wheel):
    shutil.copy(ROOT / "tests" / "games" / "plugin.py", folder / "rules.py")
    (folder / "mine.py").write_text("def Nim():\n    from rules import Nim\n    return Nim()\n")
    for more in ([], ["--set", "env_workers=2"]):
        config = "game: mine:Nim\nalgorithm: {name: ippo}\nsteps: 64\nstretch: 64\nnum_envs: 4\n"
        (folder / "nim.yaml").write_text(config)
        arguments = ["train", "nim.yaml", *more, "--run-dir", f"run{len(more)}"]
        done = run(wheel, folder, "-m", "marl", *arguments)
        assert done.returncode == 0, done.stderr
    done = run(wheel, folder, "-m", "marl", "games", "check", "tqdm:Nothing")
    assert done.returncode == 2 and (folder / "canary").exists()  # the user has named it


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_installed_command_beside_a_file_of_its_own_name(command, folder, wheel):
    (folder / "marl.py").write_text(CANARY)
    done = run(wheel, folder, str(wheel / "bin" / "marl"), *command)
    assert done.returncode == (2 if command[-1] == "." else 0), done.stderr
    assert done.stderr.count("\n") <= 1 and not (folder / "canary").exists()


def test_what_is_installed_below_the_working_folder_is_not_the_users(folder, wheel):
    """A virtual environment in the project's folder: its packages are no part of what the user wrote."""
    site = folder / "venv" / "site-packages"
    site.mkdir(parents=True)
    (site / "known.py").write_text("try:\n    import dill\nexcept ImportError:\n    pass\n")
    program = "from games import working_folder; working_folder.allow('known'); import known"
    environment = os.environ | {"PYTHONPATH": f"{wheel}{os.pathsep}{site}"}
    command = [sys.executable, "-P", "-c", program]  # -P: as in a command, Python itself does not look here
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / "canary").exists()
