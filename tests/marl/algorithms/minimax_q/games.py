"""Games of simultaneous moves whose values are known, and a learner that is trained on one."""

import numpy as np

from games.contract import Array, Discrete, Spec
from games.keys import fold
from games.vector import vectorize
from marl.rollout.loop import Carry, rollout


class Chain:
    """Matching pennies `length` times in a row: player 0 goes on while the pennies match, and wins at the end.

    It is paid 2^length then, so that the value is 1 at the start and 2^k after k pennies; otherwise nothing. Random
    play comes to the end once in 2^length episodes.
    """

    def __init__(self, length: int = 6, actions: int = 2):
        self.length, self.actions = length, actions
        self.spec = Spec(
            name=f"tests.marl.algorithms.minimax_q.games:Chain(length={length},actions={actions})",
            num_players=2,
            observation=Array((length + 1,)),
            action=Discrete(actions),
            payoff="zero_sum",
            turns="simultaneous",
            perfect_information=True,
            chance=False,
            searchable=True,
            step_rewards=False,
            max_length=length,
            return_bounds=(-float(actions**length), float(actions**length)),
        )

    def initial_state(self):
        return ChainState(self, 0, False)


class ChainState:
    """`at`: the pennies that have matched; `over`: the last ones did not, or it was the end."""

    def __init__(self, game, at, over):
        self.game, self.at, self.over = game, at, over

    def clone(self):
        return ChainState(self.game, self.at, self.over)

    def acting(self):
        return () if self.over else (0, 1)

    def legal_actions(self, player):
        return range(self.game.actions)

    def chance_outcomes(self):
        return ()

    def apply(self, actions):
        matched = actions[0] == actions[1]
        self.at += int(matched)
        self.over = not matched or self.at == self.game.length

    def apply_chance(self, outcome):
        raise AssertionError("no chance here")

    def is_terminal(self):
        return self.over

    def returns(self):
        won = float(self.game.actions**self.game.length) if self.at == self.game.length else 0.0
        return [won, -won]

    def observe(self, player, out):
        out[:] = np.arange(len(out)) == self.at

    def key(self):
        return self.at, self.over


def trained(kind, game, steps, *, key=1, num_envs=64, length=8, **settings):
    """Train a learner on a game, given as a VecEnv or as a Game; return it and its last metrics."""
    venv = vectorize(game, num_envs) if hasattr(game, "initial_state") and not hasattr(game, "step") else game
    made = kind(kind.Config(**settings), venv.spec, key=key, total_steps=steps, device="cpu")
    streams = fold(fold(key, 1), np.arange(len(made.actors())))
    carry = Carry(venv, made.actors(), streams, fold(key, np.arange(venv.num_envs)))
    metrics = {}
    while made.steps < steps:
        trajectory = rollout(venv, made.actors(), made.seating(venv.num_envs), carry, length)
        metrics |= made.update(trajectory, range(len(made.actors())))
    return made, metrics
