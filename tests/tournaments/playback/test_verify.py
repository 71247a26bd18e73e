"""What was recorded is what the moves, the seeds and the agents make; and what is not is found."""

import json
from dataclasses import replace

import numpy as np
import pytest

from games.registry import make
from tests.tournaments.playback.stores import SECOND, TIC_TAC_TOE, change, marl, played
from tournaments.playback import moves as moves_
from tournaments.playback.recorded import environments, played_back
from tournaments.playback.verify import verify
from tournaments.records.store import Selection, Store

SPREAD = "pettingzoo:mpe2.simple_spread_v3(N=2, continuous_actions=True, max_cycles=3)"
GONE = "tests.games.test_comings_and_goings:Gone"
UCT = ("uct(simulations=1)", "uct(simulations=2)")
FORFEITING = ("tests.bots:Moody", "tests.bots:Cheat", "random")


def found(path, **options):
    with Store(path) as store:
        return verify(store, options.pop("selection", Selection()), **options)


@pytest.mark.parametrize(
    ("game", "agents", "settings"),
    [
        (TIC_TAC_TOE, ("random", *UCT), {"opening_moves": 2}),
        ("openspiel:leduc_poker(players=3)", ("random", *UCT), {}),
        ("openspiel:goofspiel(num_cards=3)", ("random", UCT[0]), {"opening_moves": 1}),
        ("openspiel:backgammon", ("random", UCT[0]), {"max_steps": 9}),
        ("predator_prey", ("random", SECOND), {"seeds": 1, "max_steps": 9}),
        ("coin_game", ("always_cooperate", "always_defect"), {}),
        ("spread | messy(phi=0.5)", ("random", SECOND), {"seeds": 1}),
        (GONE, ("random", SECOND), {"seeds": 1}),
        (TIC_TAC_TOE, FORFEITING, {"seeds": 4}),
        ("matrix(game=chicken, steps=5)", FORFEITING, {"seeds": 3}),
        (SPREAD, ("random", "tests.bots:Moody"), {}),
    ],
)
def test_every_kind_of_game_is_as_it_is_recorded(tmp_path, monkeypatch, game, agents, settings):
    """In batches and one by one: the same moves, payments and ends, whoever plays beside them."""
    path = played(tmp_path, game, agents, **settings)
    trusted = [game, *agents]
    verdict = found(path, agents=True, trusted=trusted)
    assert verdict.differences == [] and verdict.notes == [] and verdict.without_moves == 0
    with Store(path) as store:
        assert verdict.verified == verdict.asked == len(store)
        many = list(played_back(store, Selection(), environments(store, 100, trusted), names=True))
        single = list(played_back(store, Selection(), make(game, 1), names=True))
    assert [again for _, again in many] == [again for _, again in single]
    assert [len(again.steps) for _, again in many] == [moves_.steps_of(record.game) for record, _ in many]
    recorded = [again.payoffs for record, again in many if record.game.termination == "finished"]
    assert recorded == [record.game.payoffs for record, _ in many if record.game.termination == "finished"]


def first(path, what="id"):
    """Return a fact of one game that nobody forfeited."""
    with Store(path) as store:
        return store._rows(f"SELECT {what} FROM games WHERE termination IN ('finished', 'truncated') ORDER BY id")[0][0]


def moves(path):
    return np.frombuffer(first(path, "moves"), np.int32).copy()


def illegal(path):
    """Return moves of which the third repeats the first."""
    changed = moves(path).reshape(-1, 2)
    changed[2] = changed[0]
    return changed.tobytes()


def idle(path):
    """Return moves of which the first is made by both."""
    changed = moves(path).reshape(-1, 2)
    changed[0] = changed[0].max() or 1
    return changed.tobytes()


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("payoffs", lambda path: "[0.5, -0.5]", "player 0 is recorded to be paid 0.5, and is paid"),
        ("moves", illegal, "at step 2 the recorded action"),
        ("moves", idle, "who does not act there"),
        ("moves", lambda path: b"12345", "its 5 bytes of moves do not fit"),
        ("moves", lambda path: moves(path)[:2].tobytes(), "its 8 bytes of moves do not fit"),
        ("length", lambda path: first(path, "length") + 1, "bytes of moves do not fit"),
        ("termination", lambda path: "truncated", "it is recorded as truncated, and it is finished"),
        ("termination", lambda path: "cut", "it is recorded as cut, and it is finished after"),
        ("termination", lambda path: "resigned", "it is recorded as resigned, and it is finished"),
        ("rounding", lambda path: 2.0, "its payoffs are recorded with a rounding error of at most 2, and it is"),
        ("rounding", lambda path: "nan", "its payoffs are recorded with a rounding error of at most nan, and it is"),
        ("seed", lambda path: 7, "its id is not that of its game, agents, seed and settings"),
    ],
)
def test_a_changed_record_is_found(tmp_path, capsys, column, value, what):
    path = played(tmp_path, seeds=3)
    id = first(path)
    change(path, f"UPDATE games SET {column} = ? WHERE id = ?", value(path), id)
    [difference] = found(path).differences
    assert difference.game == id and what in difference.what
    assert marl("tournament", "verify", str(path)) == 1
    said = capsys.readouterr().out
    assert id in said and "1 differ" in said
    assert marl("tournament", "verify", str(path), "--json") == 1
    assert [entry["game"] for entry in json.loads(capsys.readouterr().out)["differences"]] == [id]


def test_a_bound_that_hides_a_win_is_found(tmp_path):
    """A payoff is not taken for rounding because the record says that it is rounded so far."""
    path = played(tmp_path, seeds=3)
    change(path, "UPDATE games SET payoffs = '[0.5, -0.5]', rounding = 9 WHERE id = ?", first(path))
    assert len(found(path).differences) == 1


def test_a_game_of_other_seats_is_found(tmp_path, capsys):
    """Its id is right, so nothing but the game says that it has a player too many."""
    path = played(tmp_path, seeds=3)
    id = first(path)
    with Store(path) as store:
        [game] = (game for game in store.games() if game.fixture.id == id)
        numbers = json.loads(store._rows("SELECT agents FROM games WHERE id = ?", id)[0][0])
    seats = replace(game.fixture, agents=(*game.fixture.agents, game.fixture.agents[0]))
    row = (seats.id, json.dumps([*numbers, numbers[0]]), "[1, -1, 0]", id)
    change(path, "UPDATE games SET id = ?, agents = ?, payoffs = ? WHERE id = ?", *row)
    [difference] = found(path, agents=True).differences
    assert difference.what == "it has 3 seats, and the game has 2"
    for form in ("json", "pgn"):
        assert marl("tournament", "games", str(path), "--format", form) == 1
        assert "cannot be played again (it has 3 seats, and the game has 2)" in capsys.readouterr().err


def test_a_game_that_goes_on_is_found(tmp_path):
    path = played(tmp_path, seeds=3)
    whole = moves(path)
    change(path, "UPDATE games SET moves = ?, length = ? WHERE id = ?", whole[:4].tobytes(), 2, first(path))
    [difference] = found(path).differences
    assert difference.what == "it is recorded as finished, and it goes on after 2 steps"
    change(path, "UPDATE games SET moves = ?, length = ? WHERE id = ?",
           np.concatenate([whole, whole[:2]]).tobytes(), len(whole) // 2 + 1, first(path))  # fmt: skip
    [difference] = found(path).differences
    assert difference.what == f"the game ends after {len(whole) // 2} steps, and {len(whole) // 2 + 1} are recorded"


def test_a_forfeit_that_is_another_is_found(tmp_path):
    path = played(tmp_path, agents=FORFEITING, seeds=4)
    with Store(path) as store:
        id, player = store._rows("SELECT game, player FROM failures ORDER BY game")[0]
    change(path, "UPDATE failures SET player = ? WHERE game = ?", 1 - player, id)
    [difference] = found(path).differences
    assert difference.game == id and "is recorded to forfeit it" in difference.what
    change(path, "UPDATE failures SET player = ?, ply = 100 WHERE game = ?", player, id)
    [difference] = found(path).differences
    assert "is recorded to be forfeited at step 100" in difference.what


def test_rounding_within_the_bound_is_no_difference(tmp_path):
    """Another processor may sum otherwise in the last digits: as far as the stored bound."""
    path = played(tmp_path, "coin_game", ("always_defect", "always_cooperate"), seeds=2)
    paid, bound = json.loads(first(path, "payoffs")), first(path, "rounding")
    change(path, "UPDATE games SET payoffs = ? WHERE id = ?", json.dumps([paid[0] + bound / 2, paid[1]]), first(path))
    assert found(path).differences == []
    change(path, "UPDATE games SET payoffs = ? WHERE id = ?", json.dumps([paid[0] + bound * 3, paid[1]]), first(path))
    assert len(found(path).differences) == 1


def test_games_without_moves_are_counted(tmp_path, capsys):
    path = played(tmp_path, agents=("random", "uct(simulations=2)"), seeds=2)
    change(path, "UPDATE games SET moves = NULL WHERE id = ?", first(path))
    verdict = found(path)
    assert (verdict.verified, verdict.without_moves) == (3, 1)
    assert found(path, agents=True).asked == 4
    change(path, "UPDATE games SET moves = NULL")
    assert marl("tournament", "verify", str(path)) == 0
    said = capsys.readouterr().out
    assert "has no moves of 4 games" in said and "No game could be played again" in said


def test_a_game_whose_spec_has_changed_is_noted(tmp_path):
    path = played(tmp_path, seeds=1)
    with Store(path, create=True) as store:
        store.set("spec", store.get("spec") | {"max_length": 8})
    verdict = found(path)
    assert verdict.differences == []
    assert verdict.notes == [
        "the game has changed since the store was made: max_length 8, now 9; ratings follow the store"
    ]


def test_a_sample_is_drawn_by_ids(tmp_path):
    path = played(tmp_path, seeds=8)
    assert found(path, selection=Selection(sample=5)).verified == 5
    assert found(path, selection=Selection(sample=99)).verified == 16


def test_agents_that_play_otherwise_are_found(tmp_path):
    path = played(tmp_path, agents=("random", "uct(simulations=2)"), seeds=2)
    changed = moves(path).reshape(-1, 2)
    changed[[0, 2]] = changed[[2, 0]]  # player 0's first two moves, in the other order
    change(path, "UPDATE games SET moves = ? WHERE id = ?", changed.tobytes(), first(path))
    assert found(path).differences == []  # still a game of these payoffs
    [difference] = found(path, agents=True).differences
    assert difference.what == "its agents move otherwise" and difference.game == first(path)


def test_an_agent_that_has_changed_or_is_gone_is_named(tmp_path):
    path = played(tmp_path, agents=("random", *UCT), seeds=2)
    change(path, "UPDATE agents SET reference = 'uct(simulations=3)' WHERE name LIKE 'uct%2)'")
    verdict = found(path, agents=True)
    assert verdict.verified == 12 and verdict.asked == 4 and verdict.differences == []
    assert len(verdict.notes) == 1 and "'uct(simulations=2)' has changed: 'uct(simulations=3)' has" in verdict.notes[0]
    change(path, "UPDATE agents SET reference = 'runs/gone' WHERE name LIKE 'uct%2)'")
    [note] = found(path, agents=True).notes
    assert "'uct(simulations=2)' cannot be loaded" in note and "runs/gone" in note
    change(path, "UPDATE agents SET reference = '' WHERE name LIKE 'uct%2)'")
    assert "has no reference in the store" in found(path, agents=True).notes[0]


def test_code_that_a_store_names_does_not_run_unless_it_is_typed(tmp_path, capsys):
    path = played(tmp_path / "own", GONE, ("random", SECOND), seeds=1)
    assert marl("tournament", "verify", str(path)) == 2
    said = capsys.readouterr().err
    assert "which is not run" in said and f"--trust {GONE}" in said
    assert marl("tournament", "verify", str(path), "--trust", GONE, "--agents") == 0
    assert f"--trust {SECOND}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    "change_of_all",
    [
        "UPDATE games SET length = 'long'",
        "UPDATE games SET moves = 'text'",
        "UPDATE games SET rounding = 'x'",
        "UPDATE games SET payoffs = '[[1], 2]'",
        "UPDATE games SET agents = '[9, 9]'",
        "INSERT INTO failures SELECT id, 7, 'timeout', '', 0 FROM games",
    ],
)
def test_cells_that_no_release_wrote_are_said_in_one_sentence(tmp_path, capsys, change_of_all):
    path = played(tmp_path, seeds=1)
    change(path, change_of_all)
    for command in ("verify", "games"):
        assert marl("tournament", command, path) == 2
        assert "is damaged" in capsys.readouterr().err


def test_an_empty_store(tmp_path, capsys):
    Store(tmp_path / "games.sqlite", create=True).close()
    for command in ("verify", "games"):
        assert marl("tournament", command, str(tmp_path)) == 2
        assert "without any; run its tournament first" in capsys.readouterr().err
