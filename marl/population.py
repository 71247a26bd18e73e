"""Populations: who sits where while training, and the members that several runs leave behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl import checkpoint
from marl.rollout import Seating


def seat(num_envs: int, num_players: int, actors: int, opponents: int, share: float) -> Seating:
    """Return who holds each player [E, N]: roster entries 0..actors-1 are the learner's, `opponents` more follow.

    Actor e mod `actors` plays itself in most environments; in a share of them it holds one seat, each seat by turns,
    and the opponents hold the others by turns.
    """
    env, player = np.arange(num_envs)[:, None], np.arange(num_players)[None, :]
    learner = np.broadcast_to(env % actors, (num_envs, num_players)).astype(np.int64)
    if opponents == 0:
        return learner
    turn = env // actors  # of this actor: its seats first, and with every round of them other opponents
    stranger = actors + (turn // num_players + player) % opponents
    mixed = (env < round(share * num_envs)) & (player != turn % num_players)
    return np.where(mixed, stranger, learner)


def write(folder: Path, members: dict[str, Path]) -> Path:
    """Write population.json: each member's newest checkpoint, its digest and its line of descent."""
    entries: list[dict[str, Any]] = []
    for name, run in members.items():
        newest = checkpoint.newest(run)
        if newest is None:
            raise UserError(f"the member '{name}' has no checkpoint in '{run}'; train it first")
        about, digest = checkpoint.digest_of(newest)
        entries.append(
            {
                "id": name,
                "checkpoint": str(newest.relative_to(folder)),
                "digest": digest,
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


def members(folder: Path) -> dict[str, Path]:
    """Return the checkpoints of a population's members by id; raises UserError where the folder holds none."""
    try:
        entries = json.loads((folder / "population.json").read_text(encoding="utf-8"))["members"]
        return {entry["id"]: folder / entry["checkpoint"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder}' holds no readable population.json ({error}); train it with `marl population`"
        ) from error
