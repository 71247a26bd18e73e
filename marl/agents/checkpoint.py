"""Checkpoints: folders of JSON and safetensors, written under another name, fsynced and renamed; verified when read.

    checkpoints/
      000500000/
        checkpoint.json         its algorithm, game, Spec, config, step, parent, versions, and the sha256 of each file
        agent.safetensors       the weights with which the agent plays
        learner.safetensors     the learner's state, to resume training; only the two newest checkpoints keep it
      shards/                   the tables of those two learners, in files that they share (marl/learning/shards.py)

Functions that read or write tensors import torch, and no others: agents without weights play without it.

A checkpoint names no code to import: its algorithm is looked up among the installed entry points.

    digest        the agent's identity: the SHA-256 of its algorithm, settings and weights
    integrity     the SHA-256 of checkpoint.json with this field empty, which shows any change; not in format 1
"""

import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from games.contract import Spec
from games.errors import RunFailed, UserError, written
from games.text import sentence
from marl.base.digests import versions
from marl.base.engine import in_worker
from marl.base.faults import MISSING, first_fault
from marl.base.files import MEMORY, MOST_TEXT, parse_json, read_bytes
from marl.rollout.types import Tensors

FORMAT = 2
UNVERIFIED = 1  # the format in which only the agent can be verified
AGENT, LEARNER = "agent.safetensors", "learner.safetensors"
SHARDS = "shards"
UNVERIFIED_SAYS = "the checkpoint '%s' is of format 1: its agent is verified, its step, seed, game and config are not"
_END = '"\n}'  # the text of checkpoint.json after its integrity
RESUMABLE = 2  # the number of newest checkpoints that keep the learner's state

_log = logging.getLogger(__name__)

Natural = Annotated[int, Field(ge=0, lt=2**63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Players(_Part):
    """The parts of a Spec's JSON that must be those of the game in which an agent plays."""

    num_players: int
    observation: dict[str, Any]
    action: dict[str, Any]


class _Hashes(_Part):
    agent: Sha256 = Field(alias="agent.safetensors")
    learner: Sha256 = Field(alias="learner.safetensors")


class _Results(_Part):
    """A run's results against one of its own checkpoints (marl/training/opponents.py)."""

    step: Natural
    episodes: Annotated[float, Field(ge=0)]
    score: Annotated[float, Field(ge=0)]


class _About(_Part):
    """The fields of checkpoint.json that are read."""

    algorithm: str
    settings: dict[str, Any]
    game: str
    spec: _Players
    config: dict[str, Any]
    step: Natural
    parent: Sha256 | None
    parent_step: Natural | None = None  # not in format 1
    seed: Natural
    digest: Sha256
    sha256: _Hashes
    past: list[_Results] | None = None  # only of runs whose past opponents are prioritised


class Damaged(UserError):
    """Report a checkpoint that is not as it was written."""


class About(TypedDict):
    """The fields of checkpoint.json, verified (`read`)."""

    format: int
    algorithm: str
    settings: dict[str, Any]
    game: str
    spec: dict[str, Any]  # Spec.to_json
    config: dict[str, Any]
    step: int
    parent: str | None  # the digest of the checkpoint before
    parent_step: NotRequired[int | None]  # None where that is of another run; not in format 1
    seed: int
    digest: str
    versions: dict[str, str]
    sha256: dict[str, str]  # by file
    past: NotRequired[list[dict[str, Any]]]  # results against earlier checkpoints, where the run draws by them
    integrity: NotRequired[str]


@dataclass(frozen=True)
class Resumed:
    """A run's newest undamaged checkpoint, with the learner's state."""

    folder: Path
    about: About
    learner: Tensors
    damaged: Sequence[Path]  # newer checkpoints that are damaged
    why: str  # how the newest of them is damaged; empty if none is


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
    parent: tuple[str, int | None] | None,
    agent: Tensors,
    learner: Tensors,
    past: list[dict[str, Any]] | None = None,
) -> str:
    """Write a checkpoint atomically and return the agent's digest; raises RunFailed if it cannot be written.

    `parent` is the digest and the step of the checkpoint before, which is of another run where it has no step; `past`
    the results against earlier ones, if counted.
    """
    from marl.learning import shards

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        learner = shards.split(learner, functools.partial(_write_shard, folder.with_name(SHARDS)))
        hashes = {
            name: _write_tensors(partial / name, tensors) for name, tensors in ((AGENT, agent), (LEARNER, learner))
        }
        about: About = {
            "format": FORMAT,
            "algorithm": algorithm,
            "settings": settings,
            "game": config["game"],
            "spec": spec.to_json(),
            "config": config,
            "step": step,
            "parent": parent and parent[0],
            "parent_step": parent and parent[1],
            "seed": config["seed"],
            "digest": "",
            "versions": versions(),
            "sha256": hashes,
        }
        if past is not None:
            about["past"] = past
        digest = about["digest"] = _digest_of(about)
        (partial / "checkpoint.json").write_bytes(_sealed(about))
        _sync(partial / "checkpoint.json")
        _sync(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        _sync(folder.parent)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        before = any(path.name.isdigit() for path in folder.parent.glob("*"))
        kept = "the one before it is kept, and --resume goes on from it" if before else "--resume begins again"
        raise RunFailed(f"the checkpoint '{folder}' could not be written ({error}); {kept}") from error
    shutil.rmtree(_aside(folder), ignore_errors=True)
    return digest


def read(folder: Path) -> About:
    """Return the contents of checkpoint.json, verified.

    Raises Damaged if they are not as they were written, and UserError if they are of an unknown format. In format 1
    only the agent's identity can be verified.
    """
    path = folder / "checkpoint.json"
    data = _bytes(path)
    try:
        about: About = parse_json(data.decode("utf-8"))
        found = about["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"it is no JSON of a checkpoint: {error}") from error
    if "integrity" in about and not _is_sealed(data, about["integrity"]):  # before the format: later ones have it, too
        raise _damaged(path, "its integrity differs")
    if type(found) is not int or found not in (UNVERIFIED, FORMAT):
        raise UserError(
            f"'{path}' has format {written(found)}, this version reads {UNVERIFIED} and {FORMAT}; install the version "
            "that wrote it"
        )
    if ("integrity" in about) == (found == UNVERIFIED):
        raise _damaged(path, f"format {found} has {'an' if found == UNVERIFIED else 'no'} 'integrity'")
    try:
        _About.model_validate(about)
    except ValidationError as error:
        fault = first_fault(error, about)
        what = f"it lacks '{fault.key}'" if fault.kind == MISSING else f"'{fault.key}': {fault.text}"
        raise _damaged(path, what) from None
    if about["digest"] != _digest_of(about):
        raise _damaged(path, "its digest differs")
    return about


@functools.cache
def note_unverified(folder: Path) -> None:
    """Log, once and not again in worker processes, that a checkpoint of format 1 is verified in part only."""
    if not in_worker():
        _log.warning("note: %s", sentence(UNVERIFIED_SAYS % folder))


def tensors(folder: Path, about: About, name: str) -> Tensors:
    """Return a tensor file of a checkpoint, verified; raises Damaged if it is missing or not as it was written."""
    import safetensors.torch

    path = folder / name
    try:
        return safetensors.torch.load(_verified(path, about["sha256"][name]))
    except (safetensors.SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path, f"it holds no tensors: {error}") from error


def learner_state(folder: Path, about: About) -> Tensors:
    """Return the learner's state, verified; raises Damaged as `tensors` does."""
    from marl.learning import shards

    path = folder / LEARNER

    def fetch(digest: bytes) -> bytes:
        return _verified(_shard(folder.with_name(SHARDS), digest), digest.hex())

    try:
        return shards.join(tensors(folder, about, LEARNER), fetch)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, f"its shards do not belong to it: {error}") from error


def line_of(folder: Path, most: int | None) -> list[tuple[Path, int]]:
    """Return a checkpoint of a run and those before it, with their steps, the oldest first; at most `most`.

    Raises UserError if one is missing, damaged, or not the parent of the next.
    """
    about = read(folder)
    line = [(folder, about["step"])]
    while (step := about.get("parent_step")) is not None and len(line) != most:
        before, parent = folder_of(folder.parents[1], step), about["parent"]
        about = read(before)
        if about["digest"] != parent:
            raise _damaged(before, f"the checkpoint of step {line[0][1]:,} follows on another")
        line.insert(0, (before, step))
    return line


def newest(run: Path) -> Path | None:
    """Return a run's newest checkpoint."""
    found = [folder for folder in _folders(run) if (folder / "checkpoint.json").exists()]
    return found[-1] if found else None


def resumed(run: Path) -> Resumed | None:
    """Return the newest checkpoint of a run whose files are all undamaged; None if the run has no checkpoint yet.

    Raises UserError if all are damaged.
    """
    damaged: list[Path] = []
    why = ""
    for folder in reversed(_folders(run)):
        try:
            about = read(folder)
            _verify_place(run, folder, about)
            learner = learner_state(folder, about)
            _verified(folder / AGENT, about["sha256"][AGENT])
            return Resumed(folder, about, learner, damaged, why)
        except Damaged as error:
            why = why or str(error).rpartition("; ")[0]
            damaged.append(folder)
    if damaged:
        raise UserError(
            f"no checkpoint of '{run}' can be resumed: {why}; put back a copy of one, or name another --run-dir"
        )
    return None


def set_aside(folders: Sequence[Path]) -> None:
    """Rename damaged checkpoints of a run, so that those before them are its newest ones; raises OSError."""
    for folder in folders:
        shutil.rmtree(_aside(folder), ignore_errors=True)
        folder.rename(_aside(folder))


def retain(run: Path, keep: int | None) -> None:
    """Drop the learner's state from all but the two newest checkpoints, and the oldest checkpoints beyond `keep`."""
    folders = _folders(run)
    for folder in folders[:-RESUMABLE]:
        (folder / LEARNER).unlink(missing_ok=True)
    for folder in folders[:-keep] if keep else []:
        shutil.rmtree(folder)
    for partial in (run / "checkpoints").glob("*.partial"):
        shutil.rmtree(partial)
    _drop_shards(run)


def forget_learner(run: Path) -> None:
    """Drop the learner's state from all checkpoints of a run: it can no longer go on, nor be a parent."""
    for folder in _folders(run):
        (folder / LEARNER).unlink(missing_ok=True)
    _drop_shards(run)


def _folders(run: Path) -> list[Path]:
    """Return the folders of a run's checkpoints, the oldest first; those that are being written have another name."""
    found = [path for path in (run / "checkpoints").glob("*") if path.name.isascii() and path.name.isdigit()]
    return sorted((path for path in found if path.is_dir()), key=lambda folder: int(folder.name))


def _aside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".damaged")


def _verify_place(run: Path, folder: Path, about: About) -> None:
    """Raise Damaged if a checkpoint has another step than its folder, or another parent than the checkpoint before."""
    if folder != folder_of(run, about["step"]):
        raise _damaged(folder, f"it holds step {about['step']:,}")
    before = about.get("parent_step")
    if before is None:
        return
    try:
        parent = read(folder_of(run, before))["digest"]
    except UserError:  # it was dropped, or is damaged itself
        return
    if parent != about["parent"]:
        raise _damaged(folder, f"it does not follow on the checkpoint of step {before:,}")


def _damaged(path: Path, why: str) -> Damaged:
    return Damaged(f"'{path}' is not what was written ({why}); choose another checkpoint of the run")


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_TEXT if path.suffix == ".json" else MEMORY)
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(
            f"the checkpoint '{path.parent}' lacks {path.name}; choose another checkpoint of the run"
        ) from None
    except PermissionError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror}); ask its owner for the right to") from error
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error


def _verified(path: Path, sha256: str) -> bytes:
    data = _bytes(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(path, "its sha256 differs")
    return data


def _sealed(about: About) -> bytes:
    """Return a checkpoint's JSON with its integrity, which is the hash of the same text with an empty one."""
    text = json.dumps(about | {"integrity": ""}, indent=1)
    return (text.removesuffix(_END) + hashlib.sha256(text.encode()).hexdigest() + _END).encode()


def _is_sealed(data: bytes, integrity: object) -> bool:
    end = f"{integrity}{_END}".encode(errors="replace")
    text = data.removesuffix(end) + _END.encode()
    return data.endswith(end) and hashlib.sha256(text).hexdigest() == integrity


def _digest_of(about: About) -> str:
    """Return an agent's identity: its algorithm, settings and weights."""
    identity = [about["algorithm"], about["settings"], about["sha256"][AGENT]]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _write_shard(folder: Path, data: bytes) -> bytes:
    """Write a shard, unless an earlier checkpoint has written it, and return its SHA-256."""
    digest = hashlib.sha256(data).digest()
    path = _shard(folder, digest)
    if not (path.exists() and path.stat().st_size == len(data)):
        folder.mkdir(exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        _sync(partial)
        partial.rename(path)
    return digest


def _shard(folder: Path, digest: bytes) -> Path:
    return folder / f"{digest.hex()}.safetensors"


def _drop_shards(run: Path) -> None:
    """Drop the shards that no checkpoint of a run names."""
    folder = run / "checkpoints" / SHARDS
    if not folder.exists():
        return
    learners = (run / "checkpoints").glob(f"*/{LEARNER}")
    named = {_shard(folder, digest) for path in learners for digest in _named_by(path)}
    for path in set(folder.iterdir()) - named:
        path.unlink()


def _named_by(path: Path) -> list[bytes]:
    """Return the hashes of the shards that a learner's file names: none where it is damaged."""
    from marl.learning import shards

    try:
        with safetensors.safe_open(path, "pt") as state:
            tables = [state.get_tensor(name) for name in state.keys() if name.startswith(shards.MARK)]  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return []
    return [digest for table in tables for digest in shards.hashes_of(table)]


def _write_tensors(path: Path, state: Tensors) -> str:
    """Write tensors without a copy of them in memory, and return the sha256 of the file."""
    import safetensors.torch
    import torch

    path.touch()
    mode = path.stat().st_mode
    tensors = {name: torch.as_tensor(t).cpu().contiguous() for name, t in state.items()}
    safetensors.torch.save_file(tensors, path)
    path.chmod(mode)  # save_file replaces the file by one that only its owner can read
    _sync(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk, so that a power cut does not lose them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
