"""Scripted agents: one for any game, and four for social dilemmas, to evaluate opponent-aware learners against.

constant            the same action wherever it is legal, else any
tit_for_tat         cooperate first, then repeat the other's last action (Axelrod 1984)
grim_trigger        cooperate until the other defects; never forgive
always_cooperate    cooperate, whatever the other does
always_defect       defect, whatever the other does

In the matrix games of two players and two actions, action 0 cooperates (swerves, hunts the stag) and 1 defects. In the
Coin Game a cooperator takes only its own coins, and a defector takes every coin.
"""

import numpy as np
from numpy.typing import NDArray

from games.arrays import Views
from games.contract import Discrete, Spec
from games.errors import UserError
from games.keys import choose
from games.native.coin_game import MOVES
from marl.rollout.agent import LogProbs, Stateless, log_probs_of
from marl.rollout.types import Decision, Hidden, View

COOPERATE, DEFECT = 0, 1
DILEMMAS = ("prisoners_dilemma", "chicken", "stag_hunt")
_MATRIX = f"matrix games of two actions ({', '.join(DILEMMAS)}, or payoffs of your own)"
CD, DD = 2, 4  # entries of an observation (start, CC, CD, DC, DD; own action first) in which the other defected


class Scripted(Stateless):
    """Draw uniformly from the actions that a rule leaves; often it leaves one."""

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        """Return the actions that the rule leaves [B, A], and the next hidden states."""
        raise NotImplementedError

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        left, after = self.left(view, hidden)
        return Decision(choose(view.key, left)), after

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        left, after = self.left(view, hidden)
        return log_probs_of(left), after


class Constant(Scripted):
    """Choose the same action wherever it is legal, and any legal one elsewhere: the start of a population, say."""

    revision = 1

    def __init__(self, spec: Spec, action: int = 0) -> None:
        if not 0 <= action < spec.num_actions:
            raise UserError(
                f"constant needs an action of '{spec.name}', which has {spec.num_actions}, got action={action}; "
                f"{f'choose one of 0 to {spec.num_actions - 1}' if spec.num_actions else 'use random'}"
            )
        self._action = action

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        mask = view.action_mask
        only = mask & (np.arange(mask.shape[1]) == self._action)
        return np.where(mask[:, [self._action]], only, mask), None


class TitForTat(Scripted):
    """Cooperate first, then repeat the other's last action."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        _need_memory("tit_for_tat", spec)

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        return _defecting(_was_defected(view)), None


class GrimTrigger(Scripted):
    """Cooperate until the other defects, and defect ever after; hidden [B]: whether the other has."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        _need_memory("grim_trigger", spec)

    def initial_hidden(self, rows: int) -> Hidden:
        return np.zeros(rows, bool)

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        betrayed = hidden | _was_defected(view)
        return _defecting(betrayed), betrayed


class AlwaysCooperate(Scripted):
    """Cooperate. In the Coin Game: a shortest path to its own coin, and no step onto the other's."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        self._is_coin_game = _is_coin_game("always_cooperate", spec)

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        if not self._is_coin_game:
            return _defecting(np.zeros(len(view), bool)), None
        distance = _distances(view.obs)
        own = view.obs[:, 2].reshape(len(view), -1).any(1, keepdims=True)  # [B, 1] whether the coin is the player's own
        return np.where(own, _shortest(distance), distance > 0), None


class AlwaysDefect(Scripted):
    """Defect. In the Coin Game: a shortest path to every coin."""

    revision = 1

    def __init__(self, spec: Spec) -> None:
        self._is_coin_game = _is_coin_game("always_defect", spec)

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        if not self._is_coin_game:
            return _defecting(np.ones(len(view), bool)), None
        return _shortest(_distances(view.obs)), None


SCRIPTED: dict[str, type] = {
    "tit_for_tat": TitForTat,
    "grim_trigger": GrimTrigger,
    "always_cooperate": AlwaysCooperate,
    "always_defect": AlwaysDefect,
    "constant": Constant,
}


def _defecting(defects: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the one action that is left [B, 2]: to defect where `defects` [B], else to cooperate."""
    left = np.zeros((len(defects), 2), bool)
    left[:, COOPERATE], left[:, DEFECT] = ~defects, defects
    return left


def _was_defected(view: View) -> NDArray[np.bool_]:
    """Return whether the other's last action was to defect [B]."""
    return np.asarray((view.obs[:, [CD, DD]] > 0).any(1))


def _distances(obs: Views) -> NDArray[np.int64]:
    """Return the distance to the coin after each move [B, A], in steps on the torus; `obs` is [B, 4, height, width]."""
    size = obs.shape[2:]
    planes = (obs[:, 0], obs[:, 2] + obs[:, 3])
    own, coin = (np.stack(np.unravel_index(p.reshape(len(p), -1).argmax(1), size), 1) for p in planes)  # [B, 2]
    gap = (own[:, None] + MOVES - coin[:, None]) % size
    return np.asarray(np.minimum(gap, size - gap).sum(2))


def _shortest(distance: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which moves lie on a shortest path [B, A]."""
    return np.asarray(distance == distance.min(1, keepdims=True))


def _need_memory(agent: str, spec: Spec) -> None:
    """Raise UserError if a game is no dilemma, or its views do not show the last actions."""
    if not _is_dilemma(spec):
        raise UserError(f"{agent} plays {_MATRIX}, got '{spec.name}'; use another agent")
    if spec.observation.shape != (5,):
        raise UserError(
            f"{agent} must see what was played last, and views of '{spec.name}' have the shape "
            f"{spec.observation.shape} instead of (5,); add memory=true, and no wrapper that changes views"
        )


def _is_coin_game(agent: str, spec: Spec) -> bool:
    """Return whether the game is the Coin Game, rather than a dilemma; raises UserError where it is neither."""
    if _is_dilemma(spec):
        return False
    if _unwrapped(spec) != "coin_game":
        raise UserError(f"{agent} plays coin_game and {_MATRIX}, got '{spec.name}'; use another agent")
    if len(spec.observation.shape) != 3:
        raise UserError(
            f"{agent} must see the planes [4, height, width], and views of '{spec.name}' have the shape "
            f"{spec.observation.shape}; leave out the wrapper that changes them"
        )
    return True


def _is_dilemma(spec: Spec) -> bool:
    """Return whether action 0 cooperates and 1 defects; for a user's own payoffs this is assumed."""
    names = ("matrix", *(f"matrix({game})" for game in DILEMMAS))
    return _unwrapped(spec) in names and spec.num_players == 2 and spec.action == Discrete(2)


def _unwrapped(spec: Spec) -> str:
    return spec.name.partition(" | ")[0]
