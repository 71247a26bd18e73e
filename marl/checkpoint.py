"""Checkpoints: a folder of JSON and safetensors, written beside, fsynced and renamed, verified when it is read.

    checkpoints/000500000/
      checkpoint.json         what it is: algorithm, game, Spec, config, step, parent, versions, sha256 of each file
      agent.safetensors       enough to play
      learner.safetensors     everything that training goes on from; only the newest checkpoint keeps it

A checkpoint names no code: its algorithm resolves through the installed entry points.
"""

import hashlib
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from games.contract import Spec
from games.errors import RunFailed, UserError
from marl.files import parse_json, parse_tensors, read_bytes, read_text
from marl.types import Tensors

FORMAT = 1
KEYS = {"algorithm", "settings", "game", "spec", "config", "step", "parent", "seed", "digest", "sha256"}
PACKAGES = ("marl", "torch", "numpy", "open-spiel")


def folder_of(run: Path, step: int) -> Path:
    """Return where a run keeps the checkpoint of a step."""
    return run / "checkpoints" / f"{step:09d}"


def write(
    folder: Path,
    *,
    algorithm: str,
    settings: dict[str, Any],
    spec: Spec,
    config: dict[str, Any],
    step: int,
    parent: str | None,
    agent: Tensors,
    learner: Tensors,
) -> str:
    """Write a checkpoint atomically and return the agent's digest; raises RunFailed where the disk refuses."""
    beside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        hashes = {name: _write_tensors(beside / name, tensors) for name, tensors in _files(agent, learner)}
        digest = _digest(algorithm, settings, hashes["agent.safetensors"])
        about = {
            "format": FORMAT,
            "algorithm": algorithm,
            "settings": settings,
            "game": config["game"],
            "spec": spec.to_json(),
            "config": config,
            "step": step,
            "parent": parent,
            "seed": config["seed"],
            "digest": digest,
            "versions": {package: version(package) for package in PACKAGES},
            "sha256": hashes,
        }
        (beside / "checkpoint.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        _sync(beside / "checkpoint.json")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        _sync(folder.parent)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunFailed(
            f"the checkpoint '{folder}' could not be written ({error}); the one before it is kept"
        ) from error
    return digest


def read(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint's JSON says; raises UserError where it is missing, broken or of another format."""
    path = folder / "checkpoint.json"
    if not os.path.isfile(path):
        raise UserError(
            f"expected a checkpoint folder with a checkpoint.json, got '{folder}'; a run keeps them in checkpoints/"
        )
    try:
        about = parse_json(read_text(path))
        found = about["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is damaged ({error}); choose another checkpoint of the run") from error
    if found != FORMAT:
        raise UserError(f"'{path}' has format {found}, this version reads {FORMAT}; install the version that wrote it")
    missing = sorted(KEYS - about.keys())
    if missing:
        raise UserError(f"'{path}' is damaged (it lacks '{missing[0]}'); choose another checkpoint of the run")
    if about["digest"] != _digest_of(about):
        raise UserError(f"'{path}' is not what was written (its digest differs); choose another checkpoint of the run")
    return about  # type: ignore[no-any-return]


def tensors(folder: Path, about: dict[str, Any], name: str) -> Tensors:
    """Return a tensor file of a checkpoint, verified; raises UserError where it is missing or not what was written."""
    path = folder / name
    try:
        data = read_bytes(path)
    except OSError:
        raise UserError(f"the checkpoint '{folder}' lacks {name}; only a run's newest can be resumed from") from None
    if hashlib.sha256(data).hexdigest() != about["sha256"][name]:
        raise UserError(f"'{path}' is not what was written (its sha256 differs); choose another checkpoint of the run")
    try:
        return parse_tensors(data)
    except ValueError as error:
        raise UserError(f"'{path}' holds no tensors ({error}); choose another checkpoint of the run") from error


def newest(run: Path) -> Path | None:
    """Return a run's newest whole checkpoint."""
    found = _whole(run)
    return found[-1] if found else None


def retain(run: Path, keep: int | None) -> None:
    """Drop the learner's state from all but the newest checkpoint, and the oldest checkpoints beyond `keep`."""
    folders = _whole(run)
    for folder in folders[:-1]:
        (folder / "learner.safetensors").unlink(missing_ok=True)
    for folder in folders[:-keep] if keep else []:
        shutil.rmtree(folder)
    for partial in (run / "checkpoints").glob("*.partial"):
        shutil.rmtree(partial)


def _whole(run: Path) -> list[Path]:
    """Return a run's checkpoints that were written to the end, oldest first."""
    found = (path.parent for path in (run / "checkpoints").glob("*/checkpoint.json"))
    return sorted((folder for folder in found if folder.name.isdigit()), key=lambda folder: int(folder.name))


def _files(agent: Tensors, learner: Tensors) -> list[tuple[str, Tensors]]:
    return [("agent.safetensors", agent), ("learner.safetensors", learner)]


def _digest_of(about: dict[str, Any]) -> str:
    hashes = about["sha256"] if isinstance(about["sha256"], dict) else {}
    return _digest(about["algorithm"], about["settings"], str(hashes.get("agent.safetensors")))


def _digest(algorithm: str, settings: dict[str, Any], weights: str) -> str:
    """Return an agent's identity: its algorithm, settings and weights."""
    return hashlib.sha256(json.dumps([algorithm, settings, weights], sort_keys=True).encode()).hexdigest()


def _write_tensors(path: Path, state: Tensors) -> str:
    """Write tensors without a copy of them in memory, and return the sha256 of the file."""
    path.touch()
    mode = path.stat().st_mode
    tensors = {name: torch.as_tensor(t).cpu().contiguous() for name, t in state.items()}
    safetensors.torch.save_file(tensors, path)
    path.chmod(mode)  # what it puts in the file's place is its owner's alone
    _sync(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Make a file, or a rename in a folder, last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
