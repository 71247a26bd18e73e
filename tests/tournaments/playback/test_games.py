"""Recorded games listed, shown move by move, and exported."""

import json
import re

import pyspiel
import pytest

from tests.tournaments.playback.stores import TIC_TAC_TOE, change, marl, played
from tournaments.playback.moves import Playback
from tournaments.playback.pgn import pgn
from tournaments.playback.recorded import Record
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame
from tournaments.records.store import Selection, Store

UCT = "uct(simulations=1)"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return played(tmp_path_factory.mktemp("run"), agents=("random", UCT, "uct(simulations=2)"), opening_moves=1)


@pytest.fixture
def games(path, capsys):
    """Run the command on the store; return what it printed, or its complaint where it fails."""

    def run(*options, store=path):
        code = marl("tournament", "games", store, *options)
        said = capsys.readouterr()
        assert code == (2 if said.err else 0)
        return said.err or said.out

    return run


def rows(path):
    with Store(path) as store:
        return list(store.rows(Selection()))


def again(game, moves):
    """Play moves by OpenSpiel itself; return the state and the names of the moves."""
    state = pyspiel.load_game(game.replace(" ", "")).new_initial_state()
    names = []
    for joint in moves:
        player = state.current_player()
        names.append(state.action_to_string(player, joint[player]))
        state.apply_action(joint[player])
    return state, names


def test_the_list_has_every_game_in_the_order_of_seeds(path, games):
    title, *lines = games().splitlines()
    assert [line[:12] for line in lines] == [id[:12] for id, _ in rows(path)] and len(lines) == 24
    assert title.split() == ["id", "seed", "player", "0", "player", "1", "payoff", "payoff", "ended", "steps"]
    assert lines[0].split()[1] == str(rows(path)[0][1].fixture.seed)


def test_games_are_chosen_by_agents_and_seed(path, games):
    seed = rows(path)[0][1].fixture.seed
    assert len(games("--agent", "random").splitlines()) == 17
    assert len(games("--agent", "random", "--against", UCT).splitlines()) == 9
    assert len(games("--agent", "random", "--against", UCT, "--seed", str(seed)).splitlines()) == 3
    assert "got none of its 24" in games("--agent", UCT, "--against", UCT)
    assert "got none of its 24" in games("--seed", "1") and "got none of its 24" in games("--game", "xyz")
    assert "did you mean 'random'" in games("--agent", "randm")
    assert "which names 2: 'uct(simulations=1)', 'uct(simulations=2)'" in games("--agent", "uct")
    assert "there are random" in games("--agent", "")
    digest = rows(path)[0][1].fixture.agents[0]
    assert games("--agent", digest[:10]) == games("--agent", next(
        agent.name for agent in Store(path).agents() if agent.id == digest
    ))  # fmt: skip


def test_a_game_is_shown_move_by_move(path, games):
    id, game = rows(path)[0]
    data = json.loads(games("--game", id, "--format", "json"))
    state, names = again("tic_tac_toe", data["moves"])
    said = games("--game", id[:8]).rstrip("\n")
    assert said.startswith(f"game {id}\n{TIC_TAC_TOE}, seed {game.fixture.seed}\nplayer 0: ")
    assert said.count("(random opening)") == 1 and f"\n1. {data['agents'][0]} (player 0): {names[0]} (random" in said
    assert all(f"\n{number}. " in said and f": {name}" in said for number, name in enumerate(names, start=1))
    assert said.endswith(f"{state}\nfinished after {game.length} steps")
    assert len(re.findall(r"^[.xo]{3}$", said, re.M)) == 3 * (game.length + 1)


def test_lines_of_json_have_every_move(path, games, tmp_path):
    assert "(24 as json)" in games("--out", str(tmp_path / "all.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [id for id, _ in rows(path)]
    for line, (_, game) in zip(lines, rows(path), strict=True):
        state, names = again("tic_tac_toe", line["moves"])
        assert state.is_terminal() and state.returns() == line["payoffs"] == list(game.payoffs)
        assert [next(filter(None, joint)) for joint in line["names"]] == names
        assert line["digests"] == list(game.fixture.agents) and line["opening_moves"] == 1 and line["failures"] == []
        assert (line["seed"], line["termination"], line["length"]) == (game.fixture.seed, "finished", game.length)


def tags(text):
    return dict(re.findall(r'^\[(\w+) "(.*)"\]$', text, re.M))


def test_results_as_pgn(path, games):
    """As Ordo and BayesElo read it: tags that name the agents and the result, and the result behind a comment."""
    found = games("--format", "pgn", "--agent", "random").rstrip("\n").split("\n\n")
    assert len(found) == 2 * 16
    for heads, moves in zip(found[::2], found[1::2], strict=True):
        tag = tags(heads)
        game = next(game for id, game in rows(path) if id == tag["GameId"])
        won = {1.0: "1-0", 0.0: "1/2-1/2", -1.0: "0-1"}[game.payoffs[0]]
        assert tag["Result"] == won and moves.endswith(f"}} {won}") and moves.startswith("{ x(")
        assert "random" in (tag["White"], tag["Black"]) and tag["Termination"] == "normal"
        assert tag["Seed"] == str(game.fixture.seed) and tag["PlyCount"] == str(game.length)


def test_tags_are_quoted(tmp_path, games):
    path = played(tmp_path, seeds=1)
    change(path, "UPDATE agents SET name = ? WHERE name = 'random'", 'a "b" \\ c\n[White "d"]')
    said = games("--format", "pgn", store=path)
    assert said.count('"a \\"b\\" \\\\ c\\\\n[White \\"d\\"]"') == 2
    assert sum(line.startswith("[White ") for line in said.splitlines()) == 2


def test_chess_as_pgn(tmp_path, games):
    path = played(tmp_path, "openspiel:chess", seeds=1, max_steps=30)
    lines = [json.loads(line) for line in games("--format", "json", store=path).splitlines()]
    for line, text in zip(lines, games("--format", "pgn", store=path).rstrip("\n").split("\n\n[Event"), strict=False):
        heads, _, moves = text.partition("\n\n")
        first = next(player for player, move in enumerate(line["moves"][0]) if move is not None)
        assert (tags(heads)["White"], tags(heads)["Black"]) == (line["agents"][first], line["agents"][1 - first])
        assert tags(heads)["Result"] == "*" and "FEN" not in tags(heads)
        assert tags(heads)["Termination"] == "unterminated" and max(map(len, moves.splitlines())) < 80
        state = pyspiel.load_game("chess").new_initial_state()
        words = moves.split()
        assert words[::3] == [*(f"{number}." for number in range(1, 16)), "*"]
        for word in (word for word in words[:-1] if not word.endswith(".")):
            state.apply_action(state.string_to_action(word))


@pytest.mark.parametrize(("game", "white"), [("openspiel:chess", 1), (TIC_TAC_TOE, 0)])
def test_white_wins(game, white):
    """Player 1 is White in OpenSpiel's chess: it moves first."""
    assert (pyspiel.load_game(game.partition(":")[2]).new_initial_state().current_player() == 1) == (white == 1)
    for winner in (0, 1):
        payoffs = (1.0, -1.0) if winner == 0 else (-1.0, 1.0)
        won = PlayedGame(Fixture(game, ("a", "b"), 0), payoffs, "finished", 3)
        text = "\n".join(pgn(Record("id", won, ("a", "b")), Playback(3, payoffs, 0.0, True, False, ())))
        assert tags(text)["White"] == "ab"[white]
        assert tags(text)["Result"] == text.split()[-1] == ("1-0" if winner == white else "0-1")


@pytest.mark.parametrize(
    ("game", "size", "point"),
    [
        ("go(board_size=4)", "4", lambda name: "" if "PASS" in name else name[2] + "dcba"[int(name[3]) - 1]),
        ("hex(num_cols=2, num_rows=3)", "2:3", lambda name: name),
        ("othello", "8", lambda name: "" if name == "pass" else name[0] + "abcdefgh"[int(name[1]) - 1]),
    ],
)
def test_board_games_as_sgf(tmp_path, games, game, size, point):
    path = played(tmp_path, f"openspiel:{game}", seeds=1)
    said = games("--format", "sgf", store=path)
    lines = [json.loads(line) for line in games("--format", "json", store=path).splitlines()]
    for tree, line in zip(said.rstrip("\n").split("\n(")[:], lines, strict=True):
        root, moves = tree.split("\n")
        assert f"SZ[{size}]" in root and f"PB[{line['agents'][0]}]PW[{line['agents'][1]}]" in root
        assert f"RE[{'B+' if line['payoffs'][0] > 0 else 'W+' if line['payoffs'][0] < 0 else '0'}]" in root
        _, names = again(game, line["moves"])
        right = [f"{'BW'[joint[0] is None]}[{point(name)}]" for joint, name in zip(line["moves"], names, strict=True)]
        assert moves == "".join(f";{move}" for move in right) + ")"


@pytest.mark.parametrize(
    ("game", "agents", "form", "reason"),
    [
        (TIC_TAC_TOE, ("random", UCT), "sgf", "expected OpenSpiel's go, othello, hex"),
        ("coin_game", ("always_defect", "always_cooperate"), "pgn", "expected a two-player zero-sum game for PGN"),
    ],
)
def test_games_that_have_no_such_form(tmp_path, games, game, agents, form, reason):
    path = played(tmp_path, game, agents, seeds=1)
    assert reason in games("--out", str(tmp_path / f"x.{form}"), store=path)
    assert not list(tmp_path.glob("x.*"))


def test_games_without_moves_are_exported_without(tmp_path, games):
    path = played(tmp_path, seeds=1)
    change(path, "UPDATE games SET moves = NULL")
    data = json.loads(games("--format", "json", store=path).splitlines()[0])
    assert data["moves"] is data["names"] is None
    assert "the store has no moves of this game" in games("--game", data["id"], store=path)
    assert re.search(r"^(1-0|0-1|1/2-1/2)$", games("--format", "pgn", store=path), re.M)


def test_moves_that_do_not_fit_are_said(tmp_path, capsys):
    path = played(tmp_path, seeds=1)
    id = rows(path)[0][0]
    change(path, "UPDATE games SET moves = zeroblob(length(moves)) WHERE id = ?", id)
    assert marl("tournament", "games", path, "--out", tmp_path / "x.json") == 1
    assert f"the game {id[:12]} in" in capsys.readouterr().err and not (tmp_path / "x.json").exists()
    assert marl("tournament", "games", path, "--game", id) == 0
    assert "the moves cannot be played on: at step" in capsys.readouterr().out


def test_a_file_that_cannot_be_written(path, games, tmp_path, capsys):
    assert "does not exist; make it first" in games("--out", str(tmp_path / "none" / "x.json"))
    (tmp_path / "x.json").mkdir()
    assert marl("tournament", "games", path, "--out", tmp_path / "x.json") == 1
    assert "expected to write games to" in capsys.readouterr().err


def test_a_suffix_gives_the_form_or_is_refused(games, tmp_path):
    assert "expected a file's name that ends in .text, .json, " in games("--out", str(tmp_path / "x.csv"))
    assert not (tmp_path / "x.csv").exists()
    assert "as json" in games("--out", str(tmp_path / "x.csv"), "--format", "json")
    assert "as text" in games("--out", str(tmp_path / "x"))
