"""Agents that play mixed strategies of stage games: the equilibrium, or a best response to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Bools, Floats
from games.keys import choose, draw, fold, uniform
from marl.algorithms.minimax_q.networks import StageNetwork
from marl.equilibria.stage import StageSolution, linear_programs
from marl.learning.rowwise import BLOCK, Rowwise
from marl.rollout.agent import LogProbs, Stateless, log_probs_of
from marl.rollout.types import Decision, Hidden, View

# Draws of a decision's key.
EXPLORE = 0  # whether to explore
RANDOM_ACTION = 1  # the action, if it explores
MIXED_ACTION = 2  # the action of the strategy, if it does not

Solve = Callable[[NDArray[np.floating], Bools, Bools], StageSolution]


class StageAgent(Stateless):
    """Draw from the equilibrium of the stage game at each position, or with probability `epsilon` uniformly.

    With `exploits` it plays the best response to the other's part of that equilibrium, by the second head.
    """

    def __init__(
        self, network: StageNetwork, device: str, *, solve: Solve = linear_programs, exploits: bool = False
    ) -> None:
        self._network = Rowwise(network, device, largest=BLOCK if network.convolutions else 16 * BLOCK)
        self._shape = network.heads, network.actions, network.actions
        self._solve, self._exploits = solve, exploits
        self.epsilon = 0.0

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        action = draw(fold(view.key, MIXED_ACTION), self._strategy(view))
        if self.epsilon:
            explores = uniform(fold(view.key, EXPLORE)) < self.epsilon
            action = np.where(explores, choose(fold(view.key, RANDOM_ACTION), view.action_mask), action)
        return Decision(action), None

    def policy(self, view: View, hidden: Hidden) -> tuple[LogProbs, Hidden]:
        explored = view.action_mask / view.action_mask.sum(1, keepdims=True)
        return log_probs_of((1 - self.epsilon) * self._strategy(view) + self.epsilon * explored), None

    def value(self, view: View, hidden: Hidden) -> NDArray[np.float32]:
        """Return the value [B] of the stage games for the players of the view."""
        return self._solved(self._payoffs(view), view).values.astype(np.float32)

    def payoffs(self, view: View) -> NDArray[np.float32]:
        """Return Q [B, A, A']: what the player is expected to be paid, by its own and the other's action."""
        return self._payoffs(view)[:, 0]

    def _strategy(self, view: View) -> Floats:
        """Return the probabilities [B, A] of a decision that does not explore."""
        payoffs = self._payoffs(view)
        solution = self._solved(payoffs, view)
        if not self._exploits:
            return solution.rows
        answer = responses(payoffs[:, 1], solution.columns, view.action_mask)
        return np.asarray(np.arange(answer.shape[1]) == answer.argmax(1)[:, None], np.float64)

    def _payoffs(self, view: View) -> NDArray[np.float32]:
        return self._network.ask("payoffs", view.obs, view.player).reshape(-1, *self._shape)

    def _solved(self, payoffs: NDArray[np.float32], view: View) -> StageSolution:
        return self._solve(payoffs[:, 0], view.action_mask, others_legal(view))


def responses(payoffs: NDArray[Any], columns: Floats, legal: Bools) -> Floats:
    """Return what each row earns [B, A] against the column player's strategies; -inf where it is illegal."""
    return np.where(legal, np.einsum("bij,bj->bi", payoffs, columns), -np.inf)


def others_legal(view: View) -> Bools:
    """Return the other player's legal actions [B, A]; action 0 of one who is not acting.

    A view shows its own player's alone, and nothing is hidden: the positions tell.
    """
    assert view.states is not None, "the learner refuses games without positions"
    legal = np.zeros(view.action_mask.shape, bool)
    for row, state, player in zip(legal, view.states(), (1 - view.player).tolist(), strict=True):
        row[list(state.legal_actions(player)) if player in state.acting() else 0] = True
    return legal
