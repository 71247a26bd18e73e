"""Prioritised fictitious self-play: a learner's results against an opponent say how often it meets it (Vinyals et al.
2019, https://doi.org/10.1038/s41586-019-1724-z).

    w = (score + 1) / (episodes + 2)      the learner's win rate: never 0 or 1, and 1/2 against one that was not met
    hard      (1 - w)^q                   opponents that beat the learner; q = 2 is AlphaStar's "squared"
    capped    min(1/2, 1 - w)             the same, but all that beat it weigh alike
    even      w (1 - w)                   equals: a curriculum

The weights of these rules are not normalised.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from games.arrays import Floats

MEMORY = 0.5  # the factor by which results count less with each stretch or round: the learner has changed since
HARDNESS = 2.0  # q

Rate = TypeVar("Rate", float, Floats)


@dataclass(frozen=True)
class Tally:
    """A learner's results against one opponent; those of earlier stretches or rounds count less (MEMORY)."""

    episodes: float = 0.0
    score: float = 0.0  # wins, and half of the draws

    @property
    def win_rate(self) -> float:
        """The mean of a Beta(1, 1) prior and these results: 1/2 against an opponent that was not met."""
        return (self.score + 1) / (self.episodes + 2)

    def then(self, episodes: float, score: float) -> "Tally":
        """Return the results after a stretch with these new ones."""
        return Tally(MEMORY * self.episodes + episodes, MEMORY * self.score + score)


def hard(w: Rate, q: float = HARDNESS) -> Rate:
    """Return the weights of opponents against which the learner's win rates are `w`."""
    weight: Rate = (1 - w) ** q
    return weight


def capped(w: Floats) -> Floats:
    """Return the weights of opponents against which the learner's win rates are `w`."""
    return np.minimum(0.5, 1 - w)


def even(w: Floats) -> Floats:
    """Return the weights of opponents against which the learner's win rates are `w`."""
    return w * (1 - w)
