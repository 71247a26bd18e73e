"""The file of a store: an SQLite database that is opened to read or to write, of any version, beside other processes.

A store is opened for reading, which writes nothing and works on read-only media, or for writing (`create=True`).
Stores of versions 1 and 2 are migrated to the current version: opened for reading, as a copy in memory; opened for
writing, in the file and in one transaction.
"""

import json
import logging
import shlex
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from games.errors import RunFailed, UserError
from marl.base.drives import network_drive
from marl.base.files import absent

SCHEMA_VERSION = 3  # 2 added null payoffs; 3 added agents' numbers, rounding, failures and notes
PATIENCE = 600.0  # seconds to wait while another process has locked a store

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


class StoreFile(ABC):
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
        if self._left_in_wal():
            self._db.close()
            self._db = self._connect("ro", immutable=True)
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

    def _left_in_wal(self) -> bool:
        """Return whether the file is to be read with a write-ahead log, and has none: SQLite would create it."""
        if self.path.with_name(self.path.name + "-wal").exists():
            return False
        try:
            with self.path.open("rb") as file:
                header = file.read(20)
        except OSError:
            return False
        return header[18:20] == b"\x02\x02"

    def _open_for_writing(self) -> None:
        if self._tables():  # an existing file: it is refused before any change if it is damaged or not a store
            with type(self)(self.path) as stored:
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

    @abstractmethod
    def check(self) -> None:
        """Read everything that a report reads; raises UserError where the store is damaged."""

    def close(self) -> None:
        """Close the store. A writer merges the write-ahead log into the file, unless another process still reads it."""
        if self._writable:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(error: sqlite3.Error) -> bool:
    """Return whether another process has locked what an operation needs."""
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY)
