"""Sweeps: one training config with several seeds, and with every combination of the values of a grid.

A sweep is a population whose members are config x grid x seed.
"""

import itertools
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from games.errors import UserError, written
from games.references import rejoin
from marl.base import yaml
from marl.base.engine import Engine
from marl.base.origin import by_key, typed
from marl.base.schema import load
from marl.training.config import MemberConfig, PopulationConfig, TrainConfig
from marl.training.train import spelled_out

Axis = tuple[str, list[Any]]  # a key's path, and the values that it takes

_LONGEST = 40  # characters of a value in a member's name


def sweep(
    config: Path,
    *,
    seeds: int,
    sets: Sequence[str],
    grid: Sequence[str],
    workers: int,
    engine: Engine = "processes",
) -> PopulationConfig:
    """Return the population of a sweep: `seeds` members, with seeds from the config's on, for every combination.

    `sets` are `a.b=c`, as in --set; `grid` are `a.b=c,d,e`, each an axis. Names contain the axes' values and the seed.
    Raises UserError where an axis cannot be read, is given twice or by `sets` too, or is the seed.
    """
    fixed: dict[str, Any] = {}
    changes = typed(sets)
    for change in changes:
        fixed.pop(change.key, None)  # changes apply in order: a later one of the same path goes to the end
        fixed[change.key] = change.value
    axes: dict[str, list[Any]] = {}
    for text in grid:
        path, values = axis(text)
        lost = [earlier for earlier in (*fixed, *axes) if f"{earlier}.".startswith(f"{path}.")]
        if lost:
            raise UserError(f"--grid {path} would undo what is given for '{lost[0]}'; give each key once")
        axes[path] = values
    named = [
        [(path, value, name) for value, name in zip(values, names_of(path, values, list(axes)), strict=True)]
        for path, values in axes.items()
    ]
    members = {}
    for point in itertools.product(*named):
        chosen = {path: value for path, value, _ in point}
        first = load(TrainConfig, config, [*changes, *by_key(chosen, "--grid {}")])
        spelled_out(first)
        for seed in range(first.seed, first.seed + seeds):
            name = "_".join([*(name for _, _, name in point), f"seed-{seed}"])
            members[name] = MemberConfig(train=str(config), set=fixed | chosen | {"seed": seed})
    return PopulationConfig(members=members, workers=workers, engine=engine)


def axis(text: str) -> Axis:
    """Read `a.b=1,2,3`: the values are a YAML list without its brackets, so `a.b=[8],[16, 16]` are two lists."""
    path, equals, values = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise UserError(f"expected --grid a.b=1,2,3, got '{text}'")
    if path == "seed":
        raise UserError("a sweep counts its seeds up from the config's; say how many with --seeds, not --grid seed")
    try:
        found = yaml.read(f"[{values}]")
    except yaml.YamlError as error:
        raise UserError(f"the values of --grid {path} are no list in YAML: {written(values)} ({error})") from error
    if found and all(isinstance(value, str) for value in found):
        found = rejoin(found)  # mcts(simulations=20, c=1) is one value
    if not found:
        raise UserError(f"--grid {path} has no values; write them as --grid {path}=1,2,3")
    texts = [json.dumps(value) for value in found]
    for place, value in enumerate(texts):
        if value in texts[:place]:
            raise UserError(f"--grid {path} has the value {value} twice; name it once")
    return path, json.loads(f"[{','.join(texts)}]")


def names_of(path: str, values: Sequence[Any], paths: Sequence[str]) -> list[str]:
    """Return a short name for each value of an axis, safe as a part of a folder's name and of a reference (no '=').

    The key is shortened to its last part if no other of `paths` ends in it; values with the same name, or a long one,
    get a hash.
    """
    last = path.split(".")[-1]
    key = last if [other.split(".")[-1] for other in paths].count(last) == 1 else path
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    safe = [re.sub(r"[^\w.+-]+", "-", text.strip("[](){}\"' "), flags=re.ASCII) for text in texts]
    return [
        f"{key}-{word}"
        if safe.count(word) == 1 and len(word) <= _LONGEST
        else f"{key}-{word[:_LONGEST]}-{zlib.crc32(text.encode()):08x}"
        for text, word in zip(texts, safe, strict=True)
    ]
