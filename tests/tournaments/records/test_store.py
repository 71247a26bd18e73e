import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from tests.tournaments.eager import round_robin
from tournaments.records import store as stores
from tournaments.records.file import SCHEMA_VERSION
from tournaments.records.fixture import Fixture
from tournaments.records.played import NO_RESULT, Failure, PlayedGame, StoredAgent
from tournaments.records.store import Store
from tournaments.schedules.round_robin import RoundRobin

FIXTURES = round_robin("g", ["aa", "bb", "cc"], 2, seeds=5, seed=1)


def played(fixtures, payoffs=(1.0, -1.0), termination="finished"):
    return [PlayedGame(fixture, payoffs, termination, 9, b"\x01\x02") for fixture in fixtures]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "new" / "games.sqlite", create=True) as store:
        for id, name in [("aa", "Ann"), ("bb", "Bob"), ("cc", "Cid")]:
            store.add_agent(id, name, f"{name}()")
        yield store


def test_round_trip(store):
    extreme = [replace(FIXTURES[0], seed=seed) for seed in (0, 2**63 - 1, 2**63, 2**64 - 1)]
    store.add(played(extreme, (0.1, -1 / 3)))
    store.add(played([replace(FIXTURES[0], seed=7)], (0.0, 0.0), "illegal_action"))
    store.set("tournament", {"seeds": 5})
    store.close()

    with Store(store.path) as again:
        results = again.results()
        assert len(again) == 5 and again.get("tournament") == {"seeds": 5} and again.get("nothing", 3) == 3
        assert again.agents()[0] == StoredAgent("aa", "Ann", "Ann()")
        assert results.agents == ("Ann", "Bob") and (results.seats == [0, 1]).all()
        assert (
            sorted(results.seeds.tolist()) == [0, 7, 2**63 - 1, 2**63, 2**64 - 1] and results.seeds.dtype == np.uint64
        )
        regular = results.terminations == "finished"
        assert results.lengths.tolist() == [9] * 5
        assert (results.payoffs[regular] == [0.1, -1 / 3]).all() and results.terminations[~regular] == [
            "illegal_action"
        ]
        assert again.missing(FIXTURES) == FIXTURES


def test_empty(store):
    assert len(store) == 0 and len(store.results()) == 0 and store.results().agents == ()


def test_a_game_is_written_once(store):
    store.add(played(FIXTURES[:10]))
    store.add(played(FIXTURES[5:15], (-1.0, 1.0)))
    store.add(played(FIXTURES[5:15], (-1.0, 1.0)))
    assert len(store) == 15 and store.missing(FIXTURES) == FIXTURES[15:]
    assert (store.results().payoffs[:, 0] == 1).sum() == 10  # the first result stays


def test_bad_games_are_refused(store):
    with pytest.raises(ValueError, match="termination"):
        played(FIXTURES[:1], termination="won")
    with pytest.raises(ValueError, match="payoffs"):
        played(FIXTURES[:1], (1.0,))
    with pytest.raises(ValueError):
        store.add([*played(FIXTURES[:1]), *played(FIXTURES[1:2], (float("inf"), 0.0))])
    with pytest.raises(ValueError, match="nobody forfeited"):
        played(FIXTURES[:1], (float("nan"), 0.0))
    assert len(store) == 0


def test_a_forfeit_may_say_nothing_of_a_player(store):
    nan = float("nan")
    store.add(played(FIXTURES[:1], (nan, -1.0), "agent_error"))
    assert store._db.execute("SELECT payoffs FROM games").fetchone() == ("[null, -1.0]",)
    np.testing.assert_array_equal(store.results().payoffs, [[nan, -1]])


def test_copies_count_until_nobody_need_sit_twice(store):
    two, three, four = (
        played(round_robin("g", agents, 3, seeds=2, seed=1), (1.0, 0.0, 0.0))
        for agents in (["aa", "bb"], ["aa", "bb", "cc"], ["aa", "bb", "cc", "dd"])
    )
    store.add(two)
    assert len(store.results()) == len(two) == 16 and store.results().agents == ("Ann", "Bob")
    store.add(three)
    assert len(store.results()) == len(three) == 6 and len(store) == 22
    store.add(four)
    assert len(store.results()) == len(four) == 24 and len(store) == 40
    mirrored = played(round_robin("g", ["aa", "bb"], 2, seeds=2, seed=1, self_play=True))
    store._db.execute("DELETE FROM games")
    store.add(mirrored)
    assert len(store.results()) == len(mirrored) == 8  # two players: self-play is in the schedule whoever comes


def test_labels_tell_namesakes_apart(tmp_path):
    with Store(tmp_path / "s", create=True) as store:
        for id, name in [("1" * 64, "best"), ("2" * 64, "best"), ("3" * 64, "rest"), ("2" * 63 + "x", "best")]:
            store.add_agent(id, name, name)
        labels = store.labels()
    assert labels["1" * 64] == "best [11111111]" and labels["3" * 64] == "rest"
    assert len(set(labels.values())) == 4


def test_files_that_are_no_store(tmp_path):
    text, other, empty = tmp_path / "text", tmp_path / "other", tmp_path / "empty"
    text.write_text("not a database, but long enough to be looked at as one\n" * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE something (x)")
    db.close()
    empty.touch()
    for path in (text, other, empty):
        with pytest.raises(UserError, match="which is not one") as caught:
            Store(path)
        assert caught.value.exit_code == 2
    assert text.read_text().startswith("not a database")
    for path in (text, other):
        with pytest.raises(UserError, match="which is not one"):
            Store(path, create=True)
    with pytest.raises(UserError, match="does not exist"):
        Store(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    with pytest.raises(UserError, match="folder"):
        Store(tmp_path)
    with pytest.raises(UserError, match="check its folder"):
        Store(text / "under_a_file", create=True)


def test_a_later_version_is_refused(store):
    store.set("schema_version", SCHEMA_VERSION + 1)
    with pytest.raises(UserError, match=f"version {SCHEMA_VERSION + 1}"):
        Store(store.path)


OLDER = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agents (id TEXT PRIMARY KEY, name TEXT NOT NULL, reference TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE games (
    id TEXT PRIMARY KEY, game TEXT NOT NULL, seed INTEGER NOT NULL, agents TEXT NOT NULL, payoffs TEXT NOT NULL,
    termination TEXT NOT NULL, length INTEGER NOT NULL, moves BLOB
);
INSERT INTO meta VALUES ('schema_version', '2'), ('game', '"g"');
INSERT INTO agents VALUES ('bb', 'Bob', 'Bob()'), ('aa', 'Ann', 'Ann()'), ('zz', 'Zoe', 'Zoe()');
"""  # as version 2 wrote it


def older_store(path, version=2):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(OLDER)
    rows = [(f.id, f.game, f.seed - 2**63, json.dumps(f.agents), "[1.0, -1.0]", "finished", 9, b"1") for f in FIXTURES]
    rows[3] = (*rows[3][:4], "[null, -1.0]", "agent_error", 2, b"1")
    db.executemany("INSERT INTO games VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))
    db.commit()
    db.close()
    return path


def facts(store):
    results = store.results()
    columns = (results.seats, results.payoffs, results.seeds, results.terminations, results.lengths)
    return results.agents, [column.tolist() for column in columns], store.labels(), store.seated(), len(store)


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_store_is_read_as_it_is_and_brought_to_this_version_by_who_writes(tmp_path, version):
    path = older_store(tmp_path / "old", version)
    before = path.read_bytes()
    with Store(path) as store:
        read = facts(store)
        assert store.failures() == [] and store.repeated() == 0
    assert path.read_bytes() == before
    assert repr(read).startswith("(('Ann', 'Bob', 'cc'), [[[") and len(read[1][0]) == len(
        FIXTURES
    )  # cc was not entered
    with Store(path, create=True) as store:
        assert store.get("schema_version") == SCHEMA_VERSION and store.missing(FIXTURES) == []
        store.add(played(FIXTURES))
        assert repr(facts(store)) == repr(read)
        store.add_agent("cc", "Cid", "Cid()")
        more = played(round_robin("g", ["aa", "cc"], 2, seeds=1, seed=2))
        store.add(more)
        assert len(store) == len(FIXTURES) + 2 and store.results().agents == ("Ann", "Bob", "Cid")
    with Store(path) as store:
        assert len(store) == len(FIXTURES) + 2


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(tmp_path):
    path = older_store(tmp_path / "old")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE games SET agents = '[\"aa\", 3' WHERE id = ?", (FIXTURES[0].id,))
    db.close()
    before = sqlite3.connect(path).execute("SELECT * FROM games ORDER BY id").fetchall()
    for create in (True, False):
        with pytest.raises(UserError, match="damaged"):
            Store(path, create=create)
    assert sqlite3.connect(path).execute("SELECT * FROM games ORDER BY id").fetchall() == before


def failed(fixture, player, how="agent_error", detail="ValueError: no"):
    paid = (-1.0, 1.0) if player == 0 else (1.0, -1.0)
    return PlayedGame(fixture, paid, how, 4, b"", 0.5, (Failure(player, how, detail, 3),))


def test_who_broke_off_a_game_and_why_is_kept(store):
    store.add([failed(FIXTURES[0], 1), failed(FIXTURES[1], 0, detail="\x1b[2J"), *played(FIXTURES[2:])])
    first = min(FIXTURES[:2], key=lambda fixture: fixture.id)
    (bob,) = store.failures()
    assert (bob.agent, bob.games, bob.game, bob.seed) == ("Bob", 2, first.id, first.seed)
    assert bob.first == Failure(
        1 - FIXTURES.index(first), "agent_error", ["ValueError: no", "\x1b[2J"][FIXTURES.index(first)], 3
    )
    assert store.terminations() == {"agent_error": 2, "finished": len(FIXTURES) - 2}
    store.add([failed(FIXTURES[2], 0)])  # it is there already, and nobody broke it off
    assert len(store.failures()) == 1


def test_results_say_who_broke_off_a_game(store, tmp_path):
    both = (Failure(0, "illegal_action", "a", 3), Failure(1, "agent_error", "b", 3))
    paid_alike = replace(failed(FIXTURES[1], 1), payoffs=(0.0, 0.0))
    games = [replace(failed(FIXTURES[0], 0), failures=both), paid_alike, *played(FIXTURES[2:4])]
    store.add(games)
    fixtures = [(game.fixture.seed, game.fixture.agents) for game in games]
    expected = dict(zip(fixtures, [[True] * 2, [False, True], [False] * 2, [False] * 2], strict=True))
    assert store.results().offenders.tolist() == [expected[fixture] for fixture in sorted(expected)]
    with Store(older_store(tmp_path / "old")) as older:
        assert not older.results().offenders.any()


def test_a_timeout_can_be_played_again(store):
    store.add([failed(FIXTURES[0], 0, "timeout"), failed(FIXTURES[1], 0), *played(FIXTURES[2:4])])
    assert store.missing(FIXTURES[:4]) == [] and store.missing(FIXTURES[:4], retry_timeouts=True) == FIXTURES[:1]
    store.add(played(FIXTURES[:2]))
    assert store.terminations() == {"agent_error": 1, "finished": 3} and len(store.failures()) == 1


def test_games_without_a_result_are_counted_and_not_rated(store):
    for fixture, termination in zip(FIXTURES, NO_RESULT, strict=False):
        store.add(played([fixture], (0.0, 0.0), termination))
    store.add(played(FIXTURES[len(NO_RESULT) : 6]))
    assert len(store.results()) == 6 - len(NO_RESULT) and len(store) == 6
    assert all(store.terminations()[termination] == 1 for termination in NO_RESULT)


def closed(path, games=2000):
    """Return the path of a store of many games, in one file."""
    with Store(path, create=True) as store:
        store.add(played(round_robin("g", ["aa", "bb"], 2, seeds=games // 2, seed=1)))
    return path


def look_at_everything(path):
    with Store(path) as store:
        store.agents(), store.labels(), store.get("game"), store.missing(FIXTURES), len(store), store.results()
        store.seated(), store.repeated(), store.failures(), store.terminations()


def test_torn_pages_are_said_in_one_sentence(tmp_path):
    """An overwritten page, a page of zeros, and an end that is missing."""
    whole = closed(tmp_path / "whole").read_bytes()
    page = 4096
    damaged = 0
    for k in range(1, len(whole) // page, max(1, len(whole) // page // 12)):
        for torn in (bytes(page), b"\xa5" * page):
            path = tmp_path / "torn"
            path.write_bytes(whole[: k * page] + torn + whole[(k + 1) * page :])
            damaged += is_damaged(path)
        path.write_bytes(whole[: k * page])
        damaged += is_damaged(path)
    assert damaged > 20


def is_damaged(path):
    try:
        look_at_everything(path)
    except UserError as error:
        assert error.exit_code == 2 and str(path) in str(error) and len(str(error)) < 500, error
        assert "damaged" in str(error) and ".recover" in str(error)
        return True
    return False  # a page of moves, which nothing reads


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE games SET payoffs = '[1.0'",
        "UPDATE games SET payoffs = '[1.0, \"x\"]'",
        "UPDATE games SET payoffs = '[1.0, 2.0, 3.0]'",
        "UPDATE games SET payoffs = 7",
        "UPDATE games SET payoffs = '[Infinity, 1.0]'",
        "UPDATE games SET payoffs = '[1e308, -1e308]'",
        "UPDATE games SET payoffs = printf('%.*c', 100000, '[')",
        "UPDATE games SET agents = '{}' WHERE rowid = 1",
        "UPDATE games SET agents = '[1, 999]'",
        "UPDATE games SET agents = 'no JSON'",
        "UPDATE games SET agents = x'ff'",
        "UPDATE agents SET id = x'ff00' WHERE number = 1",
        "UPDATE games SET seed = 'many'",
        "UPDATE games SET length = 'long'",
        "UPDATE games SET length = -1",
        "UPDATE games SET rounding = -1.0",
        "UPDATE games SET rounding = 'little'",
        "UPDATE games SET termination = 'won'",
        "UPDATE games SET termination = 3",
        "UPDATE meta SET value = '{' WHERE key = 'game'",
        "INSERT INTO failures SELECT id, 7, 'left', '', 1 FROM games",
        "INSERT INTO failures SELECT id, -1, 'left', '', 1 FROM games",
        "INSERT INTO failures SELECT id, 'one', 'left', '', 1 FROM games",
    ],
)
def test_cells_that_no_release_wrote_are_said_in_one_sentence(tmp_path, change):
    path = closed(tmp_path / "s", games=20)
    with Store(path, create=True) as store:
        store.set("game", "g")
        store._db.execute(change)
    assert is_damaged(path)


@pytest.mark.parametrize(
    "more",
    [
        "CREATE TRIGGER t AFTER INSERT ON games BEGIN DELETE FROM games; END",
        "CREATE VIEW v AS SELECT * FROM games",
        "CREATE TABLE more (x)",
    ],
)
def test_a_file_that_brings_more_than_a_store_is_none(tmp_path, more):
    path = closed(tmp_path / "s", games=20)
    with sqlite3.connect(path) as db:
        db.execute(more)
    db.close()
    for create in (False, True):
        with pytest.raises(UserError, match="which is not one"):
            Store(path, create=create)


def test_functions_of_a_strangers_schema_do_not_run(tmp_path):
    path = closed(tmp_path / "s", games=20)
    with Store(path, create=True) as store:
        assert store._db.execute("PRAGMA trusted_schema").fetchone() == (0,)
    with Store(path) as store:
        assert store._db.execute("PRAGMA trusted_schema").fetchone() == (0,)


def test_reading_writes_nothing(tmp_path):
    path = closed(tmp_path / "folder" / "s", games=20)
    before = path.read_bytes()
    look_at_everything(path)
    with Store(path) as store, pytest.raises(RunFailed, match="readonly"):
        store.set("game", "g")
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == ["s"]


def test_a_store_on_read_only_media(tmp_path, monkeypatch):
    """Where SQLite cannot make the files that readers of a write-ahead log share, a store that was closed is read."""
    path = closed(tmp_path / "s", games=20)
    connect = Store._connect

    def refuse(self, mode, immutable=False):
        db = connect(self, mode, immutable)
        return db if immutable else Unreadable(db)

    monkeypatch.setattr(Store, "_connect", refuse)
    with Store(path) as store:
        assert len(store) == 20 and len(store.results()) == 20
    path.with_name("s-wal").write_bytes(b"more games")
    with pytest.raises(UserError, match="copy both"):
        Store(path)


class Unreadable:
    """A connection that cannot read, as on a read-only drive."""

    def __init__(self, db):
        self._db = db

    def execute(self, query):
        raise sqlite3.OperationalError("unable to open database file")

    def close(self):
        self._db.close()


def test_a_network_drive_gets_no_write_ahead_log(tmp_path, monkeypatch):
    for kind, mode in (("nfs4", "delete"), ("", "wal"), ("9p", "delete")):
        monkeypatch.setattr("tournaments.records.file.network_drive", lambda path, kind=kind: kind)
        with Store(tmp_path / "s", create=True) as store:
            assert store._db.execute("PRAGMA journal_mode").fetchone() == (mode,)
            store.add(played(FIXTURES[:3]))
    assert len(Store(tmp_path / "s")) == 3


@pytest.mark.parametrize(
    "pragma, reason", [("PRAGMA query_only = ON", "readonly"), ("PRAGMA max_page_count = 1", "full")]
)
def test_a_failed_write_keeps_what_was_written(store, pragma, reason):
    store.add(played(FIXTURES[:2]))
    store._db.execute(pragma)
    many = round_robin("g", ["aa", "bb"], 2, seeds=2000, seed=2)
    with pytest.raises(RunFailed, match=reason) as caught:
        store.add(played(many))
    assert caught.value.exit_code == 1
    store.close()
    with Store(store.path) as again:
        assert len(again) == 2


def test_how_many_games_of_a_schedule_are_stored(store):
    """Games of other agents, seeds, tables and games do not count."""
    schedule = RoundRobin("g", ["aa", "bb", "cc"], 2, seeds=5, seed=1)
    assert store.played(schedule) == 0
    store.add(played(FIXTURES[:15]))
    store.add(played(round_robin("g", ["aa", "dd"], 2, seeds=5, seed=1)))
    store.add(played(round_robin("g", ["aa", "bb"], 2, seeds=5, seed=2)))
    store.add(played(round_robin("other", ["aa", "bb"], 2, seeds=5, seed=1)))
    store.add(played([Fixture("g", ("aa", "aa"), FIXTURES[0].seed)]))
    store.add([PlayedGame(FIXTURES[15], (-1.0, 1.0), "timeout", 3)])
    assert store.played(schedule) == 16 and store.played(schedule, retry_timeouts=True) == 15
    assert store.played(RoundRobin("g", ["aa", "bb", "cc"], 2, seeds=2, seed=1)) == 12
    assert store.played(RoundRobin("g", ["aa", "bb", "cc"], 2, seeds=1, seed=1, self_play=True)) == 7
    assert store.played(RoundRobin("g", ["aa", "dd"], 2, seeds=9, seed=1)) == 10


def test_games_come_back_as_they_were_added(store):
    nan = float("nan")
    games = [
        PlayedGame(Fixture("g", ("bb", "aa"), 2**64 - 1), (1.0, -1.0), "finished", 9, bytes(72), 0.5),
        PlayedGame(Fixture("g", ("cc", "aa"), 7), (0.0, 0.0), "cut", 60),
        PlayedGame(
            Fixture("g", ("aa", "bb"), 3), (nan, -1.0), "agent_error", 2, failures=(Failure(1, "agent_error", "no", 1),)
        ),
    ]
    store.add(games)
    assert list(map(repr, store.games())) == list(map(repr, reversed(games)))  # in the order of their seeds
    assert [game.fixture.seed for game in store.games({"aa", "bb"})] == [3, 2**64 - 1]
    assert list(store.games({"aa"})) == []
    store.set("opening_moves", 2)
    store.set("max_steps", 60)
    fixture = Fixture("g", ("cc", "cc"), 1, opening_moves=2, max_steps=60)
    store.add([PlayedGame(fixture, (0.0, 0.0), "finished", 5)])
    [game] = store.games({"cc"})
    assert game.fixture == fixture


def test_a_store_is_checked_some_games_at_a_time(store, monkeypatch):
    """Failures are found beside their games, and games of other numbers of players wherever they are."""
    monkeypatch.setattr(stores, "CHECKED", 4)
    store.check()
    store.add(played(FIXTURES[:7]))
    failures = (Failure(1, "agent_error", "no", 1),)
    store.add([PlayedGame(f, (1.0, -1.0), "agent_error", 2, failures=failures) for f in FIXTURES[7:14]])
    store.add([PlayedGame(FIXTURES[14], (0.0, 0.0), "cut", 2), *played(FIXTURES[15:17])])
    store.check()
    assert store.results().offenders.sum() == 7
    last = store._db.execute("SELECT id FROM games ORDER BY rowid DESC").fetchone()
    store._db.execute(f"UPDATE games SET rowid = {2**63 - 1} WHERE id = ?", last)
    store._db.execute(f"UPDATE games SET rowid = {-(2**63)} WHERE id = ?", (FIXTURES[0].id,))
    store.check()
    store._db.execute("UPDATE games SET payoffs = '[1]' WHERE id = ?", last)
    with pytest.raises(UserError, match="is damaged"):
        store.check()
    store._db.execute("DELETE FROM games WHERE id = ?", last)
    store.add(played([Fixture("g", ("aa", "bb", "cc"), seed) for seed in range(5)], (0.0, 0.0, 0.0)))
    with pytest.raises(UserError, match="games of one number of players"):
        store.check()


WRITER = """
import sys
from tests.tournaments.eager import round_robin
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
fixtures = round_robin("g", ["aa", "bb"], 2, seeds=100_000, seed=0)
with Store(sys.argv[1], create=True) as store:
    for k in range(0, len(fixtures), 100):
        store.add([PlayedGame(f, (1.0, -1.0), "finished", 9, bytes(200)) for f in fixtures[k : k + 100]])
        print(k + 100, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches(tmp_path):
    path = tmp_path / "games.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(5):
        told = int(writer.stdout.readline())
    time.sleep(0.02)
    writer.kill()
    writer.wait()
    told = max([told, *(int(line) for line in writer.stdout.read().split())])
    writer.stdout.close()
    fixtures = round_robin("g", ["aa", "bb"], 2, seeds=100_000, seed=0)
    with Store(path, create=True) as store:
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert len(store) % 100 == 0 and told <= len(store) < len(fixtures)
        missing = store.missing(fixtures)
        assert missing == fixtures[len(store) :]
        store.add(played(missing[:50]))
        assert (store.results().payoffs == [1, -1]).all()


def test_one_game_a_store(store):
    store.add([*played(FIXTURES[:1]), PlayedGame(Fixture("h", ("aa", "bb", "cc"), 1), (0.0, 0.0, 0.0), "finished", 1)])
    with pytest.raises(UserError, match="number of players"):
        store.results()


def test_games_that_repeat_on_every_seed(store):
    games = played(round_robin("g", ["aa", "bb", "cc"], 2, seeds=10, seed=1))
    store.add(games[1:])
    there, back = games[0].fixture.agents, games[0].fixture.agents[::-1]
    assert len({game.fixture.agents for game in games}) == 6 and store.repeated() == 5  # one seating has nine games
    store.add([replace(games[0], moves=b"\x03")])
    assert store.repeated() == 5
    other = [game for game in games if game.fixture.agents == back]
    store._db.execute("UPDATE games SET payoffs = '[0.0, 0.0]' WHERE id = ?", (other[3].fixture.id,))
    assert there != back and store.repeated() == 4  # the same moves, and chance decided
