"""The members' policies as tables over a small game's information states: exact payoffs, best responses, NashConv.

A process reads each policy once, whatever it is asked for afterwards.
"""

import numpy as np

from games.arrays import Floats
from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.agents.load import load_entrant
from marl.evaluation.tabular import told
from marl.evaluation.tree import POSITIONS, Probabilities, Tree, best_responses, reach_weighted, returns
from tournaments.populations.files import Weights

KEY = stream(0, "policies")  # a policy that is told does not depend on it


class Policies:
    """Policies by digest over the information states of a game."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._told: dict[str, Probabilities] = {}
        self._paid: dict[tuple[str, str], Floats] = {}  # [2] by the members in both seats

    def tells(self, digest: str, reference: str) -> bool:
        """Read the policy of a member; return whether it tells one."""
        if digest not in self._told:
            entrant = load_entrant(reference, self.tree.spec)
            policy = told(self.tree, entrant.agent, KEY)
            entrant.rest()
            if policy is None:
                return False
            self._told[digest] = policy
        return True

    def read(self, digest: str, reference: str) -> None:
        """Read the policy of a member; raises UserError if it tells none."""
        if not self.tells(digest, reference):
            raise UserError(
                f"'{reference}' tells no policy, which exact payoffs, best responses and exploitability need; use "
                "payoffs: games, exploitability: none and a learner that trains"
            )

    def returns(self, first: str, second: str) -> Floats:
        """Return the expected payoffs [2] of two members in seats 0 and 1."""
        if (first, second) not in self._paid:
            self._paid[first, second] = returns(self.tree, [self._told[first], self._told[second]])
        return self._paid[first, second]

    def mixture(self, weights: Weights) -> Probabilities:
        """Return the behaviour policy of a mixture."""
        return reach_weighted(self.tree, [self._told[digest] for digest in weights], list(weights.values()))

    def nash_conv(self, weights: Weights) -> float:
        """Return the NashConv of a mixture."""
        mixture = self.mixture(weights)
        _, best = best_responses(self.tree, mixture)
        return float(np.sum(best) - np.sum(returns(self.tree, [mixture] * 2)))


_kept: dict[tuple[str, int], Policies] = {}  # by game and size: of one, the last


def policies_of(spec: Spec, purpose: str, positions: int = POSITIONS, *, game: str = "") -> Policies:
    """Return the policies of a game in this process; raises UserError where its tree has more positions (`Tree`).

    `game` is the game's reference, if the Spec's name is none.
    """
    key = game or spec.name, positions
    if key not in _kept:
        made = Policies(Tree(spec, purpose, positions, game=game))
        _kept.clear()
        _kept[key] = made
    return _kept[key]
