"""What constraints.txt pins can be installed on the least Python that pyproject.toml asks for."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent


def test_every_pin_admits_the_least_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = f"{project['requires-python'].removeprefix('>=')}.0"
    refused = {}
    for pin in (ROOT / "constraints.txt").read_text(encoding="utf-8").split():
        try:
            needs = distribution(pin.partition("==")[0]).metadata["Requires-Python"]
        except PackageNotFoundError:  # of an extra that is not installed here, or of another platform
            continue
        if needs and not SpecifierSet(needs).contains(least):
            refused[pin] = needs
    assert refused == {}
