"""The agent of deterministic policies: it plays them, in training with noise."""

from collections.abc import Sequence

import numpy as np

from games.contract import Spec
from games.keys import fold, normal
from games.random_play import random_points
from marl.algorithms.deterministic_gradient.networks import Actor, Units
from marl.learning.networks import rows_by_network
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.agent import Stateless
from marl.rollout.types import Decision, Hidden, View

# Draws of a decision's key.
NOISE, RANDOM = 0, 1


class DeterministicAgent(Stateless):
    """Play each player's policy; `actors` are one for each player, or one for all.

    In training it is played with normal noise of deviation `noise`, in half widths of the box, clipped to the bounds;
    with `uniform` any point of the box.
    """

    def __init__(self, actors: Sequence[Actor], spec: Spec, device: str) -> None:
        self._spec, self._units = spec, Units(spec)
        self._networks = [Rowwise(actor, device, largest=16 * BLOCK) for actor in actors]
        self.noise, self.uniform = 0.0, False

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        if self.uniform:
            return Decision(random_points(self._spec, view.player, fold(view.key, RANDOM))), None
        units = np.empty((len(view), self._units.low.shape[1]), np.float32)
        for rows, network in rows_by_network(view.player, self._networks):
            units[rows] = network.ask("units", view.obs[rows], view.player[rows])
        if self.noise:
            drawn = self.noise * normal(fold(view.key, NOISE), units.shape[1])
            units = np.clip(units + drawn.astype(np.float32), -1, 1)
        return Decision(self._units.points(units, view.player)), None
