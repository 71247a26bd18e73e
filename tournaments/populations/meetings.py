"""Where members meet: the cells of the payoff table, measured by games or computed by the game's tree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from games.arrays import Ints
from tournaments.playing import play_into
from tournaments.populations.config import PsroConfig
from tournaments.populations.files import CELLS, Member, Round
from tournaments.populations.policies import Policies
from tournaments.populations.psro import Meta, more_games, solve
from tournaments.schedule import Fixture, cell
from tournaments.store import Store
from tournaments.table import Reader, Table


class Meetings(Protocol):
    """How the payoff table of a round is found."""

    def measure(self, round: Round, members: Sequence[Member]) -> tuple[Table, Meta]:
        """Return the table of the members, and its solution."""

    def recall(self, round: Round) -> bool:
        """Take over what a round that is over has measured; return whether that was found."""


class Games:
    """Measure by games, which the store keeps.

    A round writes how many games each cell is to have (cells.json) before they are played. So the games that a decision
    sees follow from the decisions before it, wherever the run was killed.
    """

    def __init__(self, config: PsroConfig, store: Store, folder: Path) -> None:
        self._config, self._store, self._folder = config, store, folder
        self._reader = Reader(store)
        self._pairs: Ints = np.zeros((0, 0), np.int64)  # [n, n] pairs of games that have been decided
        self._played = self._pairs  # [n, n] of them, those that the store has
        self._added = 0  # agents in the store

    def measure(self, round: Round, members: Sequence[Member]) -> tuple[Table, Meta]:
        joined = [member.digest for member in members]
        agents = _distinct(members)
        for digest, member in list(agents.items())[self._added :]:
            self._store.add_agent(digest, member.id, member.named(self._folder))
        if self._added < len(self._pairs):  # the run goes on: games may have been lost
            n = len(self._pairs)
            kept = self._reader.table(list(agents)).games[0, :n, :n]
            self._played = np.where(np.minimum(kept, kept.T) < self._pairs, 0, self._pairs)
        self._added = len(agents)
        pairs = self._planned(round, len(agents))
        while True:
            self._play(round, agents, pairs)
            found = self._reader.table(list(agents))
            meta = solve(found, joined, self._config.solver)
            more = more_games(found, meta, pairs, self._config.games)
            if more is None:
                return found, meta
            pairs = more

    def recall(self, round: Round) -> bool:
        written = round.read(CELLS)
        if written:
            self._pairs = np.array(written["pairs"], np.int64)
        return written is not None

    def _planned(self, round: Round, n: int) -> Ints:
        """Return how many pairs of games each two members [n, n] are to have, as far as that is decided."""
        written = round.read(CELLS)
        return (
            np.array(written["pairs"], np.int64) if written else _widened(self._pairs, n, self._config.games.at_least)
        )

    def _play(self, round: Round, agents: Mapping[str, Member], pairs: Ints) -> None:
        """Play the games that are missing, so that each two agents have so many pairs of them."""
        round.write(CELLS, {"pairs": pairs.tolist()})
        config, fixtures = self._config, list[Fixture]()
        before, digests = _widened(self._played, len(agents), 0), list(agents)
        for i, j in np.argwhere(np.tril(pairs > before)).tolist():
            seeds = range(int(before[i, j]), int(pairs[i, j]))
            fixtures += cell(config.game, digests[j], digests[i], seeds, config.seed)
        play_into(
            self._store,
            config.game,
            {digest: member.named(self._folder) for digest, member in agents.items()},
            fixtures,
            num_envs=config.games.num_envs,
            workers=config.workers,
            engine=config.engine,
        )
        self._pairs = self._played = pairs


class Expectations:
    """Compute expected payoffs by the game's tree, from the policies that members tell."""

    def __init__(self, config: PsroConfig, policies: Policies) -> None:
        self._config, self._policies = config, policies

    def measure(self, round: Round, members: Sequence[Member]) -> tuple[Table, Meta]:
        digests = list(_distinct(members))
        paid = np.array([[self._policies.returns(one, other) for other in digests] for one in digests])  # [n, n, 2]
        found = Table.exact(digests, np.stack([paid[..., 0], paid[..., 1].T]))
        return found, solve(found, [member.digest for member in members], self._config.solver)

    def recall(self, round: Round) -> bool:
        """Do nothing: expectations are computed again."""
        return True


def _distinct(members: Sequence[Member]) -> dict[str, Member]:
    """Return members by digest, in the order in which they joined first."""
    found: dict[str, Member] = {}
    for member in members:
        found.setdefault(member.digest, member)
    return found


def _widened(pairs: Ints, n: int, new: int) -> Ints:
    """Return pairs of games with more members [n, n]; theirs are `new`."""
    wider = np.full((n, n), new)
    wider[: len(pairs), : len(pairs)] = pairs
    return wider
