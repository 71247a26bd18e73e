"""Rollout: any agent, the base, becomes stronger by one step of look-ahead (Tesauro and Galperin 1996; Bertsekas,
Tsitsiklis and Wu 1997, https://doi.org/10.1023/A:1009635226865).

    Q(b, u) = E[ g(b, u) + J_μ(b') ]        play the u with the greatest Q

where b is what the player knows, g what the action u pays, and J_μ(b') what the base policy μ earns from there on. This
is one step of policy iteration: where Q is exact, the new policy is nowhere worse than μ. Here Q is the mean over
`samples` games. In each, a position that the player cannot tell from the true one is drawn, u is played there, and the
base plays on, in all seats or against `opponents`.

All actions of a decision are tried in the same positions with the same random numbers: their differences have less
noise. Ties go to what the base would play, so that a base which is optimal is never left.

With `steps` = 2 the player may choose twice before the base takes over:

    Q_2(b, u) = E[ g(b, u) + max_u' Q(b', u') ]

b' is what the player knows then, and positions are drawn anew from it: one drawn earlier would tell it too much.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from games.contract import Box, Spec
from games.errors import UserError
from games.keys import fold, fold_one
from marl.rollout.agent import Agent, keeps_memory, preferences_of, value_of
from marl.rollout.types import Decision, Hidden, View
from marl.search.agent import refuse_unsearchable
from marl.search.answers import expectations, legal_choices
from marl.search.continuations import Continuations, Games
from marl.search.sampling import drawn

MEMORY = 1 << 28  # bytes of simulated games at once
POSITION = 4096  # bytes of a position, about
TIE = 1e-9  # actions whose values differ by less, as a share of the largest, are equal

# Draws of a decision's key.
SAMPLES = 1  # of its samples: a position, and the game that is played from it
LOOKS = 2  # at the decision that follows in a simulated game
# Draws of a sample's key.
POSITION_DRAWN, GAME = 1, 2

Pair = tuple[int, int]  # a row and a sample
ActionValues = NDArray[np.float64]  # [B, A]; -inf where an action was not tried


class RolloutAgent:
    """Look ahead with a base.

    `samples` positions are drawn for each decision, `top` limits it to the actions that the base likes best, and with
    `horizon` the base's own `value` stands for what comes after so many decisions of the player. `opponents` play the
    other seats. A base with memory carries its own: its hidden state after this decision goes on in the simulated
    games. Nobody knows the memory of others, so they must be agents without. A base is asked at every step of every
    simulated game, in one call for all of them; `MEMORY` limits how many are played at once.

    Raises UserError for a game or a base that does not fit.
    """

    revision = 1

    def __init__(
        self,
        spec: Spec,
        base: Agent,
        opponents: Agent | None = None,
        *,
        samples: int = 16,
        horizon: int | None = None,
        top: int | None = None,
        steps: int = 1,
    ) -> None:
        self.refuse(spec)
        for name, given in (("samples", samples), ("horizon", horizon), ("top", top), ("steps", steps)):
            if given is not None and given < 1:
                raise UserError(f"rollout needs {name} of at least 1, got {given}")
        others = base if opponents is None else opponents
        if spec.num_players > 1 and keeps_memory(others):
            raise UserError(
                "rollout cannot know what the other players remember, and its "
                f"{'base' if opponents is None else 'opponents'} would play them from memory; name opponents=... "
                "without memory, such as random, or a checkpoint of a network without recurrence or search"
            )
        if horizon is not None and value_of(base) is None:
            raise UserError("horizon=... needs a base that tells its value, and this one does not; leave it out")
        if top is not None and preferences_of(base) is None:
            raise UserError("top=... needs a base that ranks its actions, and this one does not; leave it out")
        self._spec, self._base = spec, base
        self._samples, self._horizon, self._top, self._steps = samples, horizon, top, steps
        self._continuations = Continuations(spec, base, others)

    @staticmethod
    def refuse(spec: Spec) -> None:
        """Raise UserError for a game that does not fit."""
        refuse_unsearchable(spec, "rollout")
        if isinstance(spec.action, Box):
            raise UserError(
                f"rollout tries every action, and those of '{spec.name}' are continuous; use the base alone"
            )

    def initial_hidden(self, rows: int) -> Hidden:
        """Return the base's."""
        return self._base.initial_hidden(rows)

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        values, liking, after = self._look(view, hidden, self._steps)
        return Decision(_best(values, liking)), after

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the value of the best action [B]."""
        return np.asarray(self.action_values(view, hidden).max(1), np.float32)

    def action_values(self, view: View, hidden: Hidden) -> ActionValues:
        """Return Q [B, A]: what the player gets from this decision on; -inf for actions that are not tried."""
        return self._look(view, hidden, self._steps)[0]

    def _look(self, view: View, hidden: Hidden, steps: int) -> tuple[ActionValues, NDArray[np.float64], Hidden]:
        """Return Q [B, A], how much the base likes each action [B, A], and the base's next hidden states."""
        liking, after = self._ask_base(view, hidden)
        tried = _highest(liking, self._top or liking.shape[1])
        values = np.where(tried, 0.0, -np.inf)
        for rows, actions, games in self._simulated(view, tried, after):
            np.add.at(values, (rows, actions), self._worth(games, actions, steps) / self._samples)
        return values, liking, after

    def _ask_base(self, view: View, hidden: Hidden) -> tuple[NDArray[np.float64], Hidden]:
        """Return how much the base likes each action [B, A], its own choice above all, and its next hidden states."""
        decision, after = self._base.act(view, hidden)
        rank = preferences_of(self._base)
        liking = np.zeros(view.action_mask.shape) if rank is None else np.array(rank(view, hidden), np.float64)
        liking[~view.action_mask] = -np.inf
        liking[np.arange(len(view)), legal_choices(decision, view)] = np.inf
        return liking, after

    def _simulated(
        self, view: View, tried: NDArray[np.bool_], hidden: Hidden
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Games]]:
        """Yield games [G] to be simulated, with the rows of the view and the actions that they begin with [G].

        Every action of a row is tried in the same positions, with the same keys.
        """
        assert view.states is not None, "the constructor refuses games without positions"
        truth = view.states()
        most = max(1, MEMORY // self._bytes(view, hidden))
        pairs = itertools.product(range(len(view)), range(self._samples))
        actions_of = [np.flatnonzero(row) for row in tried]
        while batch := list(_up_to(most, pairs, lambda pair: len(actions_of[pair[0]]))):
            states, rows, actions, keys = [], [], [], []
            for row, sample in batch:
                key = fold_one(fold_one(int(view.key[row]), SAMPLES), sample)
                position = drawn(self._spec, truth[row], int(view.player[row]), fold_one(key, POSITION_DRAWN))
                states += [position.clone() for _ in actions_of[row]]
                rows += [row] * len(actions_of[row])
                actions += actions_of[row].tolist()
                keys += [fold_one(key, GAME)] * len(actions_of[row])
            at = np.array(rows)
            memory = None if hidden is None else hidden[at]
            yield at, np.array(actions), Games(states, view.player[at], np.array(keys, np.uint64), memory)

    def _worth(self, games: Games, actions: NDArray[np.int64], steps: int) -> NDArray[np.float64]:
        """Return what games [G] pay their players, who begin with `actions` [G]."""
        before = games.returns()
        stopped = self._continuations.play_on(games, actions, self._horizon if steps == 1 else 1)
        worth = games.returns() - before
        if len(stopped):
            view = games.view(self._spec, stopped, fold(games.key[stopped], LOOKS))
            worth[stopped] += self._from_there(view, games.memory(stopped), steps)
        return worth

    def _from_there(self, view: View, hidden: Hidden, steps: int) -> NDArray[np.float64]:
        """Return what players expect who must decide [B]: the best of another look, or what the base expects."""
        if steps > 1:
            return np.asarray(self._look(view, hidden, steps - 1)[0].max(1))
        expects = value_of(self._base)
        assert expects is not None, "the constructor refuses a horizon without values"
        return expectations(expects(view, hidden))

    def _bytes(self, view: View, hidden: Hidden) -> int:
        """Return about how many bytes a simulated game takes."""
        memory = getattr(hidden, "nbytes", 0) // max(1, len(view))
        return int(POSITION + view.obs[:1].nbytes + view.action_mask[:1].nbytes + memory)


def _highest(liking: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Return which actions [B, A] are the `count` that are liked best, of equals the first; none that is not liked."""
    rank = np.argsort(np.argsort(-liking, 1, kind="stable"), 1, kind="stable")
    return np.asarray((rank < count) & (liking > -np.inf))


def _best(values: ActionValues, liking: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the action of the greatest value [B]; of those that tie, the one that the base likes best."""
    best = values.max(1, keepdims=True)
    ties = values >= best - TIE * np.maximum(1, np.abs(best))
    return np.asarray(np.where(ties, liking, -np.inf).argmax(1))


def _up_to(most: int, pairs: Iterator[Pair], size: Callable[[Pair], int]) -> Iterator[Pair]:
    """Yield pairs from an iterator until their sizes reach `most`."""
    taken = 0
    for pair in pairs:
        yield pair
        taken += size(pair)
        if taken >= most:
            return
