"""Symmetries of a board, from a game's Spec: permutations of the cells of its planes and of its actions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec


@dataclass(frozen=True)
class Symmetry:
    """One symmetry: each cell and action of the transformed board, as the index of the original one."""

    cell: NDArray[np.int64]  # [H, W] indices into the flat planes
    action: NDArray[np.int64]  # [A]


def symmetries(spec: Spec) -> list[Symmetry]:
    """Return the symmetries of a game's board; the first is the identity."""
    actions = np.arange(spec.num_actions)
    if not spec.symmetry:
        return [Symmetry(np.zeros((0, 0), np.int64), actions)]
    _, height, width = spec.observation.shape
    board = np.arange(height * width).reshape(height, width)
    boards = [board, board[:, ::-1]]
    if spec.symmetry == "square":
        boards = [np.rot90(side, quarter) for side in boards for quarter in range(4)]
    found = []
    for cell in boards:
        first = cell.reshape(-1) if spec.num_actions >= board.size else cell[0] % width  # cells, or columns
        found.append(Symmetry(cell, np.concatenate([first, actions[len(first) :]])))
    return found


def transform(positions: dict[str, Any], symmetry: Symmetry) -> None:
    """Apply a symmetry, in place, to observations, masks, policies and actions, as far as `positions` has them."""
    if symmetry.cell.size:
        obs = positions["obs"]
        positions["obs"] = obs.reshape(*obs.shape[:2], -1)[:, :, symmetry.cell]
    for name in {"action_mask", "policy"} & positions.keys():
        positions[name] = positions[name][..., symmetry.action]
    if "action" in positions:
        positions["action"] = np.argsort(symmetry.action)[positions["action"]]
