"""Populations: who sits where while training, and the members that several runs leave behind."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl import checkpoint
from marl.rollout import Seating


def self_play(num_envs: int, num_players: int, actors: int = 1) -> Seating:
    """Return who holds each player [E, N] where every actor plays itself: actor e mod `actors` in environment e."""
    return np.repeat(np.arange(num_envs)[:, None] % actors, num_players, axis=1)


def seat(own: Seating, leaders: Sequence[int], actors: int, opponents: int, share: float) -> Seating:
    """Return who holds each player [E, N]: `own` are the learner's entries 0..actors-1, `opponents` more follow.

    In a share of the environments one of the row's `leaders` keeps its seat, each by turns, and the opponents hold the
    others by turns.
    """
    if opponents == 0:
        return own
    num_envs, num_players = own.shape
    leads = np.isin(own, leaders)
    _, alike = np.unique(np.where(leads, own, -1), axis=0, return_inverse=True)  # [E] rows with the same leaders
    turn = np.zeros(num_envs, np.int64)
    for group in range(alike.max() + 1):
        rows = np.flatnonzero(alike.reshape(-1) == group)
        turn[rows] = np.arange(len(rows))
    count = leads.sum(1)
    kept = np.argsort(~leads, axis=1, kind="stable")[np.arange(num_envs), turn % count]
    player = np.arange(num_players)
    stranger = actors + ((turn // count)[:, None] + player) % opponents
    alone = np.where(player == kept[:, None], own, stranger)
    return np.where(np.arange(num_envs)[:, None] < round(share * num_envs), alone, own)


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


def members(folder: Path) -> dict[str, Path]:
    """Return the checkpoints of a population's members by id; raises UserError where the folder holds none."""
    try:
        entries = json.loads((folder / "population.json").read_text(encoding="utf-8"))["members"]
        return {entry["id"]: folder / entry["checkpoint"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder}' holds no readable population.json ({error}); train it with `marl population`"
        ) from error
