"""The configs that are shipped with the package, by name: those of configs/, which lies beside this code."""

import os
from dataclasses import dataclass
from pathlib import Path

from games.errors import closest

FOLDER = Path(__file__).parents[1] / "configs"  # in a checkout a link to the folder at its top
KINDS = ("train", "population", "tournament")


@dataclass(frozen=True)
class Shipped:
    """One config, for the command of its kind."""

    kind: str
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def about(self) -> str:
        """The first line of its comment."""
        first = self.path.read_text(encoding="utf-8").partition("\n")[0]
        return first.removeprefix("#").strip() if first.startswith("#") else ""


def configs() -> list[Shipped]:
    """Return every shipped config, by kind and name."""
    return [Shipped(kind, path) for kind in KINDS for path in sorted((FOLDER / kind).glob("*.yaml"))]


def command(kind: str) -> str:
    """Return the command that takes configs of a kind."""
    return "tournament run" if kind == "tournament" else kind


def find(path: Path, kind: str) -> Path:
    """Return the path of the shipped config with a bare name; `path` itself if it is a file, or no config has the name.

    A folder is no config: one of that name, such as that of an earlier run, does not hide the config.
    """
    if path.name != str(path) or (os.path.exists(path) and not os.path.isdir(path)):
        return path
    return next((config.path for config in configs() if (config.kind, config.name) == (kind, path.name)), path)


def hint(path: Path, kind: str) -> str:
    """Return a hint for a config file that does not exist: the file or shipped config with a similar name."""
    beside = {other.stem: str(other) for other in path.parent.glob("*.yaml")}
    shipped = {config.name: config.name for config in configs() if config.kind == kind}
    if meant := closest(path.stem, beside | shipped):
        return f"did you mean '{(beside | shipped)[meant]}'?"
    other = next((config for config in configs() if config.name == path.stem), None)
    if other is not None:
        return f"the shipped config of that name is for `marl {command(other.kind)}`"
    return "`marl configs` lists those that are shipped"
