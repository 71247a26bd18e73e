"""Every game that was played, once: one SQLite file.

A game's primary key is the id of its fixture, so writing it again changes nothing, and resuming is a set difference.
A batch is one transaction (WAL): whoever is killed loses the batch in hand and leaves no half of it behind.
Raw payoffs are kept; who won is decided when games are rated.

    meta     key, value (JSON)
    agents   id, name, reference
    games    id, game, seed, agents (JSON ids by seat), payoffs (JSON by seat; null is NaN), termination, length, moves

SQLite's integers are signed, so a seed is stored as the signed number of the same 64 bits.
"""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from games.errors import RunFailed, UserError
from tournaments.ratings import FORFEITS, MIN_CLUSTERS, Results
from tournaments.schedule import Fixture

SCHEMA_VERSION = 2  # 1 had no payoffs that are null
TERMINATIONS = ("finished", "truncated", "illegal_action", "agent_error")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agents (id TEXT PRIMARY KEY, name TEXT NOT NULL, reference TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE games (
    id TEXT PRIMARY KEY,
    game TEXT NOT NULL,
    seed INTEGER NOT NULL,
    agents TEXT NOT NULL,
    payoffs TEXT NOT NULL,
    termination TEXT NOT NULL,
    length INTEGER NOT NULL,
    moves BLOB
);
"""


@dataclass(frozen=True)
class StoredAgent:
    """An agent's entry: its id (the digest of what it is), the name to show, and the reference that loads it."""

    id: str
    name: str
    reference: str


@dataclass(frozen=True)
class PlayedGame:
    """A fixture and what came of it: payoffs by seat, one of `TERMINATIONS`, its steps, and the moves where kept.

    A payoff is NaN where a forfeited game says nothing of that player.
    """

    fixture: Fixture
    payoffs: tuple[float, ...]
    termination: str
    length: int
    moves: bytes | None = None

    def __post_init__(self) -> None:
        if self.termination not in TERMINATIONS:
            raise ValueError(f"expected a termination of {', '.join(TERMINATIONS)}, got '{self.termination}'")
        if len(self.payoffs) != len(self.fixture.agents):
            raise ValueError(f"expected {len(self.fixture.agents)} payoffs, one a seat, got {len(self.payoffs)}")
        if self.termination not in FORFEITS and any(map(math.isnan, self.payoffs)):
            raise ValueError(f"expected numbers as payoffs of a game that nobody broke off, got {self.payoffs}")


class Store:
    """A tournament's file. Use it in a `with` block, or close it."""

    def __init__(self, path: str | Path, create: bool = False) -> None:
        """Open a store; with `create`, make it where there is none."""
        self.path = Path(path)
        if self.path.is_dir():
            raise UserError(f"expected a tournament store, got the folder '{path}'; give the path of a file")
        if not create and not self.path.exists():
            raise UserError(
                f"expected a tournament store, got '{path}', which does not exist; run the tournament first"
            )
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._open(create)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise self._not_a_store() from error
        except UserError:
            self._db.close()
            raise

    def _open(self, create: bool) -> None:
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"meta", "agents", "games"} <= tables:
            raise self._not_a_store()
        if not tables and not create:
            raise self._not_a_store()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            with self._transaction():
                if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():  # else another process was first
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        version = self.get("schema_version")
        if not isinstance(version, int):
            raise self._not_a_store()
        if not 1 <= version <= SCHEMA_VERSION:
            raise UserError(
                f"expected a tournament store of version 1 to {SCHEMA_VERSION}, got '{self.path}' of version "
                f"{version}; open it with the release that wrote it"
            )

    def _not_a_store(self) -> UserError:
        return UserError(f"expected a tournament store, got '{self.path}', which is another file; give a store's path")

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"expected a tournament store that can be opened and written, got '{self.path}' ({error}); check its folder"
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write all or nothing; a failure is one sentence, and what was written before it stays."""
        try:
            with self._transaction():
                yield
        except sqlite3.Error as error:
            raise RunFailed(
                f"expected to write to the store '{self.path}', got '{error}'; what was written before is kept: make "
                "room or make it writable, and run again to go on"
            ) from error

    def add(self, games: Iterable[PlayedGame]) -> None:
        """Write a batch of games in one transaction; a game that is there already stays as it is.

        The store is of this version from then on: an older release must not read its payoffs.
        """
        rows = [
            (
                game.fixture.id,
                game.fixture.game,
                game.fixture.seed - (1 << 64) if game.fixture.seed >= 1 << 63 else game.fixture.seed,
                json.dumps(game.fixture.agents),
                json.dumps([None if math.isnan(x) else float(x) for x in game.payoffs], allow_nan=False),
                game.termination,
                int(game.length),
                game.moves,
            )
            for game in games
        ]
        with self._writing():
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION),))
            self._db.executemany("INSERT OR IGNORE INTO games VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_agent(self, id: str, name: str, reference: str) -> None:
        """Enter an agent; an id that is there already gets the new name and reference."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO agents VALUES (?, ?, ?)", (id, name, reference))

    def agents(self) -> list[StoredAgent]:
        """Return the entrants, in the order of their names."""
        return [
            StoredAgent(*row) for row in self._db.execute("SELECT id, name, reference FROM agents ORDER BY name, id")
        ]

    def labels(self) -> dict[str, str]:
        """Return what to call each agent, by id: its name, with the first digits of its id where names clash."""
        entrants = self.agents()
        names = Counter(entrant.name for entrant in entrants)
        short = {e.id: e.name if names[e.name] == 1 else f"{e.name} [{e.id[:8]}]" for e in entrants}
        taken = Counter(short.values())
        return {i: label if taken[label] == 1 else f"{label} [{i}]" for i, label in short.items()}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a fact about the tournament."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        """Write a fact about the tournament, as JSON."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def missing(self, fixtures: Sequence[Fixture]) -> list[Fixture]:
        """Return the fixtures that have not been played, in their order."""
        played = {game for (game,) in self._db.execute("SELECT id FROM games")}
        return [fixture for fixture in fixtures if fixture.id not in played]

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM games").fetchone()[0])

    def results(self) -> Results:
        """Return the games that count by columns, in the order of their ids: agents by label, those that have played.

        Games of more than two players in which copies of an agent sat count only where there are no others.
        """
        rows = self._db.execute("SELECT seed, agents, payoffs, termination, length FROM games ORDER BY id").fetchall()
        seating = {table: json.loads(table) for table in {row[1] for row in rows}}
        if len({len(ids) for ids in seating.values()}) > 1:
            raise UserError(
                f"expected games of one number of players, got several in '{self.path}'; rate each game's own store"
            )
        num_players = len(next(iter(seating.values()), (0, 0)))
        whole = {table: ids for table, ids in seating.items() if len(set(ids)) == num_players}
        if num_players > 2 and whole:  # agents have been added, and `round_robin` needs no more copies
            seating = whole
            rows = [row for row in rows if row[1] in whole]
        seeds, tables, payoffs, terminations, lengths = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        labels = self.labels()
        called = {i: labels.get(i, i) for ids in seating.values() for i in ids}
        agents = sorted(called.values())
        index = {label: k for k, label in enumerate(agents)}
        number = {table: [index[called[i]] for i in ids] for table, ids in seating.items()}
        return Results(
            agents=tuple(agents),
            seats=np.array([number[table] for table in tables], np.int64).reshape(-1, num_players),
            payoffs=np.array(json.loads(f"[{','.join(payoffs)}]"), np.float64).reshape(-1, num_players),
            seeds=np.array(seeds, np.int64).view(np.uint64),
            terminations=np.array(terminations, np.str_),
            lengths=np.array(lengths, np.int64),
        )

    def seated(self) -> frozenset[str]:
        """Return the ids of the agents that have played, whether their games count or not."""
        tables = self._db.execute("SELECT DISTINCT agents FROM games")
        return frozenset(agent for (table,) in tables for agent in json.loads(table))

    def repeated(self) -> int:
        """Return how many seatings of agents played one and the same game on every seed, of those with enough seeds."""
        one_game = "COUNT(*) >= ? AND COUNT(DISTINCT moves) = 1 AND COUNT(DISTINCT payoffs) = 1"
        query = f"SELECT COUNT(*) FROM (SELECT 1 FROM games GROUP BY agents HAVING {one_game})"
        return int(self._db.execute(query, (MIN_CLUSTERS,)).fetchone()[0])

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
