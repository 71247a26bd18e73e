"""Answers of servers on disk: what was asked before is not asked again, and what was spent is known.

An SQLite file that any number of processes share. Of what was asked it has the digest alone.
"""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from games.errors import RunFailed

PATIENCE = 60.0  # seconds to wait for another process
VERSION = 1  # of the file
_SCHEMA = (
    """CREATE TABLE answers (
    key TEXT PRIMARY KEY, agent TEXT NOT NULL,
    text TEXT NOT NULL, cut INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL
) WITHOUT ROWID""",
    "CREATE INDEX spent ON answers (agent, prompt_tokens, answer_tokens)",
    f"PRAGMA user_version = {VERSION}",
)


@dataclass(frozen=True)
class Answer:
    """What a server has answered: a text, whether it was cut off, and the tokens of the prompt and of the answer."""

    text: str
    cut: bool
    prompt_tokens: int
    answer_tokens: int


class Answers:
    """The answers in a file, by the digests of what was asked; in memory alone where `path` is None.

    Every method raises RunFailed where the file cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        with self._using():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", PATIENCE, isolation_level=None, check_same_thread=False)
            self.close = weakref.finalize(self, self._db.close)
            try:
                self._prepare()
            except BaseException:
                self.close()
                raise

    def _prepare(self) -> None:
        """Make the tables of a new file, in one transaction: another process may be about to."""
        self._db.execute("PRAGMA trusted_schema = OFF")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        kinds = {kind for (kind,) in self._db.execute("SELECT type FROM sqlite_master")}
        if version not in (0, VERSION) or (version == 0 and kinds) or kinds - {"table", "index"}:
            raise sqlite3.DatabaseError("it holds something else")
        if not version:
            for statement in _SCHEMA:
                self._db.execute(statement)
        self._db.execute("COMMIT")

    def get(self, key: str) -> Answer | None:
        """Return the answer to what was asked, or None."""
        query = "SELECT text, cut, prompt_tokens, answer_tokens FROM answers WHERE key = ?"
        with self._using():
            row = self._db.execute(query, (key,)).fetchone()
        return row and Answer(str(row[0]), bool(row[1]), int(row[2]), int(row[3]))

    def add(self, key: str, agent: str, answer: Answer) -> Answer:
        """Keep an agent's answer, and return the one that counts: another process may have been the first."""
        with self._using():
            row = (key, agent, *astuple(answer))
            self._db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
        return self.get(key) or answer

    def spent(self, agent: str) -> tuple[int, int]:
        """Return the tokens of all prompts and of all answers of an agent."""
        query = "SELECT TOTAL(prompt_tokens), TOTAL(answer_tokens) FROM answers WHERE agent = ?"
        with self._using():
            prompts, answers = self._db.execute(query, (agent,)).fetchone()
        return int(prompts), int(answers)

    @contextmanager
    def _using(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RunFailed(
                f"the answers of language models are kept in '{self._path}', which cannot be used ({error}); name "
                "another file by cache=..."
            ) from error
