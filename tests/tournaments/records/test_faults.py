"""What befalls a store from outside: other processes, and a full disk."""

import resource
import sqlite3
import threading

import pytest

from games.errors import RunFailed, UserError
from tests.tournaments.playback.stores import played
from tournaments.records import file
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store


def game(seed):
    return PlayedGame(Fixture("g", ("aa", "bb"), seed), (1.0, -1.0), "finished", 5)


@pytest.fixture
def path(tmp_path):
    with Store(tmp_path / "games.sqlite", create=True) as made:
        made.add([game(1)])
    return tmp_path / "games.sqlite"


class Another:
    """Another process that has locked a store, and lets it go when somebody has waited a few times."""

    def __init__(self, path, monkeypatch, times=3):
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("BEGIN EXCLUSIVE")
        self.times = times
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *where, **how: connect(*where, **{**how, "timeout": 0.01}))
        clock = file.time.monotonic
        monkeypatch.setattr(file.time, "monotonic", lambda: self.tick() or clock())

    def tick(self):
        self.times -= 1
        if self.times == 0:
            self.db.execute("ROLLBACK")


def test_who_writes_waits_for_a_store_that_is_locked(path, monkeypatch, caplog):
    with Store(path, create=True) as store:
        Another(path, monkeypatch)
        store._db.execute("PRAGMA busy_timeout = 10")
        store.add([game(2)])
        assert len(store) == 2
    first, last = (record.getMessage() for record in caplog.records)
    assert "another process has locked the store" in first and "at most 600 seconds" in first
    assert "was free after" in last


@pytest.mark.parametrize("create", [False, True])
def test_who_opens_waits_for_a_store_that_is_locked(path, monkeypatch, caplog, create):
    another = Another(path, monkeypatch)
    with Store(path, create=create) as store:
        assert len(store) == 1 and another.times < 1
    assert "another process has locked the store" in caplog.records[0].getMessage()


def test_who_has_waited_for_long_says_so(path, monkeypatch):
    monkeypatch.setattr(file, "PATIENCE", 0.0)
    with Store(path, create=True) as store:
        another = Another(path, monkeypatch, times=-1)
        store._db.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(RunFailed, match=r"for more than 0 seconds; what was written before is kept"):
            store.add([game(2)])
    another.db.execute("ROLLBACK")
    another.db.execute("PRAGMA journal_mode = DELETE")  # in which a lock keeps readers out, too
    another.db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="for more than 0 seconds; let it end, and try again"):
        Store(path)


def test_two_writers_add_each_game_once(path):
    """Whatever they write at the same moment: the same games, and other ones."""
    batches = [[game(seed) for seed in range(start, start + 30)] for start in (0, 15)]

    def write(batch):
        with Store(path, create=True) as store:
            for k in range(0, 30, 3):
                store.add(batch[k : k + 3])

    writers = [threading.Thread(target=write, args=(batch,)) for batch in batches]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with Store(path) as store:
        assert sorted(played.fixture.seed for played in store.games()) == list(range(45))


def test_a_disk_that_fills_up_ends_a_tournament_with_a_sentence_and_loses_nothing(tmp_path):
    """No file may grow beyond some size: what was stored before is whole, and the tournament goes on afterwards."""
    with Store(played(tmp_path / "whole", seeds=40)) as whole:
        right = list(map(repr, whole.games()))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(RunFailed, match=r"expected to write to the store .* run again to go on"):
            played(tmp_path / "run", seeds=40, batch=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Store(tmp_path / "run" / "games.sqlite") as store:
        store.check()
        kept = set(map(repr, store.games()))
    assert 0 < len(kept) < len(right) and kept < set(right)
    with Store(played(tmp_path / "run", seeds=40, batch=4)) as store:
        assert list(map(repr, store.games())) == right
