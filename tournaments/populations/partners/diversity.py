"""What partners are paid for being different from each other, round by round of their training.

    entropy      −α log π̄(a | o), π̄ the mean policy of all partners (MEP: Zhao et al. 2023,
                 https://arxiv.org/abs/2112.11701)
    cross_play   SP − λ · max_j X_ij: self-play minus cross-play with the partner that fits best (LIPO: Charakorn et al.
                 2023, https://openreview.net/forum?id=UkU05GOH7_6)

A round is a stretch of the partners' training. The others, and a partner's own policy in π̄, are those of the round's
beginning: all partners train at once, and what one learns does not depend on who is done first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from games.arrays import Floats
from tournaments.populations.partners.config import DiversityConfig
from tournaments.populations.training import DIGEST, against
from tournaments.reports.pairs import written

SHARE = 0.5  # of the episodes of a partner that is paid for cross-play: so it maximises SP − λ · XP
SEEDS = 20  # of the games, at most, by which the partner is found that fits best


def most_compatible(returns: Floats) -> list[list[int]]:
    """Return for each of n agents the others with which it earns the most, by the team's returns X [n, n].

    Both seatings count. Several earn equally much only where they are paid exactly the same.
    """
    together = (returns + returns.T) / 2
    np.fill_diagonal(together, -np.inf)
    return [np.flatnonzero(row == row.max()).tolist() for row in together]


def worth(returns: Floats) -> dict[str, float]:
    """Return the means over n agents of what they earn alone, with each other, and with the other that fits best."""
    together, n = (returns + returns.T) / 2, len(returns)
    others = together[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return {
        "self_play": float(np.diag(returns).mean()),
        "cross_play": float(others.mean()),
        "compatible": float(others.max(1).mean()),
    }


def reward_terms(diversity: DiversityConfig, population: Sequence[str]) -> list[dict[str, Any]]:
    """Return the reward term of a partner, of a population with these digests."""
    if diversity.entropy is not None:
        asked = [f"{DIGEST}{digest}" for digest in population]
        return [{"name": "entropy", "weight": diversity.entropy, "agents": asked}]
    return [{"name": "cross_play", "weight": diversity.cross_play}]


def opponents(met: Sequence[str]) -> Mapping[str, Any] | None:
    """Return whom a partner meets that is paid for cross-play with these; None for one that meets none."""
    return against(dict.fromkeys(met, 1.0), SHARE) if met else None


def in_words(earned: Mapping[str, float]) -> str:
    """Return what partners earn (`worth`) as words."""
    alone, others, fits = (written(earned[name]) for name in ("self_play", "cross_play", "compatible"))
    return f"{alone} alone, {others} with each other, and {fits} with the one that fits best"
