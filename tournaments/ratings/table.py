"""The payoff table of a two-player game by seat, for populations: what each agent earns in each seat against each.

    payoff[s, i, j]    mean payoff of agent i in seat s with agent j in the other seat
    score[i, j]        how often i wins against j: 1 a win, ½ a draw, 0 a loss, over pairs of games on one seed

So payoff[0, i, j] and payoff[1, j, i] are of the same games, and seats are never mixed: a game may favour one of them.
A pair of games has both seatings of one seed; half of a pair counts for payoffs and not for scores. Games that count,
and forfeits, are those of reports (Store.results, Facts.settled), as in a tournament of these agents alone. What is not
known is NaN, never 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from games.arrays import Bools, Floats, Ints
from games.errors import UserError
from tournaments.ratings.payoffs import Means
from tournaments.records.facts import Facts
from tournaments.records.fixture import seeds_of
from tournaments.records.results import Results, offended, sum_by
from tournaments.records.store import FIRST_ROW, Store

Seeds = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Table:
    """Payoffs by seat between n agents, which their digests name."""

    agents: tuple[str, ...]
    payoff: Floats  # [2, n, n]; NaN where no payoff is known
    error: Floats  # [2, n, n] standard errors, clustered by seed; NaN with fewer than two seeds
    games: Ints  # [2, n, n] with a known payoff
    forfeits: Ints  # [2, n, n] games that agent i forfeited
    score: Floats  # [n, n]; NaN without a pair of games
    pairs: Ints  # [n, n] pairs of games with known payoffs; of an agent with itself: games
    means: Means | None = None  # of which `payoff`, `error` and `games` are; None of a table without games

    @classmethod
    def exact(cls, agents: Sequence[str], payoff: Floats) -> "Table":
        """Return a table of expected payoffs [2, n, n], which were computed without games."""
        n = len(agents)
        nothing = np.zeros((2, n, n), np.int64)
        return cls(tuple(agents), payoff, np.zeros((2, n, n)), nothing, nothing, np.full((n, n), np.nan), nothing[0])

    @property
    def symmetric(self) -> Floats:
        """The mean payoffs over both seats [n, n]; in a zero-sum game it is minus its transpose."""
        return np.asarray(self.payoff.mean(0))

    def error_of(self, weights: Floats) -> float:
        """Return the standard error of the sum of the payoffs with weights [2, n, n].

        All cells play the same seeds, so their errors are not independent (`Means.error_of`).
        """
        if self.means is None:
            return float(np.sqrt(((weights * self.error) ** 2).sum()))
        return self.means.error_of(weights.ravel())

    def seeds_of(self, weights: Floats) -> float:
        """Return the effective number of seeds of that sum; infinite without games (`Means.seeds_of`)."""
        return np.inf if self.means is None else self.means.seeds_of(weights.ravel())


class Reader:
    """The payoff tables of a store to which games are added: each game is read once.

    Games that ended in a timeout must not be played again meanwhile.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number: dict[str, int] = {}  # of each agent, by its digest
        self._results: Results | None = None  # of the rows up to `_last`; seats are these numbers
        self._last = FIRST_ROW

    def table(self, agents: Sequence[str], known: Callable[[Ints, Seeds], Bools] | None = None) -> Table:
        """Return the payoffs between some agents, given by their digests, by the games that the store has now.

        `known` says which of them count, by the places of their agents [G, 2] among `agents` and their seeds [G].
        Raises UserError for games of more than two players, and ValueError for an agent that is given twice.
        """
        if len(set(agents)) < len(agents):
            raise ValueError("expected each agent once in a payoff table")
        results = self._read()
        if results.seats.shape[1] != 2:
            raise UserError(f"expected two-player games for a payoff table, got {results.seats.shape[1]} players")
        place = {agent: k for k, agent in enumerate(agents)}
        index = np.array([place.get(agent, -1) for agent in self._number], np.int64)
        results = results.where(np.all(index[results.seats] >= 0, axis=1))
        if known is not None:
            results = results.where(known(index[results.seats], results.seeds))
        results = Facts.of(self._store).settled(results)
        return _table(agents, results, index[results.seats])

    def results(self) -> Results:
        """Return the games that the store has now, with payoffs as they are rated; `agents` are ids."""
        results = replace(self._read(), agents=tuple(self._number))
        return Facts.of(self._store).settled(results)

    def _read(self) -> Results:
        """Return all games, with those that the store got since the last call."""
        last, ids = self._store.last_row, {label: id for id, label in self._store.labels().items()}
        if self._results is None or last > self._last:
            new = self._store.results(self._last if self._results is None else self._last + 1)
            number = [self._number.setdefault(ids[label], len(self._number)) for label in new.agents]
            new = replace(new, agents=(), seats=np.array(number, np.int64)[new.seats])
            self._results, self._last = new if self._results is None else self._results.joined(new), last
        return self._results


def table(store: Store, agents: Sequence[str]) -> Table:
    """Return the payoffs between some agents by the games of a store, as `Reader.table` does."""
    return Reader(store).table(agents)


def of_results(results: Results, agents: Sequence[str]) -> Table:
    """Return the payoffs between agents, in the order of `agents`, by games whose forfeits are settled."""
    place = np.array([list(agents).index(agent) for agent in results.agents], np.int64)
    return _table(agents, results, place[results.seats])


def of_first_seeds(seed: int, pairs: Ints) -> Callable[[Ints, Seeds], Bools]:
    """Return a `known` of `Reader.table`: the first seeds of a tournament, so many of each two agents [n, n]."""
    seeds = np.array(seeds_of(seed, range(pairs.max(initial=0))), np.uint64)
    order = np.argsort(seeds)

    def known(seats: Ints, played: Seeds) -> Bools:
        if not len(seeds):
            return np.zeros(len(seats), bool)
        at = np.minimum(np.searchsorted(seeds[order], played), len(seeds) - 1)
        number = np.where(seeds[order][at] == played, order[at], len(seeds))
        return np.asarray(number < pairs[seats[:, 0], seats[:, 1]])

    return known


def _table(agents: Sequence[str], results: Results, seats: Ints) -> Table:
    """Return the payoffs between n agents by their games, whose seats [G, 2] are indices into `agents`."""
    n = len(agents)
    cell = seats @ np.array([[n, 1], [1, n]]) + np.array([0, n * n])  # [G, 2] of `payoff`, from each seat's view
    means = Means.of(cell.ravel(), results.payoffs.ravel(), np.repeat(results.seeds, 2), 2 * n * n)
    forfeits = sum_by(cell.ravel(), offended(results).ravel().astype(np.float64), 2 * n * n).astype(np.int64)
    score, pairs = _scores(results, seats, n)
    by_seat = (2, n, n)
    return Table(
        agents=tuple(agents),
        payoff=means.mean.reshape(by_seat),
        error=means.error.reshape(by_seat),
        games=means.games.reshape(by_seat),
        forfeits=forfeits.reshape(by_seat),
        score=score,
        pairs=pairs,
        means=means,
    )


def _scores(results: Results, seats: Ints, n: int) -> tuple[Floats, Ints]:
    """Return scores and pairs of games [n, n], by the agents in seats 0 and 1 [G, 2]."""
    known = np.all(~np.isnan(results.payoffs), axis=1)
    won = 1 - results.where(known).outcome / 2  # [G] by seat 0
    seats = seats[known]
    low, high = np.sort(seats, 1).T
    names, seed = np.unique(results.seeds[known], return_inverse=True)
    both, place, count = np.unique((low * n + high) * len(names) + seed, return_inverse=True, return_counts=True)
    earned = sum_by(place, np.where(seats[:, 0] == low, won, 1 - won), len(both)) / count  # by the lower agent
    pairing = both // max(len(names), 1)
    mirror = pairing % (n + 1) == 0  # of an agent with itself, which is one game and draws in the mean
    whole = mirror | (count == 2)
    pairs = np.bincount(pairing[whole], minlength=n * n)
    total = sum_by(pairing[whole], np.where(mirror, 0.5, earned)[whole], n * n)
    score = np.divide(total, pairs, out=np.full(n * n, np.nan), where=pairs > 0).reshape(n, n)
    pairs = pairs.reshape(n, n)
    lower = np.tril_indices(n, -1)
    score[lower], pairs[lower] = 1 - score.T[lower], pairs.T[lower]
    return score, pairs
