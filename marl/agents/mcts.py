"""OpenSpiel's own C++ search as an agent: a fixed anchor of tournaments."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyspiel

from games.contract import Spec
from games.errors import UserError
from marl.rollout.agent import Stateless
from marl.rollout.types import Decision, Explanation, Hidden, View


class Mcts(Stateless):
    """Search with OpenSpiel's C++ MCTS: UCT, one random playout for each leaf, proven wins and losses backed up.

    A fresh search for every decision, seeded by its key. Raises UserError for a game that is not OpenSpiel's, that
    hides information, or in which players move at the same time.
    """

    revision = 1

    def __init__(self, spec: Spec, simulations: int = 100, uct_c: float = math.sqrt(2), solve: bool = True) -> None:
        if not spec.name.startswith("openspiel:"):
            raise UserError(f"mcts searches OpenSpiel's games, got '{spec.name}'; choose another agent, such as random")
        if not spec.perfect_information or spec.turns != "sequential":
            raise UserError(f"mcts needs turns and perfect information, and '{spec.name}' lacks one; use random")
        if not spec.searchable:
            raise UserError(f"mcts needs positions, and those of '{spec.name}' stay in its workers; use env_workers: 0")
        if simulations < 1:
            raise UserError(f"mcts needs at least 1 simulation, got {simulations}")
        if not uct_c >= 0:
            raise UserError(f"mcts needs uct_c of at least 0, got {uct_c}")
        self._simulations, self._uct_c, self._solve = simulations, uct_c, solve

    def act(self, view: View, hidden: Hidden) -> tuple[Decision, Hidden]:
        actions = [root.best_child().action for root in self._searched(view)]
        return Decision(np.array(actions, np.int64)), None

    def explain(self, view: View, hidden: Hidden) -> list[Explanation]:
        return [_explained(root, view.action_mask.shape[1]) for root in self._searched(view)]

    def _searched(self, view: View) -> list[Any]:
        """Return the root of the search of each row."""
        assert view.states is not None, "the constructor refuses games without states"
        states: list[Any] = list(view.states())
        return [self._search(state.native, key) for state, key in zip(states, view.key.tolist(), strict=True)]

    def _search(self, native: Any, key: int) -> Any:
        seed = key & 0x7FFFFFFF
        evaluator = pyspiel.RandomRolloutEvaluator(1, seed)
        memory_mb = 1000
        bot = pyspiel.MCTSBot(
            native.get_game(), evaluator, self._uct_c, self._simulations, memory_mb, self._solve, seed, False
        )
        return bot.mcts_search(native)


def _explained(root: Any, num_actions: int) -> Explanation:
    """Explain the choice of a search by the counts of its root's children; their rewards are those of the mover."""
    visits, paid = np.zeros(num_actions, np.int64), 0.0
    for child in root.children:
        visits[child.action] = child.explore_count
        paid += child.total_reward
    best = root.best_child()
    value = best.outcome[best.player] if best.outcome else paid / visits.sum()
    return Explanation(best.action, visits / visits.sum(), value, visits, tuple(_line(best)))


def _line(node: Any) -> Iterator[int]:
    """Yield the actions that the search expects, from a node on; a line ends before chance."""
    yield node.action
    if node.children and node.children[0].player >= 0:
        yield from _line(node.best_child())
