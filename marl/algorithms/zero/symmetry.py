"""Boards turned over: what a game's Spec says of its symmetry, as places of planes and of actions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec


@dataclass(frozen=True)
class Symmetry:
    """One way to turn a board over: what comes to each place lay at another before."""

    cell: NDArray[np.int64]  # [H, W] of the planes, flat
    action: NDArray[np.int64]  # [A]


def symmetries(spec: Spec) -> list[Symmetry]:
    """Return the ways in which a game's board may be turned over, the first of which leaves it as it is."""
    actions = np.arange(spec.num_actions)
    if not spec.symmetry:
        return [Symmetry(np.zeros((0, 0), np.int64), actions)]
    _, height, width = spec.observation.shape
    board = np.arange(height * width).reshape(height, width)
    turned = [board, board[:, ::-1]]
    if spec.symmetry == "square":
        turned = [np.rot90(side, quarter) for side in turned for quarter in range(4)]
    found = []
    for cell in turned:
        first = cell.reshape(-1) if spec.num_actions >= board.size else cell[0] % width  # cells, or columns
        found.append(Symmetry(cell, np.concatenate([first, actions[len(first) :]])))
    return found


def turned_over(positions: dict[str, Any], symmetry: Symmetry) -> None:
    """Turn views, and what there is of masks, policies and actions, over, in place."""
    if symmetry.cell.size:
        views = positions["obs"]
        positions["obs"] = views.reshape(*views.shape[:2], -1)[:, :, symmetry.cell]
    for name in {"action_mask", "policy"} & positions.keys():
        positions[name] = positions[name][..., symmetry.action]
    if "action" in positions:
        positions["action"] = np.argsort(symmetry.action)[positions["action"]]
