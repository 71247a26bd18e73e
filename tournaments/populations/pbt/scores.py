"""What members of population-based training are worth: their returns on seeds that all of them play."""

from collections.abc import Mapping

import numpy as np

from games.registry import make
from marl.agents.load import load_identified
from marl.base.digests import Json
from marl.base.units import Unit
from marl.evaluation.evaluate import returns_by_seed
from tournaments.populations.training import DIGEST

SELF = "self"  # stands for self-play among the anchors


def score_unit(game: str, agent: str, anchors: Mapping[str, str], seeds: int, max_steps: int | None, key: int) -> Unit:
    """Return the unit of work that scores an agent, given by its digest, against anchors by name with their digests."""
    inputs: dict[str, Json] = {
        "agent": agent,
        "game": game,
        "anchors": sorted(anchors.values()),
        "seeds": seeds,
        "max_steps": max_steps,
    }
    return Unit("score", inputs, key)


def score(
    game: str,
    agent: str,
    reference: str,
    anchors: Mapping[str, str],
    seeds: int,
    max_steps: int | None,
    num_envs: int,
    key: int,
) -> list[float]:
    """Return an agent's returns [S] by seed, the mean over anchors and seats: a unit's function.

    `agent` is its digest. Anchors are references, with the digests that they have; `self` is self-play. Raises
    UserError where one is another agent now.
    """
    venv = make(game, num_envs)
    entrant = load_identified(f"{DIGEST}{agent}", {agent: reference}, venv.spec)
    assert entrant is not None
    found = []
    for name, digest in sorted(anchors.items(), key=lambda anchor: anchor[1]):
        against = None if name == SELF else load_identified(f"{DIGEST}{digest}", {digest: name}, venv.spec)
        try:
            returns = returns_by_seed(venv, entrant, against, seeds=seeds, key=key, max_steps=max_steps)
        finally:
            if against:
                against.rest()
        found.append(returns.mean(1))
    return [float(each) for each in np.mean(found, axis=0)]
