"""Populations: who sits where while training, and the members that several runs leave behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl import checkpoint
from marl.rollout import Seating


def self_play(num_envs: int, num_players: int, actors: int = 1) -> Seating:
    """Return who holds each player [E, N] where every actor plays itself: actor e mod `actors` in environment e."""
    return np.repeat(np.arange(num_envs)[:, None] % actors, num_players, axis=1)


def seat(own: Seating, actors: int, opponents: int, share: float) -> Seating:
    """Return who holds each player [E, N]: `own` are the learner's entries 0..actors-1, `opponents` more follow.

    In a share of the environments the first of a row's own entries keeps one seat, each seat by turns, and the
    opponents hold the others by turns.
    """
    if opponents == 0:
        return own
    num_envs, num_players = own.shape
    player, leader = np.arange(num_players)[None, :], own.min(1)
    turn = np.zeros((num_envs, 1), np.int64)  # of this leader: its seats first, with every round other opponents
    for entry in range(actors):
        mine = np.flatnonzero(leader == entry)
        turn[mine, 0] = np.arange(len(mine))
    stranger = actors + (turn // num_players + player) % opponents
    mixed = np.arange(num_envs)[:, None] < round(share * num_envs)
    alone = np.where(player == turn % num_players, leader[:, None], stranger)
    return np.where(mixed, alone, own)


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
