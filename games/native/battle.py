"""A battle of two teams of three: types, switches and a bench that the opponent has not seen yet.

A small likeness of the battles of Pokémon on which PokéChamp searches (Karten et al. 2025,
https://arxiv.org/abs/2503.04094). Every fighter has one of four types and two attacks: one of its own type, one of a
type that is drawn. Both players choose at once. Switches come first; then attacks hit the fighters who stand there,
that of the faster fighter first, and a fighter who faints hits no more. An attack does

    POWER  x  3/2 if its type is the attacker's own  x  MULTIPLIER[its type, the defender's type]

of the HP = 240 points of a fighter, and with `varies` 0.8, 1 or 1.2 times that, by chance. A player whose fighter has
fainted chooses the next one, alone. Who has no fighter left loses: +1 and -1, and 0 if the last ones faint together.
After `turns` turns the team with more points left wins.

    fire > grass > water > fire        stone: 1 against all, and all against it, but 1/2 against itself

Fire is the fastest, then grass, water and stone; fighters of one type hit each other at the same time.

All fighters are drawn uniformly: 16 kinds. A player sees its own team, and of the other's the fighters who have stood
on the field, so that those on the bench are still any of the 16 kinds, all equally likely.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from games.arrays import Views
from games.contract import Array, Discrete, Spec
from games.keys import fold_one, uniform_one

TYPES = ("fire", "grass", "water", "stone")  # the fastest first
TEAM, ATTACKS, KINDS = 3, 2, len(TYPES) ** 2
HP, POWER = 240, 20
OWN = 1.5  # the factor of an attack of the attacker's own type
MULTIPLIER = np.array([[0.5, 2, 0.5, 1], [0.5, 0.5, 2, 1], [2, 0.5, 0.5, 1], [1, 1, 1, 0.5]])  # [attack, defender]
ROLLS = (0.8, 1.0, 1.2)
SWITCH = ATTACKS  # action SWITCH + k sends fighter k
NOBODY_SEEN = -1
FIGHTER = 2 * len(TYPES) + 3  # numbers of a fighter in a view: type, second attack, share of HP, on the field, seen


class Battle:
    """Two players, each with a team of three.

    A view is [2, 3, 11] and the share of turns gone, flat: own fighters, then the opponent's, each its type and the
    type of its second attack as one-hots, its share of HP, whether it is on the field, and whether it has been seen; an
    unseen one has neither type. Raises ValueError for turns < 1.
    """

    def __init__(self, turns: int = 100, varies: bool = False) -> None:
        if turns < 1:
            raise ValueError(f"expected at least one turn, got turns={turns}")
        self.turns, self.varies = turns, varies
        self.rolls = [(i, 1 / len(ROLLS) ** 2) for i in range(len(ROLLS) ** 2)] if varies else []
        self.kinds = [(kind, 1 / KINDS) for kind in range(KINDS)]
        self.spec = Spec(
            name=f"battle(turns={turns}, varies={str(varies).lower()})",
            num_players=2,
            observation=Array((2 * TEAM * FIGHTER + 1,)),
            action=Discrete(ATTACKS + TEAM),
            payoff="zero_sum",
            turns="mixed",
            perfect_information=False,
            chance=True,
            searchable=True,
            step_rewards=False,
            max_length=2 * turns,  # a turn, and perhaps a fighter in place of one who fainted
            return_bounds=(-1.0, 1.0),
        )

    def initial_state(self) -> "BattleState":
        return BattleState(self)


class BattleState:
    """Fighters by player: kinds, HP, who is on the field, and who has been seen.

    A kind is type * 4 + the type of the second attack. While `dealt` is not None, attacks wait for their rolls.
    """

    __slots__ = ("dealt", "field", "game", "hp", "kinds", "seen", "turn")

    def __init__(self, game: Battle) -> None:
        self.game = game
        self.kinds: list[tuple[int, ...]] = [(), ()]
        self.hp = [[HP] * TEAM, [HP] * TEAM]
        self.field = [0, 0]
        self.seen = [[True, False, False], [True, False, False]]
        self.turn = 0
        self.dealt: tuple[float, float] | None = None  # by each player's attack, before the rolls

    def clone(self) -> "BattleState":
        other = object.__new__(BattleState)
        other.game, other.turn, other.dealt = self.game, self.turn, self.dealt
        other.kinds, other.field = self.kinds.copy(), self.field.copy()
        other.hp = [points.copy() for points in self.hp]
        other.seen = [seen.copy() for seen in self.seen]
        return other

    def acting(self) -> tuple[int, ...]:
        if self._deals() or self.dealt is not None or self.is_terminal():
            return ()
        fainted = tuple(p for p in (0, 1) if not self.hp[p][self.field[p]])
        return fainted or (0, 1)

    def legal_actions(self, player: int) -> Sequence[int]:
        own, stands = self.hp[player], self.field[player]
        bench = [SWITCH + k for k in range(TEAM) if own[k] and k != stands]
        return [*range(ATTACKS), *bench] if own[stands] else bench

    def chance_outcomes(self) -> Sequence[tuple[int, float]]:
        if self._deals():
            return self.game.kinds
        return self.game.rolls if self.dealt is not None else ()

    def apply_chance(self, outcome: int) -> None:
        if self._deals():
            player = 0 if len(self.kinds[0]) < TEAM else 1
            self.kinds[player] = (*self.kinds[player], outcome)
            return
        assert self.dealt is not None, "chance draws fighters and rolls"
        first, second = divmod(outcome, len(ROLLS))
        self._hit(self.dealt[0] * ROLLS[first], self.dealt[1] * ROLLS[second])

    def apply(self, actions: Sequence[int]) -> None:
        acting = self.acting()
        for player in acting:
            if actions[player] >= SWITCH:
                self.field[player] = actions[player] - SWITCH
                self.seen[player][self.field[player]] = True
        if len(acting) == 2 and self.hp[0][self.field[0]] and self.hp[1][self.field[1]]:
            self._attack(actions)

    def is_terminal(self) -> bool:
        return self.turn == self.game.turns or not (any(self.hp[0]) and any(self.hp[1]))

    def returns(self) -> Sequence[float]:
        if not self.is_terminal():
            return (0.0, 0.0)
        one, two = sum(self.hp[0]), sum(self.hp[1])
        won = float((one > two) - (one < two))
        return (won, -won)

    def observe(self, player: int, out: Views) -> None:
        out[:] = 0
        fighters = out[:-1].reshape(2, TEAM, FIGHTER)
        for side, whose in enumerate((player, 1 - player)):
            for k in range(len(self.kinds[whose])):
                row = fighters[side, k]
                seen = self.seen[whose][k]
                if seen or side == 0:
                    own, second = divmod(self.kinds[whose][k], len(TYPES))
                    row[own] = row[len(TYPES) + second] = 1
                row[-3] = self.hp[whose][k] / HP
                row[-2] = k == self.field[whose]
                row[-1] = seen
        out[-1] = self.turn / self.game.turns

    def key(self) -> Hashable:
        return (*self._public(), *self.kinds)

    def information(self, player: int) -> Hashable:
        return (*self._public(), self.kinds[player], self._shown(1 - player))

    def resample(self, player: int, key: int) -> "BattleState":
        """Return the position with the opponent's unseen fighters drawn anew, uniformly."""
        other, whose = self.clone(), 1 - player
        drawn = (int(uniform_one(fold_one(key, k)) * KINDS) for k in range(TEAM))
        shown = zip(self.kinds[whose], drawn, self.seen[whose], strict=True)
        other.kinds[whose] = tuple(kind if seen else new for kind, new, seen in shown)
        return other

    def action_name(self, player: int, action: int) -> str:
        kinds, stands = self.kinds[player], self.field[player]
        if action < ATTACKS:
            return f"attack with {TYPES[divmod(kinds[stands], len(TYPES))[action]]}"
        return f"switch to {action - SWITCH}, {_named(kinds[action - SWITCH])}"

    def describe(self, player: int) -> str:
        """Return what a player may see: its own team, and those of the other who have been seen."""
        return self._told({player: self.kinds[player], 1 - player: self._shown(1 - player)})

    def __str__(self) -> str:
        return self._told({0: self.kinds[0], 1: self.kinds[1]})

    def _deals(self) -> bool:
        return len(self.kinds[1]) < TEAM

    def _attack(self, actions: Sequence[int]) -> None:
        """Both attack, or have switched; the rolls, if any, are drawn next."""
        self.turn += 1
        kinds = [self.kinds[p][self.field[p]] for p in (0, 1)]
        one, two = (
            damage(kinds[p], actions[p], kinds[1 - p] // len(TYPES)) if actions[p] < ATTACKS else 0.0 for p in (0, 1)
        )
        if self.game.varies and (one or two):
            self.dealt = (one, two)
        else:
            self._hit(one, two)

    def _hit(self, by_first: float, by_second: float) -> None:
        self.dealt = None
        dealt = (by_first, by_second)
        speed = [-(self.kinds[p][self.field[p]] // len(TYPES)) for p in (0, 1)]
        hits = [p for p in (0, 1) if speed[p] >= speed[1 - p]]
        self._suffer([(1 - p, dealt[p]) for p in hits])
        self._suffer([(1 - p, dealt[p]) for p in (0, 1) if p not in hits and self.hp[p][self.field[p]]])

    def _suffer(self, hits: Sequence[tuple[int, float]]) -> None:
        for player, dealt in hits:
            stands = self.field[player]
            self.hp[player][stands] = max(0, self.hp[player][stands] - round(dealt))

    def _shown(self, player: int) -> tuple[int, ...]:
        return tuple(k if seen else NOBODY_SEEN for k, seen in zip(self.kinds[player], self.seen[player], strict=True))

    def _public(self) -> tuple[Hashable, ...]:
        by_player = (tuple(tuple(row) for row in rows) for rows in (self.hp, self.seen))
        return (self.turn, self.dealt, tuple(self.field), *by_player)

    def _told(self, kinds: dict[int, tuple[int, ...]]) -> str:
        lines = [f"turn {self.turn} of {self.game.turns}"]
        for player in (0, 1):
            team = [
                f"{'*' if k == self.field[player] else ''}{k} {_named(kind)} {self.hp[player][k]}"
                for k, kind in enumerate(kinds[player])
            ]
            lines.append(f"player {player}: {', '.join(team)}")
        return "\n".join(lines)


def damage(kind: int, attack: int, defender: int) -> float:
    """Return what an attack of a fighter of this kind does to one of the type `defender`, before rolls."""
    types = divmod(kind, len(TYPES))
    used = types[attack]
    return POWER * (OWN if used == types[0] else 1.0) * float(MULTIPLIER[used, defender])


def _named(kind: int) -> str:
    """Return a fighter in words, as fire/stone: its type, and that of its second attack."""
    return "unseen" if kind == NOBODY_SEEN else "/".join(TYPES[part] for part in divmod(kind, len(TYPES)))
