"""Playing over HTTP: what the board's script asks, and what others might."""

import json
import math
import os
import re
import signal
from urllib.parse import urlencode

import pytest

from games.errors import UserError
from tests.web.test_sessions import CALL, FOLD, hands
from tournaments.records.store import STORE, Store
from tournaments.web import offers
from tournaments.web.asking import Asker, Busy
from tournaments.web.deciding import Question
from tournaments.web.offers import longer, offered
from tournaments.web.table import Line, Table, Tables

TTT = "openspiel:tic_tac_toe"


@pytest.fixture
def page(tmp_path, serve):
    (tmp_path / "runs").mkdir()
    return serve(tmp_path / "runs")


def post(page, path, data=None, form=None):
    body = urlencode(form).encode() if form else json.dumps(data or {}).encode()
    return page.ask(path, "POST", body, Origin=page.url)


def start(page, **form):
    """Open a game; return its path below /api."""
    answer = post(page, "/play/new", form={"game": TTT, "seat": 0, "agent": "random", "name": "Ann"} | form)
    assert answer.status == 303, answer.text
    return "/api" + answer.headers["location"]


def session(page, place):
    return page.app.state.desk.sessions.find(place.rpartition("/")[2])


def go(page, place):
    """Let the agents move until it is the person's turn, or the end; return what is told."""
    told = page.ask(place).json
    while not told["over"] and not told["legal"] and not told["fault"]:
        told = post(page, f"{place}/go").json
    return told


def test_a_whole_game(page):
    place = start(page, seat=1)
    told = go(page, place)
    assert told["you"] == 1 and told["ply"] == 1 and len(told["targets"]) == 8 and told["svg"].startswith("<svg")
    while not told["over"]:
        post(page, f"{place}/move", {"ply": told["ply"], "action": told["legal"][0]["action"]})
        told = go(page, place)
    assert told["status"].startswith(("You won", "You lost", "A draw")) and told["replay"].startswith("/games/persons/")
    home = page.folder / "persons" / "openspiel_tic_tac_toe"
    with Store(home / STORE) as store:
        (game,) = store.games()
        assert told["seed"] == str(game.fixture.seed) and game.fixture.agents[1] == "person:Ann"
    shown = page.ask(told["replay"])
    assert shown.status == 200 and "Ann" in shown.text and "person:" not in shown.text.split("<main")[1]
    assert post(page, f"{place}/back").status == 422  # it is stored
    again = post(page, f"{place}/again", {"swap": 1}).json["url"]
    assert page.ask(f"/api{again}").json["you"] == 0


@pytest.mark.parametrize(
    ("game", "first", "second"),
    [
        (TTT, "you move first", "you move second"),
        ("openspiel:chess", "you move second", "you move first"),  # player 0 is Black
        ("openspiel:goofspiel(num_cards=5,points_order=descending)", "player 0", "player 1"),
    ],
)
def test_the_form_says_who_moves_first(page, game, first, second):
    text = page.ask(f"/play/new?{urlencode({'game': game})}").text
    labels = re.findall(r'name="seat" value="(\d)"[^>]*>\s*([^<]+?)\s*<', text)
    assert labels == [("0", first), ("1", second)]


def test_help_is_noted(page):
    place = start(page)
    told = post(page, f"{place}/hint", {"simulations": 200}).json
    assert told["agent"] == "uct(simulations=200)" and told["simulations"] == 200 and told["line"][0] == told["name"]
    assert sum(row["share"] for row in told["rows"]) == pytest.approx(1)
    assert page.ask(place).json["helped"] == ["hint"]
    post(page, f"{place}/move", {"ply": 0, "action": told["action"]})
    go(page, place)
    told = post(page, f"{place}/back").json
    assert told["ply"] == 0 and told["helped"] == ["hint", "take back"]
    assert post(page, f"{place}/hint", {"simulations": 10**6}).status == 422


def test_opponents_think_longer(page):
    place = start(page, agent="mcts(simulations=10000)")
    assert page.ask(place).json["longer"]
    assert post(page, f"{place}/longer").json["seats"] == ["Ann", "mcts(simulations=20000)"]
    assert [longer(text) for text in ("mcts(simulations=40000)", "random", "uct(simulations=1000)")] == [
        None,
        None,
        "uct(simulations=1600)",
    ]
    assert post(page, f"{start(page)}/longer").status == 422


@pytest.mark.parametrize(
    "form",
    [
        {"agent": "tests.bots:Second"},
        {"agent": "mcts(simulations=1000000)"},
        {"agent": "runs/mine"},
        {"agent": "../../etc"},
        {"agent": ""},
        {"game": "tests.games.plugin:Nim"},
        {"game": "openspiel:go(board_size=19)"},
        {"game": ""},
        {"seat": 2},
        {"seat": -1},
        {"seat": "x"},
        {"name": "<script>"},
    ],
)
def test_forms_that_name_what_is_not_offered(page, form):
    answer = post(page, "/play/new", form={"game": TTT, "seat": 0, "agent": "random", "name": "Ann"} | form)
    assert answer.status in (404, 422) and "Traceback" not in answer.text


def test_what_a_script_may_not_send(page):
    place = start(page)
    for path, data, status in (
        (f"{place}/move", {"ply": 0, "action": 99}, 422),
        (f"{place}/move", {"ply": "0", "action": 0}, 422),
        (f"{place}/move", [1], 422),
        (f"{place}/nothing", {}, 404),
        ("/api/play/unknown/go", {}, 404),
    ):
        assert post(page, path, data).status == status, path
    assert page.ask(f"{place}/move", "POST", b"{}").status == 403  # no Origin: another site
    assert page.ask(f"{place}/move", "POST", b"{" * 9000, Origin=page.url).status == 422
    assert page.ask("/api/play/unknown").status == page.ask("/play/unknown").status == 404
    assert page.ask(place).json["ply"] == 0


def test_a_worker_that_is_killed_is_followed_by_another(page):
    place = start(page, seat=1)
    first = go(page, place)
    worker = page.app.state.desk.asker._worker
    os.kill(worker._process.pid, signal.SIGKILL)
    post(page, f"{place}/move", {"ply": 1, "action": first["legal"][0]["action"]})
    told = post(page, f"{place}/go").json
    if told["fault"]:  # it died while it was asked
        told = post(page, f"{place}/go").json
    assert told["fault"] == "" and told["ply"] == 3


def test_an_agent_that_fails_is_told_and_the_game_goes_on(page):
    place = start(page, seat=1)
    mine = session(page, place)
    broken = type(mine.seats[0])("gone", str(page.folder / "gone"), "0" * 64, draws=1)
    whole = mine.seats
    mine.seats = (broken, mine.seats[1])
    told = post(page, f"{place}/go").json
    assert "cannot be loaded" in told["fault"] and told["status"] and told["ply"] == 0
    mine.seats = whole
    told = post(page, f"{place}/go").json
    assert told["fault"] == "" and told["ply"] == 1


def test_too_many_questions_are_refused():
    asker = Asker(most_waiting=1)
    asker._thread = object()  # nobody takes questions out
    line = Line(TTT, 1)
    asker.ask(Question(line, 0, None))
    with pytest.raises(Busy, match="try again"):
        asker.ask(Question(line, 0, None))


def test_a_worker_that_is_too_slow_is_ended():
    asker = Asker(longest=0.0)
    try:
        with pytest.raises(Exception, match="took longer"):
            asker.identify(TTT, ["random"]).result(60)
    finally:
        asker.close()


def test_the_end_does_not_wait_for_a_decision():
    asker = Asker(longest=math.inf)  # else the wait would end by itself
    (agent,) = asker.identify(TTT, ["mcts(simulations=1)"]).result(60)
    slow = asker.identify("openspiel:connect_four", ["uct(simulations=200000)"]).result(60)[0]
    asked = asker.ask(Question(Line("openspiel:connect_four", 1), 0, slow))
    assert asker.ask(Question(Line(TTT, 1), 0, agent)).cancel()
    asker.close()
    assert asked.exception(0) is not None


def test_a_full_queue_is_answered_503(page):
    place = start(page, seat=1)
    desk = page.app.state.desk

    class Full:
        def ask(self, question):
            raise Busy("too many people are waiting; try again")

        def close(self):
            pass

    whole, desk.asker = desk.asker, Full()
    assert post(page, f"{place}/go").status == 503
    desk.asker = whole
    assert post(page, f"{place}/go").status == 200


def test_the_others_card_is_in_no_answer_of_the_server(page):
    """All that a browser gets of two hands that differ in the other's card alone is the same."""
    tables, alike = Tables(), {}
    for seed in range(200):
        (own, other), public = hands(tables, seed)
        alike.setdefault((own, public), {}).setdefault(other, seed)
    one, two = list(next(seeds for seeds in alike.values() if len(seeds) > 1).values())[:2]
    heard = []
    for seed in (one, two):
        place = start(page, game="openspiel:leduc_poker", agent="random")
        mine = session(page, place)
        (agent,) = page.app.state.desk.asker.identify("openspiel:leduc_poker", ["constant(action=2)"]).result(60)
        mine.line, mine.seats = Line("openspiel:leduc_poker", seed), (mine.seats[0], agent)
        answers = [page.ask(place.removeprefix("/api")).text]
        for action in (CALL, CALL, CALL, FOLD):
            answers.append(page.ask(place).text)
            ply = json.loads(answers[-1])["ply"]
            answers.append(post(page, f"{place}/hint", {"simulations": 200}).status == 200)
            answers.append(post(page, f"{place}/move", {"ply": ply, "action": action}).text)
            while not (told := page.ask(place).json)["over"] and not told["legal"]:
                answers.append(post(page, f"{place}/go").text)
        assert told["over"]
        own = (mine.id, str(seed), mine.stored.fixture.id)  # of the session and, at the end, of the stored game
        heard.append([_without(each, own) if isinstance(each, str) else each for each in answers])
    assert heard[0] == heard[1]


def _without(text, words):
    for word in words:
        text = text.replace(f'"{word}"', '"..."').replace(f"/{word}", "/...")
    return text


def test_only_the_agent_that_a_form_names_is_loaded(page, monkeypatch):
    """Trap: a form that named one agent loaded all that could have been named."""
    loaded, load = [], offers.load_entrant

    def noting(reference, spec):
        loaded.append(reference)
        return load(reference, spec)

    monkeypatch.setattr(offers, "load_entrant", noting)
    start(page, agent="random")
    assert loaded == ["random"]
    answer = post(page, "/play/new", form={"game": TTT, "seat": 0, "agent": "mcts(simulations=77)"})
    assert answer.status == 422 and "is not offered for this game" in answer.text and loaded == ["random"]


def test_what_is_offered():
    spec = Table("openspiel:leduc_poker").spec
    found = {offer.reference for offer in offered(spec, [])}
    assert {"uct(simulations=50)", "random", "constant"} <= found and not any("mcts" in text for text in found)
    dilemma = "matrix(game=prisoners_dilemma, steps=5, memory=true)"
    assert "tit_for_tat" in {offer.reference for offer in offered(Table(dilemma).spec, [])}
    with pytest.raises(UserError):
        Table("openspiel:no_such_game")
