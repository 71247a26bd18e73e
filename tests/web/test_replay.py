"""Stored games, step by step, and why their agents moved so."""

import pytest

from games.errors import UserError
from games.keys import stream
from marl.agents.load import load_entrant
from tests.marl.views import TTT
from tournaments.playing.match import dismiss, play
from tournaments.records.fixture import Fixture
from tournaments.records.played import StoredAgent
from tournaments.records.store import STORE, Store
from tournaments.web.persons import ASSISTED
from tournaments.web.replay import refuse_outside
from tournaments.web.table import Table

GAME = TTT.name
MCTS, UCT = "mcts(simulations=30)", "uct(simulations=20)"


def write(folder, game=GAME, agents=(MCTS, UCT), opening=0):
    """Play a game of two agents into a store; return its id."""
    spec = Table(game).spec
    found = [load_entrant(agent, spec) for agent in agents]
    fixture = Fixture(game, tuple(agent.digest for agent in found), stream(3, "test"), opening)
    (played,) = play(game, list(agents), [fixture], 1)
    dismiss()
    with Store(folder / STORE, create=True) as store:
        store.set("opening_moves", opening)
        store.set("spec", spec.to_json())
        store.set("game", game)
        for agent in found:
            store.add_agent(agent.digest, agent.name, agent.reference)
        store.add([played])
    return fixture.id, played


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def api(page, id, what, name="cup", **values):
    query = "&".join(f"{key}={value}" for key, value in values.items())
    return page.ask(f"/api/games/{name}/{id}/{what}?{query}")


@pytest.mark.parametrize("opening", [0, 3])
def test_agents_explain_the_moves_that_are_recorded(folder, serve, opening):
    id, game = write(folder / "cup", opening=opening)
    page = serve(folder)
    shown = page.ask(f"/games/cup/{id}")
    assert shown.status == 200 and "mcts(simulations=30) – uct(simulations=20)" in shown.text
    for ply in range(game.length + 1):
        told = api(page, id, "position", ply=ply, seat=2).json
        assert told["ply"] == ply and told["random"] == (ply < opening) and told["svg"].startswith("<svg")
        assert [each["player"] for each in told["acting"]] == ([] if ply == game.length else [ply % 2])
        why = api(page, id, "why", ply=ply, seat=2, player=ply % 2)
        if opening <= ply < game.length:
            assert why.status == 200 and why.json["action"] == why.json["played"], ply
            assert why.json["rows"][0]["name"] == why.json["name"] == why.json["line"][0]
        else:
            assert why.status == 422
    assert api(page, id, "position", ply=99, seat=0).json["ply"] == game.length


def test_simultaneous_moves_and_what_a_player_sees(folder, serve):
    id, _ = write(folder / "cup", "openspiel:kuhn_poker", ("random", "random"))
    page = serve(folder)
    everyone, one, other = (api(page, id, "position", ply=1, seat=seat).json["svg"] for seat in (2, 0, 1))
    assert len({everyone, one, other}) == 3
    id, _ = write(folder / "goof", "openspiel:goofspiel(num_cards=4)", ("random", UCT))
    told = api(page, id, "position", name="goof", ply=1, seat=2).json
    assert [each["player"] for each in told["acting"]] == [0, 1] and len(told["acting"][0]["legal"]) == 3
    assert api(page, id, "why", name="goof", ply=1, seat=2, player=1).json["simulations"] > 0


def test_an_agent_that_is_code_is_not_run(folder, serve, monkeypatch):
    id, game = write(folder / "cup")
    with Store(folder / "cup" / STORE, create=True) as store:
        store.add_agent(game.fixture.agents[0], "evil", "tests.web.no_such_module:Evil")
        store.add_agent(game.fixture.agents[1], "other", "/etc/passwd")
    page = serve(folder)
    assert "is code" in api(page, id, "why", ply=0, seat=0, player=0).json["error"]
    assert "outside the folder" in api(page, id, "why", ply=1, seat=0, player=1).json["error"]
    with Store(folder / "cup" / STORE, create=True) as store:
        store.add_agent(game.fixture.agents[0], "far", "minimax(propose=[random, /etc/passwd])")
        store.add_agent(game.fixture.agents[1], "asks", "rollout(base=chat(model=m, url=http://127.0.0.1:1))")
    assert "outside the folder" in api(page, id, "why", ply=0, seat=0, player=0).json["error"]
    assert "asks a server" in api(page, id, "why", ply=1, seat=0, player=1).json["error"]
    monkeypatch.chdir(folder)  # where a path in quotes would be a file of this folder
    with Store(folder / "cup" / STORE, create=True) as store:
        store.add_agent(game.fixture.agents[0], "mixed", "mixture('/etc/passwd')")
        store.add_agent(game.fixture.agents[1], "within", "rollout(base=mixture('/etc/passwd'(greedy=true)))")
    assert "outside the folder" in api(page, id, "why", ply=0, seat=0, player=0).json["error"]
    assert "outside the folder" in api(page, id, "why", ply=1, seat=0, player=1).json["error"]
    with Store(folder / "cup" / STORE, create=True) as store:
        store.add_agent(game.fixture.agents[0], "evil", "random")
        store.add_agent(game.fixture.agents[1], "person:Ann", "person:Ann")
    assert "has changed since it played" in api(page, id, "why", ply=0, seat=0, player=0).json["error"]
    assert "a person" in api(page, id, "why", ply=1, seat=0, player=1).json["error"]


@pytest.mark.parametrize("text", ["minimax(propose=[random, {}])", "mixture('{}'(greedy=true))", "rollout(base={})"])
def test_agents_that_name_others_in_the_folder_may_be_asked(folder, tmp_path, monkeypatch, text):
    (folder / "one").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    refuse_outside(folder, StoredAgent("0", "mine", text.format(folder / "one")))
    with pytest.raises(UserError, match="outside the folder"):
        refuse_outside(folder, StoredAgent("0", "far", text.format(tmp_path / "elsewhere")))


def test_a_game_that_is_code_is_not_made(folder, serve):
    id, _ = write(folder / "cup")
    with Store(folder / "cup" / STORE, create=True) as store:
        store.set("game", "tests.games.plugin:Nim")
    answer = serve(folder).ask(f"/games/cup/{id}")
    assert answer.status == 422 and "not run" in answer.text


def test_what_is_not_there(folder, serve):
    id, _ = write(folder / "cup")
    page = serve(folder)
    for path, status in (
        ("/games/cup/unknown", 404),
        (f"/games/other/{id}", 404),
        (f"/games/../cup/{id}", 404),
        (f"/api/games/cup/{id}/position", 422),
        (f"/api/games/cup/{id}/position?ply=-1&seat=0", 422),
        (f"/api/games/cup/{id}/position?ply=1&seat=x", 422),
        (f"/api/games/cup/{id}/why?ply=0&seat=0&player=7", 422),
        (f"/api/games/cup/{id}/why?ply=0&seat=0&player=1", 422),  # who does not move
        (f"/games/cup/{id}/game.exe", 404),
    ):
        answer = page.ask(path)
        assert answer.status == status and "Traceback" not in answer.text, path
    with Store(folder / "cup" / STORE, create=True) as store:
        store._db.execute("UPDATE games SET moves = NULL")
    assert "has no moves" in page.ask(f"/games/cup/{id}").text


def test_a_game_whose_moves_do_not_fit_is_refused(folder, serve):
    id, game = write(folder / "cup")
    with Store(folder / "cup" / STORE, create=True) as store:
        store._db.execute("UPDATE games SET moves = ?", (b"\x09\0\0\0" * 2 * game.length,))
    assert "is not a move of player" in serve(folder).ask(f"/games/cup/{id}").text


def test_help_is_shown_and_names_are_text(folder, serve):
    id, game = write(folder / "cup")
    with Store(folder / "cup" / STORE, create=True) as store:
        store.add_agent(game.fixture.agents[0], "<script>alert(1)</script>", MCTS)
        for note in ((id, 2, ASSISTED, '["hint"]'), (id, 0, "remark", '"<b>"')):
            store._db.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", note)
    text = serve(folder).ask(f"/games/cup/{id}").text
    assert "<script>alert" not in text and "the person was helped (hint)" in text


def test_pictures_of_a_game(folder, serve):
    pytest.importorskip("resvg_py", reason="pictures need marl[render]")
    id, _ = write(folder / "cup")
    page = serve(folder)
    for kind, begins in (("png", b"\x89PNG"), ("gif", b"GIF89a")):
        answer = page.ask(f"/games/cup/{id}/game.{kind}")
        assert answer.status == 200 and answer.body.startswith(begins)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{id[:12]}.{kind}"'


def test_people_play_on_while_a_picture_is_written(folder, serve, monkeypatch):
    pytest.importorskip("resvg_py", reason="pictures need marl[render]")
    id, _ = write(folder / "cup")
    page = serve(folder)

    def slow(drawings, out, look, seconds):
        out.write_text(str(api(page, id, "position", ply=0, seat=2).status))

    monkeypatch.setattr("tournaments.web.replay.write_animation", slow)
    assert page.ask(f"/games/cup/{id}/game.gif").body == b"200"
