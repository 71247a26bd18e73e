"""Random play: actions drawn by a hash of the episode's seed, the player, and the step of the episode."""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions
from games.contract import Box, Spec, TimeStep
from games.keys import Keys, choose, fold, uniform


def random_actions(spec: Spec, timestep: TimeStep, age: NDArray[np.int64], idle: int = 0) -> Actions:
    """Return actions [E, N] or [E, N, D]: a legal one for each player who is acting, `idle` for the others.

    `age` [E] counts the steps since each episode opened.
    """
    env, player = np.nonzero(timestep.acting)
    key = fold(fold(timestep.seed[env], player), age[env])
    if isinstance(spec.action, Box):
        box = np.full((*timestep.acting.shape, spec.action.size), idle, np.float32)
        box[env, player] = random_points(spec, player, key)
        return box
    actions = np.full(timestep.acting.shape, idle, np.int64)
    actions[env, player] = choose(key, timestep.action_mask[env, player])
    return actions


def random_points(spec: Spec, player: NDArray[np.int64], key: Keys) -> NDArray[np.float32]:
    """Return continuous actions [B, D] of players [B], each number uniform between its bounds; 0 in the padding."""
    low, high = (bound[player].astype(np.float64) for bound in spec.action_bounds)
    points = low + (high - low) * uniform(key, low.shape[1])
    return np.clip(points.astype(np.float32), low.astype(np.float32), high.astype(np.float32))
