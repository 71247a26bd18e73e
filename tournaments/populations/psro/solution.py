"""Policy-space response oracles (Lanctot et al. 2017, https://arxiv.org/abs/1711.00832), seat by seat.

    M[s, i, j]           what member i is paid in seat s, on average, with member j in the other seat
    (σ⁰, σ¹)             the meta-strategy: a solution of the game in which each player chooses a member by M
    response             trained in seat 0 against σ¹ and in seat 1 against σ⁰, then a member itself
    value[s]             Σ_ij σˢ[i] σ¹⁻ˢ[j] M[s, i, j]
    gain[s]              Σ_j σ¹⁻ˢ[j] M[s, response, j] - value[s]

All members hold both seats, so the meta-game is a bimatrix with the same members on both sides. A best response gains
as much as anybody can: the sum of its gains is the NashConv of the mixture, and that of a trained response bounds it
from below. Pure functions of tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from games.arrays import Floats, Ints
from marl import equilibria
from tournaments.populations.files import Weights
from tournaments.populations.psro.config import GamesConfig
from tournaments.ratings.table import Table

ROUNDING = 1e-9  # of payoffs
SUPPORT = 1e-3  # members of a smaller weight are left out of the mixture


@dataclass(frozen=True)
class Meta:
    """A meta-strategy over the n agents of a table, and what it is worth by the table."""

    weights: Floats  # [2, n] by seat; each sums to 1
    values: Floats  # [2]
    error: float  # the standard error of the first: in a zero-sum game, of both

    @property
    def entropy(self) -> Floats:
        """The entropy of each seat's weights [2], in nats."""
        logs = np.log(self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
        return np.asarray(-(self.weights * logs).sum(1))

    def by_member(self, members: Sequence[str]) -> Weights:
        """Return the weights of the members, given by their digests in the table's order."""
        pairs = zip(members, self.weights.T.tolist(), strict=True)
        return {member: pair for member, pair in pairs if any(pair)}


@dataclass(frozen=True)
class Gain:
    """What a response is paid more than the mixture that it answers, by seat [2], and the standard errors."""

    mean: Floats
    error: Floats

    @property
    def clear(self) -> bool:
        """Whether it gains in some seat by more than two standard errors, and by more than rounding."""
        return bool((self.mean > np.maximum(2 * self.error, ROUNDING)).any())

    def to_json(self) -> dict[str, list[float]]:
        """Return the fields as JSON data."""
        return {"mean": self.mean.tolist(), "error": self.error.tolist()}


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
    cells = [_cells(seat, weights) for seat in range(2)]
    return Meta(weights, np.array([(each * table.payoff).sum() for each in cells]), table.error_of(cells[0]))


def supported(shares: Floats) -> Floats:
    """Return weights [..., n] that sum to 1, without members of small shares [..., n]; of 1,000 equals, all stay."""
    kept = np.where(shares > np.minimum(SUPPORT, shares.max(-1, keepdims=True) / 2), shares, 0.0)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


def opponents(weights: Weights) -> Weights:
    """Return the weights with which a response meets each member, by the seat that the response has.

    In seat 0 it meets the mixture of seat 1, and the other way round.
    """
    return {member: [second, first] for member, (first, second) in weights.items()}


def gain_of(table: Table, member: str, weights: Weights) -> Gain:
    """Return the gain of a member over a mixture, both by this table."""
    alone = np.eye(len(table.agents))[table.agents.index(member)]
    mixture = np.array([weights.get(agent, (0.0, 0.0)) for agent in table.agents]).T  # [2, n]
    response = [np.where(np.arange(2)[:, None] == seat, alone, mixture) for seat in range(2)]
    cells = [_cells(seat, response[seat]) - _cells(seat, mixture) for seat in range(2)]
    mean, error = zip(*(((each * table.payoff).sum(), table.error_of(each)) for each in cells), strict=True)
    return Gain(np.array(mean), np.array(error))


def more_games(table: Table, meta: Meta, pairs: Ints, games: GamesConfig) -> Ints | None:
    """Return how many pairs of games each two members [n, n] are to have next; None where the values are known.

    They are known when the standard error that the cells by themselves leave, as if they played other seeds, is at most
    `precision` of the deviation of one game's payoff: what all cells share on a seed moves them together, and hardly
    the weights. Until then the cells that add most to it get `batch` pairs more: those that make up half of its square,
    the largest first.
    """
    share = (_cells(0, meta.weights)[0] * table.error[0]) ** 2  # [n, n] of the squared standard error
    share = np.tril(share + share.T - np.diag(np.diag(share)))  # a pair of games is of two cells
    known = np.sqrt(share.sum()) <= games.precision * _deviation(table, pairs)
    share[pairs >= games.at_most] = 0.0
    if known or not share.any():
        return None
    target, left = pairs.copy(), share.sum() / 2
    for i, j in _largest_first(share):
        if left <= 0 or not share[i, j]:
            break
        target[i, j] = target[j, i] = min(pairs[i, j] + games.batch, games.at_most)
        left -= share[i, j]
    return target


def _cells(seat: int, weights: Floats) -> Floats:
    """Return the weights [2, n, n] of a table's payoffs in what a seat is paid, if members have weights [2, n]."""
    cells = np.zeros((2, *2 * weights.shape[1:]))
    cells[seat] = weights[seat][:, None] * weights[1 - seat]
    return cells


def _deviation(table: Table, pairs: Ints) -> float:
    """Return the standard deviation of the payoff of one game, pooled over the cells."""
    return float(np.sqrt(np.mean(table.error[0] ** 2 * pairs)))


def _largest_first(table: Floats) -> Iterator[tuple[int, int]]:
    """Yield the cells of a table, the largest first; equal ones in the order of the members."""
    for place in np.argsort(-table, axis=None, kind="stable").tolist():
        yield divmod(place, len(table))
