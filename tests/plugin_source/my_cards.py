"""A source of games: `cards:high(cards=5)`. Each player is dealt one card; the highest wins all."""

import numpy as np

from games.batch import Batch
from games.contract import Array, Discrete, Spec
from games.errors import UserError, nearest
from games.references import Reference
from games.sources import Source

LOSES = {"high": False, "low": True}  # the games by name: whether the high card loses


class Cards(Source):
    def make(self, name, arguments, num_envs, wrappers=()):
        if name not in LOSES:
            raise UserError(f"expected a game of cards, got '{name}'{nearest(name, LOSES)}")
        if unknown := arguments.keys() - {"cards"}:
            raise UserError(f"'{name}' takes cards, got '{unknown.pop()}'; leave it out")
        reference = str(Reference("cards", name, tuple(arguments.items())))
        return Deal(reference, num_envs, LOSES[name], **arguments)

    def names(self):
        return list(LOSES)

    def is_own(self, name):
        return True  # no code is imported by the name of a game


class Deal(Batch):
    """One step: keep the card (0), or pay a tenth and leave (1)."""

    def __init__(self, reference, num_envs, loses, cards=5):
        spec = Spec(
            name=reference,
            num_players=2,
            observation=Array((cards,)),
            action=Discrete(2),
            payoff="general_sum",
            turns="simultaneous",
            perfect_information=False,
            chance=True,
            searchable=False,
            max_length=1,
            return_bounds=(-1.0, 1.0),
        )
        super().__init__(spec, num_envs, horizon=1, truncate=False)
        self.loses, self.cards = loses, cards
        self.held = np.zeros((num_envs, 2), int)  # [E, N]

    def open(self, envs):
        self.held[envs] = (self.draw(2, envs) * self.cards).astype(int)

    def move(self, actions):
        ahead = np.sign(self.held[:, 0] - self.held[:, 1]) * (-1 if self.loses else 1)
        stays = (actions == 0).all(1)
        reward = np.where(stays[:, None], np.stack([ahead, -ahead], 1), np.where(actions == 1, -0.1, 0.0))
        self.timestep.reward[:] = reward
        return np.ones(self.num_envs, bool)

    def look(self):
        self.timestep.obs[:] = np.eye(self.cards)[self.held]

    def render(self, env):
        return "cards: " + ", ".join(map(str, self.held[env]))
