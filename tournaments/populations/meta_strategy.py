"""The game in which each player chooses a member: its solution by a payoff table, seat by seat.

    M[s, i, j]           what member i is paid in seat s, on average, with member j in the other seat
    (σ⁰, σ¹)             the meta-strategy: a solution of that game, with the same members on both sides
    value[s]             Σ_ij σˢ[i] σ¹⁻ˢ[j] M[s, i, j]

Pure functions of tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats
from marl import equilibria
from tournaments.populations.files import Weights
from tournaments.ratings.table import Table

ROUNDING = 1e-9  # of payoffs
SUPPORT = 1e-3  # members of a smaller weight are left out of the mixture


@dataclass(frozen=True)
class Meta:
    """A meta-strategy over the n agents of a table, and what it is worth by the table."""

    weights: Floats  # [2, n] by seat; each sums to 1
    values: Floats  # [2]
    error: float  # the standard error of the first: in a zero-sum game, of both
    seeds: float  # the effective number of seeds behind it; infinite without games

    @property
    def entropy(self) -> Floats:
        """The entropy of each seat's weights [2], in nats."""
        logs = np.log(self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
        return np.asarray(-(self.weights * logs).sum(1))

    def by_member(self, members: Sequence[str]) -> Weights:
        """Return the weights of the members, given by their digests in the table's order."""
        pairs = zip(members, self.weights.T.tolist(), strict=True)
        return {member: pair for member, pair in pairs if any(pair)}


def solve(table: Table, members: Sequence[str], solver: str) -> Meta:
    """Return the meta-strategy of a table whose cells are all known.

    `members` are in the order in which they joined. One that joined twice counts twice: so fictitious play does.
    """
    joined = [table.agents.index(member) for member in members]
    first, second = table.payoff[0], table.payoff[1].T  # [n, n] of both seats, by the agents in them
    strategies = equilibria.solve([tensor[np.ix_(joined, joined)] for tensor in (first, second)], solver).strategies
    shares: Floats = np.zeros((2, len(table.agents)))
    for seat, strategy in enumerate(strategies):
        np.add.at(shares[seat], joined, strategy)
    weights = supported(shares)
    cells = [cells_of(seat, weights) for seat in range(2)]
    values = np.array([(each * table.payoff).sum() for each in cells])
    return Meta(weights, values, table.error_of(cells[0]), table.seeds_of(cells[0]))


def supported(shares: Floats) -> Floats:
    """Return weights [..., n] that sum to 1, without members of small shares [..., n]; of 1,000 equals, all stay."""
    kept = np.where(shares > np.minimum(SUPPORT, shares.max(-1, keepdims=True) / 2), shares, 0.0)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


def cells_of(seat: int, weights: Floats) -> Floats:
    """Return the weights [2, n, n] of a table's payoffs in what a seat is paid, if members have weights [2, n]."""
    cells = np.zeros((2, *2 * weights.shape[1:]))
    cells[seat] = weights[seat][:, None] * weights[1 - seat]
    return cells
