"""Play given actions in a VecEnv."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def play(venv: Any, actions: Any) -> tuple[NDArray[np.float32], Any]:
    """Reset, step through actions [T, E, N], and return the rewards [T, E, N] and the VecEnv."""
    venv.reset(np.arange(venv.num_envs, dtype=np.uint64))
    return np.stack([venv.step(np.array(joint)).reward.copy() for joint in actions]), venv
