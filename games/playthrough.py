"""A playthrough: a random episode as text, for people to read and for tests to keep (tests/golden/playthroughs/).

It prints the position, observations, legal actions, choices and rewards of each step, so that a change of a game's
rules, observations or order of play changes a line.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, TimeStep, VecEnv
from games.errors import UserError
from games.keys import fold_one, stream
from games.random_play import random_actions
from games.registry import make

LONGEST = 40  # numbers; a longer array is printed as its size, its sum and a checksum
MOST_STEPS = 1000


def playthrough(reference: str, episodes: int = 1, seed: int = 0, views: bool = True) -> Iterator[str]:
    """Yield the lines of random episodes of a game: its Spec, and each step's position, views, choices and rewards.

    Raises UserError where the game cannot be built.
    """
    venv = make(reference, 1)
    yield f"game: {reference}"
    for name, value in venv.spec.to_json().items():
        yield f"{name}: {value}"
    for episode in range(episodes):
        yield ""
        yield from _episode(venv, fold_one(stream(seed, "playthrough"), episode), views)


def write(reference: str, path: Path, episodes: int = 2) -> None:
    """Write a playthrough to a file; raises UserError where it cannot be written."""
    text = "\n".join(playthrough(reference, episodes)) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the playthrough '{path}' cannot be written: {error}") from error


def _episode(venv: VecEnv, seed: int, views: bool) -> Iterator[str]:
    timestep = venv.reset(np.array([seed], np.uint64))
    yield f"episode with seed {seed}"
    for step in range(MOST_STEPS):
        yield ""
        yield f"step {step}" + _position(venv)
        if step:
            yield f"  reward: {_numbers(timestep.reward[0])}"
        if timestep.global_state.size:
            yield f"  global state: {_numbers(timestep.global_state[0])}"
        if views:
            for player in np.flatnonzero(timestep.acting[0] | timestep.last[0]).tolist():
                yield f"  player {player} sees: {_numbers(timestep.obs[0, player])}"
        if timestep.last[0]:
            yield f"  the end: {_ends(timestep)}"
            return
        actions = random_actions(venv.spec, timestep, np.array([step]))
        for player in np.flatnonzero(timestep.acting[0]).tolist():
            yield f"  player {player} chooses {_choice(venv, timestep, player, actions[0, player])}"
        timestep = venv.step(actions)
    yield f"cut here after {MOST_STEPS} steps"


def _choice(venv: VecEnv, timestep: TimeStep, player: int, action: Any) -> str:
    if isinstance(venv.spec.action, Box):
        return _numbers(action)
    legal = [_action_name(venv, player, a) for a in np.flatnonzero(timestep.action_mask[0, player]).tolist()]
    return f"{_action_name(venv, player, int(action))} of {', '.join(legal)}"


def _position(venv: VecEnv) -> str:
    """Return the position as text, each line on a new line; empty if the game has no text."""
    render = getattr(venv, "render", None)
    text = (render(0) if render else "").rstrip()
    return "".join(f"\n    {line}".rstrip() for line in text.splitlines())


def _action_name(venv: VecEnv, player: int, action: int) -> str:
    named = getattr(venv, "action_name", None)
    return named(0, player, action) if named else str(action)


def _numbers(array: NDArray[Any]) -> str:
    flat = array.reshape(-1)
    if flat.size <= LONGEST:
        return " ".join(f"{value:.4g}" for value in (flat.astype(np.float64) + 0.0).round(4))
    rounded = (flat.astype(np.float64) + 0.0).round(3)  # + 0.0 turns -0.0 into 0.0
    return f"{flat.size} numbers, sum {rounded.sum():.6g}, checksum {zlib.crc32(rounded.tobytes()):08x}"


def _ends(timestep: TimeStep) -> str:
    kinds = np.where(timestep.terminated[0], "terminated", "truncated")
    if len(set(kinds)) == 1:
        return str(kinds[0])
    return ", ".join(f"player {player} {kind}" for player, kind in enumerate(kinds))
