"""Playing into a store: what it lacks and nothing else, whoever made the schedule."""

import pytest

from games.errors import RunFailed
from games.registry import make
from marl.agents.load import identify
from tournaments.playing import play
from tournaments.playing.play import play_into
from tournaments.ratings.table import table
from tournaments.records.store import Store
from tournaments.schedules.round_robin import RoundRobin, cell

GAME = "openspiel:tic_tac_toe"
AGENTS = ("random", "uct(simulations=2)", "tests.bots:Second")


@pytest.fixture
def references():
    return {agent.digest: agent.reference for agent in identify(AGENTS, make(GAME, 1).spec)}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "games.sqlite", create=True) as made:
        made.set("spec", make(GAME, 1).spec.to_json())
        made.set("game", GAME)
        yield made


@pytest.fixture
def asked(monkeypatch):
    """The pieces that are played."""
    pieces = []
    play_chunk = play.play_chunk
    monkeypatch.setattr(play, "play_chunk", lambda *task: pieces.append(task[2]) or play_chunk(*task))
    return pieces


def test_cells_are_games_of_the_round_robin(store, references, asked):
    """Cells first and the whole tournament after them: no game twice, those of the foreign agent last."""
    one, other, foreign = references
    cells = [
        fixture
        for pair in ((one, foreign), (one, other), (other, other))
        for fixture in cell(GAME, *pair, range(3), seed=5)
    ]
    heard = []
    play_into(store, GAME, references, cells, batch=7, on_games=lambda games: heard.append((len(games), len(store))))
    assert heard == [(6, 6), (3, 9), (6, 15)] and len(store) == 15
    assert [any(foreign in fixture.agents for fixture in piece) for piece in asked] == [False, False, True]
    assert table(store, list(references)).games[0].tolist() == [[0, 3, 3], [3, 3, 0], [3, 0, 0]]
    before = {game.fixture.id for game in store.games()}
    schedule = RoundRobin(GAME, references, 2, seeds=4, seed=5)
    assert store.played(schedule) == 12
    del asked[:]
    play_into(store, GAME, references, schedule)
    again = {fixture.id for piece in asked for fixture in piece}
    assert not before & again and len(again) == len(schedule) - 12 and store.played(schedule) == len(schedule) == 24
    del asked[:]
    play_into(store, GAME, references, [*cells, *next(schedule.blocks(256))])
    assert asked == []


def test_workers_play_the_same_games(store, references, tmp_path):
    schedule = RoundRobin(GAME, references, 2, seeds=3, seed=0)
    play_into(store, GAME, references, schedule, batch=4)
    with Store(tmp_path / "other.sqlite", create=True) as other:
        play_into(other, GAME, references, (f for b in schedule.blocks(1) for f in b), batch=4, workers=2)
        assert sorted(map(repr, store.games())) == sorted(map(repr, other.games())) and len(store) == 18


def test_what_was_stored_before_a_failure_is_kept(store, references):
    one, other, _ = references
    fixtures = cell(GAME, one, other, range(2), 0) + cell(GAME, one, "0" * 64, range(2), 0)
    with pytest.raises(RunFailed, match="changed while it was being played"):
        play_into(store, GAME, references | {"0" * 64: AGENTS[1]}, fixtures, batch=4)
    assert len(store) == 4
