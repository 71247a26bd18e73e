"""Seating: the roster entry that holds each player, in every environment.

A learner says which of its own actors holds each player (`Learner.seating`). In a share of the episodes an opponent
takes all seats but one, or, in a game of team against team, but those of one team. Whether it does, which seat the
learner keeps, and which opponent it is are drawn when the
episode opens, from the episode's seed alone: they do not depend on the number of environments or of workers, or on what
was played before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games import keys
from games.arrays import Floats
from games.keys import Keys

Seating = NDArray[np.int64]  # [E, N] the roster entry that holds each player; EMPTY for an unused seat
EMPTY = -1


def self_play(num_envs: int, num_players: int, actors: int = 1) -> Seating:
    """Return the seating [E, N] of self-play: actor e mod `actors` holds all seats of environment e."""
    return np.repeat(np.arange(num_envs)[:, None] % actors, num_players, axis=1)


@dataclass(frozen=True)
class Draw:
    """How the opponents of an episode are drawn from its seed.

    One opponent holds all seats that the learner does not keep, as it does in evaluations. So an opponent's weight is
    its share of these episodes for any number of players, and an episode's result is a result against one opponent.
    """

    first: int  # the roster entry of the first opponent; those before it are the learner's actors
    weights: Floats  # [N, K] of the opponents, by the seat that the learner keeps; a row need not sum to 1
    share: float  # the probability that an opponent plays
    leaders: Sequence[int]  # the learner's actors that keep a seat
    side_of: NDArray[np.int64]  # [N] the side of each player: who keeps a seat keeps those of its side

    def seat(self, own: Seating, seeds: Keys) -> Seating:
        """Return the seating [E, N] of the episodes with these seeds [E]; `own` [E, N] is that without opponents.

        The learner keeps one of the seats that its leaders hold, each with the same probability, and all of its side.
        """
        takes_part, keeps, which = keys.streams(seeds, "opponents take part", "the learner's seat", "opponent").T
        kept = keys.choose(keeps, np.isin(own, self.leaders))
        opponent = self.first + keys.draw(which, self.weights[kept])
        taken = (keys.uniform(takes_part) < self.share)[:, None] & (self.side_of != self.side_of[kept][:, None])
        return np.where(taken, opponent[:, None], own)


def by_turns(own: Seating, leaders: Sequence[int], actors: int, opponents: int, share: float) -> Seating:
    """Return the seating [E, N] of a stretch in which opponents sit by turns: the rule of runs begun before `Draw`.

    Entries 0..actors-1 are the learner's, as in `own`; opponents follow. In a share of the environments one of the
    row's `leaders`, in rotation, keeps its seat, and the opponents take the other seats, in rotation.
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
