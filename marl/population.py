"""Populations: several runs side by side, each a member, and the folder that lists what they leave.

check every member -> train each in a worker process -> population.json: checkpoints, digests, descent
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from games.errors import RunFailed, UserError
from games.text import sentence
from marl import checkpoint, engine
from marl.config import PopulationConfig, TrainConfig, load
from marl.terminal import Terminal
from marl.train import check, device_of, same_config, spelled_out, train

Outcome = tuple[str, str, int]  # a member's name; why it failed, or nothing; the exit code of that


def train_members(
    settings: PopulationConfig, folder: Path, *, resume: bool, device: str, say: Callable[[str], None]
) -> Path:
    """Train every member in worker processes and return the path of population.json, which lists them.

    Each is checked before anything is written. One that fails stops no other: it is reported at the end, and the rest
    are listed. Raises RunFailed then, or UserError where all were refused and nothing was written.
    """
    configs = check_members(settings, folder, resume=resume, device=device)
    runs = {name: folder / "members" / name for name in configs}
    tasks = [(name, configs[name].model_dump(mode="json"), str(runs[name]), resume, device) for name in configs]
    failed: dict[str, tuple[str, int]] = {}
    for name, reason, exit_code in engine.run(_train, tasks, settings.workers, settings.engine):
        if reason:
            failed[name] = reason, exit_code
        else:
            say(f"{name}: trained")
    if len(failed) == len(runs) and all(exit_code == UserError.exit_code for _, exit_code in failed.values()):
        raise UserError(next(iter(failed.values()))[0])
    for name, (reason, _) in failed.items():
        say(sentence(f"{name}: failed: {reason}"))
    trained = {name: run for name, run in runs.items() if name not in failed}
    path = write(folder, trained) if trained else folder
    if failed:
        name, (reason, _) = next(iter(failed.items()))
        raise RunFailed(f"{len(failed)} of {len(runs)} members failed, '{name}' first: {reason} (--resume tries again)")
    return path


def check_members(
    settings: PopulationConfig, folder: Path, *, resume: bool, device: str = "auto"
) -> dict[str, TrainConfig]:
    """Return each member's config, checked as far as that goes without training: a typo stops nothing half-way."""
    engine.require(settings.engine)
    device = device_of(device)
    configs = {}
    for name, member in settings.members.items():
        sets = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in member.set.items()]
        try:
            configs[name] = load(TrainConfig, Path(member.train), sets)
            check(configs[name], device)
            held = folder / "members" / name / "config.yaml"
            if held.exists() and resume:
                same_config(spelled_out(configs[name]), held)
        except UserError as error:
            raise UserError(f"the member '{name}': {error}") from error
        if held.exists() and not resume:
            raise UserError(f"'{folder}' already holds the member '{name}'; add --resume, or name another --run-dir")
    return configs


def write(folder: Path, members: dict[str, Path]) -> Path:
    """Write population.json: each member's newest checkpoint, its digest and its line of descent."""
    entries: list[dict[str, Any]] = []
    for name, run in members.items():
        newest = checkpoint.newest(run)
        if newest is None:
            raise UserError(f"the member '{name}' has no checkpoint in '{run}'; train it first")
        about = checkpoint.read(newest)
        entries.append(
            {
                "id": name,
                "checkpoint": str(newest.relative_to(folder)),
                "digest": about["digest"],
                "parent": about["parent"],
                "algorithm": about["algorithm"],
                "game": about["game"],
                "step": about["step"],
                "seed": about["seed"],
            }
        )
    path = folder / "population.json"
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps({"format": 1, "members": entries}, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
    return path


def _train(name: str, config: dict[str, Any], folder: str, resume: bool, device: str) -> Outcome:
    """Train a member in whatever process this is. What it raises is returned as text: not every error can travel."""
    plain = Terminal(force_terminal=False)  # bars of several members would draw over each other
    try:
        train(TrainConfig.model_validate(config), Path(folder), resume=resume, device=device, console=plain)
    except UserError as error:
        return name, str(error), error.exit_code
    except Exception as error:
        what = " ".join(f"unexpected {type(error).__name__}: {error}".split())
        return name, f"{what} (`marl train --debug` of this member shows where)", RunFailed.exit_code
    return name, "", 0
