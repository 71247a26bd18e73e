"""The store of a tournament: one SQLite file that holds each played game once.

A game's primary key is the id of its fixture: writing a game again changes nothing, and the games that are missing are
the fixtures whose ids are not in the store. Each batch of games is one transaction: a killed process loses only
batches that were not complete. Payoffs are stored as the game paid them; who won is decided when games are rated.

    meta      key, value (JSON)
    agents    number, id, name, reference
    games     id, game, seed, agents (JSON: numbers by seat), payoffs (JSON by seat; null is NaN), termination, length,
              moves, rounding (a bound on the rounding error of the payoffs; null where it is not known)
    failures  game, player, how, detail, ply: which player forfeited a game, how, why, and at which of its steps
    notes     game, ply, kind, value (JSON): comments on a game's steps; nothing writes them yet

An agent's id is its digest; ids `person:NAME` are reserved for people. SQLite's integers are signed, so a 64-bit seed
is stored as the signed integer with the same bits.

A store is opened for reading, which writes nothing and works on read-only media, or for writing (`create=True`).
Stores of versions 1 and 2 are migrated to the current version: opened for reading, as a copy in memory; opened for
writing, in the file and in one transaction.
"""

import json
import logging
import math
import shlex
import sqlite3
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from games.arrays import Floats, Ints
from games.errors import RunFailed, UserError
from marl.base.drives import network_drive
from marl.base.files import absent
from marl.base.intervals import MIN_SEEDS
from tournaments.records.fixture import Fixture, Tables
from tournaments.records.results import FORFEITS, Results

STORE = "games.sqlite"
SCHEMA_VERSION = 3  # 2 added null payoffs; 3 added agents' numbers, rounding, failures and notes
FIRST_ROW = -(1 << 63)
PATIENCE = 600.0  # seconds to wait while another process has locked a store
CHECKED = 50_000  # games that are read at a time where none are kept
MOST_PAYOFF = 1e100  # above any sum of float32 rewards; sums over games stay finite
NO_RESULT = ("no_contest", "cut")  # terminations of games that are not rated
TERMINATIONS = ("finished", "truncated", *FORFEITS, "resigned", *NO_RESULT)

_log = logging.getLogger(__name__)

_AGENTS = """CREATE TABLE agents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, reference TEXT NOT NULL
)"""
_FAILURES = """CREATE TABLE failures (
    game TEXT NOT NULL REFERENCES games (id) ON DELETE CASCADE,
    player INTEGER NOT NULL, how TEXT NOT NULL, detail TEXT NOT NULL, ply INTEGER NOT NULL,
    PRIMARY KEY (game, player)
) WITHOUT ROWID"""
_NOTES = """CREATE TABLE notes (
    game TEXT NOT NULL REFERENCES games (id) ON DELETE CASCADE,
    ply INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (game, ply, kind)
) WITHOUT ROWID"""
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    _AGENTS,
    """CREATE TABLE games (
    id TEXT PRIMARY KEY, game TEXT NOT NULL, seed INTEGER NOT NULL, agents TEXT NOT NULL, payoffs TEXT NOT NULL,
    termination TEXT NOT NULL, length INTEGER NOT NULL, moves BLOB, rounding REAL
)""",
    _FAILURES,
    _NOTES,
    f"INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}')",
)
_MIGRATION = (  # from version 1 or 2; `_migrate` defines the SQL function `numbered`
    "ALTER TABLE agents RENAME TO old_agents",
    _AGENTS,
    "INSERT INTO agents (id, name, reference) SELECT id, name, reference FROM old_agents ORDER BY id",
    "DROP TABLE old_agents",
    "UPDATE games SET agents = numbered(agents)",
    "ALTER TABLE games ADD COLUMN rounding REAL",
    _FAILURES,
    _NOTES,
    f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'",
)
_TABLES = {1: {"meta", "agents", "games"}, 2: {"meta", "agents", "games"}}
_TABLES[SCHEMA_VERSION] = _TABLES[2] | {"failures", "notes"}


@dataclass(frozen=True)
class StoredAgent:
    """An agent in the store: its id (its digest), the name to show, and the reference that loads it."""

    id: str
    name: str
    reference: str


@dataclass(frozen=True)
class Failure:
    """A player that forfeited a game: one of `FORFEITS`, what the player did, and at which of the game's steps."""

    player: int
    how: str
    detail: str
    ply: int


@dataclass(frozen=True)
class AgentFailures:
    """The number of games that an agent forfeited, and the first of them in the order of the games' ids."""

    agent: str  # its label
    games: int
    first: Failure
    game: str  # the id of that game's fixture
    seed: int


@dataclass(frozen=True)
class PlayedGame:
    """A fixture and its result: payoffs by seat [N], one of `TERMINATIONS`, the number of steps, and the moves.

    A payoff is NaN for a player whose result another player's forfeit left open. `rounding` bounds the rounding error
    of the payoffs. `moves` and `rounding` are None where they are not known. Raises ValueError for other terminations,
    for payoffs that are not one per seat, and for NaN without a forfeit.
    """

    fixture: Fixture
    payoffs: tuple[float, ...]
    termination: str
    length: int
    moves: bytes | None = None
    rounding: float | None = None
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        if self.termination not in TERMINATIONS:
            raise ValueError(f"expected a termination of {', '.join(TERMINATIONS)}, got '{self.termination}'")
        if len(self.payoffs) != len(self.fixture.agents):
            raise ValueError(f"expected {len(self.fixture.agents)} payoffs, one for each seat, got {len(self.payoffs)}")
        if self.termination not in FORFEITS and any(map(math.isnan, self.payoffs)):
            raise ValueError(f"expected numbers as payoffs of a game that nobody forfeited, got {self.payoffs}")


class Game(NamedTuple):
    """A game as it is listed: its agents' labels and their payoffs by seat; a payoff is None where it was left open."""

    id: str
    seed: int
    agents: tuple[str, ...]
    payoffs: tuple[float | None, ...]
    termination: str
    length: int


@dataclass(frozen=True)
class Selection:
    """Some games of a store: those that meet each condition that is given. Agents are given by their ids.

    `id` is how the game's id begins, `seated` are agents that hold a seat each, `among` the only ones that hold seats.
    Of these games, `sample` are drawn: the first by id, which is a hash.
    """

    id: str = ""
    seed: int | None = None
    seated: tuple[str, ...] = ()
    among: Collection[str] | None = None
    sample: int | None = None

    def seats(self, seats: Sequence[str]) -> bool:
        """Return whether games with these agents in their seats may be among them."""
        return Counter(self.seated) <= Counter(seats) and (self.among is None or set(seats) <= set(self.among))


def stored(path: Path) -> "Store":
    """Open a tournament's store to read it: by its own path, or its folder's. Raises UserError where there is none."""
    return Store(path / STORE if path.is_dir() else path)


class Store:
    """A tournament's file. Use it in a `with` block, or close it."""

    def __init__(self, path: str | Path, create: bool = False) -> None:
        """Open a store for reading; with `create`, open it for writing, and create it if it does not exist.

        Raises UserError if the file is not a store, is damaged, or cannot be opened.
        """
        self.path, self._writable = Path(path), create
        if self.path.is_dir():
            raise UserError(f"expected a tournament store, got the folder '{path}'; give the path of a file")
        if not create and not self.path.exists():
            what = absent(self.path, "`marl tournament run` makes one")
            raise UserError(f"expected a tournament store, got '{path}', which {what}")
        if create:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._unusable(error) from error
        self._db = self._connect("rwc" if create else "ro")
        try:
            with self._reading():
                self._patiently(self._open_for_writing if create else self._open_for_reading)
        except BaseException:
            self._db.close()
            raise

    def _connect(self, mode: str, immutable: bool = False) -> sqlite3.Connection:
        more = "&immutable=1" if immutable else ""
        try:
            db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}{more}", isolation_level=None, uri=True)
            db.execute("PRAGMA trusted_schema = OFF")  # an untrusted file must not run SQL functions
            db.execute("PRAGMA cell_size_check = ON")
            db.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return db

    def _open_for_reading(self) -> None:
        try:
            self._db.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if _locked(error):
                raise
            # Read-only media: SQLite cannot create the shared-memory file of a write-ahead log.
            self._db.close()
            log = self.path.with_name(self.path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise UserError(
                    f"expected a store that was closed, got '{self.path}' with games in '{log.name}' on a read-only "
                    "drive; copy both to a folder that can be written"
                ) from error
            self._db = self._connect("ro", immutable=True)
        if self._version() < SCHEMA_VERSION:
            copy = sqlite3.connect(":memory:", isolation_level=None)
            self._db.backup(copy)
            self._db.close()
            self._db = copy
            self._migrate()
        self._db.execute("PRAGMA query_only = ON")

    def _open_for_writing(self) -> None:
        if self._tables():  # an existing file: it is refused before any change if it is damaged or not a store
            with Store(self.path) as stored:
                stored.check()
        # A write-ahead log needs memory that its users share, which network drives do not provide.
        self._db.execute(f"PRAGMA journal_mode = {'DELETE' if network_drive(self.path) else 'WAL'}")
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            if not self._tables():  # otherwise another process has created them
                for statement in _SCHEMA:
                    self._db.execute(statement)
        if self._version() < SCHEMA_VERSION:
            self._migrate()

    def _tables(self) -> set[str]:
        """Return the names of the tables; raises UserError for triggers and views, whose code a query would run."""
        kinds = {name: kind for name, kind in self._db.execute("SELECT name, type FROM sqlite_master")}
        if {"trigger", "view"} & set(kinds.values()):
            raise self._not_a_store()
        return {name for name, kind in kinds.items() if kind == "table"}

    def _version(self) -> int:
        """Return the version of the store; raises UserError if the file is not a store, or has a later version."""
        tables = self._tables()
        if not _TABLES[1] <= tables:
            raise self._not_a_store()
        version = self.get("schema_version")
        if not isinstance(version, int) or version < 1:
            raise self._not_a_store()
        if version > SCHEMA_VERSION:
            raise UserError(
                f"expected a tournament store of version 1 to {SCHEMA_VERSION}, got '{self.path}' of version "
                f"{version}; open it with the release that wrote it"
            )
        if tables != _TABLES[version]:
            raise self._not_a_store()
        return version

    def _migrate(self) -> None:
        """Migrate a store of version 1 or 2 to the current version, in one transaction."""
        ids = {row[0]: json.loads(row[0]) for row in self._db.execute("SELECT DISTINCT agents FROM games")}
        stored = {id for (id,) in self._db.execute("SELECT id FROM agents")}
        unknown = sorted({id for seats in ids.values() for id in seats} - stored)
        number = {id: k for k, id in enumerate(sorted(stored | set(unknown)), start=1)}
        numbered = {text: json.dumps([number[id] for id in seats]) for text, seats in ids.items()}
        self._db.create_function("numbered", 1, numbered.__getitem__)
        with self._transaction():
            self._db.executemany("INSERT INTO agents VALUES (?, ?, '')", [(id, id) for id in unknown])
            for statement in _MIGRATION:
                self._db.execute(statement)
        self._db.create_function("numbered", 1, None)

    def _not_a_store(self) -> UserError:
        return UserError(f"expected a tournament store, got '{self.path}', which is not one; give the path of a store")

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"expected a tournament store that can be opened, got '{self.path}' ({error}); check its folder"
        )

    def _damaged(self, error: Exception) -> UserError:
        path = shlex.quote(str(self.path))
        return UserError(
            f"the store '{self.path}' is damaged ({error}); save what is left with `sqlite3 {path} .recover | sqlite3 "
            "recovered.sqlite`"
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise UserError for errors of a read: the file is not a store, cannot be read, or has invalid contents."""
        try:
            yield
        except sqlite3.Error as error:
            if _locked(error):
                raise UserError(
                    f"another process has locked the store '{self.path}' for more than {PATIENCE:.0f} seconds; let it "
                    "end, and try again"
                ) from error
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # SQLite's primary result code
            if code == sqlite3.SQLITE_NOTADB:
                raise self._not_a_store() from error
            raise (self._damaged if code == sqlite3.SQLITE_CORRUPT else self._unusable)(error) from error
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
            raise self._damaged(error) from error

    def _patiently(self, act: Callable[[], object]) -> None:
        """Act; while another process has locked the store, wait up to PATIENCE seconds, say so, and act again."""
        began, told = time.monotonic(), False
        while True:
            try:
                act()
                break
            except sqlite3.OperationalError as error:  # after the seconds that SQLite itself waits
                if not _locked(error) or time.monotonic() - began > PATIENCE:
                    raise
                if not told:
                    _log.warning(
                        "note: another process has locked the store '%s'; waiting for it, at most %.0f seconds",
                        self.path,
                        PATIENCE,
                    )
                told = True
        if told:
            _log.warning("note: the store '%s' was free after %.0f seconds", self.path, time.monotonic() - began)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._patiently(lambda: self._db.execute("BEGIN IMMEDIATE"))
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write in one transaction; raises RunFailed, with earlier transactions kept, if SQLite cannot write."""
        try:
            with self._transaction():
                yield
        except sqlite3.Error as error:
            if _locked(error):
                raise RunFailed(
                    f"another process has locked the store '{self.path}' for more than {PATIENCE:.0f} seconds; what "
                    "was written before is kept: let that process end, and run again to go on"
                ) from error
            raise RunFailed(
                f"expected to write to the store '{self.path}', got '{error}'; what was written before is kept: make "
                "room or make it writable, and run again to go on"
            ) from error

    def add(self, games: Iterable[PlayedGame]) -> None:
        """Write a batch of games in one transaction; a stored game is replaced only if it ended in a timeout."""
        games = list(games)
        with self._writing():
            number = self._numbers({agent for game in games for agent in game.fixture.agents})
            self._db.executemany(
                "DELETE FROM games WHERE id = ? AND termination = 'timeout'", [(game.fixture.id,) for game in games]
            )
            for game in games:
                row = (
                    game.fixture.id,
                    game.fixture.game,
                    _signed(game.fixture.seed),
                    json.dumps([number[agent] for agent in game.fixture.agents]),
                    json.dumps([None if math.isnan(x) else float(x) for x in game.payoffs], allow_nan=False),
                    game.termination,
                    int(game.length),
                    game.moves,
                    game.rounding,
                )
                new = self._db.execute("INSERT OR IGNORE INTO games VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount
                if new and game.failures:
                    failed = [(row[0], f.player, f.how, f.detail, f.ply) for f in game.failures]
                    self._db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", failed)

    def _numbers(self, ids: set[str]) -> dict[str, int]:
        """Return the numbers of agents by id; an unknown id is added, with the id as its name."""
        self._db.executemany(
            "INSERT OR IGNORE INTO agents (id, name, reference) VALUES (?, ?, '')", [(id, id) for id in sorted(ids)]
        )
        query = "SELECT id, number FROM agents WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._db.execute(query, (json.dumps(sorted(ids)),)))

    def add_agent(self, id: str, name: str, reference: str) -> None:
        """Add an agent; an id that is stored already gets the new name and reference."""
        self.add_agents([StoredAgent(id, name, reference)])

    def add_agents(self, agents: Iterable[StoredAgent]) -> None:
        """Add agents in one transaction, each as `add_agent` does."""
        with self._writing():
            self._db.executemany(
                "INSERT INTO agents (id, name, reference) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, reference = excluded.reference",
                [(agent.id, agent.name, agent.reference) for agent in agents],
            )

    def agents(self) -> list[StoredAgent]:
        """Return the stored agents, ordered by name."""
        rows = self._rows("SELECT id, name, reference FROM agents ORDER BY name, id")
        return [StoredAgent(str(id), str(name), str(reference)) for id, name, reference in rows]

    def labels(self) -> dict[str, str]:
        """Return the label of each agent by id: its name, with the first digits of its id if several share the name."""
        agents = self.agents()
        names = Counter(agent.name for agent in agents)
        short = {a.id: a.name if names[a.name] == 1 else f"{a.name} [{a.id[:8]}]" for a in agents}
        taken = Counter(short.values())
        return {i: label if taken[label] == 1 else f"{label} [{i}]" for i, label in short.items()}

    def _labels_by_number(self) -> dict[int, str]:
        """Return the agents' labels by number."""
        labels, rows = self.labels(), self._rows("SELECT number, id FROM agents")
        with self._reading():
            return {number: labels[id] for number, id in rows}

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._reading():
            return self._db.execute(query, values).fetchall()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key of the table `meta`, or `default`."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        with self._reading():
            return json.loads(rows[0][0]) if rows else default

    def set(self, key: str, value: Any) -> None:
        """Write the value of a key of the table `meta`, as JSON."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def missing(self, fixtures: Sequence[Fixture], retry_timeouts: bool = False) -> list[Fixture]:
        """Return the fixtures without a stored game, in their order; with `retry_timeouts`, also those of timeouts."""
        ids = json.dumps([fixture.id for fixture in fixtures])
        query = f"SELECT id FROM games WHERE id IN (SELECT value FROM json_each(?)){_but_timeouts(retry_timeouts)}"
        played = {game for (game,) in self._rows(query, ids)}
        return [fixture for fixture in fixtures if fixture.id not in played]

    def played(self, tables: Tables, retry_timeouts: bool = False) -> int:
        """Return how many games of some tables are stored; with `retry_timeouts`, without those of timeouts.

        The store must hold games with the tables' `opening_moves` and `max_steps` only, as a tournament's does.
        """
        keys = json.dumps([_signed(key) for key in tables.keys])
        query = (
            "SELECT agents, COUNT(*) FROM games WHERE game = ? AND seed IN (SELECT value FROM json_each(?))"
            f"{_but_timeouts(retry_timeouts)} GROUP BY agents"
        )
        ids = {number: id for number, id in self._rows("SELECT number, id FROM agents")}
        with self._reading():
            counts = self._db.execute(query, (tables.game, keys))
            return sum(count for table, count in counts if tables.seats([ids[k] for k in json.loads(table)]))

    def __len__(self) -> int:
        return int(self._rows("SELECT COUNT(*) FROM games")[0][0])

    @property
    def last_row(self) -> int:
        """The row of the newest game; rows of games that are added later are higher."""
        return int(self._rows("SELECT COALESCE(MAX(rowid), 0) FROM games")[0][0])

    def results(self, first: int = FIRST_ROW) -> Results:
        """Return the games that count as columns, ordered by seed and seats; `agents` are the labels of who played.

        Those from the row `first` on, where it is given: games that a reader does not have yet.
        Games that ended in one of `NO_RESULT` do not count. Games of more than two players in which an agent held
        several seats count only if there are no others. Raises UserError if the games differ in the number of players.
        """
        return self._results(self._columns(first))

    def results_of(self, fixtures: Iterable[Fixture]) -> Results:
        """Return the games of some fixtures that have a result, as `results` does; `agents` are ids.

        Those with copies of an agent are among them. So the results do not depend on other games of the store.
        """
        ids = json.dumps([fixture.id for fixture in fixtures])
        columns = self._select("id IN (SELECT value FROM json_each(?)) ORDER BY id", ids)
        failed = self._rows(
            "SELECT games.rowid, player FROM failures JOIN games ON games.id = failures.game "
            "WHERE termination NOT IN (?, ?) AND games.id IN (SELECT value FROM json_each(?))",
            *NO_RESULT,
            ids,
        )
        agents = dict(self._rows("SELECT number, id FROM agents"))
        with self._reading():
            numbers = _numbers(columns.agents, f"several in '{self.path}'")
            return _results(numbers, agents, columns, failed, copies=True)

    def _results(self, columns: "_Columns") -> Results:
        """Return games by columns, which are those of neighbouring rows."""
        failed = self._rows(
            "SELECT games.rowid, player FROM failures JOIN games ON games.id = failures.game "
            "WHERE termination NOT IN (?, ?) AND games.rowid BETWEEN ? AND ?",
            *NO_RESULT,
            min(columns.rowid, default=0),
            max(columns.rowid, default=-1),
        )
        label = self._labels_by_number()
        with self._reading():
            numbers = _numbers(columns.agents, f"several in '{self.path}'")
            return _results(numbers, label, columns, failed)

    def _columns(self, first: int = FIRST_ROW, most: int = -1) -> "_Columns":
        """Read the games that have a result, from a row on, `most` of them; -1: all."""
        return self._select("rowid >= ? ORDER BY rowid LIMIT ?", first, most)

    def _select(self, condition: str, *values: str | int) -> "_Columns":
        """Read the games that have a result and fulfil a condition.

        Some rows are read at a time: all at once keep the garbage collector busy.
        """
        columns = _Columns()
        names = [field.name for field in fields(_Columns)]
        with self._reading():
            read = self._db.execute(
                f"SELECT {', '.join(names)} FROM games WHERE termination NOT IN (?, ?) AND {condition}",
                (*NO_RESULT, *values),
            )
            while rows := read.fetchmany(1000):
                for name, values in zip(names, zip(*rows, strict=True), strict=True):
                    getattr(columns, name).extend(values)
        return columns

    def games(self, agents: Collection[str] | None = None) -> Iterator[PlayedGame]:
        """Yield the stored games as they were added, in the order of their seeds.

        With `agents`, given by their ids, only those in which none but they are seated.
        """
        return (game for _, game in self.rows(Selection(among=agents)))

    def rows(self, selection: Selection) -> Iterator[tuple[str, PlayedGame]]:
        """Yield the selected games with the ids under which they are stored, in the order of their seeds."""
        ids = dict(self._rows("SELECT number, id FROM agents"))
        settings = (self.get("opening_moves", 0), self.get("max_steps"))
        failures: dict[str, list[Failure]] = {}
        for game, *failure in self._rows("SELECT game, player, how, detail, ply FROM failures ORDER BY game, player"):
            failures.setdefault(game, []).append(Failure(*failure))
        where, values = self._where(selection, ids)
        with self._reading():
            rows = self._db.execute(
                "SELECT id, game, seed, agents, payoffs, termination, length, moves, rounding FROM games "
                f"WHERE {where} ORDER BY seed < 0, seed, agents",
                values,
            )
            for id, game, seed, text, payoffs, termination, length, moves, rounding in rows:
                seats = tuple(ids[number] for number in json.loads(text))
                failed = tuple(failures.get(id, ()))
                if not isinstance(moves, bytes | None) or any(f.player not in range(len(seats)) for f in failed):
                    raise ValueError("a game's moves or failures are not as a release writes them")
                yield (
                    str(id),
                    PlayedGame(
                        fixture=Fixture(str(game), seats, seed % (1 << 64), *settings),
                        payoffs=tuple(math.nan if paid is None else float(paid) for paid in json.loads(payoffs)),
                        termination=termination,
                        length=int(length),
                        moves=moves,
                        rounding=None if rounding is None else float(rounding),
                        failures=failed,
                    ),
                )

    def listed(self) -> Iterator[Game]:
        """Yield all games without their moves, in the order of their seeds."""
        label = self._labels_by_number()
        seating: dict[str, tuple[str, ...]] = {}  # each text is read once
        payoffs: dict[str, tuple[float | None, ...]] = {}
        with self._reading():
            rows = self._db.execute(
                "SELECT id, seed, agents, payoffs, termination, length FROM games ORDER BY seed < 0, seed, agents"
            )
            for id, seed, agents, paid, termination, length in rows:
                if agents not in seating:
                    seating |= _seating([agents], label)
                if paid not in payoffs:
                    payoffs[paid] = tuple(json.loads(paid))
                yield Game(id, seed % (1 << 64), seating[agents], payoffs[paid], termination, length)

    def count(self, selection: Selection) -> int:
        """Return the number of selected games."""
        where, values = self._where(selection, dict(self._rows("SELECT number, id FROM agents")))
        return int(self._rows(f"SELECT COUNT(*) FROM games WHERE {where}", *values)[0][0])

    def _where(self, selection: Selection, ids: Mapping[int, str]) -> tuple[str, list[str | int]]:
        """Return the condition of a selection, and the values in it; `ids` are those of the agents by number."""
        texts = [text for (text,) in self._rows("SELECT DISTINCT agents FROM games")]
        with self._reading():
            seating = _seating(texts, ids)
        wanted = [text for text, seats in seating.items() if selection.seats(seats)]
        where = "agents IN (SELECT value FROM json_each(?))"
        values: list[str | int] = [json.dumps(wanted)]
        for condition, value in (
            ("substr(id, 1, length(?)) = ?", selection.id or None),
            ("seed = ?", None if selection.seed is None else _signed(selection.seed)),
        ):
            if value is not None:
                where += f" AND {condition}"
                values += [value] * condition.count("?")
        if selection.sample is not None:
            where = f"id IN (SELECT id FROM games WHERE {where} ORDER BY id LIMIT ?)"
            values.append(selection.sample)
        return where, values

    def seated(self) -> frozenset[str]:
        """Return the ids of the agents that have played, whether their games count or not."""
        ids = dict(self._rows("SELECT number, id FROM agents"))
        with self._reading():
            texts = self._db.execute("SELECT DISTINCT agents FROM games")
            return frozenset(ids[number] for (text,) in texts for number in json.loads(text))

    def terminations(self) -> dict[str, int]:
        """Return the number of games by termination, whether they count or not."""
        return dict(self._rows("SELECT termination, COUNT(*) FROM games GROUP BY termination ORDER BY termination"))

    def failures(self) -> list[AgentFailures]:
        """Return the agents that forfeited games, ordered by label.

        Stores of versions 1 and 2 did not record who forfeited a game and why: their games have no failures.
        """
        rows = self._rows(
            "SELECT games.agents, failures.player, how, detail, ply, games.id, games.seed "
            "FROM failures JOIN games ON games.id = failures.game ORDER BY games.id, failures.player"
        )
        label = self._labels_by_number()
        found: dict[str, AgentFailures] = {}
        with self._reading():
            seating = _seating({row[0] for row in rows}, label)
            count = Counter(seating[text][player] for text, player, *_ in rows)
            for text, player, how, detail, ply, game, seed in rows:
                agent = seating[text][player]
                failure = Failure(int(player), str(how), str(detail), int(ply))
                found.setdefault(agent, AgentFailures(agent, count[agent], failure, str(game), seed % (1 << 64)))
        return [found[agent] for agent in sorted(found)]

    def without_result(self) -> dict[str, dict[tuple[str, ...], int]]:
        """Return the number of games without a result, by termination and by the agents' labels in seat order."""
        query = (
            "SELECT termination, agents, COUNT(*) FROM games WHERE termination IN (?, ?) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        rows = self._rows(query, *NO_RESULT)
        label = self._labels_by_number()
        found: dict[str, dict[tuple[str, ...], int]] = {}
        with self._reading():
            seating = _seating({row[1] for row in rows}, label)
            for termination, text, count in rows:
                found.setdefault(termination, {})[seating[text]] = count
        return found

    def repeated(self) -> int:
        """Return the number of seatings with at least MIN_SEEDS games that all have the same moves and payoffs."""
        if self._rows("SELECT COUNT(DISTINCT seed) FROM games")[0][0] < MIN_SEEDS:
            return 0
        one_game = "COUNT(*) >= ? AND MIN(moves) = MAX(moves) AND MIN(payoffs) = MAX(payoffs)"
        query = f"SELECT COUNT(*) FROM (SELECT 1 FROM games GROUP BY agents HAVING {one_game})"
        return int(self._rows(query, MIN_SEEDS)[0][0])

    def check(self) -> None:
        """Read everything that a report reads, some games at a time; raises UserError where the store is damaged."""
        players: dict[int, str] = {}
        columns = self._columns(most=CHECKED)
        while columns.rowid:
            self._results(columns)
            players[columns.agents[0].count(",")] = columns.agents[0]
            last = columns.rowid[-1]
            columns = self._columns(last + 1, CHECKED) if last < (1 << 63) - 1 else _Columns()
        with self._reading():
            _numbers(list(players.values()), f"several in '{self.path}'")
        for read in (self.seated, self.terminations, self.failures, self.repeated):
            read()

    def close(self) -> None:
        """Close the store. A writer merges the write-ahead log into the file, unless another process still reads it."""
        if self._writable:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _but_timeouts(retry: bool) -> str:
    """Return the end of a condition that leaves out the games that are to be played again."""
    return " AND termination != 'timeout'" if retry else ""


def _locked(error: sqlite3.Error) -> bool:
    """Return whether another process has locked what an operation needs."""
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY)


def _signed(seed: int) -> int:
    return seed - (1 << 64) if seed >= 1 << 63 else seed


def _seating(texts: Iterable[str], label: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Return the labels by seat for each JSON list of agents' numbers; raises ValueError or KeyError for other text."""
    seats = {text: json.loads(text) for text in texts}
    if not all(isinstance(numbers, list) and numbers for numbers in seats.values()):
        raise ValueError("a game's agents are not a list")
    return {text: tuple(label[number] for number in numbers) for text, numbers in seats.items()}


@dataclass(frozen=True)
class _Columns:
    """Columns of the table of games."""

    rowid: list[int] = field(default_factory=list)
    seed: list[int] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    payoffs: list[str] = field(default_factory=list)
    termination: list[str] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    rounding: list[float | None] = field(default_factory=list)


def _numbers(tables: Sequence[str], several: str) -> Ints:
    """Return the agents' numbers by seat [G, N] of tables of agents; raises for what is no list of numbers."""
    if not tables:
        return np.zeros((0, 2), np.int64)
    if {table[:1] + table[-1:] for table in tables} != {"[]"} or any(table.count("[") > 1 for table in tables):
        raise ValueError("a game's agents are no list")
    seats = {table.count(",") + 1 for table in tables}
    if len(seats) > 1:
        raise UserError(f"expected games of one number of players, got {several}; rate each game's own store")
    text = ",".join(tables).replace("[", "").replace("]", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # so numpy says that it read no number
        try:
            numbers = np.fromstring(text, np.int64, sep=",")
        except DeprecationWarning as error:
            raise ValueError("a game's agents are no list of numbers") from error
    return numbers.reshape(len(tables), *seats)


def _results(
    numbers: Ints,
    label: Mapping[int, str],
    columns: _Columns,
    failed: Sequence[tuple[int, int]],
    copies: bool = False,
) -> Results:
    """Return games by columns; raises ValueError and the like for what no release wrote.

    `numbers` [G, N] are the agents by seat, `label` says what to call them, `failed` the rows and players of failures.
    Games with `copies` of an agent count beside others, or only where there are no others.
    """
    num_players = numbers.shape[1]
    unknown = set(columns.termination) - set(TERMINATIONS)
    if unknown:
        raise ValueError(f"the termination {unknown.pop()!r} is unknown")
    payoffs = _payoffs(columns.payoffs, num_players)
    if (np.abs(payoffs) > MOST_PAYOFF).any():
        raise ValueError("a payoff is larger than any game pays")
    lengths, bounds = np.array(columns.length, np.int64), np.array(columns.rounding, np.float64)  # null becomes NaN
    if (lengths < 0).any() or (bounds < 0).any():
        raise ValueError("a game's length or rounding is less than 0")
    offenders = _offenders(columns.rowid, failed, num_players)
    seeds = np.array(columns.seed, np.int64).view(np.uint64)

    whole = np.asarray((np.diff(np.sort(numbers, 1), axis=1) > 0).all(1))
    # Where agents have been added, `round_robin` needs no more copies.
    if copies or num_players < 3 or not whole.any():
        whole[:] = True
    present, place = np.unique(numbers[whole], return_inverse=True)
    labels = [label[number] for number in present.tolist()]
    rank = np.empty(len(labels), np.int64)
    rank[sorted(range(len(labels)), key=labels.__getitem__)] = np.arange(len(labels))
    seats = rank[place.reshape(-1, num_players)]
    order = np.lexsort((*seats.T[::-1], seeds[whole]))
    games = np.flatnonzero(whole)[order]
    return Results(
        agents=tuple(sorted(labels)),
        seats=seats[order],
        payoffs=payoffs[games],
        seeds=seeds[games],
        terminations=np.array(columns.termination, np.str_)[games],
        lengths=lengths[games],
        rounding=bounds[games],
        offenders=offenders[games],
    )


def _payoffs(texts: Sequence[str], num_players: int) -> Floats:
    """Return payoffs [G, N]; null becomes NaN. Each text is read once, however many games paid so."""
    place = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    paid = np.array(json.loads(f"[{','.join(place)}]"), np.float64)
    if paid.shape != (len(place), num_players) and texts:
        raise ValueError(f"expected {num_players} payoffs in every game")
    return paid.reshape(-1, num_players)[np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))]


def _offenders(rows: Sequence[int], failed: Sequence[tuple[int, int]], num_players: int) -> NDArray[np.bool_]:
    """Return who broke off the games [G, N], from the rows and the players of their failures."""
    offenders = np.zeros((len(rows), num_players), bool)
    place = {row: k for k, row in enumerate(rows)} if failed else {}
    for row, player in failed:
        if not 0 <= player < num_players:
            raise ValueError(f"player {player} of {num_players} broke off a game")
        offenders[place[row], player] = True
    return offenders
