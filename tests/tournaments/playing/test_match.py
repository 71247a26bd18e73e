import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyspiel
import pytest

import marl
from games.errors import RunFailed
from games.registry import make
from marl.agents.load import load_entrant
from marl.base.terminal import Terminal
from marl.training.config import TrainConfig
from marl.training.train import train
from tests.games.ledger import LEDGERS
from tests.tournaments.eager import round_robin
from tournaments.playing import held, match
from tournaments.playing.match import dismiss, forfeit_payoffs, play, play_chunk
from tournaments.records.results import Result, Results, outcomes

TIC_TAC_TOE = "openspiel:tic_tac_toe"
KUHN = "openspiel:kuhn_poker"  # chance and hidden cards
GOOFSPIEL = "openspiel:goofspiel(num_cards=4)"  # chance and simultaneous moves


OTHER, MOODY, CHEAT, FIRST = (f"tests.bots:{name}" for name in ("Second", "Moody", "Cheat", "First"))
SHORT, WORDY = "tests.bots:Bad(how=shape, where=all)", "tests.bots:Bad(how=words, where=all)"


@pytest.fixture(autouse=True)
def _nobody_stays():
    yield
    dismiss()


def schedule(game, references, seeds):
    """Return the round robin, and how each agent's id is referred to."""
    spec = make(game, 1).spec
    reference = {load_entrant(text, spec).digest: text for text in references}
    return round_robin(game, list(reference), spec.num_players, seeds, seed=3), reference


def by_fixture(games):
    """Return what came of each fixture; there is one game of each."""
    games = list(games)
    found = {g.fixture.id: (g.payoffs, g.termination, g.length, g.moves) for g in games}
    assert len(found) == len(games)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint whose network answers in batches."""
    config = TrainConfig(game=TIC_TAC_TOE, algorithm={"name": "ippo"}, steps=64, num_envs=8, evaluation={"panel": ()})
    return str(train(config, tmp_path_factory.mktemp("run"), resume=False, console=Terminal(quiet=True)))


@pytest.mark.parametrize("game", [TIC_TAC_TOE, KUHN, GOOFSPIEL])
def test_a_fixture_is_the_same_game_in_any_batch(game, trained):
    references = ["random", OTHER, MOODY, CHEAT]
    if game == TIC_TAC_TOE:
        references += [trained, "mcts(simulations=3)"]
    fixtures, reference = schedule(game, references, seeds=4)
    alone = by_fixture(play(game, references, fixtures, num_envs=1))
    assert alone.keys() == {fixture.id for fixture in fixtures}
    assert {"finished", "agent_error", "illegal_action"} == {termination for _, termination, _, _ in alone.values()}
    assert len({moves for *_, moves in alone.values()}) >= 5  # and not one game over and over
    for num_envs in (8, 64):
        assert by_fixture(play(game, references, fixtures, num_envs)) == alone
    # Nor does it matter who else is in the tournament, or in which order fixtures are played.
    pair = [fixture for fixture in fixtures if {reference[agent] for agent in fixture.agents} == {"random", OTHER}]
    again = by_fixture(play_chunk(game, ["random", OTHER], pair[::-1], num_envs=3))
    assert again == {fixture.id: alone[fixture.id] for fixture in pair}


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The name of an agent that an installed package registers; the agent chooses as FIRST does."""
    (tmp_path / "registered_bots.py").write_text("from tests.bots import First\n\n\nclass Bot(First):\n    pass\n")
    package = tmp_path / "registered_bots-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: registered-bots\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[marl.agents]\nfirst_legal = registered_bots:Bot\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "first_legal"


def test_a_registered_agent_plays_in_a_process_of_its_own(registered):
    played, by_class = (marl.play(TIC_TAC_TOE, [agent, "random"], 3, seed=1) for agent in (registered, FIRST))
    assert [moves.tolist() for moves in played.moves] == [moves.tolist() for moves in by_class.moves]
    results = []
    for agent in (registered, FIRST):
        fixtures, _ = schedule(TIC_TAC_TOE, ["random", agent], seeds=2)
        games = play_chunk(TIC_TAC_TOE, ["random", agent], fixtures, num_envs=4)
        assert {game.termination for game in games} == {"finished"} and len(games) == 4
        results.append([(game.payoffs, game.moves) for game in games])
    assert results[0] == results[1]
    assert "registered_bots" not in sys.modules  # only its own process imports it


def test_moves_replay_to_the_payoffs():
    fixtures, _ = schedule(TIC_TAC_TOE, ["random", OTHER], seeds=5)
    for game in play(TIC_TAC_TOE, ["random", OTHER], fixtures, num_envs=4):
        moves = np.frombuffer(game.moves, np.int32).reshape(game.length, 2)
        state = pyspiel.load_game("tic_tac_toe").new_initial_state()
        for joint in moves.tolist():
            state.apply_action(joint[state.current_player()])
        assert state.is_terminal() and tuple(state.returns()) == game.payoffs


@pytest.mark.parametrize(
    ("offender", "how"),
    [(MOODY, "agent_error"), (SHORT, "agent_error"), (WORDY, "agent_error"), (CHEAT, "illegal_action")],
)
@pytest.mark.parametrize("game", [TIC_TAC_TOE, GOOFSPIEL])
def test_an_offender_loses_its_game_and_the_rest_plays_on(game, offender, how):
    fixtures, reference = schedule(game, ["random", FIRST, offender], seeds=6)
    games = list(play(game, list(reference.values()), fixtures, num_envs=16))
    assert len(games) == len(fixtures)
    forfeited = [g for g in games if g.termination == how]
    assert len(forfeited) >= 6 and all(g.termination in (how, "finished") for g in games)
    for g in forfeited:
        seat = [reference[agent] for agent in g.fixture.agents].index(offender)
        assert g.payoffs[seat] == -1 and g.payoffs[1 - seat] == 1
    clean = [fixture for fixture in fixtures if offender not in {reference[agent] for agent in fixture.agents}]
    undisturbed = by_fixture(play(game, ["random", FIRST], clean, num_envs=16))
    assert undisturbed.items() <= by_fixture(games).items()


def test_forfeit_payoffs():
    two, three = make(TIC_TAC_TOE, 1).spec, make("openspiel:kuhn_poker(players=3)", 1).spec
    dilemma, team = make("openspiel:matrix_pd", 1).spec, make("openspiel:tiny_hanabi", 1).spec
    assert forfeit_payoffs(two, [1], (0.0, 0.0)) == (1, -1)
    assert forfeit_payoffs(two, [0, 1], (0.0, 0.0)) == (0, 0)  # nobody won
    assert forfeit_payoffs(three, [0], (0.0, 0.0, 0.0)) == (-2, 1, 1)
    assert forfeit_payoffs(three, [2, 0], (0.0, 0.0, 0.0)) == (-2, 4, -2)
    assert forfeit_payoffs(dilemma, [0], (3.0, 5.0)) == (0, pytest.approx(math.nan, nan_ok=True))
    assert forfeit_payoffs(dilemma, [0, 1], (3.0, 5.0)) == (0, 0)
    assert forfeit_payoffs(team, [1], (4.0, 4.0)) == (pytest.approx(math.nan, nan_ok=True), 0)


def test_forfeit_payoffs_without_bounds():
    """Who broke a game off is paid alike, and no more than any of them had been."""
    spec = make("spread(players=2)", 1).spec
    assert spec.return_bounds is None
    assert forfeit_payoffs(spec, [0], (-0.1, -3.0)) == (-1, pytest.approx(math.nan, nan_ok=True))
    assert forfeit_payoffs(spec, [1], (-0.1, -3.0)) == (pytest.approx(math.nan, nan_ok=True), -3)
    assert forfeit_payoffs(spec, [0, 1], (-0.1, -3.0)) == (-3, -3)


def test_who_breaks_a_game_off_together_loses_it_together():
    """Whoever stands later in the roster has offended as much as who stands before."""
    fixtures, _ = schedule(GOOFSPIEL, [SHORT, WORDY], seeds=3)
    games = list(play(GOOFSPIEL, [SHORT, WORDY], fixtures, num_envs=4))
    assert len(games) == 6 and all(g.termination == "agent_error" and g.payoffs == (0, 0) for g in games)


def test_an_agent_that_changed_since_the_fixtures_were_made_is_named():
    fixtures, reference = schedule(TIC_TAC_TOE, ["random", FIRST], seeds=2)
    before = [replace(f, agents=tuple("0" if reference[a] == FIRST else a for a in f.agents)) for f in fixtures]
    with pytest.raises(RunFailed, match=f"the agent '{FIRST}' changed while it was being played; run again to go on"):
        play_chunk(TIC_TAC_TOE, ["random", FIRST], before, num_envs=2)


@pytest.fixture
def loaded(monkeypatch):
    """The references of agents, in the order in which they were loaded."""
    asked = []
    monkeypatch.setattr(
        held, "load_entrant", lambda text, *rest, **more: asked.append(text) or load_entrant(text, *rest, **more)
    )
    return asked


def piece_by_piece(game, references, fixtures, size):
    """Return what came of each fixture, played a few at a time, with the agents of each piece alone."""
    games = []
    for start in range(0, len(fixtures), size):
        piece = fixtures[start : start + size]
        seated = {agent for fixture in piece for agent in fixture.agents}
        games += play_chunk(game, [references[agent] for agent in sorted(seated)], piece, num_envs=4)
    return by_fixture(games)


def test_agents_stay_from_piece_to_piece(trained, loaded):
    fixtures, reference = schedule(TIC_TAC_TOE, ["random", trained, "uct(simulations=2)", OTHER], seeds=2)
    whole = by_fixture(play(TIC_TAC_TOE, list(reference.values()), fixtures, num_envs=8))
    dismiss()
    del loaded[:]
    assert piece_by_piece(TIC_TAC_TOE, reference, fixtures, size=4) == whole
    assert sorted(loaded) == sorted(reference.values())


@pytest.mark.parametrize("bound", ["MOST_AGENTS", "MOST_WEIGHTS", "MOST_FOREIGN"])
def test_agents_that_have_left_come_back_the_same(trained, loaded, monkeypatch, bound):
    """No more stay than the bound allows, besides those that play."""
    references = (
        [OTHER, FIRST, "tests.bots:Third"]
        if bound == "MOST_FOREIGN"
        else [trained, f"{trained}(greedy=true)", "random"]
    )
    fixtures, reference = schedule(TIC_TAC_TOE, references, seeds=1)
    whole = by_fixture(play(TIC_TAC_TOE, references, fixtures, num_envs=8))
    dismiss()
    del loaded[:]
    monkeypatch.setattr(held, bound, 1)
    assert piece_by_piece(TIC_TAC_TOE, reference, fixtures, size=2) == whole
    assert len(loaded) > 3 and len(match._held._entrants) <= 2 + (bound == "MOST_WEIGHTS")


def test_the_agents_that_play_stay_whatever_the_bounds(loaded, monkeypatch):
    monkeypatch.setattr(held, "MOST_AGENTS", 0)
    fixtures, reference = schedule(TIC_TAC_TOE, ["random", "uct(simulations=2)"], seeds=2)
    whole = piece_by_piece(TIC_TAC_TOE, reference, fixtures, size=2)
    assert len(whole) == 4 and len(loaded) == 2


@pytest.mark.parametrize("name", LEDGERS)
def test_rounding_decides_no_game(name):
    game = f"tests.games.ledger:Ledger(name='{name}')"
    fixtures, reference = schedule(game, ["random", OTHER], seeds=2)
    log = [
        Result(g.fixture.agents, g.payoffs, g.fixture.seed, g.termination, g.length, g.rounding)
        for g in play(game, list(reference.values()), fixtures, num_envs=3)
    ]
    assert outcomes(Results.of(log)).tolist() == [1 - LEDGERS[name][2]] * 4


def test_an_agent_that_was_kept_and_has_changed_ends_its_process():
    spec, ended = make("openspiel:tic_tac_toe", 1).spec, []
    kept, random = held.Held(), load_entrant("random", spec)
    before = SimpleNamespace(digest="another", foreign=True, size=0, rest=lambda: ended.append("before"))
    kept._entrants["openspiel:tic_tac_toe", "random", 60.0] = before
    [found] = kept.entrants("openspiel:tic_tac_toe", ["random"], spec, 60.0, {random.digest})
    assert found.digest == random.digest and ended == ["before"]
