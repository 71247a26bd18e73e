"""Simulated games: positions are played on by agents, all of them in one loop.

Two agents hold the seats of every game: one that of the player for whom the game is simulated, the other all others.
The randomness of a game (what agents draw, and chance) comes from its key and the number of the step, so that games
with one key differ by what is played in them alone: common random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec, State
from games.keys import Keys, fold, fold_one
from marl.rollout.agent import Agent
from marl.rollout.loop import most_steps
from marl.rollout.types import Hidden, View
from marl.search.answers import legal_choices
from marl.search.sampling import settle

CHANCE = 1 << 20  # a draw of a step's key; the others are numbered by player


@dataclass
class Games:
    """G simulated games; `play_on` changes them in place."""

    states: list[State]
    player: NDArray[np.int64]  # [G] for whom each is simulated
    key: Keys  # [G]
    hidden: Hidden  # [G, ...] of that player's agent at its next decision; None without

    def __len__(self) -> int:
        return len(self.states)

    def returns(self) -> NDArray[np.float64]:
        """Return what each game has paid its player so far [G]."""
        return np.array([s.returns()[p] for s, p in zip(self.states, self.player.tolist(), strict=True)], np.float64)

    def view(self, spec: Spec, games: NDArray[np.int64], keys: Keys) -> View:
        """Return what the players of some games, who act there, see."""
        states = [self.states[g] for g in games.tolist()]
        return View.of(spec, states, keys, first=False, players=self.player[games])

    def memory(self, games: NDArray[np.int64]) -> Hidden:
        """Return the hidden states of some games."""
        return None if self.hidden is None else self.hidden[games]


class Continuations:
    """Play games on by `own`, the agent of their players, and `others`, that of all other seats.

    `others` has no hidden states. A game that does not end is cut after `most_steps` steps of the simulation.
    """

    def __init__(self, spec: Spec, own: Agent, others: Agent) -> None:
        self._spec, self._own, self._others, self._most = spec, own, others, most_steps(spec)

    def play_on(self, games: Games, first: NDArray[np.int64], decisions: int | None = None) -> NDArray[np.int64]:
        """Play games on from decisions of their players, which are the actions `first` [G].

        Without `decisions` the games are played to their ends; with it, each stops where its player would take another
        decision after so many. Returns the games that have stopped so, which are not over.
        """
        left = np.full(len(games), self._most if decisions is None else decisions)
        forced: NDArray[np.int64] | None = first
        going, stopped = list(range(len(games))), []
        for step in range(self._most):
            keys = fold(games.key, step)
            seats = []
            for g in going:
                acting = settle(games.states[g], fold_one(int(keys[g]), CHANCE))
                own = int(games.player[g])
                if own in acting and left[g] == 0:
                    stopped.append(g)
                else:
                    left[g] -= own in acting
                    seats += [(g, player) for player in acting]
            if not seats:
                break
            game, player = np.array(seats, np.int64).T
            actions = self._choose(games, game, player, keys, forced)
            forced = None
            going = _apply(games.states, game, player, actions, self._spec.num_players)
        return np.array(stopped, np.int64)

    def _choose(
        self,
        games: Games,
        game: NDArray[np.int64],
        player: NDArray[np.int64],
        keys: Keys,
        forced: NDArray[np.int64] | None,
    ) -> NDArray[np.int64]:
        """Return the actions of the seats (game, player) that act at this step; `forced` are those of the players."""
        actions = np.zeros(len(game), np.int64)
        own = player == games.player[game]
        if forced is not None:
            actions[own] = forced[game[own]]
            asked = [(self._others, ~own)]
        elif self._own is self._others and games.hidden is None:
            asked = [(self._own, np.ones(len(game), bool))]
        else:
            asked = [(self._own, own), (self._others, ~own)]
        for agent, rows in asked:
            if not rows.any():
                continue
            at = game[rows]
            states, draws = [games.states[g] for g in at.tolist()], fold(keys[at], player[rows])
            view = View.of(self._spec, states, draws, first=False, players=player[rows])
            memory = games.memory(at) if agent is self._own else None
            decision, after = agent.act(view, memory)
            if memory is not None:
                games.hidden[at] = after
            actions[rows] = legal_choices(decision, view)
        return actions


def _apply(
    states: Sequence[State],
    game: NDArray[np.int64],
    player: NDArray[np.int64],
    actions: NDArray[np.int64],
    num_players: int,
) -> list[int]:
    """Apply the joint actions of the seats (game, player); return the games that were moved."""
    joint: dict[int, list[int]] = {}
    for g, p, action in zip(game.tolist(), player.tolist(), actions.tolist(), strict=True):
        joint.setdefault(g, [0] * num_players)[p] = action
    for g, chosen in joint.items():
        states[g].apply(chosen)
    return [*joint]
