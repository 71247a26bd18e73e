"""Matchmaking: the weights with which a learner meets each of some opponents.

    w           its win rates against n opponents (evidence.py)
    self        none of them: the learner meets itself
    uniform     1/n                             fictitious self-play
    window      1/k                             the k that froze last
    pfsp hard   (1 - w)^q                       prioritised fictitious self-play (marl/training/pfsp.py)
    pfsp capped min(1/2, 1 - w)
    pfsp even   w (1 - w)
    nash, replicator, alpharank                 the meta-strategy of the opponents by their payoffs (marl/equilibria)
    rectified   σ_j [w_j >= 1/2]                of the Nash equilibrium σ, those that the learner does not lose to

All are normalised; where they sum to less than NOBODY, all opponents weigh alike. Who weighs nothing is left out, so
that without opponents a learner meets itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from games import keys, references
from games.arrays import Floats, Ints
from games.errors import UserError, nearest, written
from marl import equilibria
from marl.training import pfsp
from tournaments.populations.meta_strategy import ROUNDING, supported

NOBODY = 1e-10  # a sum of weights below which they say nothing
WINDOW = 10

Weights = Mapping[str, float]  # above 0, by the opponent's digest


@dataclass(frozen=True, eq=False)
class Candidates:
    """The n opponents among which a rule chooses, in the order of their digests."""

    digests: Sequence[str]
    win_rates: Floats  # [n] of the learner
    rounds: Ints  # [n] in which they froze
    payoffs: Callable[[], Floats]  # [n, n] between them, the mean over both seats; NaN: not known


@dataclass(frozen=True)
class Rule:
    """A rule by its name, and the number that it takes, if it takes one."""

    name: str
    number: float | None = None

    @property
    def counts_wins(self) -> bool:
        """Whether it takes one player's gain for the other's loss, which is so in zero-sum games."""
        return self.name.startswith("pfsp") or self.name in ("nash", "rectified")

    @property
    def needs_payoffs(self) -> bool:
        """Whether it needs the payoffs between the opponents."""
        return self.name in (*_SOLVERS, "rectified")

    def weights(self, candidates: Candidates) -> Weights:
        """Return the weights of the candidates, which sum to 1, or none at all: the learner meets itself.

        Raises ValueError where a rule needs payoffs that are not known.
        """
        if self.name == "self" or not candidates.digests:
            return {}
        found = normalised(self._raw(candidates))
        return {digest: weight for digest, weight in zip(candidates.digests, found.tolist(), strict=True) if weight}

    def _raw(self, candidates: Candidates) -> Floats:
        w = candidates.win_rates
        match self.name:
            case "uniform":
                return np.ones(len(w))
            case "window":
                return window(candidates.rounds, WINDOW if self.number is None else int(self.number))
            case "pfsp hard":
                return pfsp.hard(w, pfsp.HARDNESS if self.number is None else self.number)
            case "pfsp capped":
                return pfsp.capped(w)
            case "pfsp even":
                return pfsp.even(w)
            case "rectified":
                return meta_strategy(candidates.payoffs(), "nash") * (w >= 0.5 - ROUNDING)
        return meta_strategy(candidates.payoffs(), self.name)


_SOLVERS = ("nash", "replicator", "alpharank")
RULES = ("self", "uniform", "window", "pfsp hard", "pfsp capped", "pfsp even", *_SOLVERS, "rectified")
_NUMBERS = {"window": "k", "pfsp hard": "q"}  # what a rule's number is called


def read_rule(text: str) -> Rule:
    """Read a rule: `uniform`, `window(k=10)`, `pfsp hard(q=2)`; raises UserError in one sentence for what is none."""
    reference = references.parse(text)
    name, arguments = reference.name, dict(reference.arguments)
    if name not in RULES or reference.source:
        hint = "; latest is a key of its own: latest: 0.5" if name == "latest" else nearest(name, RULES)
        raise UserError(f"expected a rule among {', '.join(RULES)}, got '{text}'{hint}")
    if not arguments:
        return Rule(name)
    called = _NUMBERS.get(name, "")
    if unknown := sorted(arguments.keys() - {called}):
        takes = f"takes {called} alone" if called else "takes no number"
        raise UserError(f"the rule '{name}' {takes}, got '{unknown[0]}' in '{text}'; leave it out")
    return Rule(name, _number(arguments[called], called, whole=name == "window"))


def _number(value: Any, called: str, *, whole: bool) -> float:
    """Return the number that a rule takes; raises UserError for what is none."""
    if type(value) not in ((int,) if whole else (int, float)) or not 0 < value < math.inf:
        raise UserError(f"expected {called} to be a {'whole ' if whole else ''}number above 0, got {written(value)}")
    return float(value)


def window(rounds: Ints, k: int) -> Floats:
    """Return equal weights [n] of the k opponents that froze last, 0 of the others; of one round, the first go first.

    `rounds` [n] are those in which they froze.
    """
    found = np.zeros(len(rounds))
    found[np.argsort(-rounds, kind="stable")[:k]] = 1.0
    return found


def meta_strategy(payoffs: Floats, solver: str) -> Floats:
    """Return the meta-strategy [n] of agents by their payoffs [n, n]; raises ValueError where one is not known."""
    return supported(equilibria.solve((payoffs, payoffs.T), solver).strategies[0])


def normalised(weights: Floats) -> Floats:
    """Return weights [n] that sum to 1; they are uniform where the given ones sum to less than NOBODY."""
    total = weights.sum()
    return weights / total if total >= NOBODY else np.full(len(weights), 1 / len(weights))


def present(weights: Weights, slots: int, key: int) -> Weights:
    """Return at most `slots` of the opponents, with weights of the same sum; over keys the mean weights are the given.

    Where all find a place they keep their weights. Else each slot is worth as much as every other, and they are filled
    by systematic sampling: at u, u + 1, ... of `slots` equal steps through the weights, in the order of digests.
    """
    listed = sorted(weights)
    if len(listed) <= slots:
        return weights
    ends = np.cumsum([weights[digest] for digest in listed])
    places = (np.arange(slots) + keys.uniform_one(key)) * (ends[-1] / slots)
    chosen = np.minimum(np.searchsorted(ends, places, side="right"), len(listed) - 1)  # rounding: the last place
    taken = np.bincount(chosen, minlength=len(listed)) * (ends[-1] / slots)
    return {digest: weight for digest, weight in zip(listed, taken.tolist(), strict=True) if weight}
