"""Where members meet: the cells of the payoff table, which games measure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from games.arrays import Ints
from tournaments.playing.play import play_into
from tournaments.populations.files import CELLS, PAYOFF, Member, Round
from tournaments.populations.settings import InRounds
from tournaments.ratings.table import Reader, Table, of_first_seeds
from tournaments.records.fixture import Fixture
from tournaments.records.store import Store
from tournaments.schedules.round_robin import cell


class Games:
    """The games between members, which the store keeps.

    A round writes how many games each cell is to have (cells.json) before they are played. So the games that a decision
    sees follow from the decisions before it, wherever the run was killed.
    """

    def __init__(self, config: InRounds, store: Store, folder: Path) -> None:
        self._config, self._store, self._folder = config, store, folder
        self._reader = Reader(store)
        self._agents: list[str] = []  # digests of the last table
        self._pairs: Ints = np.zeros((0, 0), np.int64)  # [n, n] pairs of games between them that have been decided
        self._checked = False  # whether the store has them
        self._added: set[str] = set()

    def recall(self, round: Round) -> bool:
        """Take over what a round that is over has decided; return whether that was found."""
        written, table = round.read(CELLS), round.read(PAYOFF)
        if not written or not table:
            return False
        self._agents, self._pairs = list(table["agents"]), np.array(written["pairs"], np.int64)
        return True

    def planned(self, round: Round) -> Ints | None:
        """Return how many pairs of games each two members [n, n] of an unfinished round are to have, as decided."""
        written = round.read(CELLS)
        return np.array(written["pairs"], np.int64) if written else None

    def decided(self, members: Sequence[Member]) -> Ints:
        """Return how many pairs of games of each two members [n, n] earlier rounds have decided; 0 for new cells."""
        place = {digest: k for k, digest in enumerate(self._agents)}
        pairs = np.pad(self._pairs, (0, 1))  # the last row and column: of those that are new
        known = [place.get(digest, -1) for digest in distinct(members)]
        return np.asarray(pairs[np.ix_(known, known)])

    def play(self, round: Round, members: Sequence[Member], pairs: Ints) -> Table:
        """Play the games that are missing, so that each two members have so many pairs [n, n]; return their table.

        It has no other games: a store has more where a round is made again. A member that has joined twice is there
        once, as it joined first.
        """
        agents, config = distinct(members), self._config
        for digest, member in agents.items():
            if digest not in self._added:
                self._store.add_agent(digest, member.id, member.named(self._folder))
                self._added.add(digest)
        before, digests = self._played(members), list(agents)
        round.write(CELLS, {"pairs": pairs.tolist()})
        cells = {
            (digests[j], digests[i]): range(int(before[i, j]), int(pairs[i, j]))
            for i, j in np.argwhere(np.tril(pairs > before)).tolist()
        }
        play_cells(config, self._store, {digest: each.named(self._folder) for digest, each in agents.items()}, cells)
        self._agents, self._pairs, self._checked = digests, pairs, True
        return self._reader.table(digests, of_first_seeds(config.seed, pairs))

    def _played(self, members: Sequence[Member]) -> Ints:
        """Return how many pairs of games [n, n] need not be looked for in the store.

        Those of earlier rounds; where a run goes on, games may have been lost, and cells that lack some are played
        again.
        """
        before = self.decided(members)
        if self._checked:
            return before
        kept = self._reader.table(list(distinct(members))).games[0]
        return np.where(np.minimum(kept, kept.T) < before, 0, before)


def play_cells(
    config: InRounds, store: Store, references: Mapping[str, str], cells: Mapping[tuple[str, str], range]
) -> None:
    """Play the games that a store lacks of some pairs of games of two agents each, by digests."""
    fixtures: list[Fixture] = []
    for (one, other), pairs in cells.items():
        fixtures += cell(config.game, one, other, pairs, config.seed)
    play_into(
        store,
        config.game,
        references,
        fixtures,
        num_envs=config.games.num_envs,
        workers=config.workers,
        engine=config.engine,
    )


def distinct(members: Sequence[Member]) -> Mapping[str, Member]:
    """Return members by digest, in the order in which they joined first."""
    found: dict[str, Member] = {}
    for member in members:
        found.setdefault(member.digest, member)
    return found
