"""Sessions of people: the games of tournaments, hidden information, help, and what is stored."""

import json
from dataclasses import replace

import numpy as np
import pytest

from games.errors import UserError
from marl.agents.load import load_entrant
from marl.cli.app import main
from tests.marl.views import TTT
from tournaments.playback.verify import verify
from tournaments.playing.match import dismiss, play
from tournaments.records.fixture import Fixture
from tournaments.records.store import STORE, Selection, Store
from tournaments.web.deciding import Decider, Question
from tournaments.web.persons import folder_of, keep, person, record
from tournaments.web.sessions import MOST_OF_ONE, MOST_SESSIONS, Sessions, shown
from tournaments.web.table import Line, Table, Tables

GAMES = [
    ("openspiel:connect_four", "uct(simulations=10)", "mcts(simulations=20)"),
    ("openspiel:leduc_poker", "uct(simulations=10)", "random"),
    ("openspiel:goofspiel(num_cards=4)", "uct(simulations=10)", "random"),
    ("openspiel:pig", "uct(simulations=5)", "random"),
    ("matrix(game=prisoners_dilemma, steps=5, memory=true)", "grim_trigger", "random"),
    ("coin_game(horizon=6)", "always_defect", "random"),
]


@pytest.fixture(scope="module")
def decider():
    return Decider()


def opened(decider, game, *agents, seat=0, name="Ann", seed=None):
    """Open a session of a person in a seat, with agents in the others."""
    seats = decider.identify(game, agents)
    seats.insert(seat, person(name))
    session = Sessions().start(game, seats, "127.0.0.1")
    if seed is not None:
        session.line = Line(game, seed)
    return session


def go_on(session, tables, decider):
    """Let the agents move until it is the person's turn, or the end."""
    table = tables.at(session.line)
    while questions := session.questions(table):
        session.hear(table, questions, decider.answer(questions))
        assert not session.fault
    return table


def play_out(session, tables, decider, stand_in):
    """Play a session to its end with the moves that an agent would make in the person's seat."""
    table = go_on(session, tables, decider)
    while not table.over:
        (answer,) = decider.answer([Question(session.line, session.you, stand_in)])
        session.choose(table, len(session.line.moves), answer.action)
        table = go_on(session, tables, decider)
    return table


@pytest.mark.parametrize(("game", "x", "y"), GAMES)
@pytest.mark.parametrize("seat", [0, 1])
def test_a_person_who_moves_like_an_agent_plays_its_game_of_a_tournament(decider, game, x, y, seat):
    stand_in, other = decider.identify(game, [x, y])
    session = opened(decider, game, y, seat=seat, seed=7)
    play_out(session, Tables(), decider, stand_in)
    seats = (stand_in, other) if seat == 0 else (other, stand_in)
    ours = record(session.line, seats, ())
    fixture = Fixture(game, tuple(agent.digest for agent in seats), 7)
    (theirs,) = play(game, [x, y], [fixture], 1)
    dismiss()
    assert ours == theirs and ours.moves == theirs.moves


def test_what_was_forgotten_is_found_again(decider):
    """Another process, which remembers no hidden state, goes on with the same game."""
    game = GAMES[4][0]
    session = opened(decider, game, "grim_trigger", seed=3)
    (agent,) = decider.identify(game, ["grim_trigger"])
    line = Line(game, 3, ((1, 0), (0, 1), (0, 1)))
    for each in (Decider(), decider, Decider()):
        assert each.answer([Question(line, 1, agent)])[0].action == 1  # player 0 defected long ago
    assert session.you == 0


def test_one_question_that_fails_does_not_spoil_the_others(decider):
    (agent,) = decider.identify("openspiel:tic_tac_toe", ["random"])
    good = Line("openspiel:tic_tac_toe", 1)
    answers = decider.answer(
        [Question(good, 0, agent), Question(good.then((9, 0)), 0, agent), Question(good, 1, agent)]
    )
    assert answers[0].action is not None and "not a move" in answers[1].fault and "does not move" in answers[2].fault


def test_a_move_is_made_once_and_where_it_was_chosen(decider):
    session = opened(decider, "openspiel:tic_tac_toe", "random")
    table = Tables().at(session.line)
    for ply, action, said in ((1, 0, "has gone on"), (0, 9, "not a move"), (0, -1, "not a move")):
        with pytest.raises(UserError, match=said):
            session.choose(table, ply, action)
    session.choose(table, 0, 4)
    with pytest.raises(UserError, match="not your move"):
        session.choose(table, 1, 5)


def leduc(decider, seed, agent, moves):
    """Return what a person is shown of a hand of Leduc as player 0; who wins a showdown is not compared."""
    session = opened(decider, "openspiel:leduc_poker", agent, seed=seed)
    tables = Tables()
    table, told = go_on(session, tables, decider), []
    for action in moves:
        told.append(shown(session, table))
        session.choose(table, len(session.line.moves), action)
        table = go_on(session, tables, decider)
    if not table.over or moves[-1] == FOLD:
        told.append(shown(session, table))
    return json.dumps(told), str(table.state)


FOLD, CALL, RAISE = 0, 1, 2
HANDS = [
    ("constant(action=1)", [CALL, CALL]),
    ("constant(action=1)", [RAISE, CALL]),
    ("constant(action=2)", [CALL, FOLD]),
    ("constant(action=2)", [CALL, CALL, CALL, FOLD]),
]


def hands(tables, seed):
    """Return the two private cards of a seed, and the public one after both have called."""
    state = tables.at(Line("openspiel:leduc_poker", seed, ((1, 0), (0, 1)))).state
    return tuple(state.native.history()[:2]), state.native.history()[-1]


def test_the_others_card_is_nowhere(decider):
    """Two hands that differ in the card of the other alone are told alike, to the last letter."""
    tables, seen, compared = Tables(), {}, 0
    for seed in range(400):
        (own, other), public = hands(tables, seed)
        before = seen.setdefault((own, public), {})
        if before and other not in before and compared < 6:
            twin = next(iter(before.values()))
            for agent, moves in HANDS:
                one, truth = leduc(decider, seed, agent, moves)
                two, another = leduc(decider, twin, agent, moves)
                assert one == two and truth != another
            compared += 1
        before[other] = seed
    assert compared == 6


def test_the_seed_is_not_told_before_the_end(decider):
    session = opened(decider, "openspiel:kuhn_poker", "random")
    told = json.dumps(shown(session, Tables().at(session.line)))
    assert str(session.line.seed) not in told and str(session.line.seed) not in session.id


def test_moves_that_a_player_cannot_tell_have_no_name(decider):
    session = opened(decider, "openspiel:phantom_ttt", "random", seat=1)
    told = shown(session, go_on(session, Tables(), decider))
    assert told["moves"] == [[{"player": 0, "name": None}]]
    session = opened(decider, "openspiel:tic_tac_toe", "random", seat=1)
    assert shown(session, go_on(session, Tables(), decider))["moves"][0][0]["name"].startswith("x(")


def test_taking_back(decider):
    session, tables = opened(decider, "openspiel:connect_four", "mcts(simulations=5)", seed=4), Tables()
    with pytest.raises(UserError, match="nothing to take back"):
        session.back()
    table = go_on(session, tables, decider)
    session.choose(table, 0, 3)
    go_on(session, tables, decider)
    after = session.line
    session.choose(tables.at(after), 2, 0)
    go_on(session, tables, decider)
    session.back()
    assert session.line == after and len(session.done) == 2
    session.back()
    assert session.line.moves == () and [note.ply for note in session.notes] == [2, 0]
    assert shown(session, tables.at(session.line))["helped"] == ["take back"]


def test_swapping_sides(decider):
    session, tables = opened(decider, "openspiel:connect_four", "random"), Tables()
    before = session.line
    session.swap(tables.of(session.line.game).spec, 1)
    assert session.you == 1 and session.notes == [] and session.line == before  # nobody has moved
    go_on(session, tables, decider)
    session.swap(tables.of(session.line.game).spec, 0)
    go_on(session, tables, decider)
    assert session.you == 0 and session.notes[0].value == ["swap"]
    with pytest.raises(UserError, match="the seat of another"):
        session.swap(tables.of(session.line.game).spec, 0)
    hidden = opened(decider, "openspiel:kuhn_poker", "random")
    hidden.swap(tables.of(hidden.line.game).spec, 1)
    table = go_on(hidden, tables, decider)
    with pytest.raises(UserError, match="know what you do not"):
        hidden.swap(table.spec, 0)


def test_who_swaps_sides_does_not_learn_the_others_card(decider):
    """Cards are dealt before the first move: who has seen its own gets others when it takes another seat."""
    session, tables = opened(decider, "openspiel:kuhn_poker", "random"), Tables()
    seeds = {session.line.seed}
    for seat in (1, 0, 1):
        session.swap(tables.of(session.line.game).spec, seat)
        seeds.add(session.line.seed)
    assert len(seeds) == 4 and session.you == 1 and session.notes == []


def test_a_game_is_stored_and_rated_unless_the_person_was_helped(decider, tmp_path, capsys):
    game, tables = "openspiel:tic_tac_toe", Tables()
    stand_in, other = decider.identify(game, ["mcts(simulations=20)", "random"])
    for seed in range(6):
        session = opened(decider, game, "random", seed=seed)
        if seed == 5:
            session.help("hint")
        table = play_out(session, tables, decider, stand_in)
        played = record(session.line, session.seats, session.notes)
        home = keep(tmp_path, table.spec, played, session.seats)
    assert home == folder_of(tmp_path, game) == tmp_path / "persons" / "openspiel_tic_tac_toe"
    with Store(home / STORE) as store:
        assert {agent.id for agent in store.agents()} == {"person:Ann", other.digest}
        assert store.terminations() == {"finished": 5, "no_contest": 1}
        assert [note.value for note in store.notes(played.fixture.id)] == [["hint"]]
        assert store.find(played.fixture.id) == replace(played, notes=()) and store.find("0") is None
        assert verify(store, Selection()).differences == []
        assert "a person" in verify(store, Selection(), agents=True).notes[0]
    with pytest.raises(SystemExit, match="0"):
        main(["tournament", "rate", str(home)])
    assert "person:Ann" in capsys.readouterr().out


def test_a_person_is_no_agent():
    with pytest.raises(UserError, match="a person; people play by `marl web`"):
        load_entrant("person:ann", TTT)


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "<b>", "a/b", "\x1b[2J", "..", "a\nb:"])
def test_names_that_are_none(name):
    with pytest.raises(UserError, match="expected a name"):
        person(name)
    assert person(" Ann  Lee ").digest == "person:Ann Lee"


def test_a_game_is_made_only_of_what_fits(tmp_path):
    names = {folder_of(tmp_path, game).name for game in ("a:b", "a:b(c=1)", "a:b(c=2)", "../x", "a:" + "b" * 300)}
    assert len(names) == 5 and all(len(name) < 320 and "/" not in name for name in names)


def test_only_so_many_play(decider):
    sessions = Sessions(most=3)
    seats = [person("Ann"), *decider.identify("openspiel:tic_tac_toe", ["random"])]
    kept = [sessions.start("openspiel:tic_tac_toe", seats, f"10.0.0.{k}") for k in range(3)]
    with pytest.raises(UserError, match="too many games are being played"):
        sessions.start("openspiel:tic_tac_toe", seats, "10.0.0.9")
    kept[1].used -= 10_000  # nobody plays it; but one that was opened before is asked first
    kept[0].used -= 10_000
    assert sessions.find(kept[1].id) is kept[1]
    sessions.start("openspiel:tic_tac_toe", seats, "10.0.0.9")
    assert sessions.find(kept[0].id) is None and MOST_SESSIONS > 100


def test_one_person_cannot_take_all_places(decider):
    sessions = Sessions(most=5, most_of_one=2)
    seats = [person("Ann"), *decider.identify("openspiel:tic_tac_toe", ["random"])]

    def start(who):
        return sessions.start("openspiel:tic_tac_toe", seats, who)

    first, second = start("10.0.0.1"), start("10.0.0.1")
    with pytest.raises(UserError, match="you have too many games open here"):
        start("10.0.0.1")
    other = start("10.0.0.2")
    other.used -= 10_000
    with pytest.raises(UserError, match="you have too many games open here"):
        start("10.0.0.1")  # no other's game makes room
    second.used -= 10_000  # nobody plays it
    third = start("10.0.0.1")
    first.stored = "a game"  # it is over
    start("10.0.0.1")
    assert [sessions.find(each.id) for each in (first, second, third, other)] == [None, None, third, other]
    assert MOST_OF_ONE < MOST_SESSIONS / 2


def test_a_table_goes_on_and_back():
    table = Table("openspiel:connect_four")
    line = Line("openspiel:connect_four", 1, ((3, 0), (0, 3), (3, 0)))
    table.set(line)
    assert table.acting == (1,) and [table.decision(p) for p in (0, 1)] == [2, 1]
    table.set(line.cut(1))
    assert table.acting == (1,) and [table.decision(p) for p in (0, 1)] == [1, 0]
    with pytest.raises(UserError, match="not a move"):
        table.set(line.cut(1).then((0, 9)))
    assert table.line == line.cut(1)
    assert np.array_equal(table.view(1, np.zeros(1, np.uint64)).states()[0].native.history(), [3])
