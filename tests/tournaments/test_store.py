import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from games.errors import RunFailed, UserError
from tournaments.schedule import Fixture, round_robin
from tournaments.store import PlayedGame, Store, StoredAgent

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
    with pytest.raises(ValueError, match="nobody broke off"):
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
        with pytest.raises(UserError, match="another file") as caught:
            Store(path)
        assert caught.value.exit_code == 2
    assert text.read_text().startswith("not a database")
    for path in (text, other):
        with pytest.raises(UserError, match="another file"):
            Store(path, create=True)
    with pytest.raises(UserError, match="does not exist"):
        Store(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    with pytest.raises(UserError, match="folder"):
        Store(tmp_path)
    with pytest.raises(UserError, match="check its folder"):
        Store(text / "under_a_file", create=True)


def test_a_later_version_is_refused(store):
    store.set("schema_version", 3)
    with pytest.raises(UserError, match="version 3"):
        Store(store.path)


def test_an_older_store_is_read_and_its_version_raised_when_games_are_added(store):
    """For what is added may hold payoffs that the release that made it cannot read."""
    assert store.get("schema_version") == 2
    store.add(played(FIXTURES[:1]))
    store.set("schema_version", 1)
    with Store(store.path) as old:
        assert len(old.results()) == 1 and old.get("schema_version") == 1
        old.add(played(FIXTURES[1:2], (float("nan"), -1.0), "agent_error"))
        assert len(old.results()) == 2 and old.get("schema_version") == 2


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


WRITER = """
import sys
from tournaments.schedule import round_robin
from tournaments.store import PlayedGame, Store
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
    with Store(path) as store:
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


def test_inserts_are_fast(store):
    games = played(round_robin("g", ["aa", "bb"], 2, seeds=10_000, seed=0))
    start = time.process_time()
    for k in range(0, len(games), 1000):
        store.add(games[k : k + 1000])
    assert len(games) / (time.process_time() - start) > 10_000  # 60,000 a second where this was written
    start = time.process_time()
    assert len(store.results()) == len(games)
    assert time.process_time() - start < 2
