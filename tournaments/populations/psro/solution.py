"""Policy-space response oracles (Lanctot et al. 2017, https://arxiv.org/abs/1711.00832), seat by seat (metagame.py).

    response             trained in seat 0 against σ¹ and in seat 1 against σ⁰, then a member itself
    gain[s]              Σ_j σ¹⁻ˢ[j] M[s, response, j] - value[s]

A best response gains as much as anybody can: the sum of its gains is the NashConv of the mixture, and that of a trained
response bounds it from below. Pure functions of tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from games.arrays import Floats, Ints
from tournaments.populations.files import Weights, finite
from tournaments.populations.meta_strategy import ROUNDING, Meta, cells_of
from tournaments.populations.psro.config import GamesConfig
from tournaments.ratings.table import Table


@dataclass(frozen=True)
class Gain:
    """What a response is paid more than the mixture that it answers, by seat [2], and the standard errors."""

    mean: Floats
    error: Floats
    seeds: Sequence[float | None] = (None, None)  # the effective numbers behind these; None: not known, or infinite

    @property
    def clear(self) -> bool:
        """Whether it gains in some seat by more than two standard errors, and by more than rounding."""
        return bool((self.mean > np.maximum(2 * self.error, ROUNDING)).any())

    @property
    def seats(self) -> Iterator[tuple[float, float, float | None]]:
        """The mean, its standard error and the seeds behind it, by seat."""
        yield from zip(self.mean.tolist(), self.error.tolist(), self.seeds, strict=True)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {"mean": self.mean.tolist(), "error": self.error.tolist(), "seeds": list(self.seeds)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Gain":
        """Return what `to_json` was called on; populations of before know no seeds."""
        return cls(np.array(data["mean"]), np.array(data["error"]), data.get("seeds", (None, None)))


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
    cells = [cells_of(seat, response[seat]) - cells_of(seat, mixture) for seat in range(2)]
    mean, error = zip(*(((each * table.payoff).sum(), table.error_of(each)) for each in cells), strict=True)
    return Gain(np.array(mean), np.array(error), [finite(table.seeds_of(each)) for each in cells])


def more_games(table: Table, meta: Meta, pairs: Ints, games: GamesConfig) -> Ints | None:
    """Return how many pairs of games each two members [n, n] are to have next; None where the values are known.

    They are known when the standard error that the cells by themselves leave, as if they played other seeds, is at most
    `precision` of the deviation of one game's payoff: what all cells share on a seed moves them together, and hardly
    the weights. Until then the cells that add most to it get `batch` pairs more: those that make up half of its square,
    the largest first.
    """
    share = (cells_of(0, meta.weights)[0] * table.error[0]) ** 2  # [n, n] of the squared standard error
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


def _deviation(table: Table, pairs: Ints) -> float:
    """Return the standard deviation of the payoff of one game, pooled over the cells."""
    return float(np.sqrt(np.mean(table.error[0] ** 2 * pairs)))


def _largest_first(table: Floats) -> Iterator[tuple[int, int]]:
    """Yield the cells of a table, the largest first; equal ones in the order of the members."""
    for place in np.argsort(-table, axis=None, kind="stable").tolist():
        yield divmod(place, len(table))
