"""The results of a tournament's games, as arrays: agents, seats and payoffs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games import rounding
from games.arrays import Floats, Ints
from games.errors import UserError

FORFEITS = ("illegal_action", "agent_error", "timeout", "left")  # terminations


@dataclass(frozen=True)
class Result:
    """One game: the agents and their payoffs by seat, the seed that it was played from, how it ended, its steps.

    `rounding` bounds the rounding error of the difference of two payoffs (games/rounding.py); NaN where not known.
    `offenders` are the seats that forfeited the game; empty where that is not known.
    """

    agents: tuple[str, ...]
    payoffs: tuple[float, ...]
    seed: int
    termination: str = "finished"
    length: int = 1
    rounding: float = math.nan
    offenders: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Results:
    """The results of G games of N players, as columns."""

    agents: tuple[str, ...]
    seats: Ints  # [G, N] indices into `agents`
    payoffs: Floats  # [G, N]; NaN for a player whose result another's forfeit left open
    seeds: NDArray[np.uint64]  # [G]
    terminations: NDArray[np.str_]  # [G]
    lengths: Ints | None = None  # [G] steps, where they are known
    rounding: Floats | None = None  # [G] bound on the rounding error of payoffs' differences; NaN where not known
    offenders: NDArray[np.bool_] | None = None  # [G, N] who forfeited; unknown for a forfeited game without any

    @classmethod
    def of(cls, results: Sequence[Result], num_players: int = 2) -> "Results":
        """Collect single results, with agents in the order of their names; without any, `num_players` says of what."""
        agents = sorted({agent for result in results for agent in result.agents})
        index = {agent: k for k, agent in enumerate(agents)}
        num_players = len(results[0].agents) if results else num_players
        seat = range(num_players)
        return cls(
            agents=tuple(agents),
            seats=np.array([[index[a] for a in r.agents] for r in results], np.int64).reshape(-1, num_players),
            payoffs=np.array([r.payoffs for r in results], np.float64).reshape(-1, num_players),
            seeds=np.array([r.seed for r in results], np.uint64),
            terminations=np.array([r.termination for r in results], np.str_),
            lengths=np.array([r.length for r in results], np.int64),
            rounding=np.array([r.rounding for r in results], np.float64),
            offenders=np.array([[s in r.offenders for s in seat] for r in results], bool).reshape(-1, num_players),
        )

    def __len__(self) -> int:
        return len(self.seats)

    def where(self, chosen: NDArray[np.bool_] | Ints) -> "Results":
        """Return some of the games, by truth values [G] or in the order of places; the agents stay as they are."""
        some: dict[str, Any] = {name: None if all_ is None else all_[chosen] for name, all_ in self._columns.items()}
        return replace(self, **some)

    def without_forfeits(self) -> "Results":
        """Return the games that nobody forfeited; their agents are those who played in them."""
        kept = self.where(~np.isin(self.terminations, FORFEITS))
        present, seats = np.unique(kept.seats, return_inverse=True)
        agents = tuple(self.agents[k] for k in present.tolist())
        return replace(kept, agents=agents, seats=seats.reshape(kept.seats.shape))

    def joined(self, other: "Results") -> "Results":
        """Return the games of both, ordered by seed and seats; they have the same agents and columns."""
        theirs = other._columns
        both: dict[str, Any] = {
            name: None if ours is None else np.concatenate([ours, theirs[name]]) for name, ours in self._columns.items()
        }
        return replace(self, **both).where(np.lexsort((*both["seats"].T[::-1], both["seeds"])))

    def among(self, agents: Sequence[str]) -> "Results":
        """Return the same games with other agents in the list, among them all that play."""
        place = {agent: k for k, agent in enumerate(agents)}
        number = np.array([place.get(agent, -1) for agent in self.agents], np.int64)
        return replace(self, agents=tuple(agents), seats=number[self.seats])

    @property
    def _columns(self) -> dict[str, Any]:
        return {column.name: getattr(self, column.name) for column in fields(self) if column.name != "agents"}

    @cached_property
    def outcome(self) -> Ints:
        """Seat 0's outcome of each two-player game [G] (`outcomes`)."""
        return outcomes(self)


def rounding_of(results: Results, largest: float | None = None) -> Floats:
    """Return each game's bound on the rounding error of payoffs' differences [G].

    Stores of versions 1 and 2 keep none. Their games are taken to have paid `largest` at each step, in float32: the
    largest payoff of all games, unless it is given. Payoffs that are whole numbers are taken to be exact.
    """
    lengths = np.ones(len(results)) if results.lengths is None else results.lengths
    if largest is None:
        largest = float(np.nanmax(np.abs(results.payoffs), initial=0.0))
    whole = (np.isnan(results.payoffs) | (results.payoffs == np.round(results.payoffs))).all(1)
    assumed = np.where(whole, 0.0, rounding.FLOAT32 * largest * lengths)
    return assumed if results.rounding is None else np.where(np.isnan(results.rounding), assumed, results.rounding)


def offended(results: Results) -> NDArray[np.bool_]:
    """Return who forfeited which game [G, N].

    Stores of versions 1 and 2 did not record it: in a forfeit without offenders it is whoever has the lowest payoff.
    """
    forfeited = np.isin(results.terminations, FORFEITS)[:, None]
    known = np.zeros(results.payoffs.shape, bool) if results.offenders is None else results.offenders
    above_least = results.payoffs - np.nanmin(results.payoffs, 1, keepdims=True, initial=np.inf)
    paid_least = above_least <= rounding_of(results)[:, None]
    return forfeited & np.where(known.any(1, keepdims=True), known, paid_least)


def settle(results: Results, zero_sum: bool) -> Results:
    """Return the results with the lowest payoff of all games for each player who forfeited.

    For games without return bounds. The payoffs at the forfeit do not serve: who forfeits early has lost less by then.
    If zero-sum, the others share what the offenders lose, and a game that all forfeited keeps its payoffs.
    """
    lost = offended(results)
    worst = np.nanmin(results.payoffs, initial=np.inf)
    if not zero_sum:
        return replace(results, payoffs=np.where(lost, worst, results.payoffs))
    offenders = lost.sum(1, keepdims=True)  # [G, 1]
    others = lost.shape[1] - offenders
    gain = -worst * offenders / np.maximum(others, 1)
    settled = np.where(lost, worst, gain)
    return replace(results, payoffs=np.where((offenders > 0) & (others > 0), settled, results.payoffs))


def outcomes(results: Results) -> Ints:
    """Return seat 0's outcome of each two-player game [G]: 0 a win, 1 a draw, 2 a loss.

    A game is a draw if its payoffs differ by no more than their rounding error.
    """
    if results.payoffs.shape[1] != 2:
        raise UserError(f"expected two-player games to compare payoffs, got {results.payoffs.shape[1]} players")
    if not np.isfinite(results.payoffs).all():
        raise UserError(
            "expected payoffs that are finite numbers, got a payoff that is not; correct or remove that game"
        )
    gap = results.payoffs[:, 0] - results.payoffs[:, 1]
    return 1 - rounding.sign(gap, rounding_of(results))


def places(results: Results) -> tuple[Ints, NDArray[np.bool_]]:
    """Return each player's place in its game [G, N], and which games someone forfeited [G].

    The places are 0, 1, ... by payoff, the best first; payoffs that differ by no more than their rounding error share
    one. In a forfeited game those who forfeited it are behind all others, and nothing else is known: the others share
    place 0, and the offenders place 1; where all are offenders, they share place 0.
    """
    lost = offended(results)
    forfeited = np.asarray(lost.any(1))
    if not np.isfinite(results.payoffs[~forfeited]).all():
        raise UserError(
            "expected payoffs that are finite numbers, got a payoff that is not; correct or remove that game"
        )
    payoffs = np.where(forfeited[:, None], 0.0, results.payoffs)
    order = np.argsort(-payoffs, axis=1, kind="stable")
    paid = np.take_along_axis(payoffs, order, 1)
    behind = rounding.sign(paid[:, :-1] - paid[:, 1:], rounding_of(results)[:, None])
    place = np.zeros(lost.shape, np.int64)
    np.put_along_axis(place, order[:, 1:], np.cumsum(behind, 1), 1)
    partial = lost & ~lost.all(1, keepdims=True)
    return np.where(forfeited[:, None], partial, place).astype(np.int64), forfeited


def compared(results: Results) -> Ints:
    """Return what each player did against each other player of its game [G, N, N].

    0 a win, 1 a draw, 2 a loss; -1 where it is not known, as between those who did not forfeit a forfeited game, and
    for a player with itself.
    """
    players = np.arange(results.seats.shape[1])
    if len(players) == 2:
        found = np.stack([results.outcome, 2 - results.outcome], 1)[:, :, None].repeat(2, 2)
    else:
        place, forfeited = places(results)
        found = 1 + np.sign(place[:, :, None] - place[:, None, :])
        found[forfeited[:, None, None] & (found == 1)] = -1
    found[:, players, players] = -1
    return found


def sum_by(index: Ints, values: Floats, size: int) -> Floats:
    """Add up the values that have the same index [size]."""
    return np.bincount(index, values, size).astype(np.float64, copy=False)
