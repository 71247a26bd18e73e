"""What is installed: a wheel, built from the checkout or from its source distribution, has all that a user needs."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFIGS = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").glob("*/*.yaml")}
SAFELY: dict = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.2 has no filters


def built(what: str, source: Path, out: Path) -> Path:
    """Build a wheel or a source distribution, without a network."""
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A wheel of a copy of the checkout, and one of its source distribution, in that order."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "checkout").mkdir()
    for name in ("games", "marl", "tournaments", "configs"):
        shutil.copytree(ROOT / name, folder / "checkout" / name, True, shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "checkout")
    sdist = built("sdist", folder / "checkout", folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **SAFELY)
    (folder / "second").mkdir()
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return built("wheel", folder / "checkout", folder), built("wheel", unpacked, folder / "second")


def test_both_wheels_have_the_configs_and_the_types(wheels):
    first, second = (set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    assert first == second
    assert {f"marl/{config}" for config in CONFIGS} <= first
    assert {"marl/__init__.pyi", "marl/py.typed", "games/py.typed", "tournaments/py.typed"} <= first
    assert {name.partition("/")[0] for name in first if not name.startswith("marl-")} == {
        "games",
        "marl",
        "tournaments",
    }


def test_an_installed_package_finds_its_configs_from_an_empty_folder(wheels, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "folder"
    folder.mkdir()
    zipfile.ZipFile(wheels[1]).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def marl(*arguments: str) -> str:
        command = [sys.executable, "-m", "marl", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = json.loads(marl("configs", "--json"))["configs"]
    assert {str(Path(config["file"]).relative_to(site)) for config in listed} == {f"marl/{name}" for name in CONFIGS}
    members = '{"one": {"train": "ippo_tic_tac_toe", "set": {"steps": 64, "evaluation.seeds": 1}}}'
    marl("population", "quickstart", "--set", f"members={members}")
    assert (folder / "runs" / "quickstart" / "population.json").is_file()
