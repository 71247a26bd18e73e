"""Scripted agents for the battle game: the damage calculator of PokéChamp, and the switch with the best match-up.

max_damage      attack with what hurts most now; in place of a fainted fighter, the one whose attack would hurt most
best_switch     switch to the fighter who deals most and suffers least; attack as max_damage where none is left

Both value a position by the difference of the teams' points: an evaluator for `minimax`.
"""

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec
from games.errors import UserError
from games.native.battle import ATTACKS, FIGHTER, KINDS, SWITCH, TEAM, TYPES, damage
from marl.agents.scripted import Scripted
from marl.rollout.types import Hidden, View

# [kind, attack, type of the defender]
DAMAGE = np.array([[[damage(kind, a, d) for d in range(len(TYPES))] for a in range(ATTACKS)] for kind in range(KINDS)])


class Fighters:
    """What views [B, 67] show of both teams."""

    def __init__(self, view: View) -> None:
        shown = view.obs[:, :-1].reshape(len(view), 2, TEAM, FIGHTER)
        types = len(TYPES)
        self._kind = shown[..., :types].argmax(3) * types + shown[..., types : 2 * types].argmax(3)  # [B, side, k]
        self.points = shown[..., -3]  # [B, side, k] shares of HP
        self._field = shown[..., -2].argmax(2)  # [B, side]

    def standing(self, side: int) -> NDArray[np.int64]:
        """Return the kind [B] of the fighter on the field of a side: 0 for the own one."""
        return np.asarray(self._kind[np.arange(len(self._kind)), side, self._field[:, side]])

    def deals(self) -> NDArray[np.float64]:
        """Return what each attack of the own fighter on the field does to the opponent's [B, attack]."""
        return np.asarray(DAMAGE[self.standing(0), :, self.standing(1) // len(TYPES)])

    def dealt_by(self) -> NDArray[np.float64]:
        """Return what the better attack of each own fighter does to the opponent's on the field [B, k]."""
        return np.asarray(DAMAGE[self._kind[:, 0], :, (self.standing(1) // len(TYPES))[:, None]].max(2))

    def suffered_by(self) -> NDArray[np.float64]:
        """Return what the opponent's fighter on the field does to each own one by its better attack [B, k]."""
        return np.asarray(DAMAGE[self.standing(1)[:, None], :, self._kind[:, 0] // len(TYPES)].max(2))


class Calculator(Scripted):
    """Choose among attacks or among switches by the damage table."""

    def __init__(self, spec: Spec) -> None:
        if not spec.name.startswith("battle(") or "|" in spec.name:
            raise UserError(f"max_damage and best_switch play battle, got '{spec.name}'; use another agent")

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the difference of the teams' points, as a share of a whole team [B]; an unseen fighter is whole."""
        points = Fighters(view).points.sum(2) / TEAM
        return np.asarray(points[:, 0] - points[:, 1], np.float32)


class MaxDamage(Calculator):
    """Attack with what hurts most."""

    revision = 1

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        fighters = Fighters(view)
        return _best(view, fighters.deals(), fighters.dealt_by(), attacks_first=True), None


class BestSwitch(Calculator):
    """Switch to the best match-up."""

    revision = 1

    def left(self, view: View, hidden: Hidden) -> tuple[NDArray[np.bool_], Hidden]:
        fighters = Fighters(view)
        return _best(view, fighters.deals(), fighters.dealt_by() - fighters.suffered_by(), attacks_first=False), None


CALCULATORS: dict[str, type] = {"max_damage": MaxDamage, "best_switch": BestSwitch}


def _best(
    view: View, attacks: NDArray[np.float64], switches: NDArray[np.float64], *, attacks_first: bool
) -> NDArray[np.bool_]:
    """Return the best actions [B, A] of the kind that comes first, or of the other where none of it is legal."""
    is_attack = np.arange(view.action_mask.shape[1]) < SWITCH
    first = view.action_mask & (is_attack == attacks_first)
    allowed = np.where(first.any(1, keepdims=True), first, view.action_mask)
    worth = np.where(allowed, np.hstack([attacks, switches]), -np.inf)
    return np.asarray(worth == worth.max(1, keepdims=True))
