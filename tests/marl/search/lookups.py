"""Games, and functions of positions, for tests of agents that look ahead; functions play in processes of their own."""

import numpy as np

from games.contract import Array, Discrete, Spec

LENGTH = 10


class Chain:
    """Ten positions in a row: go on (0) or leave (1), at the price of the position; going on slips back by chance.

    Left of the row nothing is paid, right of it 10. With `slips` = 0 there is no chance.
    """

    PAYS = (1.0, 0.5, 2.0, 0.0, 3.0, 1.0, 4.0, 2.0, 2.5, 6.0)

    def __init__(self, slips: float = 0.3, start: int = 4):
        self.slips, self.start = slips, start
        self.spec = Spec(
            name="chain",
            num_players=1,
            observation=Array((LENGTH + 1,)),
            action=Discrete(2),
            payoff="team",
            turns="sequential",
            perfect_information=True,
            chance=slips > 0,
            searchable=True,
            step_rewards=False,
            return_bounds=(-5.0, 10.0),
        )

    def initial_state(self):
        return ChainState(self, self.start)


class ChainState:
    """Where one is; None while chance decides where one goes; `left` is what leaving paid."""

    MOST = 40  # steps, after which nothing is paid

    def __init__(self, game, place, moving=False, left=None, steps=0):
        self.game, self.place, self.moving, self.left, self.steps = game, place, moving, left, steps

    def clone(self):
        return ChainState(self.game, self.place, self.moving, self.left, self.steps)

    def acting(self):
        return () if self.is_terminal() or self.moving else (0,)

    def legal_actions(self, player):
        return [0, 1]

    def chance_outcomes(self):
        return ((1, 1 - self.game.slips), (-1, self.game.slips)) if self.moving else ()

    def apply(self, actions):
        self.steps += 1
        if actions[0]:
            self.left = Chain.PAYS[self.place]
        elif self.game.slips:
            self.moving = True
        else:
            self.place += 1

    def apply_chance(self, outcome):
        self.place, self.moving = self.place + outcome, False

    def is_terminal(self):
        return self.left is not None or not 0 <= self.place < LENGTH or self.steps >= self.MOST

    def returns(self):
        if self.left is not None:
            return (self.left,)
        return (10.0 if self.place == LENGTH else 0.0,)

    def observe(self, player, out):
        out[:] = np.arange(LENGTH + 1) == self.place

    def key(self):
        return self.place, self.moving, self.left, self.steps


def downwards(states, player):
    """Propose all legal actions, the highest number first."""
    return [sorted(state.legal_actions(player), reverse=True) for state in states]


def nothing_legal(states, player):
    """Propose nothing that can be played."""
    return [[] for _ in states]


def everything(states, player):
    """Propose all actions of tic-tac-toe, whether they are legal or not."""
    return [list(range(9)) for _ in states]


def corners(states, player):
    """Value a position of tic-tac-toe by the number of actions that are left: any known numbers will do."""
    return [float(len(state.legal_actions(player))) / 10 for state in states]
