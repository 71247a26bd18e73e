"""Seating: the roster entry that holds each player, in every environment."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Seating = NDArray[np.int64]  # [E, N] the roster entry that holds each player; EMPTY for an unused seat
EMPTY = -1


def self_play(num_envs: int, num_players: int, actors: int = 1) -> Seating:
    """Return the seating [E, N] of self-play: actor e mod `actors` holds all seats of environment e."""
    return np.repeat(np.arange(num_envs)[:, None] % actors, num_players, axis=1)


def seat(own: Seating, leaders: Sequence[int], actors: int, opponents: int, share: float) -> Seating:
    """Return the seating [E, N] with opponents: entries 0..actors-1 are the learner's, as in `own`; opponents follow.

    In a share of the environments one of the row's `leaders`, in rotation, keeps its seat, and the opponents take the
    other seats, in rotation.
    """
    if opponents == 0:
        return own
    num_envs, num_players = own.shape
    leads = np.isin(own, leaders)
    _, groups = np.unique(np.where(leads, own, -1), axis=0, return_inverse=True)  # [E] environments of equal leaders
    turn = np.zeros(num_envs, np.int64)  # [E] position within the group
    for group in range(groups.max() + 1):
        rows = np.flatnonzero(groups.reshape(-1) == group)
        turn[rows] = np.arange(len(rows))
    count = leads.sum(1)
    kept = np.argsort(~leads, axis=1, kind="stable")[np.arange(num_envs), turn % count]
    player = np.arange(num_players)
    opponent = actors + ((turn // count)[:, None] + player) % opponents
    mixed = np.where(player == kept[:, None], own, opponent)
    return np.where(np.arange(num_envs)[:, None] < round(share * num_envs), mixed, own)
