"""The configs that are shipped with the package, by name: those of configs/, which lies beside this code."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from games.errors import UserError, closest

FOLDER = Path(__file__).parents[1] / "configs"  # in a checkout a link to the folder at its top


@dataclass(frozen=True)
class Kind:
    """A kind of config."""

    command: str  # that takes it
    of: str  # what it is a config of
    keys: tuple[str, ...]  # every config of this kind has one of them, and no other has

    def is_of(self, data: dict[str, Any]) -> bool:
        """Say whether what stands in a file is a config of this kind."""
        return any(key in data for key in self.keys)


KINDS = {
    "train": Kind("train", "a training run", ("algorithm",)),
    "population": Kind("population", "a population", ("members", "method")),
    "tournament": Kind("tournament run", "a tournament", ("agents",)),
}


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
    return KINDS[kind].command


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
    known = beside | {config.name: config.name for config in configs() if config.kind == kind}
    meant = closest(path.stem, known)
    near = f"did you mean '{known[meant]}'?" if meant else ""
    other = next((config for config in configs() if config.name == path.stem and config.kind != kind), None)
    if other is None:
        return near or "`marl configs` lists those that are shipped"
    what = f"the shipped config of that name is of {KINDS[other.kind].of}: `marl {command(other.kind)} {other.name}`"
    return f"{what}; {near}" if near else what


def refuse_other(data: dict[str, Any], path: Path, kind: str) -> None:
    """Raise UserError, which names the command to type, where what stands in a file is a config of another kind."""
    if not kind or KINDS[kind].is_of(data):
        return
    other = next((other for other in KINDS.values() if other.is_of(data)), None)
    if other is not None:
        raise UserError(
            f"expected the config of {KINDS[kind].of}, got '{path}', which is that of {other.of}; type "
            f"`marl {other.command} {shlex.quote(str(path))}`"
        )
