"""The members' policies as tables over a small game's information states: exact payoffs, best responses, NashConv.

A process reads each policy once, whatever it is asked for afterwards.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from games.errors import UserError
from games.keys import stream
from games.registry import make
from marl.agents.load import load_entrant
from marl.evaluation.tabular import Probabilities, Tree, best_responses, reach_weighted, returns, tabular, told

KEY = stream(0, "policies")  # policies that are told do not depend on it


class Policies:
    """Policies by digest over the information states of a game."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._told: dict[str, Probabilities] = {}

    def read(self, digest: str, reference: str) -> None:
        """Read the policy of a member; raises UserError if it tells none."""
        if digest in self._told:
            return
        entrant = load_entrant(reference, self.tree.spec)
        policy = told(self.tree, entrant.agent, KEY)
        entrant.rest()
        if policy is None:
            raise UserError(
                f"'{reference}' tells no policy, which exact payoffs, best responses and exploitability need; use "
                "payoffs: games, exploitability: none and a learner that trains"
            )
        self._told[digest] = policy

    def returns(self, one: str, other: str) -> Sequence[float]:
        """Return the expected payoffs [2] of two policies in seats 0 and 1."""
        return returns(self.tree.game, [tabular(self.tree.known, self._told[each]) for each in (one, other)])

    def mixture(self, weights: Mapping[str, Sequence[float]]) -> Any:
        """Return the behaviour policy of a mixture, as OpenSpiel has policies; weights are by seat."""
        policy = reach_weighted(self.tree, [self._told[digest] for digest in weights], list(weights.values()))
        return tabular(self.tree.known, policy)

    def nash_conv(self, weights: Mapping[str, Sequence[float]]) -> float:
        """Return the NashConv of a mixture."""
        mixture = self.mixture(weights)
        best = best_responses(self.tree.game, mixture)[1]
        return float(sum(best) - sum(returns(self.tree.game, [mixture] * 2)))


@lru_cache(maxsize=1)
def policies_of(game: str, purpose: str) -> Policies:
    """Return the policies of a game in this process; raises UserError where it has no small tree (`Tree`)."""
    return Policies(Tree(make(game, 1).spec, purpose))
